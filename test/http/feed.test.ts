// The feed: order, resumption, resets, filters, and what happens when somebody is cut off.
import { afterAll, describe, expect, it } from '@jest/globals';
import { MAX_CURSOR_LENGTH, writeCursor } from '../../src/tokens/feed-cursor.ts';
import { asAdmin, asGateway, issue, revokeAll } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { SseClient } from '../helpers/sse.ts';

const clients: SseClient[] = [];
afterAll(async () => {
  clients.forEach((client) => client.cut());
  await closeServices();
});

function clientOf(service: Service): SseClient {
  const client = new SseClient(service.url);
  clients.push(client);
  return client;
}

describe('R10 each event once per change, in order per user; who was cut off catches up', () => {
  it('tells of a login, a kick and a revoke as they happen', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    const client = clientOf(service);
    expect(await client.connect()).toBe(200);
    await until('the first cursor', () => client.lastId !== undefined);
    await issue(service, 'ada', { platform: 'ios' });
    await issue(service, 'ada', { platform: 'web' });
    await revokeAll(service, 'ada');
    await until('four events', () => client.events.length >= 4);
    expect(client.events.map(({ type }) => type)).toEqual([
      'token.issued',
      'token.kicked',
      'token.issued',
      'token.revoked',
    ]);
    expect(client.events[1]?.data).toMatchObject({
      type: 'token.kicked',
      platform: 'ios',
      by: { kind: 'login', platform: 'web', policy: 'single-device' },
    });
  });

  it('misses nothing over 20 cuts, whatever node it comes back to', async () => {
    const first = await startService();
    const second = await startService({ prefix: first.prefix });
    const client = clientOf(first);
    const other = clientOf(second);
    await client.connect('?from=start');
    await until('the first cursor', () => client.lastId !== undefined);
    const wanted: string[] = [];
    for (let round = 0; round < 20; round += 1) {
      const logins = await Promise.all(
        Array.from({ length: 25 }, (_, n) => issue(round % 2 ? first : second, `user-${round}-${n}`)),
      );
      wanted.push(...logins.map(({ body }) => body.token.tokenId));
      const current = round % 2 === 0 ? client : other;
      const next = round % 2 === 0 ? other : client;
      current.cut();
      await next.connect('', current.lastId);
    }
    const seen = () => new Set([...client.events, ...other.events].map(({ data }) => data['tokenId']));
    await until('all of them', () => wanted.every((tokenId) => seen().has(tokenId)));
    expect(seen().size).toBe(500);
  });

  it('keeps the order of one user, and gives each event once to a listener that stays', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
    const client = clientOf(service);
    await client.connect();
    await until('the first cursor', () => client.lastId !== undefined);
    const wanted: string[] = [];
    for (let n = 0; n < 60; n += 1)
      wanted.push((await issue(service, 'ada', { platform: n % 2 ? 'ios' : 'web' })).body.token.tokenId);
    await until('all of them', () => client.events.filter(({ type }) => type === 'token.issued').length >= 60);
    const issued = client.events.filter(({ type }) => type === 'token.issued').map(({ data }) => data['tokenId']);
    expect(issued).toEqual(wanted);
    expect(new Set(client.events.map(({ data }) => data['id'])).size).toBe(client.events.length);
  });
});

describe('T18 a flushed Redis is a reset, not silence', () => {
  it('resets whoever listens and whoever comes back with an old cursor', async () => {
    const service = await startService();
    const client = clientOf(service);
    await client.connect();
    await until('the first cursor', () => client.lastId !== undefined);
    const before = client.lastId;
    await service.redis.del(service.keys.settings());
    await service.deployment.check();
    await until('the reset', () => client.messages.some(({ type }) => type === 'reset'));
    const late = clientOf(service);
    await late.connect('', before);
    await until('the reset', () => late.messages[0]?.type === 'reset');
    expect(late.messages[0]?.data).toEqual({ reason: 'epoch_changed' });
    await issue(service, 'ada');
    await until('the next event', () => client.events.length === 1 && late.events.length === 1);
  });
});

/** Cursors that stand at one time in all shards, as the feed would give them. */
async function cursorsOf(service: Service): Promise<(ms: number) => string> {
  const client = clientOf(service);
  await client.connect();
  await until('a cursor', () => client.lastId !== undefined);
  const [epoch] = (client.lastId ?? '').split('~');
  return (ms) => `${epoch}~${ms.toString(36)}~0*${(64).toString(36)}`;
}

