/**
 * Lists of users, a page at a time: each user once, in one order, whatever the shards, who was deleted in between, or which
 * version wrote the index.
 */
import { afterAll, describe, expect, it } from '@jest/globals';
import { asAdmin, changeUser, deleteUser } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

const TENANT = 'lists';
const HASH = '$argon2id$never-checked';

const make = (service: Service, userIds: readonly string[]) =>
  Promise.all(userIds.map((userId) => service.users.create({ tenant: TENANT, userId }, HASH)));

type Page = { readonly userIds: string[]; readonly next?: string };

async function pageOf(service: Service, limit: number, after?: string, path = '/admin/users'): Promise<Page> {
  const query = { tenant: TENANT, limit, ...(after !== undefined && { after }) };
  const { body, status } = await service.api.get(path).query(query).set(asAdmin);
  expect(status).toBe(200);
  const records: { userId: string }[] = body.users ?? body.blocks;
  return { userIds: records.map(({ userId }) => userId), next: body.next };
}

/** @param between called after each page */
async function walk(service: Service, limit: number, path?: string, between?: (page: Page) => Promise<unknown>) {
  const pages: string[][] = [];
  let after: string | undefined;
  do {
    const page = await pageOf(service, limit, after, path);
    pages.push(page.userIds);
    after = page.next;
    if (between !== undefined) await between(page);
  } while (after !== undefined);
  return pages;
}

const remove = (service: Service, chosen: readonly string[]) =>
  Promise.all(chosen.map((userId) => service.redis.del(service.keys.user({ tenant: TENANT, userId }))));

describe('F13 a list goes on to its end', () => {
  const userIds = Array.from({ length: 30 }, (_, index) => `user-${String(index).padStart(2, '0')}`);
  it('when the users of a whole page, or of several, are in the index alone', async () => {
    const service = await startService();
    await make(service, userIds);
    // As between the read of the index and that of the records.
    await remove(service, userIds.slice(2, 27));
    expect((await walk(service, 5)).flat()).toEqual([...userIds.slice(0, 2), ...userIds.slice(27)]);
  });

  it('with a bounded number of reads for one page, and then goes on from where the index is', async () => {
    const service = await startService({ env: { SHARDS: '1' } });
    await make(service, userIds);
    await remove(service, userIds.slice(0, 29));
    const first = await pageOf(service, 1);
    expect(first).toEqual({ userIds: [], next: 'user-19' });
    expect((await walk(service, 1)).flat()).toEqual(['user-29']);
  });

  it('when every user that was listed is deleted before the next page', async () => {
    const service = await startService();
    await make(service, userIds);
    const pages = await walk(service, 7, undefined, (page) =>
      Promise.all(page.userIds.map((userId) => service.users.remove({ tenant: TENANT, userId }, { kind: 'admin' }))),
    );
    expect(pages.flat()).toEqual(userIds);
    expect(await pageOf(service, 7)).toEqual({ userIds: [] });
  });

  it('of blocks too, when most of them have run out', async () => {
    const service = await startService({ env: { SHARDS: '1' } });
    const blockUntil = (userId: string, until: number | null) =>
      service.users.change({ tenant: TENANT, userId }, { block: { until, reason: '' } }, { kind: 'admin' });
    const soon = service.store.now() + 600_000;
    await Promise.all(userIds.map((userId, index) => blockUntil(userId, index === 28 ? null : soon)));
    service.shiftClock(600_001);
    expect((await walk(service, 1, '/admin/blocks')).flat()).toEqual(['user-28']);
  });
});

const NAMES = [
  '!',
  '#',
  '%',
  '%41',
  '%C3%A9',
  '%2541',
  '+',
  '0',
  '9',
  'A',
  'Z',
  '_',
  'a',
  'a b',
  'a!',
  'a#',
  'a%',
  'a.b',
  'a:b',
]
  .concat([
    'ada@example.com',
    'ada',
    'b',
    '~',
    'É',
    'é',
    'ÿ',
    'я',
    '日本',
    '\uFFFD',
    '😀',
    '😀1',
    'x:y:z',
    "it's",
    'a/b',
    '"q"',
  ])
  .map((name) => name.normalize('NFC'));
