/**
 * Owns what the token service asks of its store, and what the store guarantees. Must not know Redis.
 *
 * - Every change is one step: it happens whole, with its events, or not at all, whatever dies in between.
 * - A decision is applied only to the very state it was made on. When that state has changed, `update` hands the fresh
 *   state to `decide` and tries again, so `decide` may run several times and must have no effects.
 * - What has ended stays ended, as it ended first. No write brings anything back.
 * - Reads are fresh: they see every change that was confirmed to anyone before they began.
 * - An outage is a thrown `store_unavailable`; it is never an empty answer. A write whose confirmation was lost may have
 *   happened; it is not sent again.
 */
import type { Event } from '../contract/events.ts';
import type { PolicyChoice, TenantConfig } from '../contract/tenant-config.ts';
import type { TokenReason } from '../contract/errors.ts';
import type { Plan } from '../domain/plan.ts';
import type { Platform } from '../domain/platform.ts';
import type { Actor, Cause, Token, TokenId, Unreadable, UserKey } from '../domain/token.ts';
import type { StoredPolicy, StoredRules } from './stored-rules.ts';
import type { WebhookStore } from './webhook-store.ts';

/** A block without an end has `until: null`. Times in milliseconds. */
export type Block = { readonly until: number | null; readonly reason?: string; readonly at: number };

/** What is stored of a user beside the tokens. A record made by a block alone has no password. */
export type UserRecord = UserKey & {
  readonly passwordHash?: string;
  readonly createdAt: number;
  /** Present while it is in the record, also after it ran out: `isBlocked` decides. */
  readonly block?: Block;
};

export function isBlocked(user: UserRecord | undefined, now: number): boolean {
  return user?.block !== undefined && (user.block.until === null || user.block.until > now);
}

/** One consistent view of a user. */
export type Snapshot = {
  /** Changes with every change of a token's state and of the user's record. */
  readonly version: string;
  readonly tokens: readonly Token[];
  readonly unreadable: readonly Unreadable[];
  readonly user: UserRecord | undefined;
  /** The user's own policy, which goes before the tenant's. */
  readonly policyOverride: StoredPolicy | undefined;
  /** The tenant's rules, as they were when the user was first read for this update. */
  readonly tenantRules: StoredRules | undefined;
  /** Times of the latest displacements by logins of this user, oldest first; noted where the tenant asks for it. */
  readonly displacements: readonly number[];
  readonly now: number;
};

export type NewToken = Omit<Token, 'seq' | 'lastSeenAt' | 'end'>;

/** What a login has decided: write the new token and carry out the plan, or only tell of the decline. */
export type Decision =
  | {
      readonly apply: true;
      readonly token: NewToken;
      /** By which the user signed in, where it is not the userId. */
      readonly loginName?: string | undefined;
      readonly plan: Plan;
      readonly actor: Actor;
      /** How many displacements to remember; 0 = none. */
      readonly displacementsRemembered: number;
      /** Tombstones of the user to keep; the oldest beyond it go, but none before its last access token ends. */
      readonly maxTombstones: number;
    }
  | {
      readonly apply: false;
      readonly plan: Plan;
      readonly actor: Actor;
      readonly platform: Platform;
      readonly ip: string;
    };

export type Ended = { readonly tokenId: TokenId; readonly platform: Platform };

/** Which of a user's tokens to end: active ones, and those that time has ended while an access token may be presented. */
export type Selector =
  | { readonly by: 'all' }
  | { readonly by: 'ids'; readonly ids: readonly TokenId[] }
  | { readonly by: 'except'; readonly ids: readonly TokenId[] }
  | { readonly by: 'platforms'; readonly platforms: readonly Platform[] };

export type Rotation = {
  readonly tokenId: TokenId;
  readonly presentedGeneration: number;
  readonly graceMs: number;
  readonly expiresAt: number;
  /** Wanted end of the access token that goes with it. */
  readonly accessExpiresAt: number;
  readonly idleMs: number;
};

