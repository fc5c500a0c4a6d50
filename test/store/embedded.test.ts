/**
 * The embedded Redis: real processes, killed for real. Facts are polled with a deadline, never slept for.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { makeFifo } from '../../src/redis/data-lock.ts';
import { startEmbedded } from '../../src/redis/embedded.ts';
import { findRedis, type RedisServer } from '../../src/redis/redis-binary.ts';
import { childrenOf, isAlive, until } from '../helpers/processes.ts';

const silent = (): void => {};
const mustNotEnd = (error: Error): void => {
  throw error;
};

let server: RedisServer;
let dataDir: string;
const apps: ChildProcess[] = [];
const clients: Redis[] = [];

beforeAll(async () => {
  server = await findRedis({ path: process.env['PATH'] ?? '', install: false, log: silent });
});

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'lk-'));
});

afterEach(async () => {
  // To disconnect one that has ended already would leave a timer of ioredis behind, and jest waiting for it.
  for (const redis of clients.splice(0)) if (redis.status !== 'end') redis.disconnect();
  const running = apps.splice(0).filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  await Promise.all(running.map((app) => kill(app)));
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 100, retryDelay: 20 });
});

interface Report {
  readonly app: ChildProcess;
  readonly socketPath?: string;
  readonly refused?: string;
}

/** Starts the app in a process (and process group) of its own; resolves with what it says. */
async function startApp(): Promise<Report> {
  const args = ['--import', 'tsx', 'test/helpers/embedded-app.ts', dataDir, JSON.stringify(server)];
  const app = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  apps.push(app);
  for await (const line of createInterface(app.stdout)) return { app, ...(JSON.parse(line) as Omit<Report, 'app'>) };
  throw new Error('the app ended without a word');
}

async function startedApp(): Promise<{ app: ChildProcess; redis: Redis }> {
  const { app, socketPath, refused } = await startApp();
  if (socketPath === undefined) throw new Error(refused);
  return { app, redis: client(socketPath) };
}

function client(path: string): Redis {
  const redis = new Redis({ path, maxRetriesPerRequest: 0, retryStrategy: () => null });
  redis.on('error', silent);
  clients.push(redis);
  return redis;
}

async function pidOf(redis: Redis): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]);
}

function ended(app: ChildProcess): Promise<number | NodeJS.Signals | null> {
  return new Promise((resolve) => app.once('exit', (code, signal) => resolve(signal ?? code)));
}

async function kill(app: ChildProcess): Promise<void> {
  const gone = ended(app);
  app.kill('SIGKILL');
  await gone;
}

