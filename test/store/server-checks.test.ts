/** What a server must be like, on real ones: found out without INFO too, on every master, and while it is in use. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { connectRedis, type RedisClient } from '../../src/redis/connect.ts';
import { parseRedisUrl } from '../../src/redis/redis-url.ts';
import { createServerChecks, DeploymentMismatch } from '../../src/redis/server-checks.ts';
import { endRedis, ownCluster, ownRedis, portOf, type OwnRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';

let own: OwnRedis;
let admin: Redis;
const opened: RedisClient[] = [];
beforeAll(async () => {
  own = await ownRedis();
  await own.start();
  admin = new Redis(own.url);
  await admin.call('ACL', 'SETUSER', 'managed', 'on', '>pw', '~*', '&*', '+@all', '-@dangerous');
});
afterAll(async () => {
  for (const redis of opened) redis.disconnect();
  admin.disconnect();
  await endRedis();
});

async function connected(url: string): Promise<RedisClient> {
  const redis = connectRedis(parseRedisUrl(url));
  redis.on('error', () => {});
  opened.push(redis);
  await until('it has a connection', () => redis.status === 'ready');
  return redis;
}

const setPolicy = (policy: string, client = admin) => client.config('SET', 'maxmemory-policy', policy);

describe('Q2 where INFO is forbidden', () => {
  const UNKNOWABLE =
    'whether Redis may evict tokens cannot be checked: its user needs +info (ACL SETUSER <user> +info)';

  it('that it cannot be checked is a warning, said once, and in production a refusal that names the right', async () => {
    const redis = await connected(`redis://managed:pw@127.0.0.1:${portOf(own)}`);
    const warnings: string[] = [];
    const checks = createServerChecks({ strict: false, warn: (message) => warnings.push(message) });
    await checks.check(redis);
    await checks.check(redis);
    expect(warnings).toEqual([UNKNOWABLE]);
    const strict = createServerChecks({ strict: true, warn: () => {} });
    await expect(strict.check(redis)).rejects.toThrow(new DeploymentMismatch(UNKNOWABLE));
  });
});

describe('Q7 a server that may evict', () => {
  const EVICTS = 'Redis may evict tokens: maxmemory-policy is "allkeys-lru", it must be "noeviction"';

  it('is refused at the start in production; while it is in use the change is a warning', async () => {
    const redis = await connected(own.url);
    const warnings: string[] = [];
    const checks = createServerChecks({ strict: true, warn: (message) => warnings.push(message) });
    await checks.check(redis);
    await setPolicy('allkeys-lru');
    await checks.check(redis);
    await checks.check(redis);
    expect(warnings).toEqual([EVICTS]);
    // One slow answer is no new start: to end then would keep everybody out.
    checks.tellAgain();
    await checks.check(redis);
    expect(warnings).toEqual([EVICTS, EVICTS]);
    const next = createServerChecks({ strict: true, warn: () => {} });
    await expect(next.check(redis)).rejects.toThrow(new DeploymentMismatch(EVICTS));
    await setPolicy('noeviction');
    await checks.check(redis);
    await setPolicy('allkeys-lru');
    await checks.check(redis);
    expect(warnings).toEqual([EVICTS, EVICTS, EVICTS]);
    await setPolicy('noeviction');
  });

  it('among the masters of a Cluster is found whichever it is', async () => {
    const { url, nodes } = await ownCluster(3);
    const redis = await connected(url);
    for (const node of nodes) {
      const client = new Redis(node.url);
      await setPolicy('allkeys-lru', client);
      const checks = createServerChecks({ strict: true, warn: () => {} });
      await expect(checks.check(redis)).rejects.toThrow(EVICTS);
      await setPolicy('noeviction', client);
      await checks.check(redis);
      client.disconnect();
    }
  });
});
