// What a feed must not pass over in silence: entries that cannot be read, a clock that falls back, a Redis that has lost
// its last second; and listeners by the hundred that all begin at the start.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { FeedMessage } from '../../src/tokens/feed.ts';
import { createFeed } from '../../src/tokens/feed-hub.ts';
import { issue } from '../helpers/calls.ts';
import { freePort } from '../helpers/free-port.ts';
import { endRedis, ownRedis, portOf } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, type Service, startService, unexpected } from '../helpers/service.ts';
import { SseClient } from '../helpers/sse.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';

const LIMIT_MS = 120_000;

const clients: SseClient[] = [];
const closers: (() => void)[] = [];
afterAll(async () => {
  clients.forEach((client) => client.cut());
  closers.forEach((close) => close());
  await closeServices();
  await endRedis();
}, LIMIT_MS);

async function follow(service: Service, query = '', from?: string): Promise<SseClient> {
  const client = new SseClient(service.url);
  clients.push(client);
  expect(await client.connect(query, from)).toBe(200);
  await until('the first cursor', () => client.lastId !== undefined, 15_000);
  return client;
}

const heard = (client: SseClient, tokenId: string) => client.events.some(({ data }) => data['tokenId'] === tokenId);
const resetsOf = ({ messages }: SseClient) =>
  messages.filter(({ type }) => type === 'reset').map(({ data }) => data['reason']);
const isLive = ({ messages }: SseClient) => messages.some(({ data }) => data['live'] === true);
const tokenIdOf = async (login: ReturnType<typeof issue>) => (await login).body.token.tokenId as string;

describe('F22 entries that cannot be read are passed over one by one, and nothing behind them is', () => {
  it.each(['?from=start', ''])('by who listens with "%s"', async (query) => {
    const service = await startService({ env: { SHARDS: '1' } });
    const early = await follow(service, query);
    const pipeline = service.redis.pipeline();
    for (let entry = 0; entry < 1_100; entry += 1) pipeline.xadd(service.keys.events(0), '*', 'e', 'no event of ours');
    await pipeline.exec();
    const tokenId = await tokenIdOf(issue(service, 'ada'));
    const late = await follow(service, '?from=start');
    await until('both are told', () => heard(early, tokenId) && heard(late, tokenId));
    await until('both are up to date', () => isLive(early) && isLive(late));
    const order = late.messages.findIndex(({ data }) => data['tokenId'] === tokenId);
    expect(order).toBeLessThan(late.messages.findIndex(({ data }) => data['live'] === true));
  });
});

describe('F27 a clock that falls back by ten seconds', () => {
  it('is a reset to who listens and to who comes back: what happened meanwhile stands before their cursors', async () => {
    const service = await startService();
    service.shiftClock(10_000);
    const client = await follow(service);
    const cursor = client.lastId;
    service.shiftClock(-10_000);
    await issue(service, 'ada');
    await until('the reset', () => resetsOf(client).length > 0);
    expect(resetsOf(client)).toEqual(['cursor_in_future']);
    const tokenId = await tokenIdOf(issue(service, 'bob'));
    await until('it goes on', () => heard(client, tokenId));
    expect(resetsOf(await follow(service, '', cursor))).toEqual(['cursor_in_future']);
  });

  it('takes nothing from who was told of everything', async () => {
    const service = await startService({ env: { SHARDS: '1' } });
    const client = await follow(service);
    const tokenId = await tokenIdOf(issue(service, 'ada'));
    await until('it is told', () => heard(client, tokenId));
    // By this node's clock the entry lies in the time to come.
    service.shiftClock(-4_000);
    const back = await follow(service, '', client.lastId);
    const next = await tokenIdOf(issue(service, 'ada'));
    await until('both are told', () => heard(client, next) && heard(back, next));
    expect([...resetsOf(client), ...resetsOf(back)]).toEqual([]);
  });
});

