/** The state of webhooks on a real Redis: one owner at a time, and only the owner moves the cursor. */
import { afterAll, describe, expect, it } from '@jest/globals';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { testPrefix } from '../helpers/test-redis.ts';

afterAll(closeServices);

const URL = 'https://receiver.test/';
const webhook = { url: URL };
const since = expect.any(Number);

/** Two nodes of one deployment, and a tenant with a webhook whose rules have version 1. */
async function twoNodes() {
  const prefix = testPrefix();
  const [a, b] = [await startService({ prefix }), await startService({ prefix })];
  await a.tenants.put('acme', { webhook }, undefined);
  return { a, b, read: { version: 1, url: URL } };
}

/** Makes the lease run out: its end lies in the past. */
const expireLease = (service: Service) => service.redis.hset(service.keys.webhook('acme'), 'until', '1');
const fieldsOf = (service: Service) => service.redis.hgetall(service.keys.webhook('acme'));

describe('the lease', () => {
  it('is had by exactly one of many that ask at the same moment', async () => {
    const { a, b, read } = await twoNodes();
    const asked = Array.from({ length: 40 }, (_, index) =>
      (index % 2 === 0 ? a : b).webhooks.take('acme', `owner-${index}`, read),
    );
    expect((await Promise.all(asked)).filter((state) => state !== undefined)).toHaveLength(1);
  });

  it('keeps others out until its end by the clock of Redis, and lasts ten seconds', async () => {
    const { a, b, read } = await twoNodes();
    await a.webhooks.take('acme', 'a', read);
    const left = Number((await fieldsOf(a))['until']) - a.store.now();
    expect(left).toBeGreaterThan(9_000);
    expect(left).toBeLessThanOrEqual(10_100);
    // A node that takes itself to be an hour ahead takes nothing.
    b.shiftClock(3_600_000);
    expect(await b.webhooks.take('acme', 'b', read)).toBeUndefined();
    await expireLease(a);
    expect(await b.webhooks.take('acme', 'b', read)).toEqual({ since, failures: 0, refused: 0 });
  });

  it('is renewed by every note', async () => {
    const { a, b, read } = await twoNodes();
    await a.webhooks.take('acme', 'a', read);
    await expireLease(a);
    expect(await a.webhooks.note('acme', 'a', {})).toBe(true);
    expect(await b.webhooks.take('acme', 'b', read)).toBeUndefined();
  });

  it('given back, is had by the next at once, who goes on where it stood', async () => {
    const { a, b, read } = await twoNodes();
    await a.webhooks.take('acme', 'a', read);
    const trouble = { failures: 3, lastError: 'timeout', nextAttemptAt: 1_800_000_000_000 };
    await a.webhooks.note('acme', 'a', { cursor: 'c1', refused: 2, lastDeliveredAt: 1_700_000_000_000, trouble });
    await a.webhooks.release('acme', 'a');
    const noted = { since, cursor: 'c1', refused: 2, lastDeliveredAt: 1_700_000_000_000, ...trouble };
    expect(await b.webhooks.take('acme', 'b', read)).toEqual(noted);
    expect(await b.webhooks.state('acme')).toEqual(noted);
  });

  it('is not given back by who has lost it', async () => {
    const { a, b, read } = await twoNodes();
    await a.webhooks.take('acme', 'a', read);
    await expireLease(a);
    await b.webhooks.take('acme', 'b', read);
    await a.webhooks.release('acme', 'a');
    expect(await fieldsOf(a)).toMatchObject({ owner: 'b' });
  });

  it('is refused to who has read rules that are no longer in force', async () => {
    const { a, read } = await twoNodes();
    await a.tenants.put('acme', {}, undefined);
    expect(await a.webhooks.take('acme', 'a', read)).toBeUndefined();
    expect(await fieldsOf(a)).toEqual({});
  });
});

