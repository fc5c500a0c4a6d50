/**
 * One server of several processes: how connections reach the workers, and what happens when a worker or the primary dies,
 * refuses, or does not end. That races between workers end well is in races.test.ts; starts, stops and refusals that are
 * the same with one process are in lifecycle.test.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { createLog } from '../../src/log.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { createWorkers, type Workers, type WorkersOptions } from '../../src/workers/primary.ts';
import { restartDelayMs, RESTART_LIMITS } from '../../src/workers/restart-delay.ts';
import { endRedis, ownRedis } from '../helpers/own-redis.ts';
import { childrenOf, isAlive, until } from '../helpers/processes.ts';
import {
  ADMIN_KEY,
  caller,
  endServers,
  inParallel,
  issue,
  logOf,
  newDeployment,
  servingWorkers,
  startServer,
  temporaryFolder,
  validate,
  type Answer,
  type Caller,
  type ServerProcess,
} from '../helpers/server-process.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { testRedisUrl } from '../helpers/test-redis.ts';
import { tokensWhole } from '../helpers/whole-logins.ts';

/** Only for what hangs: how long a busy machine takes decides nothing. */
const LIMIT_MS = 240_000;
const LANES = 30;

let redis: Redis;
beforeAll(() => {
  redis = new Redis(testRedisUrl());
});
afterAll(async () => {
  await endServers();
  await endRedis();
  redis.disconnect();
}, LIMIT_MS);

const withWorkers = (count: number, env: Readonly<Record<string, string>> = {}) =>
  newDeployment({ WORKERS: String(count), ...env });

/** A login under a request id of its own, so that the log tells which worker served it. */
const namedIssue = (client: Caller, userId: string, requestId: string): Promise<Answer> =>
  client.call('POST', `/admin/users/${userId}/tokens`, {
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'x-request-id': requestId },
    json: { platform: 'ios', deviceId: requestId },
  });

/** Who served the requests of this lane, oldest first, once so many are in the log. */
async function servedBy(server: ServerProcess, lane: number, count = 1): Promise<number[]> {
  const found = () => logOf(server, 'request').filter(({ requestId }) => String(requestId).startsWith(`lane-${lane}-`));
  await until(`the log tells of lane ${lane}`, () => found().length >= count);
  return found().map(({ pid }) => Number(pid));
}

/** What a client may see of a port whose listener has died: refused, or reset while it still waited to be taken. */
const PORT_CLOSED = ['ECONNREFUSED', 'ECONNRESET'];

const deathsOf = (server: ServerProcess) => logOf(server, 'a worker died');

const anErrorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

describe('WORKERS=3', () => {
  it(
    'serves one port with three processes in turn, and each says who it is',
    async () => {
      const server = await startServer(withWorkers(3));
      const workers = servingWorkers(server);
      expect(new Set(workers).size).toBe(3);
      expect(workers).not.toContain(server.pid);
      const held = await issue(server, 'ada');
      for (let lane = 0; lane < 9; lane += 1) {
        const client = caller(server.url);
        expect((await namedIssue(client, `user-${lane}`, `lane-${lane}-0`)).status).toBe(200);
        // The connection is kept, and with it the worker.
        expect((await namedIssue(client, `user-${lane}`, `lane-${lane}-1`)).status).toBe(200);
        expect((await validate(client, held.body.accessToken)).status).toBe(200);
      }
      const lanes = await Promise.all(Array.from({ length: 9 }, (_, lane) => servedBy(server, lane, 2)));
      for (const [first, second] of lanes) expect(second).toBe(first);
      const shares = workers.map((pid) => lanes.filter(([first]) => first === pid).length);
      expect(shares).toEqual([3, 3, 3]);
      // The address of the client is known behind the primary too.
      expect(new Set(logOf(server, 'request').map(({ ip }) => ip))).toEqual(new Set(['127.0.0.1']));
      expect(logOf(server, 'listening')).toMatchObject([{ port: server.port, pid: server.pid }]);
    },
    LIMIT_MS,
  );
});

