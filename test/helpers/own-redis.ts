/**
 * A Redis of a test's own, to be stopped, killed and started again on the same port. Ended by {@link endRedis}.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { findRedis } from '../../src/redis/redis-binary.ts';
import { startRedisProcess, type RedisProcess } from '../../src/redis/redis-process.ts';
import { freePort } from './free-port.ts';
import { until } from './processes.ts';

const HOST = '127.0.0.1';

export type OwnRedisOptions = {
  /** Keep data over restarts, each write on disk before it is confirmed. */
  readonly appendOnly?: boolean;
  readonly settings?: Readonly<Record<string, string>>;
  /** Of the default user; asked for as soon as it is up. */
  readonly password?: string;
};

export type OwnRedis = {
  readonly url: string;
  /** Starts it; at first, and again after {@link OwnRedis.kill}. */
  readonly start: () => Promise<void>;
  /** SIGSTOP: it takes connections and commands, and answers none. */
  readonly freeze: () => void;
  /** SIGCONT: it answers what has come in meanwhile. */
  readonly thaw: () => void;
  /** SIGKILL; resolves when it is gone. */
  readonly kill: () => Promise<void>;
};

const opened: { readonly folder: string; readonly end: () => Promise<void> }[] = [];

/** Picks a port and starts nothing. */
export async function ownRedis({
  appendOnly = false,
  settings = {},
  password,
}: OwnRedisOptions = {}): Promise<OwnRedis> {
  const server = await findRedis({ path: process.env['PATH'] ?? '', install: false, log: () => {} });
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-own-redis-'));
  const port = await freePort();
  const all = {
    bind: HOST,
    port: String(port),
    dir: folder,
    save: '',
    appendonly: appendOnly ? 'yes' : 'no',
    appendfsync: 'always',
    'maxmemory-policy': 'noeviction',
    ...settings,
  };
  let running: RedisProcess | undefined;
  const signal = (name: NodeJS.Signals) => {
    if (running === undefined) throw new Error('this Redis does not run');
    process.kill(running.pid, name);
  };
  const kill = async () => {
    if (running === undefined) return;
    signal('SIGKILL');
    await running.ended;
    running = undefined;
  };
  opened.push({ folder, end: kill });
  return {
    url: `redis://${HOST}:${port}`,
    async start() {
      running = await startRedisProcess({
        server,
        args: Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
        address: { host: HOST, port },
        logFile: join(folder, 'redis.log'),
      });
      if (password !== undefined) await protect(port, password);
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    kill,
  };
}

/** Not by its settings: it counts as up when it answers a PING of anybody. */
async function protect(port: number, password: string): Promise<void> {
  const redis = new Redis({ host: HOST, port });
  await redis.config('SET', 'masterauth', password);
  await redis.config('SET', 'requirepass', password);
  redis.disconnect();
}

export type SentinelOptions = {
  /** What stands in its file beside the master: `requirepass`, TLS, … */
  readonly lines?: readonly string[];
  /** Where the master is to be reached, if not by its own port. */
  readonly masterPort?: number;
};

/** A Sentinel that watches a server under the name `main`, and agrees with itself alone. */
export async function ownSentinel(
  master: OwnRedis,
  { lines = [], masterPort }: SentinelOptions = {},
): Promise<{ port: number }> {
  const server = await findRedis({ path: process.env['PATH'] ?? '', install: false, log: () => {} });
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-own-sentinel-'));
  const port = await freePort();
  const file = join(folder, 'sentinel.conf');
  const watched = `sentinel monitor main ${HOST} ${masterPort ?? portOf(master)} 1`;
  writeFileSync(file, [`bind ${HOST}`, `port ${port}`, `dir ${folder}`, watched, ...lines, ''].join('\n'));
  const running = await startRedisProcess({
    server,
    args: [file, '--sentinel'],
    address: { host: HOST, port },
    logFile: join(folder, 'sentinel.log'),
  });
  opened.push({ folder, end: () => running.end() });
  return { port };
}

/** Kills what still runs and removes the folders. */
export async function endRedis(): Promise<void> {
  for (const { folder, end } of opened.splice(0)) {
    await end();
    rmSync(folder, { recursive: true, force: true });
  }
}

export const portOf = ({ url }: OwnRedis) => Number(new URL(url).port);

type ClusterOptions = Omit<OwnRedisOptions, 'appendOnly'> & {
  /** Settings of one node alone, asked for before it starts. */
  readonly each?: () => Promise<Readonly<Record<string, string>>>;
};

/** Masters that share the slots, and their address as Latchkey takes it. Resolves when all of them agree. */
export async function ownCluster(
  count: number,
  { settings: own = {}, password, each }: ClusterOptions = {},
): Promise<{ url: string; nodes: OwnRedis[] }> {
  const nodes: OwnRedis[] = [];
  const busPorts: number[] = [];
  for (let n = 0; n < count; n += 1) {
    const busPort = await freePort();
    const bus = { 'cluster-enabled': 'yes', 'cluster-port': String(busPort), 'cluster-node-timeout': '1500' };
    busPorts.push(busPort);
    nodes.push(await ownRedis({ settings: { ...bus, ...own, ...(await each?.()) }, ...(password && { password }) }));
  }
  await Promise.all(nodes.map((node) => node.start()));
  const clients = nodes.map(({ url }) => new Redis(url, { ...(password && { password }) }));
  for (const [n, client] of clients.entries()) {
    const from = Math.ceil((16_384 * n) / count);
    await client.cluster('ADDSLOTSRANGE', from, Math.ceil((16_384 * (n + 1)) / count) - 1);
    for (const [other, node] of nodes.entries())
      await client.call('CLUSTER', 'MEET', HOST, portOf(node), busPorts[other] ?? 0);
  }
  const agrees = async (client: Redis) => {
    const info = String(await client.call('CLUSTER', 'INFO'));
    return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${count}`);
  };
  await until('the cluster is whole', async () => (await Promise.all(clients.map(agrees))).every(Boolean), 15_000);
  for (const client of clients) client.disconnect();
  return { url: `redis+cluster://${nodes.map((node) => `${HOST}:${portOf(node)}`).join(',')}`, nodes };
}
