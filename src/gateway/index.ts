/**
 * What gateways check access tokens with (`latchkey/gateway`). Needs jose and nothing else.
 */
export { createTokenChecker } from './checker.ts';
export { GatewayIssuerError, GatewayKeyRefusedError, GatewayUnavailableError } from './errors.ts';
export { sentenceOf } from './sentence.ts';
export type {
  Actor,
  CheckerEvents,
  CheckerOptions,
  Claims,
  Connected,
  EndedEvent,
  InactiveVerdict,
  Mode,
  PresenceResult,
  TokenChecker,
  TokenReason,
  Verdict,
} from './types.ts';