describe('a connection that was dealt to a worker', () => {
  const HOST = 'Host: latchkey.test';

  it(
    'F43 F34 F39 has the same limits and ends as any',
    async () => {
      const server = await startServer(withWorkers(2));
      for (let worker = 0; worker < 2; worker += 1) {
        const kept = await RawClient.to(server.port);
        kept.send('GET /healthz HTTP/1.1', HOST, '', '');
        await kept.untilAnswered();
        expect(kept.received).toMatch(/^keep-alive: timeout=75$/im);
        for (const [path, length, status] of [
          ['/validate', 50, 401],
          ['/login', 20_000, 413],
        ] as const) {
          const client = await RawClient.to(server.port);
          client.send(
            `POST ${path} HTTP/1.1`,
            HOST,
            'Content-Type: application/json',
            `Content-Length: ${length}`,
            '',
            '',
          );
          await client.untilEnded();
          client.send(`${'x'.repeat(length)}GET /healthz HTTP/1.1`, HOST, '', '');
          client.socket.end();
          await until('the connection is closed', () => client.socket.destroyed);
          expect(client.statuses).toEqual([status]);
          expect(client.received).toMatch(/^connection: close$/im);
        }
        await kept.close();
      }
      server.kill('SIGTERM');
      expect(await server.exited).toEqual({ code: 0, signal: null });
    },
    LIMIT_MS,
  );
});

describe('a worker that is killed under load', () => {
  it(
    'O4 costs its own connections, leaves all of a login or nothing, and is replaced',
    async () => {
      const { env, prefix } = withWorkers(2, { LOGIN_POLICY: 'single-device', SHARDS: '1' });
      const server = await startServer({ env });
      const [doomed = 0] = servingWorkers(server);
      const confirmed: string[] = [];
      const connected = new Set<number>();
      const failures: { lane: number; code: string }[] = [];
      const over = new AbortController();
      const load = inParallel(LANES, LANES, async (lane) => {
        const client = caller(server.url);
        // Fewer than tombstones are kept.
        for (let count = 0; count < 90 && !over.signal.aborted; count += 1) {
          try {
            const { status, body } = await namedIssue(client, `o4-${lane}`, `lane-${lane}-${count}`);
            expect(status).toBe(200);
            confirmed.push(body.token.tokenId);
            connected.add(lane);
          } catch (error) {
            failures.push({ lane, code: anErrorCode(error) });
          }
        }
      });
      await until('every lane has its connection', () => connected.size === LANES, LIMIT_MS);
      // An answer is out before its line is in the log, and who is killed in between says nothing more.
      await Promise.all([...Array(LANES).keys()].map((lane) => servedBy(server, lane)));
      process.kill(doomed, 'SIGKILL');
      await until('there is a third worker', () => servingWorkers(server).length === 3, LIMIT_MS);
      over.abort();
      await load;
      expect(deathsOf(server)).toMatchObject([{ workerPid: doomed, code: null, signal: 'SIGKILL', restartInMs: 0 }]);
      expect(failures).not.toEqual([]);
      expect(failures.filter(({ code }) => !['ECONNRESET', 'EPIPE'].includes(code))).toEqual([]);
      // Once for each lane that the killed one had, and for no other; but one may have been on its way to the dead again.
      const lanes = failures.map(({ lane }) => lane);
      expect(lanes.length - new Set(lanes).size).toBeLessThanOrEqual(1);
      for (const lane of lanes) expect(await servedBy(server, lane)).toContain(doomed);
      const keys = createKeys(prefix, 1);
      const stored = await Promise.all([...Array(LANES).keys()].map((lane) => tokensWhole(redis, keys, `o4-${lane}`)));
      expect(stored.flat()).toEqual(expect.arrayContaining(confirmed));
      const [, , third = 0] = servingWorkers(server);
      await until('it has its share', async () => {
        await namedIssue(caller(server.url), 'late', 'lane-late-0');
        return logOf(server, 'request').some(({ pid }) => pid === third);
      });
    },
    LIMIT_MS,
  );

  it(
    'again soon after its start is replaced later, while the others serve',
    async () => {
      const server = await startServer(withWorkers(2));
      const [steady, first] = servingWorkers(server);
      process.kill(first ?? 0, 'SIGKILL');
      await until('it is replaced', () => servingWorkers(server).length === 3, LIMIT_MS);
      process.kill(servingWorkers(server)[2] ?? 0, 'SIGKILL');
      await until('it is dead', () => deathsOf(server).length === 2, LIMIT_MS);
      expect((await namedIssue(caller(server.url), 'ada', 'lane-0-0')).status).toBe(200);
      expect(await servedBy(server, 0)).toEqual([steady]);
      const [, death] = deathsOf(server);
      await until('it is replaced', () => servingWorkers(server).length === 4, LIMIT_MS);
      const [, , , serves] = logOf(server, 'a worker serves');
      expect(death).toMatchObject({ restartInMs: RESTART_LIMITS.firstDelayMs });
      const timeOf = (line: typeof death) => Date.parse(String(line?.['time']));
      expect(timeOf(serves) - timeOf(death)).toBeGreaterThanOrEqual(RESTART_LIMITS.firstDelayMs);
    },
    LIMIT_MS,
  );

  it(
    'with all others: who connects meanwhile waits for the next one, which has found Redis by then',
    async () => {
      const server = await startServer(withWorkers(2));
      for (const pid of servingWorkers(server)) process.kill(pid, 'SIGKILL');
      await until('they are dead', () => deathsOf(server).length === 2, LIMIT_MS);
      expect((await issue(caller(server.url), 'ada')).status).toBe(200);
    },
    LIMIT_MS,
  );
});

