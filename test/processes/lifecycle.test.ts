/**
 * How a process starts, refuses to start, and ends: real ones, judged by their exit code and by what they print.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { makeKeySet } from '../../src/tokens/signing-keys.ts';
import { freePort } from '../helpers/free-port.ts';
import { endRedis, ownRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import {
  ADMIN_KEY,
  admin,
  caller,
  createUser,
  endServers,
  GATEWAY_KEY,
  inParallel,
  issue,
  logOf,
  login,
  newDeployment,
  PASSWORD,
  REFRESH_SECRET,
  refresh,
  runNode,
  runServer,
  startServer,
  temporaryFolder,
  validate,
  type Answer,
  type AnyBody,
  type Caller,
  type RunningProcess,
} from '../helpers/server-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Only for what hangs: how long a busy machine takes decides nothing. */
const LIMIT_MS = 240_000;
/** What is promised of a start and an end, is promised of one process and of several. */
const WORKERS = ['1', '2'];
/** What is idle does not hold up the end: who waited for it would have needed all of the drain. */
const DRAIN_LIMIT_MS = 10_000;
const STACK_TRACE = /\n\s+at .*[:(]\d+/;

afterAll(async () => {
  await endServers();
  await endRedis();
}, LIMIT_MS);

/** Waits for a refusal: the process ends by itself, badly, with one message for people. */
async function refusalOf(running: RunningProcess): Promise<string> {
  expect((await running.exited).code).toBe(1);
  expect(running.stderr()).not.toMatch(STACK_TRACE);
  const lines = running.stderr().trimEnd().split('\n');
  expect(new Set(lines).size).toBe(lines.length);
  return running.stderr();
}

const kidOf = async (node: Caller): Promise<string> => {
  const { body } = await node.call('GET', '/.well-known/jwks.json');
  return (body as unknown as { keys: { kid: string }[] }).keys[0]?.kid ?? '';
};

const storedKeys = (dataDir: string) =>
  JSON.parse(readFileSync(join(dataDir, 'signing-keys-EdDSA.json'), 'utf8')) as { keys: { kid: string; d: string }[] };

describe('SIGTERM', () => {
  const LANES = 30;

  it.each([
    { WORKERS: '1' },
    { WORKERS: '2' },
    // On a Redis of its own, which has to outlive them all.
    { WORKERS: '2', REDIS_URL: '' },
  ])(
    'under load, with %j: every request on a connection gets its whole answer, then the process ends with 0',
    async (settings) => {
      const { env } = newDeployment(settings);
      const node = await startServer({ env });
      const { body: held } = await issue(node, 'ada');
      const answers: Answer[] = [];
      const failures: string[] = [];
      const load = inParallel(LANES, LANES, async (lane) => {
        const client = caller(node.url);
        for (;;) {
          try {
            const call = lane % 2 === 0 ? validate(client, held.accessToken) : issue(client, `user-${lane}`);
            answers.push(await call);
          } catch (error) {
            failures.push((error as NodeJS.ErrnoException).code ?? String(error));
            return;
          }
        }
      });
      await until('each lane has its connection', () => answers.length > LANES * 10, LIMIT_MS);
      node.kill('SIGTERM');
      await load;
      // The only way to fail: told to let go of its connection, a client found nobody to give it a new one.
      expect(new Set(failures)).toEqual(new Set(['ECONNREFUSED']));
      expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
      expect(await node.exited).toEqual({ code: 0, signal: null });
      expect(node.stderr()).toBe('');
    },
    LIMIT_MS,
  );

  it.each(WORKERS)(
    'with WORKERS=%s lets the password logins that are under way finish, and they are kept',
    async (count) => {
      const { env } = newDeployment({ LOGIN_POLICY: 'no-kick', WORKERS: count });
      const node = await startServer({ env });
      await createUser(node, 'ada');
      const clients = Array.from({ length: 20 }, () => caller(node.url));
      await Promise.all(clients.map((client) => client.call('GET', '/healthz')));
      const calls = clients.map((client) => login(client, 'ada'));
      await Promise.any(calls);
      node.kill('SIGTERM');
      const answers = await Promise.all(calls);
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect((await node.exited).code).toBe(0);
      const next = await startServer({ env });
      for (const { body } of answers) expect((await validate(next, body.accessToken)).status).toBe(200);
    },
    LIMIT_MS,
  );

  it.each(['SIGTERM', 'SIGINT'] as const)(
    '%s while idle, with a connection open, ends it soon',
    async (signal) => {
      const node = await startServer({ env: newDeployment().env });
      const connection = connect(node.port, '127.0.0.1');
      connection.write('GET /healthz HTTP/1.1\r\nHost: latchkey.test\r\n\r\n');
      await once(connection, 'data');
      node.kill(signal);
      // Well before an idle connection is let go of when nothing ends.
      await until('it is gone', () => node.exit() !== undefined, DRAIN_LIMIT_MS - 500);
      expect(node.exit()).toEqual({ code: 0, signal: null });
    },
    LIMIT_MS,
  );

  it.each(WORKERS)(
    'with WORKERS=%s and a connection that never said anything ends it soon',
    async (count) => {
      const node = await startServer({ env: newDeployment({ WORKERS: count }).env });
      const connection = connect(node.port, '127.0.0.1');
      await once(connection, 'connect');
      // Whoever connects after it is served after it.
      await node.call('GET', '/healthz');
      node.kill('SIGTERM');
      // Well before what is under way would be cut off.
      await until('it is gone', () => node.exit() !== undefined, DRAIN_LIMIT_MS - 500);
      expect(node.exit()).toEqual({ code: 0, signal: null });
    },
    LIMIT_MS,
  );

  it.each(WORKERS)(
    'with WORKERS=%s to the embedded Redis too, as service managers send it: what is under way is answered',
    async (count) => {
      const { env } = newDeployment({ REDIS_URL: '', WORKERS: count });
      const node = await startServer({ env });
      const connection = connect(node.port, '127.0.0.1');
      let answer = '';
      connection.setEncoding('utf8').on('data', (text: string) => (answer += text));
      const body = '{"userId":"ada","password":"correct horse","platform":"ios","deviceId":"phone"}';
      const head = `Content-Type: application/json\r\nContent-Length: ${body.length}`;
      connection.write(`POST /login HTTP/1.1\r\nHost: latchkey.test\r\n${head}\r\n\r\n${body.slice(0, 9)}`);
      await node.call('GET', '/healthz');
      const redis = new Redis({ path: join(env['DATA_DIR'] ?? '', 'redis/redis.sock'), retryStrategy: () => null });
      node.kill('SIGTERM');
      await until('it drains', () => logOf(node, 'draining').length > 0);
      redis.on('error', () => {});
      await redis.shutdown('NOSAVE').catch(() => {});
      await until('Redis is gone', () => redis.status === 'end');
      connection.write(body.slice(9));
      await once(connection, 'close');
      expect(answer).toContain('HTTP/1.1 503');
      expect(answer).toContain('store_unavailable');
      expect(await node.exited).toEqual({ code: 0, signal: null });
    },
    LIMIT_MS,
  );

  it.each(WORKERS)(
    'with WORKERS=%s when somebody has removed the log of the embedded Redis: ends in order',
    async (count) => {
      const { env } = newDeployment({ REDIS_URL: '', WORKERS: count });
      const node = await startServer({ env });
      rmSync(join(env['DATA_DIR'] ?? '', 'redis/redis.log'));
      node.kill('SIGTERM');
      expect(await node.exited).toEqual({ code: 0, signal: null });
      expect(node.stderr()).toBe('');
    },
    LIMIT_MS,
  );
});

/** A module after which stdout takes nothing, as on a full disk; with SIGUSR2 there is room again, in that file. */
const withoutStdout = (file: string) =>
  `data:text/javascript,${encodeURIComponent(`
  import { closeSync, openSync } from 'node:fs';
  closeSync(1);
  openSync('/dev/null', 'r');
  process.on('SIGUSR2', () => { closeSync(1); openSync(${JSON.stringify(file)}, 'a'); });`)}`;

async function startUnheard(settings: Readonly<Record<string, string>>) {
  const port = await freePort();
  const file = join(temporaryFolder(), 'log');
  const { env } = newDeployment(settings);
  const all = { ...env, PORT: String(port), LOG_LEVEL: 'info' };
  const running = runNode(['--import', withoutStdout(file), join(root, 'dist/main.js')], all);
  const node = caller(`http://127.0.0.1:${port}`);
  const isReady = () =>
    node.call('GET', '/readyz').then(
      ({ status }) => status === 200,
      () => false,
    );
  await until(`ready: ${running.stderr()}`, isReady);
  return { running, node, file, env };
}

describe('a log that cannot be written', () => {
  it.each(WORKERS)(
    'with WORKERS=%s costs its lines, not the service',
    async (count) => {
      const { running, node } = await startUnheard({ WORKERS: count });
      for (let call = 0; call < 50; call += 1) expect((await issue(node, 'ada')).status).toBe(200);
      running.kill('SIGTERM');
      expect(await running.exited).toEqual({ code: 0, signal: null });
      expect([running.stdout(), running.stderr()]).toEqual(['', '']);
    },
    LIMIT_MS,
  );

  it(
    'goes on as soon as it can be',
    async () => {
      const { running, node, file } = await startUnheard({});
      for (let call = 0; call < 50; call += 1) await issue(node, 'ada');
      running.kill('SIGUSR2');
      await until('there is room', () => existsSync(file));
      await issue(node, 'ada');
      const lines = () => readFileSync(file, 'utf8').trim().split('\n').filter(Boolean);
      await until('the line is there', () => lines().length > 0);
      expect(lines().map((line) => (JSON.parse(line) as { route: string }).route)).toEqual([
        '/admin/users/:userId/tokens',
      ]);
    },
    LIMIT_MS,
  );

  it.each(WORKERS)(
    'with WORKERS=%s does not hold up an end with a fatal line',
    async (count) => {
      const { running, env } = await startUnheard({ REDIS_URL: '', WORKERS: count });
      const redis = new Redis({ path: join(env['DATA_DIR'] ?? '', 'redis/redis.sock'), retryStrategy: () => null });
      redis.on('error', () => {});
      await redis.shutdown('NOSAVE').catch(() => {});
      expect(await running.exited).toEqual({ code: 1, signal: null });
      expect(running.stderr()).toContain('Redis ended');
    },
    LIMIT_MS,
  );
});

describe('a process that nobody reads the output of any more', () => {
  it.each([0, 5])(
    'answers %i more requests and ends in order',
    async (requests) => {
      // Without any request there is no connection to wait for, and what it says last is said in one go with the exit.
      const node = await startServer({ env: newDeployment().env, ready: requests > 0 });
      node.stopReading();
      for (let count = 0; count < requests; count += 1) expect((await issue(node, 'ada')).status).toBe(200);
      node.kill('SIGTERM');
      await until('it is gone', () => node.exit() !== undefined);
      expect(node.exit()).toEqual({ code: 0, signal: null });
    },
    LIMIT_MS,
  );
});

describe('a start that cannot be', () => {
  const NEEDED = ['REDIS_URL', 'ISSUER', 'SIGNING_KEYS_FILE', 'REFRESH_SECRET', 'ADMIN_API_KEY', 'GATEWAY_API_KEY'];

  it('in production with nothing set: names all that is missing', async () => {
    const running = runServer({ env: { NODE_ENV: 'production' } });
    const said = await refusalOf(running);
    expect(NEEDED.filter((name) => !said.includes(`${name}: must be given in production`))).toEqual([]);
    expect(running.stdout()).toBe('');
  });

  it('in production with some set wrongly: names these too, all at once, and repeats no secret', async () => {
    const env = { NODE_ENV: 'production', LOGIN_POLICY: 'no-such', ADMIN_API_KEY: 'short-secret', SHARDS: 'many' };
    const said = await refusalOf(runServer({ env }));
    for (const name of ['ADMIN_API_KEY', 'SHARDS', 'REDIS_URL', 'GATEWAY_API_KEY']) expect(said).toContain(`${name}: `);
    expect(said).not.toContain('short-secret');
  });

  it.each(WORKERS)('with WORKERS=%s and a port that is in use: says which', async (count) => {
    const { env } = newDeployment({ WORKERS: count });
    const first = await startServer({ env });
    const said = await refusalOf(runServer({ env: { ...env, PORT: String(first.port) } }));
    expect(said).toContain(`PORT: ${first.port} on 127.0.0.1 cannot be listened on: it is in use by another process`);
  });

  it.each(WORKERS)(
    'F29 with WORKERS=%s and an address that is not of this machine: names the setting',
    async (count) => {
      const { env } = newDeployment({ WORKERS: count, HOST: '192.0.2.1' });
      expect(await refusalOf(runServer({ env }))).toContain('HOST: 192.0.2.1 cannot be listened on: it is no address');
    },
  );

  it.each(WORKERS)(
    'with WORKERS=%s and a port in use, embedded: leaves nothing in the way of the next start',
    async (count) => {
      const first = await startServer({ env: newDeployment().env });
      const DATA_DIR = temporaryFolder();
      await refusalOf(runServer({ env: { DATA_DIR, PORT: String(first.port), WORKERS: count } }));
      const next = await startServer({ env: { DATA_DIR } });
      expect((await next.call('GET', '/readyz')).status).toBe(200);
    },
    LIMIT_MS,
  );

  it('on a data folder that another one runs on: says so, and the first goes on', async () => {
    const DATA_DIR = temporaryFolder();
    const first = await startServer({ env: { DATA_DIR } });
    const said = await refusalOf(runServer({ env: { DATA_DIR } }));
    expect(said).toContain(`${DATA_DIR} is in use by another Latchkey (pid ${first.pid})`);
    expect((await first.call('GET', '/readyz')).status).toBe(200);
  });
});

describe.each(WORKERS)('a second node, with WORKERS=%s, that does not fit the first', (count) => {
  it('in SHARDS is refused with both numbers', async () => {
    const { env } = newDeployment();
    const first = await startServer({ env });
    const said = await refusalOf(runServer({ env: { ...env, SHARDS: '8', WORKERS: count } }));
    expect(said).toContain('SHARDS=64');
    expect(said).toContain('SHARDS=8');
    expect((await issue(first, 'ada')).status).toBe(200);
  });

  it('in its signing keys is refused with both kids', async () => {
    const { env } = newDeployment();
    const first = await startServer({ env });
    const DATA_DIR = temporaryFolder();
    const said = await refusalOf(runServer({ env: { ...env, DATA_DIR, WORKERS: count } }));
    expect(said).toContain(await kidOf(first));
    expect(said).toContain(storedKeys(DATA_DIR).keys[0]?.kid);
    expect((await issue(first, 'ada')).status).toBe(200);
  });
});

describe('a Redis that may evict tokens', () => {
  it(
    'is a warning in development and a refusal in production',
    async () => {
      const redis = await ownRedis({ settings: { 'maxmemory-policy': 'allkeys-lru' } });
      await redis.start();
      const { env } = newDeployment({ REDIS_URL: redis.url });
      const node = await startServer({ env });
      expect(node.stdout()).toMatch(/"level":40.*allkeys-lru.*noeviction/);
      expect((await issue(node, 'ada')).status).toBe(200);

      const SIGNING_KEYS_FILE = join(temporaryFolder(), 'keys.json');
      writeFileSync(SIGNING_KEYS_FILE, JSON.stringify(await makeKeySet('EdDSA')));
      const production = { ...newDeployment(env).env, KEY_PREFIX: 'other', NODE_ENV: 'production', SIGNING_KEYS_FILE };
      const said = await refusalOf(runServer({ env: { ...production, HOST: '127.0.0.1' } }));
      expect(said).toMatch(/allkeys-lru.*noeviction/);
      // With the right policy the very same settings start.
      const good = await ownRedis();
      await good.start();
      const started = await startServer({ env: { ...production, REDIS_URL: good.url, HOST: '127.0.0.1' } });
      expect(started.stdout()).not.toContain('allkeys-lru');
    },
    LIMIT_MS,
  );
});

/** The curl line as printed, run by a shell as a person would. */
async function runPrintedCurl(stdout: string): Promise<AnyBody> {
  const command = /^ {2}curl (?:[^\n]*\\\n)*[^\n]*/m.exec(stdout)?.[0] ?? 'echo no curl line';
  return JSON.parse((await promisify(execFile)('sh', ['-c', command])).stdout) as AnyBody;
}

describe.each(WORKERS)('the embedded default with WORKERS=%s', (count) => {
  it(
    'prints a curl line that signs in; keys and tokens outlive a stop and a SIGKILL',
    async () => {
      const env = { DATA_DIR: temporaryFolder(), WORKERS: count };
      const first = await startServer({ env });
      const signedIn = await runPrintedCurl(first.stdout());
      expect(signedIn.token).toMatchObject({ userId: 'ada', platform: 'ios' });
      expect((await validate(first, signedIn.accessToken)).status).toBe(200);
      const kid = await kidOf(first);
      first.kill('SIGTERM');
      expect((await first.exited).code).toBe(0);

      const second = await startServer({ env });
      expect(await kidOf(second)).toBe(kid);
      expect((await validate(second, signedIn.accessToken)).status).toBe(200);
      const again = await runPrintedCurl(second.stdout());
      expect((await validate(second, again.accessToken)).status).toBe(200);
      second.kill('SIGKILL');
      await second.exited;

      const third = await startServer({ env });
      expect(await kidOf(third)).toBe(kid);
      expect((await validate(third, again.accessToken)).status).toBe(200);
      expect((await refresh(third, again.refreshToken)).status).toBe(200);
    },
    LIMIT_MS,
  );

  it('shows the admin key at the first start only, and no other secret ever', async () => {
    const DATA_DIR = temporaryFolder();
    const first = await startServer({ env: { DATA_DIR, LOG_LEVEL: 'trace', WORKERS: count } });
    first.kill('SIGTERM');
    await first.exited;
    const second = await startServer({ env: { DATA_DIR, LOG_LEVEL: 'trace', WORKERS: count } });
    const secrets = JSON.parse(readFileSync(join(DATA_DIR, 'secrets.json'), 'utf8')) as Record<string, string>;
    const { adminApiKey = '', gatewayApiKey = '', refreshSecret = '' } = secrets;
    const logged = first
      .stdout()
      .split('\n')
      .filter((line) => line.startsWith('{'));
    expect(first.stdout().split(`Admin key: ${adminApiKey}`)).toHaveLength(2);
    for (const text of [...logged, second.stdout()]) expect(text).not.toContain(adminApiKey);
    for (const text of [first.stdout(), second.stdout(), first.stderr(), second.stderr()]) {
      for (const secret of [gatewayApiKey, refreshSecret, storedKeys(DATA_DIR).keys[0]?.d]) {
        expect(text).not.toContain(secret);
      }
    }
  });
});

describe.each(WORKERS)('F29 a start before Redis, with WORKERS=%s', (count) => {
  it(
    'says once what is wrong with which host, and how to try it when that works',
    async () => {
      const own = await ownRedis();
      const env = { REDIS_URL: own.url, DATA_DIR: temporaryFolder(), WORKERS: count, REDISURL: 'x' };
      const server = await startServer({ env, ready: false });
      const trouble = () => logOf(server, 'Redis cannot be used: what needs it is answered 503');
      await until('it is told', () => trouble().length > 0);
      expect(server.stdout()).not.toContain('Sign somebody in');
      await own.start();
      await until('it works', () => server.stdout().includes('Sign somebody in'));
      const told = trouble();
      expect(told).toHaveLength(new Set(told.map(({ pid, reason }) => `${String(pid)} ${String(reason)}`)).size);
      expect(told[0]).toMatchObject({ redis: own.url.replace('redis://', ''), level: 50 });
      expect(server.stdout()).not.toContain('"stack"');
      expect(logOf(server, 'REDISURL: is no setting; was REDIS_URL meant?')).toHaveLength(1);
      const line = /curl -s '([^']+)'.*?\n.*?Bearer \S*?([\w-]{43}|\$\(.+?\))"/.exec(server.stdout());
      expect(line?.[1]).toBe(`${server.url}/admin/users/ada/tokens`);
    },
    LIMIT_MS,
  );
});

