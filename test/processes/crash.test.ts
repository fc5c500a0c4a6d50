/**
 * Processes that are killed with SIGKILL at moments nobody chose, and what they leave behind. The moment is random on
 * purpose; what is expected holds for every one of them.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { createKeys } from '../../src/redis/keys.ts';
import { until } from '../helpers/processes.ts';
import {
  admin,
  createUser,
  endServers,
  inParallel,
  issue,
  login,
  newDeployment,
  PASSWORD,
  refresh,
  revokeAll,
  runNode,
  startServer,
  validate,
  type Caller,
} from '../helpers/server-process.ts';
import { sized } from '../helpers/sizes.ts';
import { testPrefix, testRedisUrl } from '../helpers/test-redis.ts';
import { tokensWhole } from '../helpers/whole-logins.ts';

/** Only for what hangs: how long a busy machine takes decides nothing. */
const LIMIT_MS = 240_000;
const workerFile = fileURLToPath(new URL('login-worker.mjs', import.meta.url));

let redis: Redis;
beforeAll(() => {
  redis = new Redis(testRedisUrl());
});
afterAll(async () => {
  await endServers();
  redis.disconnect();
}, LIMIT_MS);

const someMs = (most: number) =>
  new Promise((resolve) => {
    setTimeout(resolve, Math.random() * most);
  });

describe('O4 a process that dies between the decision and the write', () => {
  const KILLS = sized(200);
  const SERVER_KILLS = sized(10, 2);
  const USERS_AT_ONCE = 3;
  const MOST_MS = 12;
  const prefix = testPrefix();
  const keys = createKeys(prefix, 1);

  it(
    `leaves all of a login or nothing, ${KILLS.told} times`,
    async () => {
      let logins = 0;
      await inParallel(KILLS.count, 3, async (kill) => {
        const users = Array.from({ length: USERS_AT_ONCE }, (_, index) => `o4-${kill}-${index}`);
        const worker = runNode([workerFile, ...users], { REDIS_URL: testRedisUrl(), KEY_PREFIX: prefix });
        await until('a first login', () => worker.stdout() !== '' || worker.exit() !== undefined, LIMIT_MS);
        await someMs(MOST_MS);
        worker.kill('SIGKILL');
        expect([await worker.exited, worker.stderr()]).toEqual([{ code: null, signal: 'SIGKILL' }, '']);
        const confirmed = worker.stdout().split('\n').slice(0, -1);
        const stored = (await Promise.all(users.map((userId) => tokensWhole(redis, keys, userId)))).flat();
        expect(stored).toEqual(expect.arrayContaining(confirmed));
        logins += stored.length;
      });
      // Otherwise nothing was tried.
      expect(logins).toBeGreaterThan(KILLS.count);
    },
    LIMIT_MS,
  );

  it(
    `leaves all of a login or nothing when it is one of two servers of the same users, ${SERVER_KILLS.told} times`,
    async () => {
      const deployment = newDeployment({ LOGIN_POLICY: 'single-device', SHARDS: '1' });
      const survivor = await startServer(deployment);
      await inParallel(SERVER_KILLS.count, 2, async (round) => {
        const doomed = await startServer(deployment);
        const users = Array.from({ length: USERS_AT_ONCE }, (_, index) => `o4-server-${round}-${index}`);
        const confirmed: string[] = [];
        const lanes = users.flatMap((userId) => [doomed, survivor].map((node) => logInTimes(node, userId, confirmed)));
        // By the count of logins, so that a slow machine gets as far as a fast one.
        const enough = Math.ceil(Math.random() * 100);
        await until('some logins are confirmed', () => confirmed.length >= enough, LIMIT_MS);
        doomed.kill('SIGKILL');
        await Promise.all([...lanes, doomed.exited]);
        const whole = users.map((userId) => tokensWhole(redis, createKeys(deployment.prefix, 1), userId));
        expect((await Promise.all(whole)).flat()).toEqual(expect.arrayContaining(confirmed));
      });
    },
    LIMIT_MS,
  );
});

/** One login after the other, fewer than tombstones are kept, until the server is gone. */
async function logInTimes(node: Caller, userId: string, confirmed: string[]): Promise<void> {
  try {
    for (let count = 0; count < 40; count += 1) {
      const { status, body } = await issue(node, userId);
      if (status === 200) confirmed.push(body.token.tokenId);
    }
  } catch {
    // It was killed in the middle of a call.
  }
}