describe('a worker that takes nothing any more', () => {
  it(
    'and is killed: whom it had not yet been given are served by another',
    async () => {
      const server = await startServer(withWorkers(2));
      const [stuck = 0] = servingWorkers(server);
      process.kill(stuck, 'SIGSTOP');
      const served: number[] = [];
      const outcomes = Array.from({ length: 20 }, async (_, lane) => {
        const { status } = await namedIssue(caller(server.url), `user-${lane}`, `lane-${lane}-0`);
        served.push(lane);
        return status;
      });
      const settled = Promise.allSettled(outcomes);
      await until('the other one has served its half', () => served.length === 10);
      process.kill(stuck, 'SIGKILL');
      const lost = (await settled).filter(({ status }) => status === 'rejected');
      // The one that was already on its way into the stuck process.
      expect(lost.length).toBeLessThanOrEqual(1);
      expect(new Set((await settled).map((one) => (one.status === 'fulfilled' ? one.value : 200)))).toEqual(
        new Set([200]),
      );
    },
    LIMIT_MS,
  );
});

describe('a primary that is killed', () => {
  it(
    'leaves workers that finish what they have, and then end',
    async () => {
      const server = await startServer(withWorkers(2));
      const workers = servingWorkers(server);
      const { body: held } = await issue(server, 'ada');
      const answers: Answer[] = [];
      const failures: string[] = [];
      const load = inParallel(LANES, LANES, async (lane) => {
        const client = caller(server.url);
        for (;;) {
          try {
            answers.push(await (lane % 2 ? validate(client, held.accessToken) : issue(client, `user-${lane}`)));
          } catch (error) {
            const code = anErrorCode(error);
            failures.push(code);
            // Cut while it was being taken up, or with nothing asked on it yet: the next one is refused.
            if (code === 'ECONNREFUSED') return;
          }
        }
      });
      await until('each lane has its connection', () => answers.length > LANES * 10, LIMIT_MS);
      server.kill('SIGKILL');
      await load;
      expect(failures.filter((code) => code === 'ECONNREFUSED')).toHaveLength(LANES);
      expect(failures.filter((code) => !PORT_CLOSED.includes(code))).toEqual([]);
      expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
      await until('the workers have ended', () => !workers.some(isAlive));
      await server.exited;
      expect(server.stderr()).toBe('');
    },
    LIMIT_MS,
  );

  it(
    'while a worker is only starting leaves no process behind either',
    async () => {
      const server = await startServer(withWorkers(2));
      process.kill(servingWorkers(server)[0] ?? 0, 'SIGKILL');
      await until('it is dead', () => deathsOf(server).length === 1, LIMIT_MS);
      await until('the next one starts', () => childrenOf(server.pid).length === 2, LIMIT_MS);
      const children = childrenOf(server.pid);
      server.kill('SIGKILL');
      await until('all have ended', () => !children.some(isAlive));
    },
    LIMIT_MS,
  );

  it(
    'leaves no process behind, nor a Redis, and nothing in the way of the next start',
    async () => {
      const env = { DATA_DIR: temporaryFolder(), WORKERS: '2' };
      const server = await startServer({ env });
      const { body } = await issueEmbedded(server, env.DATA_DIR);
      const children = childrenOf(server.pid);
      // Two workers, Redis and its guard.
      expect(children).toHaveLength(4);
      server.kill('SIGKILL');
      await until('all have ended', () => !children.some(isAlive));
      const next = await startServer({ env });
      expect((await validate(next, body.accessToken)).status).toBe(200);
      next.kill('SIGTERM');
      expect(await next.exited).toEqual({ code: 0, signal: null });
    },
    LIMIT_MS,
  );
});