describe('a consumer of the feed', () => {
  it.each([
    ['rubbish~x~y', 'cursor_invalid'],
    ['none~0~0*1s', 'epoch_changed'],
  ])('is reset when its cursor %s is no good', async (cursor, reason) => {
    const service = await startService();
    const client = clientOf(service);
    await client.connect('', cursor);
    await until('the reset', () => client.messages.length > 0);
    expect(client.messages[0]).toMatchObject({ type: 'reset', data: { reason } });
  });

  it('is reset when its cursor is older than what is kept, or newer than the present', async () => {
    const service = await startService();
    const at = await cursorsOf(service);
    for (const [ms, reason] of [
      [service.store.now() - service.retention.keptMs() - 1000, 'cursor_expired'],
      [service.store.now() + 60_000, 'cursor_in_future'],
    ] as const) {
      const late = clientOf(service);
      await late.connect('', at(ms));
      await until('the reset', () => late.messages.length > 0);
      expect(late.messages[0]).toMatchObject({ type: 'reset', data: { reason } });
    }
  });

  it('goes on from a cursor as long as they get: 1024 shards, positions over a week', async () => {
    const service = await startService({ env: { SHARDS: '1024', ACCESS_TTL_SECONDS: '604800' } });
    const now = service.store.now();
    const positions = Array.from({ length: 1024 }, (_, shard) => ({
      ms: now - 2_000 - shard * 590_000,
      seq: 40_000 + shard,
    }));
    const pipeline = service.redis.pipeline();
    for (const [shard, { ms, seq }] of positions.entries())
      pipeline.xadd(service.keys.events(shard), `${ms}-${seq}`, 'e', 'no event');
    await pipeline.exec();
    const epoch = (await service.eventLog.epoch()) ?? '';
    const cursor = writeCursor({ epoch, positions });
    expect(cursor.length).toBeGreaterThan(10_000);
    const [byHeader, byQuery] = [clientOf(service), clientOf(service)];
    expect(await byHeader.connect('', cursor)).toBe(200);
    expect(await byQuery.connect(`?from=${encodeURIComponent(cursor)}`)).toBe(200);
    await until('both are served', () => byHeader.messages.length > 0 && byQuery.messages.length > 0);
    expect([byHeader, byQuery].map(({ messages }) => messages[0]?.type)).toEqual(['heartbeat', 'heartbeat']);
    expect(byHeader.messages[0]?.id).toBe(cursor);
    expect(await clientOf(service).connect(`?from=${'~'.repeat(MAX_CURSOR_LENGTH + 1)}`)).toBe(400);
  });

  it('may ask for a tenant and for types', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    const client = clientOf(service);
    await client.connect('?tenant=acme&types=token.kicked');
    await until('the first cursor', () => client.lastId !== undefined);
    for (const tenant of ['default', 'acme']) {
      await issue(service, 'ada', { platform: 'ios' }, tenant);
      await issue(service, 'ada', { platform: 'web' }, tenant);
    }
    await until('the kick', () => client.events.length > 0);
    expect(client.events.map(({ type, data }) => [type, data['tenant']])).toEqual([['token.kicked', 'acme']]);
  });

  it('may ask for any tenant by `*`', async () => {
    const service = await startService();
    const client = clientOf(service);
    await client.connect('?tenant=*');
    await until('the first cursor', () => client.lastId !== undefined);
    for (const tenant of ['default', 'acme']) await issue(service, 'ada', {}, tenant);
    await until('both', () => client.events.length === 2);
    expect(new Set(client.events.map(({ data }) => data['tenant']))).toEqual(new Set(['acme', 'default']));
  });

  it('may begin at the start, or at a time', async () => {
    const service = await startService();
    await issue(service, 'ada');
    const middle = service.store.now();
    await until('the next ms', () => service.store.now() > middle + 5);
    await issue(service, 'bob');
    const [all, late] = [clientOf(service), clientOf(service)];
    await all.connect('?from=start');
    await late.connect(`?from=${middle + 3}`);
    await until('both', () => all.events.length === 2 && late.events.length === 1);
    expect(late.events[0]?.data['userId']).toBe('bob');
  });

  it('that begins at a time before what is kept is reset, and gets all that there is', async () => {
    const service = await startService();
    await issue(service, 'ada');
    const late = clientOf(service);
    await late.connect(`?from=${service.retention.keptSince() - 1000}`);
    await until('the login', () => late.events.length === 1);
    expect(late.messages[0]).toMatchObject({ type: 'reset', data: { reason: 'cursor_expired' } });
    const inTime = clientOf(service);
    await inTime.connect(`?from=${service.retention.keptSince() + 5000}`);
    await until('the login', () => inTime.events.length === 1);
    expect(inTime.messages[0]?.type).toBe('heartbeat');
  });

  it('whose cursor is older than what was kept before a tenant asked for more is reset', async () => {
    const service = await startService();
    const at = await cursorsOf(service);
    const comeBack = async (ms: number) => {
      const late = clientOf(service);
      await late.connect('', at(ms));
      await until('an answer', () => late.messages.length > 0);
      return late.messages[0]?.type;
    };
    const before = service.retention.keptSince();
    const rules = { ttl: { accessSeconds: 7200 } };
    expect((await service.api.put('/admin/tenants/t').set(asAdmin).send(rules)).status).toBe(200);
    expect(service.retention.keptMs()).toBe(7_200_000 + 600_000);
    expect(await comeBack(before - 1000)).toBe('reset');
    expect(await comeBack(before + 15_000)).toBe('heartbeat');
  });

  it('that asks by HEAD gets the headers of GET', async () => {
    const service = await startService();
    const headersOf = async (method: string) => {
      const cut = new AbortController();
      const answer = await fetch(`${service.url}/events`, {
        method,
        headers: { ...asGateway, 'X-Request-Id': 'the-same-for-both' },
        signal: cut.signal,
      });
      cut.abort();
      const headers = new Headers(answer.headers);
      // Of the moment and of the connection, which fetch closes after HEAD.
      for (const name of ['date', 'connection', 'keep-alive', 'transfer-encoding']) headers.delete(name);
      return { status: answer.status, ...Object.fromEntries(headers) };
    };
    const head = await headersOf('HEAD');
    expect(head).toEqual(await headersOf('GET'));
    expect(head).toMatchObject({
      status: 200,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'x-request-id': 'the-same-for-both',
    });
  });

  it('is told what is wrong with its question', async () => {
    const service = await startService();
    expect(await clientOf(service).connect('?from=yesterday')).toBe(400);
    expect(await clientOf(service).connect('?types=token.eaten')).toBe(400);
  });
});