/** A program on a PATH of its own that answers as told. */
function fakeServer(script: string): string {
  const path = join(dataDir, 'redis-server');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** How often this contender for the lock found that another one had it at the same time. */
async function contend(): Promise<string> {
  const args = ['--import', 'tsx', 'test/helpers/lock-contender.ts', dataDir];
  const contender = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  apps.push(contender);
  return text(contender.stdout);
}

describe('an app that is killed', () => {
  test('takes its Redis with it within a second', async () => {
    const { app, redis } = await startedApp();
    const pid = await pidOf(redis);
    await kill(app);
    await until('Redis is gone', () => !isAlive(pid));
  });

  test('starts again at once on the same folder, with its data', async () => {
    const first = await startedApp();
    await first.redis.set('kept', 'yes');
    await kill(first.app);
    const second = await startedApp();
    expect(await second.redis.get('kept')).toBe('yes');
  });

  test('starts again even when the guard of its Redis was killed before it', async () => {
    const first = await startedApp();
    await first.redis.set('kept', 'yes');
    const pid = await pidOf(first.redis);
    const others = childrenOf(first.app.pid ?? 0).filter((child) => child !== pid);
    for (const other of others) process.kill(other, 'SIGKILL');
    await until('the guard is gone', () => !others.some(isAlive));
    await kill(first.app);
    expect(isAlive(pid)).toBe(true);

    const second = await startedApp();
    expect(isAlive(pid)).toBe(false);
    expect(await second.redis.get('kept')).toBe('yes');
  });
});

describe('one data folder', () => {
  test('is refused to a second start while the first runs, and given once that has stopped', async () => {
    const first = await startEmbedded({ dataDir, server, onExit: mustNotEnd });
    await expect(startEmbedded({ dataDir, server, onExit: mustNotEnd })).rejects.toThrow(
      `${dataDir} is in use by another Latchkey (pid ${process.pid}); stop that one first.`,
    );
    await first.stop();
    const third = await startEmbedded({ dataDir, server, onExit: mustNotEnd });
    await third.stop();
  });

  test.each([1, 2, 3])('goes to exactly one of four simultaneous starts (round %i)', async () => {
    const reports = await Promise.all(Array.from({ length: 4 }, startApp));
    expect(reports.filter(({ socketPath }) => socketPath !== undefined)).toHaveLength(1);
    const refusals = reports.flatMap(({ refused }) => refused ?? []);
    expect(refusals).toEqual(Array.from({ length: 3 }, () => expect.stringContaining('is in use by another Latchkey')));
  });

  test('has one owner at a time, however many processes contend for it', async () => {
    const shared = await Promise.all(Array.from({ length: 4 }, contend));
    expect(shared).toEqual(Array.from({ length: 4 }, () => '0\n'));
  });

  test('is not blocked by a lock left behind, whose pid is now that of a living process', async () => {
    const name = `pid-${process.pid}-000000000000`;
    mkdirSync(join(dataDir, 'lock'));
    makeFifo(join(dataDir, 'lock', name));
    symlinkSync(name, join(dataDir, 'lock', '7'));
    const { redis } = await startedApp();
    expect(await redis.ping()).toBe('PONG');
  });

  test('may have a path too long for a unix socket', async () => {
    const long = join(dataDir, 'long-'.repeat(30));
    const embedded = await startEmbedded({ dataDir: long, server, onExit: mustNotEnd });
    expect(await client(embedded.socketPath).ping()).toBe('PONG');
    const detour = dirname(dirname(embedded.socketPath));
    expect(existsSync(detour)).toBe(true);
    await embedded.stop();
    expect(existsSync(detour)).toBe(false);
  });
});

describe('stop()', () => {
  test('leaves no process, however often it is called', async () => {
    const before = childrenOf(process.pid);
    const embedded = await startEmbedded({ dataDir, server, onExit: mustNotEnd });
    expect(childrenOf(process.pid).length).toBe(before.length + 2);
    await Promise.all([embedded.stop(), embedded.stop()]);
    await embedded.stop();
    await until('Redis and its guard are gone', () => childrenOf(process.pid).every((pid) => before.includes(pid)));
  });

  test('lets the app end by itself, and keeps what was written last', async () => {
    const { app, redis } = await startedApp();
    await redis.set('last', 'word');
    const end = ended(app);
    app.kill('SIGTERM');
    expect(await end).toBe(0);
    const again = await startedApp();
    expect(await again.redis.get('last')).toBe('word');
  });
});

describe('Redis', () => {
  test('outlives a Ctrl-C, which goes to the whole process group, while the app drains', async () => {
    const { app, redis } = await startedApp();
    process.kill(-(app.pid ?? 0), 'SIGINT');
    // Redis acts on a signal within 0.1 s; a blocked read that comes to its end shows that it got none.
    await expect(redis.blpop('nothing', 0.4)).resolves.toBeNull();
  });

  test('is reported once, with its log, when it ends by itself', async () => {
    const errors: Error[] = [];
    const embedded = await startEmbedded({ dataDir, server, onExit: (error) => errors.push(error) });
    const redis = client(embedded.socketPath);
    process.kill(await pidOf(redis), 'SIGTERM');
    await until('it is reported', () => errors.length > 0);
    await embedded.stop();
    expect(errors.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^Redis ended \(exit code 0\).*bye bye/s),
    ]);
  });

  test('that does not come up is an error which quotes its log, and gives the folder free', async () => {
    const broken = { ...server, path: fakeServer('echo "no room for a server"; exit 3') };
    const start = startEmbedded({ dataDir, server: broken, onExit: mustNotEnd });
    await expect(start).rejects.toThrow(/^Redis did not come up\. .*exit code 3.*no room for a server/s);
    await (await startEmbedded({ dataDir, server, onExit: mustNotEnd })).stop();
  });
});

describe('the Redis program', () => {
  test('is found, new enough', () => {
    expect(Number.parseInt(server.version, 10)).toBeGreaterThanOrEqual(7);
  });

  test.each(['apt-get update && sudo apt-get install', 'brew install', 'dnf install', 'apk add', 'set REDIS_URL'])(
    'when there is none and none may be installed, the error tells how: %s',
    async (instruction) => {
      await expect(findRedis({ path: '', install: false, log: silent })).rejects.toThrow(instruction);
    },
  );

  test('is installed with one line said first, when a package manager is there', async () => {
    const said: string[] = [];
    const newServer = 'printf "#!/bin/sh\\necho Redis server v=7.2.4\\n"';
    writeFileSync(
      join(dataDir, 'apk'),
      `#!/bin/sh\n${newServer} > "${dataDir}/redis-server"; chmod 755 "${dataDir}/redis-server"\n`,
    );
    writeFileSync(join(dataDir, 'sudo'), '#!/bin/sh\nshift; exec "$@"\n');
    for (const name of ['apk', 'sudo']) chmodSync(join(dataDir, name), 0o755);
    const found = await findRedis({ path: dataDir, install: true, log: (line) => said.push(line) });
    expect(found).toEqual({ path: join(dataDir, 'redis-server'), argv0: 'redis-server', version: '7.2.4' });
    expect(said).toEqual([expect.stringContaining('installing one with apk')]);
  });

  test('is looked for further on when its name is that of a folder, or of a program that cannot be run', async () => {
    mkdirSync(join(dataDir, 'folder/redis-server'), { recursive: true });
    mkdirSync(join(dataDir, 'broken'));
    writeFileSync(join(dataDir, 'broken/valkey-server'), '#!/no/such/interpreter\n', { mode: 0o755 });
    const path = ['folder', 'broken'].map((name) => join(dataDir, name)).join(delimiter);
    const searched = `${path}${delimiter}${process.env['PATH']}`;
    expect(await findRedis({ path: searched, install: false, log: silent })).toEqual(server);
  });

  test('is refused when it is too old', async () => {
    const path = fakeServer('echo "Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64"');
    const search = findRedis({ path: dataDir, install: true, log: silent });
    await expect(search).rejects.toThrow(`Redis 7.0 or newer is needed, but ${path} is 6.2.14.`);
  });
});
