/**
 * Owns the users of the built-in directory in Redis: records, blocks, and the per-shard indexes they are listed by.
 * Must not know passwords, only their hashes.
 */
import { CAUSES, type Actor, type UserKey } from '../domain/token.ts';
import { isBlocked, type UserChange, type UserRecord, type UserStore } from '../tokens/store.ts';
import { packActor, readUser } from './codec.ts';
import { answerOf } from './connect.ts';
import { readEnded, readFlatHash, readHash, type UserScope } from './user-scope.ts';

export function createUserStore(scope: UserScope): UserStore {
  const { redis, keys, clock, turns, keysOf, contextOf, run } = scope;
  const fiveKeysOf = (user: UserKey) => [...keysOf(user), keys.users(keys.shardOf(user))] as const;
  const sixKeysOf = (user: UserKey) => [...fiveKeysOf(user), keys.blocked(keys.shardOf(user))] as const;

  async function find(user: UserKey): Promise<UserRecord | undefined> {
    return readUser(user, await readHash(redis, keys.user(user)));
  }

  /** Users of an index in the order of their userIds: as many of each shard as are wanted of all. */
  async function page(index: (shard: number) => string, tenant: string, after: string | undefined, limit: number) {
    const prefix = keys.memberPrefix(tenant);
    const from = after === undefined ? `[${prefix}` : `(${keys.member({ tenant, userId: after })}`;
    const to = `(${prefix}\u00FF`;
    const shards = Array.from({ length: keys.shards }, (_, shard) => shard);
    const pages = await answerOf(
      Promise.all(shards.map((shard) => redis.zrange(index(shard), from, to, 'BYLEX', 'LIMIT', 0, limit))),
    );
    const members = pages.flat().toSorted().slice(0, limit);
    const records = await Promise.all(members.map((member) => find(keys.userOf(member))));
    return records.filter((record) => record !== undefined);
  }

  return {
    find,

    async create(user, passwordHash) {
      const reply = await run(() =>
        redis.createUser(...fiveKeysOf(user), ...contextOf(user), keys.member(user), passwordHash),
      );
      return reply[0] === 'CREATED' ? readUser(user, readFlatHash(reply[2])) : undefined;
    },

    list: (tenant, after, limit) => page((shard) => keys.users(shard), tenant, after, limit),

    async blocked(tenant, after, limit) {
      const holding: UserRecord[] = [];
      let from = after;
      // A block that ran out stays in the index until its user changes, so a page may have to read on.
      for (;;) {
        const records = await page((shard) => keys.blocked(shard), tenant, from, limit);
        holding.push(...records.filter((record) => isBlocked(record, clock.now())));
        from = records.at(-1)?.userId;
        if (records.length < limit || holding.length >= limit) return holding.slice(0, limit);
      }
    },

    async setPolicy(user, policy) {
      const text = policy === null ? '' : JSON.stringify(policy);
      await run(() => redis.setUserPolicy(...keysOf(user), ...contextOf(user), text));
      turns.changed(keys.member(user));
    },

    async change(user, change, actor) {
      const [, , fields, ended] = await run(() =>
        redis.changeUser(
          ...sixKeysOf(user),
          ...contextOf(user),
          keys.member(user),
          change.passwordHash ?? '',
          blockWord(change),
          change.block?.until ?? 0,
          change.block?.reason ?? '',
          packActor({ ...actor, ...(change.block?.reason && { reason: change.block.reason }) }),
          ...revocation(change, actor),
        ),
      );
      turns.changed(keys.member(user));
      const record = readUser(user, readFlatHash(fields));
      if (record === undefined) throw new Error('a user that was just changed has no readable record');
      return { user: record, ended: readEnded(ended) };
    },

    async remove(user, actor) {
      const { code, event } = CAUSES.revoke;
      const packed = packActor({ ...actor, reason: 'user_deleted' });
      const reply = await run(() =>
        redis.deleteUser(...sixKeysOf(user), ...contextOf(user), keys.member(user), code, event, packed),
      );
      turns.changed(keys.member(user));
      return reply[0] === 'DELETED' ? readEnded(reply[2]) : undefined;
    },
  };
}

function blockWord({ block }: UserChange): string {
  if (block === undefined) return '';
  return block === null ? 'lift' : 'set';
}

/** Code, event and actor of the tokens that the change ends: a block says more than a new password. */
function revocation(change: UserChange, actor: Actor): readonly string[] {
  if (change.block) {
    const { code, event } = CAUSES.block;
    return [code, event, packActor({ ...actor, ...(change.block.reason && { reason: change.block.reason }) })];
  }
  if (change.passwordHash === undefined) return [];
  const { code, event } = CAUSES.revoke;
  return [code, event, packActor({ ...actor, reason: 'password_changed' })];
}
