/** Key names: one slot a user, shards spread evenly over a Cluster, and no two users under one key. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import calculateSlot from 'cluster-key-slot';
import type { UserKey } from '../../src/domain/token.ts';
import { createKeys, type Keys } from '../../src/redis/keys.ts';

const SLOTS = 16_384;
const USERS = 1_000;
/** What an id may hold and a key name might trip over. */
const PARTS = [
  'a',
  'Z',
  '9',
  ':',
  '{',
  '}',
  '{}',
  '{x}',
  '%',
  '%3A',
  '/',
  ' ',
  '*',
  'ä',
  '日本',
  '😀',
  '👩‍👩‍👧',
  '-',
  '__proto__',
];

const keysOfUser = (keys: Keys, user: UserKey) => [
  keys.tokens(user),
  keys.user(user),
  keys.history(user),
  keys.events(keys.shardOf(user)),
  keys.users(keys.shardOf(user)),
];

describe('R13 all keys of a user share one hash slot', () => {
  it.each([1, 3, 64, 1024])(`of ${USERS} users with random ids, over %i shards`, (shards) => {
    const keys = createKeys('lk', shards);
    for (const user of randomUsers()) {
      const slots = new Set(keysOfUser(keys, user).map((key) => calculateSlot(key)));
      expect([JSON.stringify(user), slots.size]).toEqual([JSON.stringify(user), 1]);
      expect(keys.shardOf(user)).toBeLessThan(shards);
    }
  });
});

describe('shards', () => {
  it.each([1, 3, 64, 1000, 1024])('%i of them: one in each even part of the slots', (shards) => {
    const keys = createKeys('lk', shards);
    const parts = Array.from({ length: shards }, (_, shard) =>
      Math.floor((calculateSlot(keys.events(shard)) * shards) / SLOTS),
    );
    expect(parts).toEqual(Array.from({ length: shards }, (_, shard) => shard));
  });

  it('each have users, and none too many of them', () => {
    const keys = createKeys('lk', 64);
    const counts = new Map<number, number>();
    for (let n = 0; n < 64_000; n += 1) {
      const shard = keys.shardOf({ tenant: 'default', userId: `user-${n}` });
      counts.set(shard, (counts.get(shard) ?? 0) + 1);
    }
    expect(counts.size).toBe(64);
    // 1 000 each on average; by chance alone one deviates by about 32.
    for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(200);
  });
});

describe('key names', () => {
  const keys = createKeys('lk', 64);

  it.each([
    [
      { tenant: 'a:b', userId: 'c' },
      { tenant: 'a', userId: 'b:c' },
    ],
    [
      { tenant: 'a', userId: 'b%3Ac' },
      { tenant: 'a', userId: 'b:c' },
    ],
    [
      { tenant: 'a%3Ab', userId: 'c' },
      { tenant: 'a:b', userId: 'c' },
    ],
    [
      { tenant: 'A', userId: 'u' },
      { tenant: 'a', userId: 'u' },
    ],
    [
      { tenant: 'a', userId: 'b' },
      { tenant: 'b', userId: 'a' },
    ],
    [
      { tenant: 'a', userId: 'é' },
      { tenant: 'a', userId: 'e\u0301' },
    ],
  ])('%j and %j share none', (one, other) => {
    // With a single shard the stream and the index are everybody's; the keys of the user alone must differ.
    const single = createKeys('lk', 1);
    const all = [one, other].flatMap((user) => keysOfUser(single, user).slice(0, 3));
    expect(new Set(all).size).toBe(6);
    expect(single.member(one)).not.toBe(single.member(other));
  });

  it('of random users and of the kinds never meet', () => {
    const users = randomUsers();
    const all = users.flatMap((user) => [keys.tokens(user), keys.user(user), keys.history(user)]);
    const shards = Array.from({ length: keys.shards }, (_, shard) => [keys.events(shard), keys.users(shard)]).flat();
    expect(new Set([...all, ...shards, keys.settings()]).size).toBe(users.length * 3 + keys.shards * 2 + 1);
  });

  it('of two deployments never meet', () => {
    const other = createKeys('lk2', 64);
    for (const user of randomUsers()) {
      for (const key of keysOfUser(other, user)) expect(key.startsWith('lk2:')).toBe(true);
      for (const key of keysOfUser(keys, user)) expect(key.startsWith('lk:')).toBe(true);
    }
    expect(other.settings()).not.toBe(keys.settings());
  });

  it('never change: what is stored under them would be lost', () => {
    const user = { tenant: 'default', userId: 'ada' };
    expect([...keysOfUser(keys, user), keys.settings(), keys.member(user)]).toEqual([
      'lk:{9}:t:default:ada',
      'lk:{9}:u:default:ada',
      'lk:{9}:h:default:ada',
      'lk:{9}:events',
      'lk:{9}:users',
      'lk:settings',
      'default:ada',
    ]);
  });
});

describe('the index of a shard', () => {
  const keys = createKeys('lk', 64);

  it('names every user so that the user can be told from the name', () => {
    for (const user of randomUsers()) expect(keys.userOf(keys.listed(user))).toEqual(user);
  });

  it('keeps the users of a tenant together, and no others', () => {
    const users = ['a', 'a:b', 'ab', 'b'].map((tenant) => ({ tenant, userId: 'u' }));
    for (const { tenant } of users) {
      const [from, to] = keys.listedRange(tenant, undefined);
      const found = users.filter((user) => keys.listed(user) >= from.slice(1) && keys.listed(user) < to.slice(1));
      expect(found).toEqual([{ tenant, userId: 'u' }]);
    }
  });
});

function randomUsers(): UserKey[] {
  const users = Array.from({ length: USERS }, () => ({ tenant: randomId(), userId: randomId() }));
  return [...new Map(users.map((user) => [JSON.stringify(user), user])).values()];
}

function randomId(): string {
  const bytes = [...randomBytes(8)];
  return bytes.map((byte) => PARTS[byte % PARTS.length]).join('');
}
