/**
 * Redis that is not there, hangs, or dies under load: what callers are told meanwhile, how soon, and that the service
 * recovers by itself. Each test has a Redis of its own to do this to.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { endRedis, ownRedis, type OwnRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';
import {
  admin,
  caller,
  createUser,
  endServers,
  historyOf,
  inParallel,
  issue,
  listTokens,
  login,
  newDeployment,
  refresh,
  startServer,
  validate,
  type Answer,
  type Caller,
  type ServerProcess,
} from '../helpers/server-process.ts';

/** Only for what hangs: how long a busy machine takes decides nothing. */
const LIMIT_MS = 240_000;
/** The promise is one second; how late a machine that is busy with other tests is, an answer without Redis shows. */
const ANSWER_MS = 1_000;
const LATE_AT_MOST = 5;

afterAll(async () => {
  await endServers();
  closeProxies();
  await endRedis();
}, LIMIT_MS);

const ready = (node: ServerProcess) => until('ready', async () => (await node.call('GET', '/readyz')).status === 200);

/** Every answer is 503 `store_unavailable` with Retry-After, and comes in time. */
async function expectOutage(node: Caller, calls: readonly (() => Promise<Answer>)[]): Promise<void> {
  const asked = performance.now();
  const aside = node.call('GET', '/healthz').then(() => performance.now() - asked);
  const answers = await Promise.all(
    calls.map(async (call) => {
      const sentAt = performance.now();
      const { status, body, headers } = await call();
      const retryAfter = Number(headers['retry-after']);
      const took = performance.now() - sentAt;
      const limit = ANSWER_MS + LATE_AT_MOST * (100 + (await aside));
      return { status, code: body?.code, hasRetryAfter: retryAfter >= 1, inTime: took < limit || took };
    }),
  );
  expect(answers).toEqual(
    calls.map(() => ({ status: 503, code: 'store_unavailable', hasRetryAfter: true, inTime: true })),
  );
}

type Held = { readonly accessToken: string; readonly refreshToken: string };

const everyWayIn = (node: ServerProcess, held: Held) => [
  () => login(node, 'ada'),
  () => issue(node, 'ada'),
  () => validate(node, held.accessToken),
  () => refresh(node, held.refreshToken),
  () => node.call('GET', '/tokens', { headers: { authorization: `Bearer ${held.accessToken}` } }),
  () => admin(node, 'GET', '/users/ada/tokens'),
  () => admin(node, 'DELETE', '/users/ada/tokens'),
  () => node.call('GET', '/readyz'),
];

describe('R12 Redis is down at the start', () => {
  it(
    'the process starts and is not ready, login and validate are 503, and it recovers alone',
    async () => {
      const redis = await ownRedis();
      const { env } = newDeployment({ REDIS_URL: redis.url });
      // A token of the same deployment from better days, so that its signature is good.
      await redis.start();
      const earlier = await startServer({ env });
      const held = (await issue(earlier, 'ada')).body;
      earlier.kill('SIGTERM');
      await earlier.exited;
      await redis.kill();

      const node = await startServer({ env, ready: false });
      expect((await node.call('GET', '/healthz')).status).toBe(200);
      await expectOutage(node, everyWayIn(node, held));
      await redis.start();
      await ready(node);
      expect((await createUser(node, 'ada')).status).toBe(201);
      const fresh = await login(node, 'ada');
      expect(fresh.status).toBe(200);
      expect((await validate(node, fresh.body.accessToken)).status).toBe(200);
      // Only now, with a Redis that answers and has lost everything, is the old token unknown.
      expect((await validate(node, held.accessToken)).body.code).toBe('token_unknown');
    },
    LIMIT_MS,
  );
});

