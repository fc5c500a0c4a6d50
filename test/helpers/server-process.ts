/**
 * Latchkey as real processes, on the code that `npm test` has built: started, called over keep-alive connections,
 * signalled, killed. What a file starts is ended by {@link endServers} in its afterAll, each by its pid.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ADMIN_KEY, GATEWAY_KEY, NO_THROTTLE, REFRESH_SECRET } from './keys.ts';
import { until } from './processes.ts';
import { testPrefix, testRedisUrl } from './test-redis.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Connections that one client keeps to one server. */
const CONNECTIONS = 64;
/** A client lets go of an idle connection long before the server does, so that the two never cross. */
const CLIENT_IDLE_MS = 1_500;
/** A start on a machine that is busy with other tests takes seconds. */
const START_LIMIT_MS = 30_000;

export { ADMIN_KEY, GATEWAY_KEY, REFRESH_SECRET };

type Env = Readonly<Record<string, string>>;

/** What all nodes of one deployment share. */
export type Deployment = { readonly prefix: string; readonly env: Env };

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type RunningProcess = {
  readonly pid: number;
  /** Resolves with how it ended, when all of its output has been read. */
  readonly exited: Promise<Exit>;
  /** Undefined while it runs. */
  readonly exit: () => Exit | undefined;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Closes the reading end of what it prints to. */
  readonly stopReading: () => void;
  /** Sends a signal and does not wait. */
  readonly kill: (signal: NodeJS.Signals) => void;
};

export type ServerProcess = RunningProcess &
  Caller & {
    readonly port: number;
    readonly url: string;
  };

/** Body and headers of an answer; `body` is undefined when there was none. */
export type Answer<T = AnyBody> = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: T;
};

/** The parts of answers that these tests look at. */
export type AnyBody = {
  readonly code: string;
  readonly status: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly token: TokenView;
  readonly tokens: readonly TokenView[];
  readonly displaced: readonly { tokenId: string; state: string }[];
  readonly revoked: readonly { tokenId: string }[];
  readonly events: readonly { type: string; tokenId?: string; userId: string; tenant: string }[];
};

export type TokenView = {
  readonly tokenId: string;
  readonly tenant: string;
  readonly userId: string;
  readonly platform: string;
  readonly deviceId: string;
  readonly state: string;
};

export type CallOptions = { readonly headers?: Env; readonly json?: unknown };

export type Caller = {
  /** Rejects when the connection broke before the answer was whole. */
  readonly call: (method: string, path: string, options?: CallOptions) => Promise<Answer>;
};

const started: RunningProcess[] = [];
const folders: string[] = [];
const agents: Agent[] = [];

/** Settings for any number of nodes: the keys of the tests, one data folder for the signing keys, a prefix of its own. */
export function newDeployment(env: Env = {}): Deployment {
  const prefix = testPrefix();
  return {
    prefix,
    env: {
      REDIS_URL: testRedisUrlOr(env),
      KEY_PREFIX: prefix,
      DATA_DIR: temporaryFolder(),
      ISSUER: 'http://latchkey.test',
      REFRESH_SECRET,
      ...NO_THROTTLE,
      ADMIN_API_KEY: ADMIN_KEY,
      GATEWAY_API_KEY: GATEWAY_KEY,
      ...env,
    },
  };
}

function testRedisUrlOr(env: Env): string {
  return env['REDIS_URL'] ?? testRedisUrl();
}

/** A folder that {@link endServers} removes. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-process-'));
  folders.push(folder);
  return folder;
}

/** Starts a server and resolves when it is ready, or with `ready: false` when it listens. Throws with its output if it ends. */
export async function startServer({ env, ready = true }: { env: Env; ready?: boolean }): Promise<ServerProcess> {
  const running = runServer({ env });
  const port = await listeningPort(running);
  const url = `http://127.0.0.1:${port}`;
  const server = { ...running, port, url, ...caller(url) };
  const isReady = async () => (await server.call('GET', '/readyz')).status === 200;
  if (ready) await until(`ready: ${running.stdout()}`, isReady, START_LIMIT_MS);
  const workers = Number(env['WORKERS'] ?? 1);
  if (workers > 1) await until('all workers serve', () => servingWorkers(running).length >= workers, START_LIMIT_MS);
  return server;
}

/** Pids of the workers that have begun to serve, by the log of their primary, in that order; the dead are among them. */
export function servingWorkers(running: RunningProcess): number[] {
  return logOf(running, 'a worker serves').map(({ workerPid }) => Number(workerPid));
}

/** What a process has logged under this message. */
export function logOf(running: RunningProcess, msg: string): Readonly<Record<string, unknown>>[] {
  const lines = running
    .stdout()
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => line['msg'] === msg);
}

/** Starts a server and waits for nothing: for those that are to refuse. */
export function runServer({ env }: { readonly env: Env }): RunningProcess {
  return runNode(['--enable-source-maps', join(root, 'dist/main.js')], { PORT: '0', LOG_LEVEL: 'info', ...env });
}