describe('F42 a Redis that comes back without its last second', () => {
  it(
    'is a reset to everybody who was told of what is lost, and none where nothing is',
    async () => {
      const own = await ownRedis();
      await own.start();
      const service = await startService({ redisUrl: own.url, env: { SHARDS: '2' } });
      const signIn = async (userId: string) => {
        await until('it serves', async () => (await issue(service, 'probe')).status === 200, 15_000);
        return tokenIdOf(issue(service, userId));
      };
      const save = async () => {
        const redis = new Redis(own.url);
        await redis.save();
        redis.disconnect();
      };
      const restart = async () => {
        await own.kill();
        await own.start();
      };
      await signIn('first');
      const client = await follow(service);
      const told = async (tokenId: string) => until('told', () => heard(client, tokenId), 15_000);

      await told(await signIn('kept'));
      await save();
      await restart();
      await told(await signIn('after nothing was lost'));
      expect(resetsOf(client)).toEqual([]);

      const cursor = client.lastId;
      await restart();
      await until('the reset', () => resetsOf(client).length > 0, 15_000);
      expect(resetsOf(client)).toEqual(['epoch_changed']);
      expect(resetsOf(await follow(service, '', cursor))).toEqual(['epoch_changed']);

      // Who was told and has gone before it was lost.
      await save();
      await told(await signIn('unseen'));
      clients.splice(0).forEach((one) => one.cut());
      await restart();
      await signIn('later');
      expect(resetsOf(await follow(service, '', client.lastId))).toEqual(['epoch_changed']);
    },
    LIMIT_MS,
  );
});

describe('F42 nodes that ended together with a Redis that lost its last second', () => {
  it.each(['nothing', 'another login'])('reset who was told of what is lost, when %s has come since', async (since) => {
    const service = await startService({ env: { SHARDS: '1' } });
    const client = await follow(service);
    const kept = await tokenIdOf(issue(service, 'kept'));
    await until('told', () => heard(client, kept));
    const before = client.lastId;
    const lost = await tokenIdOf(issue(service, 'lost'));
    await until('told', () => heard(client, lost));
    client.cut();
    const [last] = await service.redis.xrevrange(service.keys.events(0), '+', '-', 'COUNT', 1);
    await service.redis.xdel(service.keys.events(0), last?.[0] ?? '');
    // A node that remembers nothing, three seconds later.
    const next = await startService({ prefix: service.prefix, env: { SHARDS: '1' } });
    next.shiftClock(3_000);
    if (since !== 'nothing') await issue(next, 'later');
    const back = await follow(next, '', client.lastId);
    await until('the reset', () => resetsOf(back).length > 0);
    expect(resetsOf(back)).toEqual(['cursor_in_future']);
    const unharmed = await follow(next, '', before);
    const tokenId = await tokenIdOf(issue(next, 'ada'));
    await until('both go on', () => heard(back, tokenId) && heard(unharmed, tokenId));
    expect(resetsOf(unharmed)).toEqual([]);
  });
});

describe('F40 a server that is no master any more', () => {
  it(
    'is left by the connections of the feed too, which it would tell nothing new',
    async () => {
      const [old, fresh] = [await ownRedis(), await ownRedis()];
      await Promise.all([old.start(), fresh.start()]);
      const proxy = await startProxy(old.url);
      closers.push(closeProxies);
      const [onOld, onFresh] = [old, fresh].map((one) => new Redis(one.url)) as [Redis, Redis];
      closers.push(() => [onOld, onFresh].forEach((one) => one.disconnect()));
      const service = await startService({ redisUrl: proxy.url.replace('http:', 'redis:'), env: { SHARDS: '1' } });
      await until('it serves', async () => (await issue(service, 'ada')).status === 200);
      const client = await follow(service);
      await onFresh.replicaof('127.0.0.1', portOf(old));
      await until('all is there', async () => (await onOld.incr('n')) > 0 && (await onOld.wait(1, 100)) === 1);
      await onFresh.replicaof('NO', 'ONE');
      proxy.target = fresh.url;
      // Its copy stands still from here on.
      await onOld.replicaof('127.0.0.1', await freePort());
      const tokenId = await until('it has left', async () => (await issue(service, 'bob')).status === 200).then(() =>
        tokenIdOf(issue(service, 'bob', { platform: 'web' })),
      );
      await until('it is told', () => heard(client, tokenId), 30_000);
    },
    LIMIT_MS,
  );
});

