/**
 * Owns asking Latchkey about one token (POST /introspect). Checks that are made in one turn of the event loop share a
 * question, as it is sent at the end of the turn; nobody gets the answer to a question that was sent before he asked.
 */
import type { Api } from './api.ts';
import { GatewayUnavailableError } from './errors.ts';
import { TOKEN_REASONS, type Actor, type TokenReason, type Verdict } from './types.ts';
import { isClaims } from './verify.ts';

/** Throws GatewayUnavailableError. */
export type Ask = (token: string, digest: string) => Promise<Verdict>;

export function createAsk(api: Api, tenant: string): Ask {
  const unsent = new Map<string, Promise<Verdict>>();
  return (token, digest) => {
    const shared = unsent.get(digest);
    if (shared !== undefined) return shared;
    const asked = endOfTurn().then(async () => {
      unsent.delete(digest);
      return verdictOf(await api.introspect(token, tenant));
    });
    unsent.set(digest, asked);
    return asked;
  };
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function verdictOf({ active, ...rest }: Readonly<Record<string, unknown>>): Verdict {
  if (active === true) {
    if (!isClaims(rest)) throw new GatewayUnavailableError('Latchkey gave a verdict without claims');
    const { token_type: _tokenType, ...claims } = rest;
    return { active: true, claims };
  }
  const { reason, endedAt, endedBy } = rest;
  return {
    active: false,
    // Absent where INTROSPECTION_REASONS is off.
    reason: isReason(reason) ? reason : 'token_invalid',
    ...(typeof endedAt === 'string' && { endedAt }),
    ...(isActor(endedBy) && { endedBy }),
  };
}

export function isReason(value: unknown): value is TokenReason {
  return (TOKEN_REASONS as readonly unknown[]).includes(value);
}

export function isActor(value: unknown): value is Actor {
  return typeof value === 'object' && value !== null && 'kind' in value;
}