const IN_ORDER = NAMES.toSorted((one, other) => Buffer.from(one).compare(Buffer.from(other)));

const block = (service: Service, userId: string) =>
  service.users.change({ tenant: TENANT, userId }, { block: { until: null, reason: '' } }, { kind: 'admin' });

/** Puts a name as older versions wrote it where there is one of today. */
async function age(service: Service, index: 'users' | 'blocked', userId: string, isRenewed = false) {
  const user = { tenant: TENANT, userId };
  const key = service.keys[index](service.keys.shardOf(user));
  await service.redis.zrem(key, service.keys.listed(user), ...(isRenewed ? [] : ['!']));
  await service.redis.zadd(key, 0, service.keys.member(user));
}

describe('F14 users are listed in the order of their userIds by code points', () => {
  it.each(['1', '3', '64'])('on %s shards, with pages of any size', async (shards) => {
    const service = await startService({ env: { SHARDS: shards } });
    await make(service, NAMES);
    for (const limit of [2, 7, 100]) expect((await walk(service, limit)).flat()).toEqual(IN_ORDER);
    await Promise.all(NAMES.map((userId) => block(service, userId)));
    expect((await walk(service, 4, '/admin/blocks')).flat()).toEqual(IN_ORDER);
  });

  it('and no user of a tenant whose name begins like it', async () => {
    const service = await startService();
    await make(service, ['a', 'z']);
    for (const tenant of [`${TENANT}:`, `${TENANT}!`, `${TENANT}x`, 'list', `${TENANT};`])
      await service.users.create({ tenant, userId: 'm' }, HASH);
    expect((await walk(service, 1)).flat()).toEqual(['a', 'z']);
  });

  it.each(['1', '8'])(
    'an index that an older version wrote loses nobody and is in that order; %s shards',
    async (shards) => {
      const service = await startService({ env: { SHARDS: shards } });
      await make(service, NAMES);
      await Promise.all(NAMES.map((userId) => block(service, userId)));
      for (const userId of NAMES) {
        await age(service, 'users', userId);
        await age(service, 'blocked', userId);
      }
      expect((await walk(service, 2)).flat()).toEqual(IN_ORDER);
      expect((await walk(service, 2, '/admin/blocks')).flat()).toEqual(IN_ORDER);
    },
  );

  it('a user whom a node of an older version makes meanwhile is found as well', async () => {
    const service = await startService({ env: { SHARDS: '2' } });
    await make(service, NAMES);
    await pageOf(service, 1);
    for (const userId of ['é', '日本', 'ada@example.com', 'x:y:z', '%41']) await age(service, 'users', userId, true);
    expect((await walk(service, 3)).flat()).toEqual(IN_ORDER);
  });

  it('more users than one call renews', async () => {
    const service = await startService({ env: { SHARDS: '1' } });
    const many = Array.from({ length: 2_500 }, (_, index) => `é${String(index).padStart(4, '0')}`);
    const names = many.map((userId) => service.keys.member({ tenant: TENANT, userId }));
    await service.redis.zadd(service.keys.users(0), ...names.flatMap((name) => [0, name]));
    await make(service, ['a', many[2_499] ?? '']);
    expect((await walk(service, 100)).flat()).toEqual(['a', 'é2499']);
    expect(await service.redis.zcard(service.keys.users(0))).toBe(2_502);
  });

  it('deleting a user, or lifting a block, removes the old name too', async () => {
    const service = await startService();
    await changeUser(service, 'é', { blocked: {} });
    const user = { tenant: 'default', userId: 'é' };
    const shard = service.keys.shardOf(user);
    for (const key of [service.keys.users(shard), service.keys.blocked(shard)])
      await service.redis.zadd(key, 0, service.keys.member(user));
    await changeUser(service, 'é', { blocked: null });
    expect(await service.redis.exists(service.keys.blocked(shard))).toBe(0);
    await deleteUser(service, 'é');
    expect(await service.redis.exists(service.keys.users(shard))).toBe(0);
  });
});
