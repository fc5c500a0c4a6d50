/**
 * Owns the rules that a login or a refresh goes by, in one value. Must not know where they were declared.
 */
import type { Policy } from '../contract/policy.ts';
import type { Platforms } from '../domain/platform.ts';
import type { Token } from '../domain/token.ts';

export type Rules = {
  readonly policy: Policy;
  readonly platforms: Platforms;
  /** Life of an access token. */
  readonly accessMs: number;
  /** Life of a token without a refresh. */
  readonly refreshMs: number;
  /** Unused for longer than this a token is expired; 0 = off. */
  readonly idleMs: number;
  /** Bounds every policy. */
  readonly maxTokens: number;
  /** How long a rotated refresh token still leads to its successor. */
  readonly refreshGraceMs: number;
};

/** Ends of a token signed now. The access token ends on a full second, as `exp` has no smaller unit, and never after the token. */
export function expiriesOf(rules: Rules, now: number): Pick<Token, 'expiresAt' | 'accessExpiresAt'> {
  const expiresAt = now + rules.refreshMs;
  const wanted = Math.floor(now / 1000) * 1000 + rules.accessMs;
  return { expiresAt, accessExpiresAt: Math.min(wanted, Math.floor(expiresAt / 1000) * 1000) };
}