/** A login with the admin key that was made at the start. */
async function issueEmbedded(server: ServerProcess, dataDir: string): Promise<Answer> {
  const { adminApiKey } = JSON.parse(readFileSync(join(dataDir, 'secrets.json'), 'utf8')) as { adminApiKey: string };
  return server.call('POST', '/admin/users/ada/tokens', {
    headers: { authorization: `Bearer ${adminApiKey}` },
    json: { platform: 'ios', deviceId: 'd' },
  });
}

describe('R12 workers without a Redis', () => {
  it(
    'serve, are not ready, say 503, and recover alone',
    async () => {
      const own = await ownRedis();
      const server = await startServer({ ...withWorkers(2, { REDIS_URL: own.url }), ready: false });
      await until('both serve', () => servingWorkers(server).length === 2, LIMIT_MS);
      const askAll = () => Promise.all([0, 1, 2, 3].map(() => issue(caller(server.url), 'ada')));
      expect((await askAll()).map(({ status }) => status)).toEqual([503, 503, 503, 503]);
      expect((await server.call('GET', '/readyz')).status).toBe(503);
      await own.start();
      await until('all answer', async () => (await askAll()).every(({ status }) => status === 200));
    },
    LIMIT_MS,
  );
});

describe('signals to the whole group', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)(
    '%s, as Ctrl-C or a service manager sends it, does no more than one to the primary',
    async (signal) => {
      const server = await startServer(withWorkers(2));
      const clients = Array.from({ length: LANES }, () => caller(server.url));
      await Promise.all(clients.map((client) => client.call('GET', '/healthz')));
      const calls = clients.map((client, lane) => issue(client, `user-${lane}`));
      await Promise.any(calls);
      for (const pid of servingWorkers(server)) process.kill(pid, signal);
      server.kill(signal);
      for (const pid of servingWorkers(server)) process.kill(pid, signal);
      expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(calls.map(() => 200));
      expect(await server.exited).toEqual({ code: 0, signal: null });
      expect(deathsOf(server)).toEqual([]);
      expect(server.stderr()).toBe('');
    },
    LIMIT_MS,
  );

  it('one to a worker alone changes nothing', async () => {
    const server = await startServer(withWorkers(2));
    const [worker = 0] = servingWorkers(server);
    process.kill(worker, 'SIGTERM');
    // The last two long after it has been delivered: one of them is still its turn.
    for (let lane = 0; lane < 40; lane += 1) await namedIssue(caller(server.url), 'ada', `lane-${lane}-0`);
    const served = await Promise.all([38, 39].map((lane) => servedBy(server, lane)));
    expect(served.flat()).toContain(worker);
    expect(deathsOf(server)).toEqual([]);
  });
});

/** All processes end, and the reason is told once. */
async function refusalOf(server: ServerProcess): Promise<string> {
  const workers = servingWorkers(server);
  expect(await server.exited).toEqual({ code: 1, signal: null });
  expect(workers.filter(isAlive)).toEqual([]);
  return server.stderr();
}

