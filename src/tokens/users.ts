/**
 * Owns what admins do with users: records, passwords, blocks, locks of the throttle. Must not know HTTP or Redis.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { Actor, UserKey } from '../domain/token.ts';
import type { HashPassword } from './credentials.ts';
import type { AttemptStore, Ended, ListRequest, Lock, UserPage, UserRecord, UserStore } from './store.ts';

const ADMIN: Actor = { kind: 'admin' };

export type BlockRequest = { readonly until?: number; readonly reason?: string };

export type Users = {
  /** `already_exists` when there is a record. */
  create(user: UserKey, password: string): Promise<UserRecord>;
  /** `not_found` without a record. */
  get(user: UserKey): Promise<{ readonly user: UserRecord; readonly locks: readonly Lock[] }>;
  list(request: ListRequest): Promise<UserPage>;
  /** Users whose block holds. */
  blocked(request: ListRequest): Promise<UserPage>;
  /**
   * Makes the record if there is none. A new password or a block ends every token of the user; null lifts a block, and is
   * `not_found` without a record. `invalid_request` for a block whose end is over. A new password lifts all locks.
   */
  change(
    user: UserKey,
    change: { readonly password?: string; readonly block?: BlockRequest | null },
  ): Promise<{ readonly user: UserRecord; readonly ended: readonly Ended[] }>;
  /** Ends every token too. `not_found` when there was neither a record nor a token. */
  remove(user: UserKey): Promise<readonly Ended[]>;
  /** Forgets failed passwords, and answers the locks that this lifted. Anybody's: strangers lock whoever they name. */
  liftLocks(user: UserKey): Promise<readonly Lock[]>;
};

export function createUsers(store: UserStore, attempts: AttemptStore, hashPassword: HashPassword): Users {
  return {
    async create(user, password) {
      const created = await store.create(user, await hashPassword(password));
      if (created === undefined) throw new LatchkeyError('already_exists');
      return created;
    },

    async get(user) {
      const [record, locks] = await Promise.all([store.find(user), attempts.locks(user)]);
      if (record === undefined) throw new LatchkeyError('not_found');
      return { user: record, locks };
    },

    list: (request) => store.list(request),
    blocked: (request) => store.blocked(request),

    async change(user, { password, block }) {
      const passwordHash = password === undefined ? undefined : await hashPassword(password);
      const answer = await store.change(
        user,
        {
          ...(passwordHash !== undefined && { passwordHash }),
          ...(block !== undefined && { block: block && { until: block.until ?? null, reason: block.reason ?? '' } }),
        },
        ADMIN,
      );
      if (answer.kind === 'changed') return answer;
      if (answer.kind === 'unknown') throw new LatchkeyError('not_found');
      throw new LatchkeyError('invalid_request', { detail: 'blocked.until: expected a time in the future' });
    },

    async remove(user) {
      const ended = await store.remove(user, ADMIN);
      if (ended === undefined) throw new LatchkeyError('not_found');
      return ended;
    },

    liftLocks: (user) => attempts.lift(user),
  };
}
