/**
 * Owns the processes of a run: a Redis each that is asked for, servers, load. Each is ended by its pid when the run is over.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { findRedis } from '../../dist/redis/redis-binary.js';
import { startRedisProcess } from '../../dist/redis/redis-process.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const START_LIMIT_MS = 30_000;
const POLL_MS = 5;
/** So that the load collects its garbage seldom: its pauses would pass for the server's. */
const LOAD_HEAP = '--max-semi-space-size=64';

const running = [];
export const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));

/** Ends all that was started, the latest first, and removes what it wrote. */
export async function endAll() {
  for (const end of running.splice(0).toReversed()) await end();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** A Redis as the README asks for one: append-only file, written out each second, and records in the compact encoding. */
export async function startRedis(name) {
  const server = await findRedis({ path: process.env.PATH ?? '', install: true, log: console.error });
  const port = await freePort();
  const dir = mkdtempSync(join(folder, `redis-${name}-`));
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    dir,
    save: '',
    appendonly: 'yes',
    appendfsync: 'everysec',
    // A rewrite in the middle of a round would be measured as the round's.
    'auto-aof-rewrite-percentage': '0',
    'maxmemory-policy': 'noeviction',
    'hash-max-listpack-value': '512',
  };
  const redis = await startRedisProcess({
    server,
    args: Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value]),
    address: { host: '127.0.0.1', port },
    logFile: join(dir, 'redis.log'),
  });
  const client = new Redis({ host: '127.0.0.1', port });
  running.push(async () => {
    client.disconnect();
    await redis.end();
  });
  return { url: `redis://127.0.0.1:${port}`, port, client, version: server.version };
}

/**
 * Starts a program with a channel to its probe (probe.mjs). Resolves when it takes connections on `PORT`, with how long that
 * took (ms).
 */
export async function startServer({ name, args, env = {}, cwd = root }) {
  const port = await freePort();
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--import', join(root, 'bench/lib/probe.mjs'), ...args], {
    cwd,
    env: { PATH: process.env.PATH, NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), ...env },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (errors = (errors + text).slice(-4000)));
  const ended = once(child, 'exit');
  running.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  while (!(await takesConnections(port))) {
    if (child.exitCode !== null || performance.now() - startedAt > START_LIMIT_MS) {
      throw new Error(`${name} does not listen: ${errors}`);
    }
    await delay(POLL_MS);
  }
  return {
    url: `http://127.0.0.1:${port}`,
    startMs: performance.now() - startedAt,
    async ask(question) {
      const answer = once(child, 'message');
      child.send(question);
      return (await answer)[0];
    },
    /** As an operator does; the profile of a `--cpu-prof` is written then. */
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

function takesConnections(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Runs a plan of load.mjs in a process of its own. Throws when a request failed: its time would say nothing. */
export async function runLoad(plan) {
  const args = [LOAD_HEAP, join(root, 'bench/lib/load.mjs')];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(plan));
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => (text += chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the load on ${plan.url} ended with ${code}`);
  const result = JSON.parse(text);
  if (result.failed > 0) throw new Error(`${plan.url}: ${result.failed} of ${result.count} requests failed`);
  return result;
}
