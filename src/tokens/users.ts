/**
 * Owns what admins do with users: records, passwords, blocks. Must not know HTTP or Redis.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { Actor, UserKey } from '../domain/token.ts';
import type { HashPassword } from './credentials.ts';
import type { Ended, UserRecord, UserStore } from './store.ts';

const ADMIN: Actor = { kind: 'admin' };

export type BlockRequest = { readonly until?: number; readonly reason?: string };

export type Users = {
  /** `already_exists` when there is a record. */
  create(user: UserKey, password: string): Promise<UserRecord>;
  /** `not_found` without a record. */
  get(user: UserKey): Promise<UserRecord>;
  list(tenant: string, after: string | undefined, limit: number): Promise<readonly UserRecord[]>;
  /** Users whose block holds. */
  blocked(tenant: string, after: string | undefined, limit: number): Promise<readonly UserRecord[]>;
  /** Makes the record if there is none. A new password or a block ends every token of the user; null lifts a block. */
  change(
    user: UserKey,
    change: { readonly password?: string; readonly block?: BlockRequest | null },
  ): Promise<{ readonly user: UserRecord; readonly ended: readonly Ended[] }>;
  /** Ends every token too. `not_found` when there was neither a record nor a token. */
  remove(user: UserKey): Promise<readonly Ended[]>;
};

export function createUsers(store: UserStore, hashPassword: HashPassword): Users {
  return {
    async create(user, password) {
      const created = await store.create(user, await hashPassword(password));
      if (created === undefined) throw new LatchkeyError('already_exists');
      return created;
    },

    async get(user) {
      const record = await store.find(user);
      if (record === undefined) throw new LatchkeyError('not_found');
      return record;
    },

    list: (tenant, after, limit) => store.list(tenant, after, limit),
    blocked: (tenant, after, limit) => store.blocked(tenant, after, limit),

    async change(user, { password, block }) {
      const passwordHash = password === undefined ? undefined : await hashPassword(password);
      return store.change(
        user,
        {
          ...(passwordHash !== undefined && { passwordHash }),
          ...(block !== undefined && { block: block && { until: block.until ?? null, reason: block.reason ?? '' } }),
        },
        ADMIN,
      );
    },

    async remove(user) {
      const ended = await store.remove(user, ADMIN);
      if (ended === undefined) throw new LatchkeyError('not_found');
      return ended;
    },
  };
}