describe('what a process writes', () => {
  it(
    'at LOG_LEVEL=trace, through logins, mistakes and an outage, holds no secret',
    async () => {
      const redisPassword = 'password-of-redis-0123456789';
      const redis = await ownRedis();
      await redis.start();
      const operator = new Redis(redis.url, { retryStrategy: () => null });
      await operator.acl('SETUSER', 'latchkey', 'on', `>${redisPassword}`, '~*', '&*', '+@all');
      const REDIS_URL = redis.url.replace('//', `//latchkey:${redisPassword}@`);
      const { env } = newDeployment({ REDIS_URL, LOG_LEVEL: 'trace' });
      const node = await startServer({ env });
      const wrong = 'wrong horse battery staple';
      await createUser(node, 'ada');
      const pairs = [await login(node, 'ada'), await login(node, 'ada'), await issue(node, 'ada')];
      const everyCall = async () => {
        const { body } = pairs[2] as Answer;
        await Promise.all([
          login(node, 'ada', { deviceId: 'a', deviceName: 'b' }),
          node.call('POST', '/login', { json: { userId: 'ada', password: wrong, platform: 'ios', deviceId: 'd' } }),
          node.call('POST', '/login', { json: { userId: 'ada', password: wrong, platform: 'nothing' } }),
          node.call('POST', '/token/refresh', { json: { refreshToken: body.refreshToken } }),
          node.call('POST', `/token/refresh?refreshToken=${body.refreshToken}`, { json: { token: body.accessToken } }),
          node.call('POST', '/logout', { json: { refreshToken: `${body.refreshToken}x` } }),
          validate(node, body.accessToken),
          validate(node, `${body.accessToken}x`),
          node.call('GET', `/no/such/${body.accessToken}`),
          admin(node, 'PATCH', '/users/ada', { password: PASSWORD }),
          node.call('GET', '/admin/users', { headers: { authorization: `Bearer ${GATEWAY_KEY}` } }),
          node.call('GET', '/admin/users', { headers: { authorization: `Basic ${btoa(`x:${ADMIN_KEY}`)}` } }),
        ]);
      };
      await everyCall();
      // Refused by Redis: such an error carries the command, with the hash of a password among its arguments.
      await operator.acl('SETUSER', 'latchkey', '-eval', '-evalsha');
      await everyCall();
      operator.disconnect();
      await redis.kill();
      await everyCall();
      node.kill('SIGTERM');
      await node.exited;

      const written = node.stdout() + node.stderr();
      expect(written).toContain('NOPERM');
      expect(written).toContain('"code":"store_unavailable"');
      const { d: privateKey = '' } = storedKeys(env['DATA_DIR'] ?? '').keys[0] ?? {};
      const tokens = pairs.flatMap(({ body }) => [body.accessToken, body.refreshToken]);
      const parts = tokens.map((token) => token.slice(-20));
      const keys = [ADMIN_KEY, GATEWAY_KEY, REFRESH_SECRET, btoa(`x:${ADMIN_KEY}`), privateKey];
      for (const secret of [...tokens, ...parts, ...keys, PASSWORD, wrong, '$argon2', redisPassword]) {
        expect(secret).not.toBe('');
        expect(written).not.toContain(secret);
      }
    },
    LIMIT_MS,
  );
});
