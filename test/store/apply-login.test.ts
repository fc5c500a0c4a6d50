// The script behind a login, called as the store calls it: sent twice it is applied once, and a conflict tells all.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { packActor, packDetail } from '../../src/redis/codec.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { defineScripts } from '../../src/redis/scripts.ts';
import { testPrefix, testRedisUrl } from '../helpers/test-redis.ts';

const US = '\u001F';
const DAY_MS = 86_400_000;
const FAR_MS = 4_000_000_000_000;
const user = { tenant: 'default', userId: 'ada' };
const login = { kind: 'login', platform: 'ios' } as const;

let redis: Redis;
beforeAll(() => {
  redis = new Redis(testRedisUrl());
  defineScripts(redis, { deadline: () => FAR_MS });
});
afterAll(() => redis.disconnect());

/** A user of a deployment of its own, and a login on the state of that version. */
function newUser() {
  const keys = createKeys(testPrefix(), 1);
  const four = [keys.tokens(user), keys.user(user), keys.history(user), keys.events(0)] as const;
  const record = ['ios', 'd1', 'phone', 1_700_000_000_000, 'salt', '::1', 'agent'].join(US);
  type More = {
    readonly forget?: readonly string[];
    readonly expired?: readonly string[];
    readonly asRead?: readonly (string | number)[];
    readonly ends?: readonly string[];
    readonly expiresAt?: number;
    readonly eventsKeptMs?: number;
  };
  const apply = (version: string, tokenId: string, more: More = {}) => {
    const { forget = [], expired = [], asRead = [], ends = [], expiresAt = FAR_MS, eventsKeptMs = DAY_MS } = more;
    return redis.applyLogin(
      ...four,
      ...([user.tenant, user.userId, eventsKeptMs, DAY_MS] as const),
      version,
      tokenId,
      record,
      [expiresAt, expiresAt, 1, 1_700_000_000_000, 0].join(US),
      expiresAt,
      packDetail(login, '::1', []),
      '',
      0,
      0,
      100,
      '',
      forget.length,
      ...forget,
      expired.length,
      ...expired,
      'token_expired',
      'token.revoked',
      packActor({ kind: 'system' }),
      asRead.length / 3,
      ...asRead,
      ...ends,
    );
  };
  const everything = async () => Promise.all(four.map(async (key) => (await redis.dumpBuffer(key))?.toString('hex')));
  const version = async () => `${(await redis.hget(keys.tokens(user), ':v')) ?? '0'}-0`;
  return { keys, apply, everything, version };
}

