/**
 * Owns how a state and its rules become the engine's question. Must not know what is done with the plan.
 */
import { LatchkeyError } from '../contract/errors.ts';
import { resolve, type Incoming } from '../domain/policies/engine.ts';
import type { Plan } from '../domain/plan.ts';
import { expiryOf, lapseOf, type Token } from '../domain/token.ts';
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

/** How long a seat without a lease is waited for: somebody may have logged out by then. */
const TRY_AGAIN_MS = 60_000;

/**
 * When a declined login is worth another try, in seconds: so many seats in the way have lapsed or expired by then that it
 * is let in, if nobody does anything until then.
 */
export function secondsUntilLetIn(declined: Plan, incoming: Incoming, state: Snapshot, rules: Rules): number {
  const { now } = state;
  const moments = declined.conflicts
    .map((token) => Math.min(expiryOf(token), token.lease ? lapseOf(token.lease) : now + TRY_AGAIN_MS))
    .toSorted((a, b) => a - b);
  const letIn = firstOf(moments, (moment) => !planLogin(incoming, { ...state, now: moment }, rules).declined);
  return Math.max(1, Math.ceil((letIn - now) / 1000));
}

/** The first of which it is true, where it is true of all that follow; the last, where it is true of none. */
function firstOf(sorted: readonly number[], isTrue: (one: number) => boolean): number {
  let [from, to] = [0, sorted.length - 1];
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (isTrue(sorted[middle] ?? 0)) to = middle;
    else from = middle + 1;
  }
  return sorted[from] ?? 0;
}

/** Leases count only while presence is on; a token from before it was on has held its seat since it was last seen. */
function withLease(token: Token, { presence }: Rules): Token {
  if (presence === undefined && token.lease === undefined) return token;
  const { lease, ...rest } = token;
  if (presence === undefined) return rest;
  return { ...rest, lease: lease ?? { expiresAt: token.lastSeenAt + presence.leaseMs, graceMs: presence.graceMs } };
}