describe('a worker with a reason not to serve', () => {
  it(
    'that it finds while it serves ends all of them',
    async () => {
      const { env, prefix } = withWorkers(2);
      const server = await startServer({ env });
      await redis.hset(createKeys(prefix, 64).settings(), 'shards', '8');
      expect(await refusalOf(server)).toBe(
        'latchkey: this deployment was set up with SHARDS=8, this node has SHARDS=64\n',
      );
    },
    LIMIT_MS,
  );

  it(
    'that it finds when it takes the place of a dead one ends all of them',
    async () => {
      const LOGIN_POLICY = join(temporaryFolder(), 'policy.json');
      writeFileSync(LOGIN_POLICY, JSON.stringify({ name: 'nobody-limited', limits: [] }));
      const server = await startServer(withWorkers(2, { LOGIN_POLICY }));
      writeFileSync(LOGIN_POLICY, '{');
      process.kill(servingWorkers(server)[0] ?? 0, 'SIGKILL');
      const said = await refusalOf(server);
      expect(said).toMatch(/^the settings are not usable:\n {2}LOGIN_POLICY: .* is not valid JSON\n$/);
    },
    LIMIT_MS,
  );
});

describe('workers that do nothing right', () => {
  const opened: Workers[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((workers) => workers.drain()));
  });

  async function start(fault: string, options: Partial<WorkersOptions> = {}) {
    const lines: Record<string, unknown>[] = [];
    const log = createLog('info', { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
    const refusals: string[] = [];
    const workers = createWorkers({
      count: 1,
      entry: fileURLToPath(new URL('stub-worker.mjs', import.meta.url)),
      args: [fault],
      log,
      drainLimitMs: 100,
      onServing: () => {},
      onAgreed: () => {},
      onRefused: (message) => refusals.push(message),
      ...options,
    });
    opened.push(workers);
    const port = await workers.start(0, '127.0.0.1');
    return { workers, refusals, port, told: (msg: string) => lines.filter((line) => line['msg'] === msg) };
  }

  it('and crash at each start are replaced later and later, up to a limit', async () => {
    const restart = { soundAfterMs: 60_000, firstDelayMs: 10, longestDelayMs: 40 };
    const { told } = await start('crashes', { restart });
    await until('it has died often', () => told('a worker died').length === 6, LIMIT_MS);
    const deaths = told('a worker died');
    expect(deaths.map(({ restartInMs }) => restartInMs)).toEqual([0, 10, 20, 40, 40, 40]);
    expect(new Set(deaths.map(({ workerPid }) => workerPid)).size).toBe(6);
    for (const death of deaths) expect(death).toMatchObject({ code: 7, signal: null });
  });

  it('but lived for a while before are replaced at once, each time', async () => {
    const restart = { soundAfterMs: 0, firstDelayMs: 60_000, longestDelayMs: 60_000 };
    const { told } = await start('crashes', { restart });
    await until('it has died often', () => told('a worker died').length === 4, LIMIT_MS);
    expect(told('a worker died').map(({ restartInMs }) => restartInMs)).toEqual([0, 0, 0, 0]);
  });

  it('and crash while nobody else serves: who connects is let go, not left waiting', async () => {
    const restart = { soundAfterMs: 60_000, firstDelayMs: 60_000, longestDelayMs: 60_000 };
    const { told, port } = await start('crashes', { restart });
    await until('it has died twice', () => told('a worker died').length === 2, LIMIT_MS);
    await expect(caller(`http://127.0.0.1:${port}`).call('GET', '/healthz')).rejects.toThrow(/hang up|ECONNRESET/);
  });

  it('and refuse are not replaced, and one reason is told for all', async () => {
    const { refusals, told } = await start('refuses', { count: 3 });
    await until('one has refused', () => refusals.length > 0, LIMIT_MS);
    await Promise.all(opened.splice(0).map((workers) => workers.drain()));
    expect(refusals).toEqual(['it cannot be']);
    expect(told('a worker died')).toEqual([]);
  });

  it('and are deaf are killed when the limit is over', async () => {
    const { workers, told } = await start('is deaf');
    await until('it serves', () => told('a worker serves').length === 1, LIMIT_MS);
    const pid = Number(told('a worker serves')[0]?.['workerPid']);
    expect(isAlive(pid)).toBe(true);
    await workers.drain();
    expect(isAlive(pid)).toBe(false);
  });

  it('wait from 1 to 30 seconds by default', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7, 8, 100].map((deaths) => restartDelayMs(deaths, RESTART_LIMITS));
    expect(delays).toEqual([0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });
});