describe('R12 Redis goes while the service runs', () => {
  let redis: OwnRedis;
  let node: ServerProcess;
  let held: Held;
  beforeAll(async () => {
    redis = await ownRedis({ appendOnly: true });
    await redis.start();
    node = await startServer({ env: newDeployment({ REDIS_URL: redis.url, LOGIN_POLICY: 'no-kick' }).env });
    await createUser(node, 'ada');
    held = (await login(node, 'ada')).body;
  }, LIMIT_MS);

  const expectRecovered = async () => {
    await ready(node);
    expect((await validate(node, held.accessToken)).status).toBe(200);
    const again = await login(node, 'ada');
    expect(again.status).toBe(200);
    expect((await validate(node, again.body.accessToken)).status).toBe(200);
  };

  it(
    'hung (SIGSTOP): every answer is 503 in time, at once and for as long as it lasts; continued: recovers',
    async () => {
      const readsOnly = everyWayIn(node, held).filter((_, index) => index !== 3 && index !== 6);
      redis.freeze();
      try {
        for (let round = 0; round < 4; round += 1) await expectOutage(node, readsOnly);
        expect((await node.call('GET', '/healthz')).status).toBe(200);
      } finally {
        redis.thaw();
      }
      await expectRecovered();
    },
    LIMIT_MS,
  );

  it(
    'hung and never before asked of: a client without a connection gets its 503 in time too',
    async () => {
      redis.freeze();
      try {
        const stranger = caller(node.url);
        await expectOutage(
          node,
          Array.from({ length: 30 }, () => () => validate(stranger, held.accessToken)),
        );
      } finally {
        redis.thaw();
      }
      await expectRecovered();
    },
    LIMIT_MS,
  );

  it(
    'killed and started again with its file: 503 meanwhile, and tokens are good afterwards',
    async () => {
      await redis.kill();
      await expectOutage(node, everyWayIn(node, held));
      await redis.start();
      await expectRecovered();
      expect((await refresh(node, held.refreshToken)).status).toBe(200);
    },
    LIMIT_MS,
  );
});

describe('R12 the way to Redis is gone without a word', () => {
  it(
    'what was connected hears nothing more, as after the failover of an address: it connects again, and recovers alone',
    async () => {
      const redis = await ownRedis();
      await redis.start();
      const proxy = await startProxy(redis.url);
      const viaProxy = proxy.url.replace('http:', 'redis:');
      const node = await startServer({ env: newDeployment({ REDIS_URL: viaProxy }).env });
      const held = (await issue(node, 'ada')).body;
      proxy.silence();
      await expectOutage(node, [() => validate(node, held.accessToken), () => issue(node, 'ada')]);
      await ready(node);
      expect((await validate(node, held.accessToken)).status).toBe(200);
    },
    LIMIT_MS,
  );
});

describe('R12 a login that was under way when Redis went', () => {
  const USERS = 10;
  const ROUNDS = 6;

  it.each(['is frozen', 'is killed'] as const)(
    'is there whole or not at all, when Redis %s under load',
    async (how) => {
      const redis = await ownRedis({ appendOnly: true });
      await redis.start();
      const { env } = newDeployment({ REDIS_URL: redis.url, LOGIN_POLICY: 'single-device' });
      const node = await startServer({ env });
      await ready(node);
      for (let round = 0; round < ROUNDS; round += 1) {
        const stop = new AbortController();
        const answers: Answer[] = [];
        const load = inParallel(USERS, USERS, async (user) => {
          // Half a history at most, which keeps fifty events.
          for (let count = 0; count < 20 && !stop.signal.aborted; count += 1)
            answers.push(await issue(node, `${round}-${user}`));
        });
        await until('logins under way', () => answers.length > USERS + round * 10);
        if (how === 'is killed') await redis.kill();
        else redis.freeze();
        await until('an outage', () => answers.some(({ status }) => status !== 200));
        stop.abort();
        if (how === 'is killed') await redis.start();
        else redis.thaw();
        await load;
        await ready(node);
        expect(new Set(answers.map(({ status, body }) => `${status} ${body.code ?? ''}`))).toEqual(
          new Set(['200 ', '503 store_unavailable']),
        );
        const confirmed = answers.filter(({ status }) => status === 200).map(({ body }) => body.token.tokenId);
        const stored = await inParallel(USERS, USERS, (user) => expectWhole(node, `${round}-${user}`));
        expect(stored.flat()).toEqual(expect.arrayContaining(confirmed));
      }
    },
    LIMIT_MS,
  );
});

/** Only the newest token is active, and the history tells of every login and kick, in order. */
async function expectWhole(node: ServerProcess, userId: string): Promise<string[]> {
  const tokens = await listTokens(node, userId);
  const ids = tokens.map(({ tokenId }) => tokenId);
  expect(tokens.map(({ state }) => state)).toEqual(ids.map((_, at) => (at < ids.length - 1 ? 'kicked' : 'active')));
  const steps = ids.flatMap((id, at) =>
    at === 0 ? [`token.issued ${id}`] : [`token.kicked ${ids[at - 1]}`, `token.issued ${id}`],
  );
  expect(await historyOf(node, userId)).toEqual(steps);
  return ids;
}