describe('apply-login.lua', () => {
  it('sent twice is applied once: the second time nothing is written', async () => {
    const { apply, everything, version } = newUser();
    expect((await apply('0-0', 'first'))[0]).toBe('APPLIED');
    const kick = ['first', 'token_kicked', 'token.kicked', packActor(login)];
    const before = await version();
    expect((await apply(before, 'second', { ends: kick }))[0]).toBe('APPLIED');
    const after = await everything();
    expect((await apply(before, 'second', { ends: kick }))[0]).toBe('APPLIED');
    expect(await everything()).toEqual(after);
  });

  it('decided on another state writes nothing, and answers the fresh one with the user’s record', async () => {
    const { keys, apply, everything, version } = newUser();
    await apply('0-0', 'first');
    await redis.hset(keys.user(user), 'createdAt', '1', 'rev', '7');
    const before = await everything();
    const reply = await apply(await version(), 'second');
    expect(reply[0]).toBe('CONFLICT');
    expect(reply[2]).toContain('first');
    expect(reply[3]).toEqual(['createdAt', '1', 'rev', '7']);
    expect(await everything()).toEqual(before);
  });

  it.each<[string, (key: string) => Promise<unknown>]>([
    ['was used', (key) => redis.hset(key, 'first:s', 1_700_000_000_001)],
    ['was refreshed', (key) => redis.hset(key, 'first:r', [FAR_MS + 1, FAR_MS, 2, 1_700_000_000_000, 0].join(US))],
    ['is gone', (key) => redis.hdel(key, 'first', 'first:r')],
  ])('writes nothing when a token that it goes by %s since it was read', async (_how, change) => {
    const { keys, apply, everything, version } = newUser();
    await apply('0-0', 'first');
    const renewal = await redis.hget(keys.tokens(user), 'first:r');
    const more = { forget: ['first'], asRead: ['first', renewal ?? '', 1_700_000_000_000] };
    await change(keys.tokens(user));
    const before = await everything();
    expect((await apply(await version(), 'second', more))[0]).toBe('CONFLICT');
    expect(await everything()).toEqual(before);
  });

  it('forgets a token that stands as it was read', async () => {
    const { keys, apply, version } = newUser();
    await apply('0-0', 'first');
    await redis.hset(keys.tokens(user), 'first:s', 1_700_000_000_001);
    const renewal = await redis.hget(keys.tokens(user), 'first:r');
    const more = { forget: ['first'], asRead: ['first', renewal ?? '', 1_700_000_000_001] };
    expect((await apply(await version(), 'second', more))[0]).toBe('APPLIED');
    expect(await redis.hmget(keys.tokens(user), 'first', 'first:r', 'first:s')).toEqual([null, null, null]);
  });

  it.each([
    { what: 'its access token may be presented', lives: [1, FAR_MS], code: 'token_expired', events: ['token.revoked'] },
    { what: 'its refresh token may be presented', lives: [FAR_MS, 1], code: 'token_expired', events: [] },
    { what: 'nothing of it may be presented', lives: [1, 1], code: undefined, events: [] },
  ])('F1 F20 a token that time has ended, while $what: $code, $events', async ({ lives, code, events }) => {
    const { keys, apply, version } = newUser();
    await apply('0-0', 'first');
    const [key, renewal] = [keys.tokens(user), [...lives, 1, 1_700_000_000_000, 1].join(US)];
    await redis.hset(key, 'first:r', renewal, 'first:l', [FAR_MS, 0, ''].join(US));
    const more = { expired: ['first'], asRead: ['first', renewal, 1_700_000_000_000] };
    expect((await apply(await version(), 'second', more))[0]).toBe('APPLIED');
    const [record, end, lease] = await redis.hmget(key, 'first', 'first:e', 'first:l');
    expect([record !== null, end?.split(US)[0], lease]).toEqual([code !== undefined, code, null]);
    const told = (await redis.xrange(keys.events(0), '-', '+')).map(([, [, packed]]) => packed?.split(US) ?? []);
    expect(told.map(([type]) => type)).toEqual(['token.issued', ...events, 'token.issued']);
    const ends = told.filter(([type]) => type === 'token.revoked');
    expect(ends.map((parts) => [parts[3], parts[6], parts[7]])).toEqual(
      events.map(() => ['first', '4000000000', 'system']),
    );
  });

  it('never gives a version twice, not even when Redis has lost what it gave one to', async () => {
    const { keys, apply, version } = newUser();
    await apply('0-0', 'first');
    const past = await redis.dumpBuffer(keys.tokens(user));
    const read = await version();
    await apply(read, 'lost');
    const seen = await version();
    await redis.restore(keys.tokens(user), 0, past ?? '', 'REPLACE');
    await apply(read, 'other');
    expect(await version()).not.toBe(seen);
    expect((await apply(seen, 'late'))[0]).toBe('CONFLICT');
  });

  it('gives every login a number of its own, larger than those before', async () => {
    const { keys, apply, version } = newUser();
    for (const tokenId of ['a', 'b', 'c']) await apply(await version(), tokenId);
    const records = await redis.hmget(keys.tokens(user), 'a', 'b', 'c');
    expect(records.map((record) => record?.split(US)[0])).toEqual(['1', '2', '3']);
  });

  it('keeps tokens until the last of them expires, and events as long as the longest asked for', async () => {
    const { keys, apply, version } = newUser();
    const lives = async () => [await redis.pexpiretime(keys.tokens(user)), await redis.pttl(keys.events(0))] as const;
    await apply('0-0', 'a', { expiresAt: FAR_MS, eventsKeptMs: DAY_MS });
    await apply(await version(), 'short', { expiresAt: FAR_MS - DAY_MS, eventsKeptMs: DAY_MS / 2 });
    const [kept, events] = await lives();
    expect(kept).toBe(FAR_MS);
    expect(events).toBeGreaterThan(DAY_MS / 2);
    await apply(await version(), 'long', { expiresAt: FAR_MS + DAY_MS, eventsKeptMs: 2 * DAY_MS });
    const [longer, longerEvents] = await lives();
    expect(longer).toBe(FAR_MS + DAY_MS);
    expect(longerEvents).toBeGreaterThan(DAY_MS);
  });

  it('ends a token by its own platform and its own last access token, and with it its lease', async () => {
    const { keys, apply, version } = newUser();
    await apply('0-0', 'first', { expiresAt: FAR_MS + 1 });
    await redis.hset(keys.tokens(user), 'first:l', [FAR_MS, 0, ''].join(US));
    await apply(await version(), 'second', { ends: ['first', 'token_kicked', 'token.kicked', packActor(login)] });
    expect(await redis.hmget(keys.tokens(user), 'first:l', 'second:l')).toEqual([null, null]);
    const [, kicked] = await redis.xrange(keys.events(0), '-', '+');
    const [type, , , tokenId, platform, , exp] = kicked?.[1][1]?.split(US) ?? [];
    expect({ type, tokenId, platform, exp }).toEqual({
      type: 'token.kicked',
      tokenId: 'first',
      platform: 'ios',
      exp: String(FAR_MS / 1000 + 1),
    });
  });
});
