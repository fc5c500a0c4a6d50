/** The Redis of the test run (global-setup.ts starts it) and key prefixes that keep tests apart on it. */
import { randomBytes } from 'node:crypto';
import type { RedisClock } from '../../src/redis/clock.ts';
import type { RedisClient } from '../../src/redis/connect.ts';

export function testRedisUrl(): string {
  const url = process.env['TEST_REDIS_URL'];
  if (url === undefined) throw new Error('TEST_REDIS_URL is not set: start the tests with "npm test"');
  return url;
}

export function testPrefix(): string {
  return `t${randomBytes(6).toString('hex')}`;
}

/** What the heartbeat of a node does, for who has a store and no node: without the time nothing is written. */
export async function tellTime(redis: RedisClient, clock: Pick<RedisClock, 'observe'>): Promise<void> {
  const sentAt = performance.now();
  const [seconds, microseconds] = await redis.time();
  clock.observe(Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000), sentAt);
}
