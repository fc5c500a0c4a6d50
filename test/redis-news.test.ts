/** What the log says while Redis cannot be used, on a real Redis with a password, on ports where none is, and by a fake clock. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { createLog, type Logger } from '../src/log.ts';
import { createRedisNews } from '../src/redis-news.ts';
import { connectRedis } from '../src/redis/connect.ts';
import { parseRedisUrl } from '../src/redis/redis-url.ts';
import { freePort } from './helpers/free-port.ts';
import { endRedis, ownRedis, type OwnRedis } from './helpers/own-redis.ts';
import { until } from './helpers/processes.ts';

type Line = { readonly level: number; readonly msg: string; readonly redis: string; readonly reason: string };

function newLog(): { log: Logger; lines: Line[] } {
  const lines: Line[] = [];
  return { lines, log: createLog('info', { write: (text) => void lines.push(JSON.parse(text) as Line) }) };
}

let guarded: OwnRedis;
beforeAll(async () => {
  guarded = await ownRedis();
  await guarded.start();
  const admin = new Redis(guarded.url);
  await admin.config('SET', 'requirepass', 'sesame');
  admin.disconnect();
});
afterAll(endRedis);

describe('F29 the first attempt that fails tells the host, the reason, and no password', () => {
  it.each([
    { what: 'no server', url: (port: number) => `redis://u:S3CRET@127.0.0.1:${port}`, reason: /nothing listens/ },
    {
      what: 'no Cluster',
      url: (port: number) => `redis+cluster://u:S3CRET@127.0.0.1:${port}`,
      reason: /no connection/,
    },
    { what: 'no Sentinel', url: (port: number) => `redis+sentinel://u:S3CRET@127.0.0.1:${port}/m`, reason: /Sentinel/ },
    { what: 'no such host', url: () => 'redis://u:S3CRET@nosuch.invalid:6379', reason: /no host|looked up/ },
    { what: 'a wrong password', url: () => guarded.url.replace('//', '//:S3CRET@'), reason: /refuses the user/ },
    { what: 'no password', url: () => guarded.url, reason: /wants a password/ },
  ])('$what', async ({ url, reason }) => {
    const address = url(await freePort());
    const target = parseRedisUrl(address);
    const { log, lines } = newLog();
    const redis = connectRedis(target);
    let failures = 0;
    redis.on('error', createRedisNews(log, target).trouble);
    redis.on('error', () => (failures += 1));
    await until('three attempts have failed', () => failures >= 3);
    redis.disconnect();
    const [first] = lines;
    expect(first).toMatchObject({ level: 50, reason: expect.stringMatching(reason) });
    expect(address).toContain(first?.redis);
    expect(new Set(lines.map((line) => line.reason)).size).toBe(lines.length);
    expect(JSON.stringify(lines)).not.toMatch(/S3CRET|\n\s+at |stack/);
  });
});

describe('F29 an outage that goes on', () => {
  const target = parseRedisUrl('redis://[::1]:6380');

  it('is told again once a minute for each reason, and its end once', () => {
    const { log, lines } = newLog();
    let now = 0;
    const news = createRedisNews(log, target, () => now);
    news.wellAgain();
    for (now = 0; now < 150_000; now += 500) news.trouble(new Error(now % 1000 === 0 ? 'one' : 'other'));
    news.wellAgain();
    news.wellAgain();
    const told = lines.map(({ reason, ...line }) => [reason, Reflect.get(line, 'forSeconds')]);
    expect(told).toEqual([
      ['one', 0],
      ['other', 1],
      ['one', 60],
      ['other', 61],
      ['one', 120],
      ['other', 121],
      [undefined, undefined],
    ]);
    expect(lines.at(-1)).toMatchObject({ level: 30, redis: '[::1]:6380', afterSeconds: 150 });
  });

  it('after an end it is news again', () => {
    const { log, lines } = newLog();
    const news = createRedisNews(log, target, () => 0);
    news.trouble(new Error('one'));
    news.wellAgain();
    news.trouble(new Error('one'));
    expect(lines).toHaveLength(3);
  });
});
