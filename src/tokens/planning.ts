/**
 * Owns how a state and its rules become the engine's question. Must not know what is done with the plan.
 */
import { LatchkeyError } from '../contract/errors.ts';
import { resolve, type Incoming } from '../domain/policies/engine.ts';
import type { Plan } from '../domain/plan.ts';
import type { Token } from '../domain/token.ts';
import type { Rules } from './rules.ts';
import type { Snapshot } from './store.ts';

/** `not_found` when `evict` names a token that the user does not have. */
export function planLogin(incoming: Incoming, state: Snapshot, rules: Rules): Plan {
  const known = new Set(state.tokens.map((token) => token.tokenId));
  if (incoming.evict?.some((tokenId) => !known.has(tokenId))) {
    throw new LatchkeyError('not_found', { detail: 'evict names a token that this user does not have' });
  }
  return resolve({
    incoming,
    tokens: state.tokens.map((token) => withLease(token, rules)),
    unreadable: state.unreadable,
    policy: rules.policy,
    platforms: rules.platforms,
    maxTokens: rules.maxTokens,
    now: state.now,
  });
}

/** Leases count only while presence is on; a token from before it was on has held its seat since it was last seen. */
function withLease(token: Token, { presence }: Rules): Token {
  if (presence === undefined && token.lease === undefined) return token;
  const { lease, ...rest } = token;
  if (presence === undefined) return rest;
  return { ...rest, lease: lease ?? { expiresAt: token.lastSeenAt + presence.leaseMs, graceMs: presence.graceMs } };
}
