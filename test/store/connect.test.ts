/** The connection to Redis: what one turn of the loop sends is gathered, and every reply finds its command. */
import { once } from 'node:events';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { Redis } from 'ioredis';
import { answerOf, connectRedis } from '../../src/redis/connect.ts';
import { parseRedisUrl } from '../../src/redis/redis-url.ts';
import { testPrefix, testRedisUrl } from '../helpers/test-redis.ts';

const COMMANDS = 50;

let open: Redis[] = [];
afterEach(() => {
  for (const redis of open) redis.disconnect();
  open = [];
});

async function connected(): Promise<Redis> {
  const redis = connectRedis(parseRedisUrl(testRedisUrl())) as Redis;
  open.push(redis);
  redis.on('error', () => {});
  await once(redis, 'ready');
  return redis;
}

const writesOf = ({ stream }: Redis) => jest.spyOn(stream, 'write');
const numbers = Array.from({ length: COMMANDS }, (_, index) => String(index));

describe('what is sent within one turn of the loop', () => {
  it('goes out in one write, and each command has its own answer', async () => {
    const redis = await connected();
    const writes = writesOf(redis);
    const answers = numbers.map((number) => redis.echo(number));
    expect(await Promise.all(answers)).toEqual(numbers);
    expect(writes).toHaveBeenCalledTimes(1);
  });

  it('begins to go out before the turn ends when there is much of it', async () => {
    const redis = await connected();
    const writes = writesOf(redis);
    const texts = numbers.map((number) => number.repeat(1000));
    const answers = texts.map((text) => redis.echo(text));
    const early = writes.mock.calls.map(([data]) => (data as string).length);
    expect(early.length).toBeGreaterThan(2);
    expect(Math.min(...early)).toBeGreaterThanOrEqual(8192);
    expect(await Promise.all(answers)).toEqual(texts);
    expect(writes).toHaveBeenCalledTimes(early.length + 1);
  });

  it('fails command by command', async () => {
    const redis = await connected();
    const key = testPrefix();
    const answers = await Promise.allSettled([redis.set(key, 'text'), redis.incr(key), redis.get(key)]);
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('is not passed by a pipeline, nor by bytes', async () => {
    const redis = await connected();
    const key = testPrefix();
    const answers = [
      redis.rpush(key, 'a'),
      redis.rpush(key, 'ä', Buffer.from([0xff])),
      redis.rpush(key, 'b'),
      redis.pipeline().rpush(key, 'c').echo('in the pipeline').exec(),
      redis.rpush(key, 'd'),
      redis.multi().rpush(key, 'e').exec(),
      redis.lrangeBuffer(key, 0, -1),
    ];
    expect(await Promise.all(answers)).toEqual([
      1,
      3,
      4,
      [
        [null, 5],
        [null, 'in the pipeline'],
      ],
      6,
      [[null, 7]],
      ['a', 'ä', Uint8Array.of(0xff), 'b', 'c', 'd', 'e'].map((part) => Buffer.from(part as string)),
    ]);
  });

  it('goes with its connection: it fails, and the next one is not sent it', async () => {
    const redis = await connected();
    const key = testPrefix();
    const again = once(redis, 'ready');
    const lost = answerOf(redis.rpush(key, 'meant for the connection that went'));
    redis.stream.destroy();
    await expect(lost).rejects.toMatchObject({ code: 'store_unavailable' });
    await again;
    expect(await redis.rpush(key, 'meant for this one')).toBe(1);
  });
});