describe('a listener that cannot take a message', () => {
  it('is let go and told of, and the others miss nothing', async () => {
    const service = await startService({ env: { SHARDS: '1' } });
    const troubles: unknown[] = [];
    const feed = createFeed(service.eventLog, (error) => troubles.push(error));
    closers.push(() => feed.close());
    const heardBy: string[][] = [[], []];
    const ended: number[] = [];
    for (const [number, list] of heardBy.entries()) {
      const listen = (message: FeedMessage) => {
        if (message.kind !== 'events') return true;
        if (number === 0) throw new Error('a view that fails');
        list.push(...message.events.map(({ tokenId }) => tokenId ?? ''));
        return true;
      };
      await feed.listen('now', listen, () => ended.push(number));
    }
    const tokenId = await tokenIdOf(issue(service, 'ada'));
    await until('the other one is told', () => heardBy[1]?.includes(tokenId) ?? false);
    expect([ended, troubles.map(String)]).toEqual([[0], ['Error: a view that fails']]);
  });
});

describe('F35 listeners that all begin at the start', () => {
  const LISTENERS = 300;
  const EVENTS = 1_000;
  /** Of three that are served at the same time, 200 entries each. */
  const EVENTS_A_TURN = 600;

  it('are served by shared reads, a few at a time, with turns for all else in between', async () => {
    const service = await startService({ env: { SHARDS: '1' } });
    await issue(service, 'ada');
    const [entry] = await service.redis.xrange(service.keys.events(0), '-', '+');
    const pipeline = service.redis.pipeline();
    for (let n = 1; n < EVENTS; n += 1) pipeline.xadd(service.keys.events(0), '*', ...(entry?.[1] ?? []));
    await pipeline.exec();
    let reads = 0;
    const counted = {
      ...service.eventLog,
      read(...args: Parameters<typeof service.eventLog.read>) {
        reads += 1;
        return service.eventLog.read(...args);
      },
    };
    const feed = createFeed(counted, unexpected);
    closers.push(() => feed.close());
    const told = { events: 0, live: 0 };
    await Promise.all(
      Array.from({ length: LISTENERS }, async () =>
        feed.listen(
          'start',
          (message) => {
            if (message.kind === 'events') told.events += message.events.length;
            else if (message.kind === 'heartbeat' && message.live) told.live += 1;
            return true;
          },
          () => {},
        ),
      ),
    );
    let most = 0;
    while (told.live < LISTENERS) {
      const before = told.events;
      await nextTurn();
      most = Math.max(most, told.events - before);
    }
    expect(told.events).toBe(LISTENERS * EVENTS);
    expect(most).toBeLessThanOrEqual(EVENTS_A_TURN);
    // Each by itself would read every page; how many meet at one depends on the machine.
    expect(reads).toBeLessThan(LISTENERS);
  });

  it('are read for beside the connection that validations use', async () => {
    const own = await ownRedis();
    await own.start();
    const service = await startService({ redisUrl: own.url });
    await until('it serves', async () => (await issue(service, 'ada')).status === 200, 15_000);
    await follow(service, '?from=start');
    const redis = new Redis(own.url);
    closers.push(() => redis.disconnect());
    const busyWith = async (command: string) =>
      String(await redis.client('LIST'))
        .split('\n')
        .filter((line) => line.includes(`cmd=${command} `))
        .map((line) => /id=(\d+)/.exec(line)?.[1]);
    const main = String(await service.redis.client('ID'));
    const isBeside = async () => (await busyWith('xrange')).some((id) => id !== main);
    await until('another connection reads', isBeside, 20_000);
  });
});
