/**
 * Owns asking Latchkey about one token (POST /introspect). Checks that are made in one turn of the event loop share a
 * question, as it is sent at the end of the turn; nobody gets the answer to a question that was sent before he asked.
 */
import type { Api } from './api.ts';
import { GatewayUnavailableError } from './errors.ts';
import { ANY_TENANT, type Settings } from './options.ts';
import { isActor, isReason, type Claims, type Verdict } from './types.ts';
import { isClaims } from './verify.ts';

type Expected = Pick<Settings, 'issuer' | 'audience' | 'tenant'>;

/** Throws GatewayUnavailableError. */
export type Ask = (token: string, digest: string) => Promise<Verdict>;

export function createAsk(api: Api, expected: Expected): Ask {
  const unsent = new Map<string, Promise<Verdict>>();
  return (token, digest) => {
    const shared = unsent.get(digest);
    if (shared !== undefined) return shared;
    const asked = endOfTurn().then(async () => {
      unsent.delete(digest);
      return verdictOf(await api.introspect(token, expected.tenant), expected);
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

function verdictOf({ active, ...rest }: Readonly<Record<string, unknown>>, expected: Expected): Verdict {
  if (active === true) {
    if (!isClaims(rest)) throw new GatewayUnavailableError('Latchkey gave a verdict without claims');
    const { token_type: _tokenType, ...claims } = rest;
    // Who answers speaks of its own tokens: of another issuer it is not the Latchkey that was meant.
    if (claims.iss !== expected.issuer) throw new GatewayUnavailableError(`the verdict is of ${claims.iss}`);
    return isMeant(claims, expected) ? { active: true, claims } : { active: false, reason: 'token_invalid' };
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

/** As where a token is verified here. */
function isMeant({ aud, tenant }: Claims, expected: Expected): boolean {
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return audiences.includes(expected.audience) && (expected.tenant === ANY_TENANT || expected.tenant === tenant);
}
