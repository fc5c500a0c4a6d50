/**
 * Owns what a token is, in which state it stands at a moment, and which cause leads to which final state.
 * Must not know Redis, JWTs or HTTP. All times are milliseconds since 1970 by the clock of Redis.
 */
import type { TokenReason } from '../contract/errors.ts';
import type { EndingEventType } from '../contract/event-types.ts';
import type { Platform } from './platform.ts';

/** A user is always a pair: the same userId in two tenants is two people. */
export type UserKey = { readonly tenant: string; readonly userId: string };

export type TokenId = string;

/** `active`, or final. A final state never becomes active again. */
export type TokenState = 'active' | 'kicked' | 'replaced' | 'revoked' | 'logged_out' | 'expired';

export const ACTOR_KINDS = ['login', 'admin', 'user', 'system'] as const;

export type ActorKind = (typeof ACTOR_KINDS)[number];

/** Who did something to a token, and under which rule. Shown to the device as `endedBy`. */
export type Actor = {
  readonly kind: ActorKind;
  readonly platform?: Platform;
  readonly deviceName?: string;
  readonly policy?: string;
  readonly reason?: string;
};

/** One row of the table of causes: the state it leads to, what the device is told, the event, and who is said to have done it. */
type CauseRow = {
  readonly state: Exclude<TokenState, 'active'> | 'gone';
  readonly code: TokenReason;
  readonly event: EndingEventType;
  readonly kind: ActorKind;
};

/**
 * Every way to end a token. `gone` leaves no tombstone. Time needs no row of its own, as nobody acts: `expire` is what a
 * login writes of a token that time has ended before.
 */
export const CAUSES = {
  kick: { state: 'kicked', code: 'token_kicked', event: 'token.kicked', kind: 'login' },
  replace: { state: 'replaced', code: 'token_replaced', event: 'token.replaced', kind: 'login' },
  delete: { state: 'gone', code: 'token_unknown', event: 'token.deleted', kind: 'login' },
  revoke: { state: 'revoked', code: 'token_revoked', event: 'token.revoked', kind: 'admin' },
  block: { state: 'revoked', code: 'user_blocked', event: 'token.revoked', kind: 'admin' },
  refresh_reuse: { state: 'revoked', code: 'refresh_reused', event: 'token.revoked', kind: 'system' },
  logout: { state: 'logged_out', code: 'token_logged_out', event: 'token.logged_out', kind: 'user' },
  expire: { state: 'expired', code: 'token_expired', event: 'token.revoked', kind: 'system' },
} as const satisfies Record<string, CauseRow>;

export type Cause = keyof typeof CAUSES;

const STATE_OF_CODE = new Map<string, TokenState>(
  Object.values(CAUSES).flatMap((row) => (row.state === 'gone' ? [] : [[row.code, row.state] as const])),
);

/** How a token came to its final state, as its tombstone tells it. */
export type TokenEnd = { readonly code: TokenReason; readonly at: number; readonly by: Actor };

export type Token = UserKey & {
  readonly tokenId: TokenId;
  readonly platform: Platform;
  readonly deviceId: string;
  readonly deviceName: string;
  /** Place in the order of the user's logins, given by the store; a larger one is newer. */
  readonly seq: number;
  readonly createdAt: number;
  readonly lastSeenAt: number;
  /** End of the token itself, moved on by a refresh. */
  readonly expiresAt: number;
  /** The latest end of any access token signed for it; never lowered, as gateways forget by it that the token has ended. */
  readonly accessExpiresAt: number;
  /** End of the access token signed last, where an earlier one ends later. */
  readonly pairExpiresAt?: number;
  /** Number of the refresh token in force; 1 at login. */
  readonly generation: number;
  /** When `generation` came into force. */
  readonly rotatedAt: number;
  /** Unused for longer than this, the token is expired; 0 = no such rule. */
  readonly idleMs: number;
  /** Per-token salt of its refresh tokens' MAC. */
  readonly salt: string;
  /** Presence: the seat is kept while now <= leaseExpiresAt + graceMs. Absent where presence is off. */
  readonly lease?: { readonly expiresAt: number; readonly graceMs: number };
  readonly ip: string;
  readonly userAgent: string;
  readonly end?: TokenEnd;
};

/**
 * A record that this version cannot read, as a later one wrote it or as something has damaged it. It is good for nothing
 * here, and is kept until its end is known to have passed: another node may know what it says.
 */
export type Unreadable = { readonly tokenId: TokenId; /** Absent: not known. */ readonly endsAt?: number };

/** When time alone ends the token: its own end, or idleness, whichever is first. */
export function expiryOf(token: Pick<Token, 'expiresAt' | 'idleMs' | 'lastSeenAt'>): number {
  return token.idleMs > 0 ? Math.min(token.expiresAt, token.lastSeenAt + token.idleMs) : token.expiresAt;
}

export function stateOf(token: Token, now: number): TokenState {
  if (token.end !== undefined) return STATE_OF_CODE.get(token.end.code) ?? 'revoked';
  return now >= expiryOf(token) ? 'expired' : 'active';
}

export function isActive(token: Token, now: number): boolean {
  return stateOf(token, now) === 'active';
}

/**
 * Time has ended the token, but not every access token of it: a gateway that checks by itself would still take one, as it
 * has been told nothing. Such a token holds no seat, and whatever ends tokens ends it too.
 */
export function isOutlived(token: Token, now: number): boolean {
  return token.end === undefined && now < token.accessExpiresAt && !isActive(token, now);
}

/** Nothing of the token can be presented any more, neither an access token nor a refresh token. */
export function isOver(token: Token, now: number): boolean {
  return now >= Math.max(token.expiresAt, token.accessExpiresAt);
}

/** Past the lease itself, and within the grace: the device may have crashed, and may come back for its seat. */
export function isInGrace(token: Token, now: number): boolean {
  return token.lease !== undefined && now > token.lease.expiresAt && !isLapsed(token, now);
}

/** A lapsed token is still good, but no longer defends its seat. */
export function isLapsed(token: Token, now: number): boolean {
  return token.lease !== undefined && now >= lapseOf(token.lease);
}

/** The first moment at which a token with this lease is lapsed. */
export function lapseOf({ expiresAt, graceMs }: NonNullable<Token['lease']>): number {
  return expiresAt + graceMs + 1;
}