/** One token that a gateway keeps alive, or lets go of. */
export type LeaseChange = UserKey & {
  readonly tokenId: TokenId;
  /** Whose lease it is; '' where the gateway names none, and such a release is one of all connections. */
  readonly connectionId: string;
  readonly release: boolean;
  /** Absent: presence is off, only "last seen" is noted. */
  readonly presence: { readonly leaseMs: number; readonly graceMs: number } | undefined;
};

/** Neither renewed nor refused: nothing was to be done, or the record cannot be read. */
export type LeaseAnswer = { readonly renewed: boolean; readonly refused?: TokenReason; readonly unreadable?: boolean };

/**
 * `renewed`: what is in force now, by this call or, within the grace, by the one before it. The access token may end at
 * `accessExpiresAt`, which is earlier than was asked for where the token ends earlier.
 */
export type RotationResult =
  | ({ readonly kind: 'renewed' } & Pick<Token, 'generation' | 'expiresAt' | 'idleMs' | 'accessExpiresAt'>)
  | { readonly kind: 'reused' }
  | { readonly kind: 'refused' };

export type FindToken = () => Promise<Token | undefined>;

export type TokenStore = {
  /** Time by which expiry is decided, ms since 1970. Throws `store_unavailable` while it is not known. */
  now(): number;
  /** One round trip. */
  snapshot(user: UserKey): Promise<Snapshot>;
  /** Decides and applies; one round trip, one more for each time that another process was first. */
  update<D extends Decision>(from: Snapshot, user: UserKey, decide: (state: Snapshot) => Promise<D>): Promise<D>;
  /** The tokens alone; one round trip. */
  list(user: UserKey): Promise<readonly Token[]>;
  /** One token, whatever its state; one round trip. Throws `store_unreadable` for one that this version cannot read. */
  find(user: UserKey, tokenId: TokenId): Promise<Token | undefined>;
  /** One token, if the user got it by that login name; one round trip. */
  findByLoginName(user: UserKey, tokenId: TokenId, loginName: string): Promise<Token | undefined>;
  /** {@link TokenStore.find} for who asks of one token again and again: where it stands is worked out once. */
  finderOf(user: UserKey, tokenId: TokenId): FindToken;
  /** Ends tokens; one round trip. Answers which it ended, oldest first: none the second time. */
  end(user: UserKey, selector: Selector, cause: Cause, actor: Actor): Promise<readonly Ended[]>;
  /** Moves a token to its next refresh token; one round trip. `refused`: it is no longer active. */
  rotate(user: UserKey, rotation: Rotation): Promise<RotationResult>;
  /** Renews or releases leases; one round trip for all. In the order asked. */
  lease(changes: readonly LeaseChange[]): Promise<readonly LeaseAnswer[]>;
  /** Notes that a token is in use. Does not wait, never fails, and never changes a state. */
  touch(user: UserKey, tokenId: TokenId): void;
  /** What happened to the user's tokens, newest first, at most 50. */
  history(user: UserKey): Promise<readonly Event[]>;
};

export type UserChange = {
  readonly passwordHash?: string;
  /** null lifts the block. */
  readonly block?: { readonly until: number | null; readonly reason: string } | null;
};

/** Users of a tenant in the order of their userIds by code points, from after `after`, at most `limit`. */
export type ListRequest = { readonly tenant: string; readonly after?: string | undefined; readonly limit: number };

/** `next` is there while more may follow, also when no user of the page is left to be shown. */
export type UserPage = { readonly users: readonly UserRecord[]; readonly next?: string | undefined };

