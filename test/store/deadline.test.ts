/** A write that reaches Redis after its caller was told that it failed changes nothing. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { createRedisClock } from '../../src/redis/clock.ts';
import { REPLY_WITHIN_MS, type RedisClient } from '../../src/redis/connect.ts';
import { openStore } from '../../src/redis/open-store.ts';
import { defineScripts } from '../../src/redis/scripts.ts';
import { makeKeySet, readKeySet } from '../../src/tokens/signing-keys.ts';
import type { Signer } from '../../src/tokens/signer.ts';
import { history, issue, listTokens } from '../helpers/calls.ts';
import { endRedis, ownRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService } from '../helpers/service.ts';
import { signerWith } from '../helpers/signing.ts';
import { tellTime, testPrefix, testRedisUrl } from '../helpers/test-redis.ts';

const LIMIT_MS = 120_000;
const ISSUER = 'http://latchkey.test';
const user = { tenant: 'default', userId: 'ada' };
const admin = { kind: 'admin' } as const;

let redis: Redis;
beforeAll(() => {
  redis = new Redis(testRedisUrl());
});
afterAll(async () => {
  redis.disconnect();
  await closeServices();
  await endRedis();
}, LIMIT_MS);

/** Name and number of keys of every script. */
function scripts(): [string, number][] {
  const found: [string, number][] = [];
  const recorder = {
    defineCommand: (name: string, { numberOfKeys }: { readonly numberOfKeys: number }) =>
      found.push([name, numberOfKeys]),
  };
  defineScripts(recorder as unknown as RedisClient, { deadline: () => 0 });
  return found;
}

function storeOf(clock = createRedisClock()) {
  const options = { keyPrefix: testPrefix(), shards: 1, accessTtlSeconds: 900, onTouchFailed: () => {} };
  const none = { userFailures: 0, addressFailures: 0, lockMs: 1, longestLockMs: 1, memoryMs: 1, userLogins: 0 };
  const throttle = { ...none, addressLogins: 0, windowMs: 1 };
  return { ...openStore(redis, { ...options, throttle }, clock), keyPrefix: options.keyPrefix };
}

describe('F41 a write carries a deadline by the time of Redis', () => {
  it.each(scripts())('%s changes nothing after it', async (command, keyCount) => {
    const [seconds] = await redis.time();
    defineScripts(redis, { deadline: () => Number(seconds) * 1000 - 1 });
    const send = (redis as unknown as Record<string, (...args: string[]) => Promise<unknown[]>>)[command]!;
    const prefix = testPrefix();
    const keys = Array.from({ length: keyCount }, (_, index) => `${prefix}:${index}`);
    const reply = await send.call(redis, ...keys, ...Array.from({ length: 20 }, () => '1'));
    expect(reply).toEqual(['LATE', expect.any(Number)]);
    expect(await redis.exists(...keys)).toBe(0);
  });

  it('cannot be sent by a node that does not know the time yet', async () => {
    const { users, keyPrefix } = storeOf();
    await expect(users.create(user, 'hash')).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(await redis.keys(`${keyPrefix}:*`)).toEqual([]);
  });

  it('is sent once more where the clock was another one: after a failover, or at another node of a cluster', async () => {
    const { users, clock } = storeOf();
    clock.observe(1_000_000, performance.now());
    expect(await users.create(user, 'hash')).toMatchObject(user);
  });

  it('is later than the answer is awaited by what the clock may be off, and no more', async () => {
    const clock = createRedisClock();
    await tellTime(redis, clock);
    const ahead = clock.deadline(REPLY_WITHIN_MS) - clock.now();
    expect(ahead).toBeGreaterThanOrEqual(REPLY_WITHIN_MS);
    expect(ahead).toBeLessThan(2 * REPLY_WITHIN_MS);
  });
});

describe('F41 a Redis that stood still and goes on', () => {
  it(
    'carries out nothing of what was answered 503 meanwhile',
    async () => {
      const own = await ownRedis();
      await own.start();
      const keys = await readKeySet(await makeKeySet('EdDSA'), 'EdDSA');
      const signer = signerWith(keys, ISSUER);
      let beforeSigning: (() => void) | undefined;
      const stopping: Signer = {
        sign(...args) {
          beforeSigning?.();
          return signer.sign(...args);
        },
      };
      const env = { LOGIN_POLICY: 'single-device' };
      const service = await startService({ redisUrl: own.url, env, keys, override: { signer: stopping } });
      await until('it serves', async () => (await issue(service, 'ada')).status === 200, 15_000);
      const before = [(await listTokens(service, 'ada')).body, (await history(service, 'ada')).body];

      const frozen = new Promise<void>((resolve) => {
        beforeSigning = () => resolve(own.freeze());
      });
      const login = issue(service, 'ada', { platform: 'web' }).then(({ status }) => status);
      await frozen;
      const writes = await Promise.allSettled([
        service.store.end(user, { by: 'all' }, 'revoke', admin),
        service.users.change(user, { block: { until: null, reason: 'fraud' } }, admin),
        service.users.setPolicy(user, 'no-kick'),
        service.users.remove(user, admin),
        service.users.create({ tenant: 'default', userId: 'bob' }, 'hash'),
      ]);
      expect(writes.map(({ status }) => status)).toEqual(writes.map(() => 'rejected'));
      expect(await login).toBe(503);
      const latest = service.clock.deadline(REPLY_WITHIN_MS);
      await until('all of them are late', () => service.clock.now() > latest);
      beforeSigning = undefined;
      own.thaw();
      await until('it serves again', async () => (await listTokens(service, 'ada')).status === 200, 15_000);
      expect([(await listTokens(service, 'ada')).body, (await history(service, 'ada')).body]).toEqual(before);
      expect(await service.users.find({ tenant: 'default', userId: 'bob' })).toBeUndefined();
    },
    LIMIT_MS,
  );
});