describe('the cursor', () => {
  it('cannot be moved by an owner that has lost the lease, however often the two write', async () => {
    const { a, b, read } = await twoNodes();
    await a.webhooks.take('acme', 'a', read);
    await a.webhooks.note('acme', 'a', { cursor: 'old' });
    await expireLease(a);
    const late = Array.from({ length: 20 }, () => a.webhooks.note('acme', 'a', { cursor: 'old', refused: 1 }));
    const early = b.webhooks.take('acme', 'b', read);
    await Promise.all([...late, early]);
    if ((await early) === undefined) await expireLease(a);
    await b.webhooks.take('acme', 'b', read);
    await b.webhooks.note('acme', 'b', { cursor: 'new' });
    const { refused } = await b.webhooks.state('acme');
    const notes = Array.from({ length: 20 }, () => a.webhooks.note('acme', 'a', { cursor: 'old', refused: 1 }));
    expect(new Set(await Promise.all(notes))).toEqual(new Set([false]));
    expect(await b.webhooks.state('acme')).toMatchObject({ cursor: 'new', refused });
  });

  it('of a webhook that was removed is not written anew', async () => {
    const { a, read } = await twoNodes();
    await a.webhooks.take('acme', 'a', read);
    await a.tenants.put('acme', {}, undefined);
    expect(await a.webhooks.note('acme', 'a', { cursor: 'late' })).toBe(false);
    expect(await fieldsOf(a)).toEqual({});
  });

  it('stays when the address changes, and the failures of the old one go', async () => {
    const { a, read } = await twoNodes();
    await a.webhooks.take('acme', 'a', read);
    const trouble = { failures: 3, lastError: 'timeout', nextAttemptAt: 1_800_000_000_000 };
    await a.webhooks.note('acme', 'a', { cursor: 'c1', trouble });
    await a.tenants.put('acme', { webhook: { url: `${URL}new` } }, undefined);
    const taken = await a.webhooks.take('acme', 'a', { version: 2, url: `${URL}new` });
    expect(taken).toEqual({ since, cursor: 'c1', failures: 0, refused: 0 });
  });
});

describe('the list of tenants with a webhook', () => {
  it('has one before its rules are in force, and keeps it for a writer that is slow', async () => {
    const { a } = await twoNodes();
    await a.webhooks.forget('acme');
    expect(await a.webhooks.tenants()).toEqual(['acme']);
  });

  it('lets go of one that was written long ago', async () => {
    const { a } = await twoNodes();
    await a.redis.zadd(a.keys.webhooks(), a.store.now() - 61_000, 'acme');
    await a.webhooks.forget('acme');
    expect(await a.webhooks.tenants()).toEqual([]);
  });

  it('has none whose rules were refused, for longer than that', async () => {
    const { a } = await twoNodes();
    expect(await a.tenants.put('other', { webhook }, 7)).toBeUndefined();
    expect(await a.webhooks.take('other', 'a', { version: 0, url: URL })).toBeUndefined();
    await a.redis.zadd(a.keys.webhooks(), a.store.now() - 61_000, 'other');
    await a.webhooks.forget('other');
    expect(await a.webhooks.tenants()).toEqual(['acme']);
  });
});

describe('the state as another version may have written it', () => {
  it('F44 is read where it is known: the last refusal, and nothing that is not in form', async () => {
    const { a, read } = await twoNodes();
    await a.webhooks.take('acme', 'a', read);
    const lastRefusal = { jti: '1-2-3', error: 'invalid_key', at: 1_700_000_000_000 };
    await a.webhooks.note('acme', 'a', { lastRefusal });
    expect(await a.webhooks.state('acme')).toEqual({ since, failures: 0, refused: 0, lastRefusal });
    const field = (name: string, value: string) => a.redis.hset(a.keys.webhook('acme'), name, value);
    await field('lastRefusal', JSON.stringify({ ...lastRefusal, more: 'of the next version' }));
    await field('suspended', 'yes');
    expect(await a.webhooks.state('acme')).toEqual({ since, failures: 0, refused: 0, lastRefusal });
    for (const odd of ['', 'x', '{"jti":1}', 'null', '[]']) {
      await field('lastRefusal', odd);
      for (const name of ['failures', 'refused', 'nextAttemptAt', 'lastDeliveredAt']) await field(name, odd);
      expect(await a.webhooks.state('acme')).toEqual({ since, failures: 0, refused: 0 });
    }
  });
});
