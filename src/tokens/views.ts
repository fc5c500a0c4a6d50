/**
 * Owns what a caller may see of tokens, plans and conflicts: names and forms of the wire contract, times as RFC 3339.
 * Nothing secret (salts, generations) passes here.
 */
import type { Plan } from '../domain/plan.ts';
import type { Platform, Platforms } from '../domain/platform.ts';
import { expiryOf, isInGrace, stateOf, type Token, type TokenId, type TokenState } from '../domain/token.ts';
import type { NewToken } from './store.ts';

/** A token that a login ended, as it was and how it ended. `gone` left no tombstone. */
export type Displaced = { readonly token: Token; readonly state: TokenState | 'gone'; readonly policy: string };

/** A token as lists and login results show it; one in a final state says when and by whom it ended. */
export function tokenView(token: Token, platforms: Platforms, now: number) {
  const state = stateOf(token, now);
  return {
    tokenId: token.tokenId,
    tenant: token.tenant,
    userId: token.userId,
    platform: token.platform,
    class: platforms.classOf(token.platform),
    deviceId: token.deviceId,
    deviceName: token.deviceName,
    state,
    createdAt: timeView(token.createdAt),
    lastSeenAt: timeView(token.lastSeenAt),
    expiresAt: timeView(token.expiresAt),
    accessExpiresAt: timeView(Math.min(token.pairExpiresAt ?? token.accessExpiresAt, expiryOf(token))),
    ip: token.ip,
    userAgent: token.userAgent,
    ...(token.end && { endedAt: timeView(token.end.at), endedBy: token.end.by }),
    ...(state === 'expired' && { endedAt: timeView(expiryOf(token)), endedBy: { kind: 'system' as const } }),
  };
}

/** A token that has just been stored. */
export function newTokenView(token: NewToken, platforms: Platforms) {
  return tokenView({ ...token, seq: 0, lastSeenAt: token.createdAt }, platforms, token.createdAt);
}

export function displacedView({ token, state, policy }: Displaced) {
  const { tokenId, platform, deviceName } = token;
  return { tokenId, platform, deviceName, state, policy };
}

/** What a user may know of a token in the way, to decide which one to end. */
function conflictView(token: Token, now: number) {
  return {
    tokenId: token.tokenId,
    platform: token.platform,
    deviceName: token.deviceName,
    lastSeenAt: timeView(token.lastSeenAt),
    ...(token.lease && { leaseExpiresAt: timeView(token.lease.expiresAt), inGrace: isInGrace(token, now) }),
  };
}

/** Of a decline: who is in the way. */
export function declineView(plan: Plan, now: number) {
  return { conflicts: plan.conflicts.map((token) => conflictView(token, now)) };
}

export function planView(plan: Plan, now: number) {
  return {
    declined: plan.declined,
    kick: taggedView(plan.kick),
    delete: taggedView(plan.delete),
    replace: taggedView(plan.replace),
    conflicts: plan.conflicts.map((token) => conflictView(token, now)),
  };
}

export function timeView(ms: number): string {
  return new Date(ms).toISOString();
}

function taggedView(tokens: ReadonlyMap<TokenId, Platform>) {
  return [...tokens].map(([tokenId, platform]) => ({ tokenId, platform }));
}