describe('R7 after kill -9 at random points', () => {
  const SERVERS = sized(10, 2);

  it.each(['one-per-class', 'decline-second'])(
    `no key is without a TTL but users, their indexes and the settings (%s; ${SERVERS.told} servers)`,
    async (policy) => {
      const { env, prefix } = newDeployment({ LOGIN_POLICY: policy });
      const seen = new Set<string>();
      await inParallel(SERVERS.count, 2, async (round) => {
        const node = await startServer({ env });
        // By the count of calls, so that a slow machine gets as far as a fast one; every kind of call is among so many.
        let left = 100 + Math.ceil(Math.random() * 100);
        const counted: Caller = {
          call: (...call) => {
            left -= 1;
            return node.call(...call);
          },
        };
        const load = inParallel(8, 8, (lane) => everyCall(counted, `r7-${round}-${lane}`));
        await until('some calls are made', () => left <= 0, LIMIT_MS);
        node.kill('SIGKILL');
        await Promise.all([load, node.exited]);
        for (const { key, ttl } of await keysUnder(prefix)) {
          const kind = kindOf(prefix, key);
          seen.add(kind);
          expect([key, ttl > 0]).toEqual([key, !['user', 'index', 'settings'].includes(kind)]);
        }
      });
      expect([...seen].toSorted()).toEqual(['events', 'history', 'index', 'settings', 'tokens', 'user']);
    },
    LIMIT_MS,
  );
});

/** One call after the other, of every kind that writes, until the server is gone. */
async function everyCall(node: Caller, userId: string): Promise<void> {
  const device = { platform: 'ios', deviceId: 'd' };
  try {
    for (;;) {
      const first = await issue(node, userId);
      await issue(node, userId, device);
      await issue(node, userId, device);
      if (first.status === 200) await refresh(node, first.body.refreshToken);
      if (first.status === 200) await validate(node, first.body.accessToken);
      await revokeAll(node, userId);
      await admin(node, 'PATCH', `/users/${userId}`, { blocked: { reason: 'test' } });
      await admin(node, 'PATCH', `/users/${userId}`, { blocked: null });
      const last = await issue(node, userId);
      if (last.status === 200) await node.call('POST', '/logout', { json: { refreshToken: last.body.refreshToken } });
      if (Math.random() < 0.2) await admin(node, 'DELETE', `/users/${userId}`);
    }
  } catch {
    // It was killed in the middle of a call.
  }
}

async function keysUnder(wanted: string): Promise<{ key: string; ttl: number }[]> {
  const found: string[] = [];
  for await (const page of redis.scanStream({ match: `${wanted}:*`, count: 1_000 })) found.push(...(page as string[]));
  const pipeline = redis.pipeline();
  for (const key of found) pipeline.pttl(key);
  const replies = (await pipeline.exec()) ?? [];
  // -2: its user was deleted since the scan.
  return found.map((key, index) => ({ key, ttl: Number(replies[index]?.[1]) })).filter(({ ttl }) => ttl !== -2);
}

function kindOf(wanted: string, key: string): string {
  const name = key.slice(wanted.length + 1).replace(/^\{\d+\}:/, '');
  const kinds = {
    t: 'tokens',
    u: 'user',
    h: 'history',
    events: 'events',
    users: 'index',
    blocked: 'index',
    settings: 'settings',
    longest: 'settings',
  };
  return kinds[name.split(':')[0] as keyof typeof kinds] ?? 'unknown';
}

describe('D9 a restart of the service loses nothing', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'after %s tokens, users and blocks are as they were',
    async (signal) => {
      const { env } = newDeployment();
      const before = await startServer({ env });
      expect((await createUser(before, 'ada')).status).toBe(201);
      const phone = await login(before, 'ada', { platform: 'ios' });
      const kicked = await login(before, 'ada', { platform: 'web' });
      const web = await login(before, 'ada', { platform: 'web' });
      await admin(before, 'PATCH', '/users/eve', { password: PASSWORD, blocked: { reason: 'test' } });
      before.kill(signal);
      await before.exited;

      const after = await startServer({ env });
      const verdicts = await Promise.all([phone, kicked, web].map(({ body }) => validate(after, body.accessToken)));
      expect(verdicts.map(({ status, body }) => [status, body?.code])).toEqual([
        [200, undefined],
        [401, 'token_kicked'],
        [200, undefined],
      ]);
      expect((await refresh(after, phone.body.refreshToken)).body.token.tokenId).toBe(phone.body.token.tokenId);
      expect((await login(after, 'eve')).body.code).toBe('user_blocked');
      expect((await login(after, 'ada', { platform: 'web' })).body.displaced).toMatchObject([
        { tokenId: web.body.token.tokenId },
      ]);
    },
    LIMIT_MS,
  );
});
