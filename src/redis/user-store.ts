/**
 * Owns the users of the built-in directory in Redis: records, blocks, and the per-shard indexes they are listed by.
 * Must not know passwords, only their hashes.
 */
import { CAUSES, type Actor, type UserKey } from '../domain/token.ts';
import {
  isBlocked,
  type ListRequest,
  type UserChange,
  type UserPage,
  type UserRecord,
  type UserStore,
} from '../tokens/store.ts';
import { packActor, readUser } from './codec.ts';
import { readEnded, readFlatHash, readHash, type UserScope } from './user-scope.ts';

/** Key of a shard's index. */
type IndexOf = (shard: number) => string;

/** Reads of an index for one page: those who are in it and not wanted, or not there any more, must not make it endless. */
const MOST_READS = 20;

export function createUserStore(scope: UserScope): UserStore {
  const { redis, keys, clock, turns, keysOf, contextOf, run } = scope;
  const usersOf = (user: UserKey) => keys.users(keys.shardOf(user));
  const allKeysOf = (user: UserKey) =>
    [...keysOf(user), usersOf(user), keys.blocked(keys.shardOf(user)), keys.attempts(user)] as const;
  const namesOf = (user: UserKey) => [keys.listed(user), keys.member(user)] as const;

  async function find(user: UserKey): Promise<UserRecord | undefined> {
    return readUser(user, await readHash(redis, keys.user(user)));
  }

  async function namesIn(index: string, [from, to]: readonly [string, string], count: number): Promise<string[]> {
    let goOn = '-';
    for (;;) {
      const reply = await run(() => redis.listUsers(index, from, to, count, goOn));
      if (reply[0] === 'LISTED') return reply[2];
      goOn = reply[2];
    }
  }

  /** The next users of an index in its order: as many of each shard as are wanted of all. */
  async function next(index: IndexOf, tenant: string, after: string | undefined, count: number): Promise<UserKey[]> {
    const range = keys.listedRange(tenant, after);
    const shards = Array.from({ length: keys.shards }, (_, shard) => shard);
    const names = (await Promise.all(shards.map((shard) => namesIn(index(shard), range, count)))).flat();
    const inOrder = names.map((name) => Buffer.from(name)).toSorted((one, other) => one.compare(other));
    return inOrder.slice(0, count).map((name) => keys.userOf(name.toString()));
  }

  /** Where a page ends follows from the index: whoever is in it alone, or not wanted, is passed over and ends nothing. */
  async function page(
    index: IndexOf,
    { tenant, after, limit }: ListRequest,
    isWanted: (record: UserRecord) => boolean,
  ): Promise<UserPage> {
    const found: UserRecord[] = [];
    let last = after;
    for (let reads = 0; reads < MOST_READS; reads += 1) {
      const users = await next(index, tenant, last, limit);
      const records = await Promise.all(users.map(find));
      for (const [at, record] of records.entries()) {
        last = users[at]?.userId;
        if (record !== undefined && isWanted(record)) found.push(record);
        if (found.length === limit) return { users: found, next: last };
      }
      if (users.length < limit) return { users: found };
    }
    return { users: found, next: last };
  }

  return {
    find,

    async create(user, passwordHash) {
      const reply = await run(() =>
        redis.createUser(
          ...keysOf(user),
          usersOf(user),
          keys.attempts(user),
          ...contextOf(user),
          keys.listed(user),
          passwordHash,
        ),
      );
      return reply[0] === 'CREATED' ? readUser(user, readFlatHash(reply[2])) : undefined;
    },

    list: (request) =>
      page(
        (shard) => keys.users(shard),
        request,
        () => true,
      ),

    // A block that ran out stays in the index until its user changes.
    blocked: (request) =>
      page(
        (shard) => keys.blocked(shard),
        request,
        (record) => isBlocked(record, clock.now()),
      ),

    async renewPasswordHash(user, from, to) {
      await run(() => redis.renewHash(keys.user(user), from, to));
    },

    async setPolicy(user, policy) {
      const text = policy === null ? '' : JSON.stringify(policy);
      await run(() => redis.setUserPolicy(...keysOf(user), ...contextOf(user), text));
      turns.changed(keys.member(user));
    },

    async change(user, change, actor) {
      const reply = await run(() =>
        redis.changeUser(
          ...allKeysOf(user),
          ...contextOf(user),
          ...namesOf(user),
          change.passwordHash ?? '',
          blockWord(change),
          change.block?.until ?? 0,
          change.block?.reason ?? '',
          packActor({ ...actor, ...(change.block?.reason && { reason: change.block.reason }) }),
          ...revocation(change, actor),
        ),
      );
      if (reply[0] !== 'CHANGED') return { kind: reply[0] === 'PAST' ? 'past' : 'unknown' };
      turns.changed(keys.member(user));
      const record = readUser(user, readFlatHash(reply[2]));
      if (record === undefined) throw new Error('a user that was just changed has no readable record');
      return { kind: 'changed', user: record, ended: readEnded(reply[3]) };
    },

    async remove(user, actor) {
      const { code, event } = CAUSES.revoke;
      const packed = packActor({ ...actor, reason: 'user_deleted' });
      const reply = await run(() =>
        redis.deleteUser(...allKeysOf(user), ...contextOf(user), ...namesOf(user), code, event, packed),
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