/** Users of the built-in password directory, and blocks. The guarantees are those above. */
export type UserStore = {
  /** Undefined when there is one already. */
  create(user: UserKey, passwordHash: string): Promise<UserRecord | undefined>;
  find(user: UserKey): Promise<UserRecord | undefined>;
  list(request: ListRequest): Promise<UserPage>;
  /**
   * Makes the record if there is none. A new password or a block ends every token in the same step. `past`: the block's
   * end is over; `unknown`: there is no record, and nothing but a block to lift. Both change nothing.
   */
  change(
    user: UserKey,
    change: UserChange,
    actor: Actor,
  ): Promise<
    | { readonly kind: 'changed'; readonly user: UserRecord; readonly ended: readonly Ended[] }
    | { readonly kind: 'past' | 'unknown' }
  >;
  /** Another hash of the same password; only in place of that one. Ends nothing and is not told. */
  renewPasswordHash(user: UserKey, from: string, to: string): Promise<void>;
  /** Sets the policy of one user; null removes it. Holds from the user's next login. */
  setPolicy(user: UserKey, policy: PolicyChoice | null): Promise<void>;
  /** Users whose block holds. */
  blocked(request: ListRequest): Promise<UserPage>;
  /** Undefined when there was neither a record nor a token to end. */
  remove(user: UserKey, actor: Actor): Promise<readonly Ended[] | undefined>;
};

export type StoredTenant = StoredRules & { readonly version: number };

export type TenantStore = {
  find(tenant: string): Promise<StoredTenant | undefined>;
  /** Replaces the rules. Undefined when `expected` is given and is not the version in force (0 = none yet). */
  put(tenant: string, config: TenantConfig, expected: number | undefined): Promise<StoredTenant | undefined>;
};

/** 0 switches a count off. Times in milliseconds. */
export type ThrottleSettings = {
  /**
   * The failed password that leads to the first lock: of strangers to one user from one network (and ten times as many from
   * all of them), from one address to anybody, of one known device.
   */
  readonly userFailures: number;
  readonly addressFailures: number;
  /** The first lock; each further failure doubles it, up to the longest. */
  readonly lockMs: number;
  readonly longestLockMs: number;
  /** A failure is forgotten when none has followed for so long. */
  readonly memoryMs: number;
  /** Attempts to log in within a window, right or wrong. */
  readonly userLogins: number;
  readonly addressLogins: number;
  readonly windowMs: number;
};

/** What stands in the way of an attempt to log in: ms to wait, 0 = free. */
export type AttemptWaits = {
  /** Until the user's or the address' rate allows one more. */
  readonly rate: number;
  /** Until the lock ends that strangers' failures led to: from all networks, from this one, by this address at anybody. */
  readonly user: number;
  readonly userHere: number;
  readonly address: number;
  /** Until the lock of this known device ends. */
  readonly device: number;
};

/** A lock on a user: for strangers from all networks, for strangers from one, or for one known device. Time in ms. */
export type Lock = {
  readonly by: 'all_networks' | 'network' | 'device';
  readonly network?: string;
  readonly until: number;
  readonly failures: number;
};

/** Whose failures are counted together. */
export type Attempt = { readonly user: UserKey; readonly address: string; readonly deviceId: string };

export type AttemptStore = {
  /** Counts an attempt against the rates, unless a lock or a rate refuses it; one round trip. */
  begin(attempt: Attempt): Promise<AttemptWaits>;
  /** Counts an attempt of a known device against a rate of its own: ms to wait; one round trip. */
  beginKnown(attempt: Attempt): Promise<number>;
  /** Counts a failed password: of a known device alone, or of a stranger against user and address; ms the lock lasts. */
  fail(attempt: Attempt, isKnownDevice: boolean): Promise<number>;
  /** Locks that hold; one round trip. */
  locks(user: UserKey): Promise<readonly Lock[]>;
  /** Forgets the user's failures, and answers the locks that this lifted; one round trip. */
  lift(user: UserKey): Promise<readonly Lock[]>;
};

/** All that is stored. */
export type Stores = {
  readonly store: TokenStore;
  readonly users: UserStore;
  readonly tenants: TenantStore;
  readonly attempts: AttemptStore;
  readonly webhooks: WebhookStore;
};