/** Runs Node with these variables and no others but PATH: a developer's own settings must not leak into a test. */
export function runNode(args: readonly string[], env: Env): RunningProcess {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', LATCHKEY_NO_INSTALL: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  let exit: Exit | undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      exit = { code, signal };
      resolve(exit);
    });
  });
  const running = {
    pid: child.pid ?? 0,
    exited,
    exit: () => exit,
    stdout: () => stdout,
    stderr: () => stderr,
    stopReading: () => {
      child.stdout.destroy();
      child.stderr.destroy();
    },
    kill: (signal: NodeJS.Signals) => void child.kill(signal),
  };
  started.push(running);
  return running;
}

async function listeningPort(running: RunningProcess): Promise<number> {
  const lineOf = () => /^.*"msg":"listening".*}$/m.exec(running.stdout())?.[0];
  await until('the server listens', () => lineOf() !== undefined || running.exit() !== undefined, START_LIMIT_MS);
  const line = lineOf();
  if (line === undefined) throw new Error(`the server ended:\n${running.stdout()}${running.stderr()}`);
  return (JSON.parse(line) as { port: number }).port;
}

/** Kills what still runs and removes the folders. */
export async function endServers(): Promise<void> {
  for (const agent of agents.splice(0)) agent.destroy();
  const running = started.splice(0).filter((one) => one.exit() === undefined);
  for (const one of running) one.kill('SIGKILL');
  await Promise.all(running.map((one) => one.exited));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true, maxRetries: 50 });
}

/** Calls over connections that are kept. */
export function caller(url: string): Caller {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, timeout: CLIENT_IDLE_MS });
  agents.push(agent);
  return {
    call: (method, path, { headers = {}, json } = {}) =>
      new Promise<Answer>((resolve, reject) => {
        const body = json === undefined ? undefined : JSON.stringify(json);
        const type = body === undefined ? {} : { 'content-type': 'application/json' };
        const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
        const sent = request(`${url}${path}`, { method, agent, headers: { ...type, ...length, ...headers } });
        sent.once('error', reject);
        sent.once('response', (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response.once('error', reject);
          response.once('end', () => {
            if (!response.complete) return reject(new Error('the answer was cut off'));
            const { statusCode = 0, headers: received } = response;
            return resolve({ status: statusCode, headers: received, body: bodyOf(text) });
          });
        });
        sent.end(body);
      }),
  };
}

function bodyOf(text: string): AnyBody {
  return (text === '' ? undefined : JSON.parse(text)) as AnyBody;
}

export const PASSWORD = 'correct horse battery staple';
const asAdmin = { authorization: `Bearer ${ADMIN_KEY}` };

type Device = { readonly platform?: string; readonly deviceId?: string; readonly deviceName?: string };

let devices = 0;
const withDevice = (device: Device) => ({ platform: 'ios', deviceId: `device-${(devices += 1)}`, ...device });

/** An admin call; `path` begins below `/admin`. */
export const admin = (node: Caller, method: string, path: string, json?: unknown): Promise<Answer> =>
  node.call(method, `/admin${path}`, { headers: asAdmin, ...(json !== undefined && { json }) });

export const createUser = (node: Caller, userId: string): Promise<Answer> =>
  admin(node, 'POST', '/users', { userId, password: PASSWORD });

export const login = (node: Caller, userId: string, device: Device = {}): Promise<Answer> =>
  node.call('POST', '/login', { json: { userId, password: PASSWORD, ...withDevice(device) } });

/** Trusted issuance. */
export const issue = (node: Caller, userId: string, device: Device = {}, tenant = 'default'): Promise<Answer> =>
  admin(node, 'POST', `/users/${userId}/tokens?tenant=${tenant}`, withDevice(device));

export const validate = (node: Caller, accessToken: string, tenant = 'default'): Promise<Answer> =>
  node.call('GET', `/validate/${tenant}`, { headers: { authorization: `Bearer ${accessToken}` } });

export const refresh = (node: Caller, refreshToken: string): Promise<Answer> =>
  node.call('POST', '/token/refresh', { json: { refreshToken } });

export const listTokens = async (node: Caller, userId: string, tenant = 'default'): Promise<readonly TokenView[]> =>
  (await admin(node, 'GET', `/users/${userId}/tokens?tenant=${tenant}`)).body.tokens;

export const revokeAll = (node: Caller, userId: string, reason = 'test'): Promise<Answer> =>
  admin(node, 'DELETE', `/users/${userId}/tokens?reason=${reason}`);

/** What happened, oldest first: `token.issued <tokenId>`. */
export const historyOf = async (node: Caller, userId: string): Promise<string[]> => {
  const { body } = await admin(node, 'GET', `/users/${userId}/history`);
  return body.events.map(({ type, tokenId = '' }) => `${type} ${tokenId}`.trim()).toReversed();
};

/** Runs `task` for 0 … count-1, `atOnce` of them at a time; answers in order. */
export async function inParallel<T>(count: number, atOnce: number, task: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const index = next;
      next += 1;
      results[index] = await task(index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
  return results;
}
