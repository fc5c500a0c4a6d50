/**
 * Runs one Redis server as a child of this process: up when it answers PING, ended with this process.
 * Knows nothing of where data lives, who may own it, or how the server is configured.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { startOrphanGuard } from './orphan-guard.ts';
import { ask, type RedisAddress } from './redis-ask.ts';
import type { RedisServer } from './redis-binary.ts';

/** Without any answer; a server that answers LOADING may take as long as its data needs. */
const SILENCE_LIMIT_MS = 10_000;
const END_LIMIT_MS = 5_000;
const POLL_MS = 10;

export interface RedisProcessOptions {
  readonly server: RedisServer;
  readonly args: readonly string[];
  readonly address: RedisAddress;
  /** Its output; overwritten. */
  readonly logFile: string;
  /** A file descriptor that the server keeps open for as long as it lives. */
  readonly keepOpen?: number;
  /** Removed if this process dies; otherwise the caller's to remove. */
  readonly temporaryFolder?: string;
}

export interface RedisProcess {
  readonly pid: number;
  /** Resolves when it has ended, whoever wanted that, with a sentence for people. Never rejects. */
  readonly ended: Promise<string>;
  /** Ends it in order, with its append-only file written out. Idempotent; resolves when it is gone. */
  end(): Promise<void>;
}

/** Resolves when the server answers; when it does not come up, nothing is left and the error quotes its log. */
export async function startRedisProcess(options: RedisProcessOptions): Promise<RedisProcess> {
  const guard = startOrphanGuard(options.temporaryFolder);
  const child = spawnServer(options);
  if (child.pid !== undefined) guard.watch(child.pid);
  let alive = true;
  const ended = endOf(child).then((how) => {
    alive = false;
    guard.release();
    return `Redis ended (${how}). The end of its log, ${options.logFile}:\n${tailOf(options.logFile)}`;
  });
  const end = async (): Promise<void> => {
    if (!alive) return;
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), END_LIMIT_MS);
    await ended;
    clearTimeout(kill);
  };
  if (!(await answers(options.address, () => alive))) {
    await end();
    throw new Error(`Redis did not come up. ${await ended}`);
  }
  return { pid: child.pid ?? 0, ended, end };
}

function spawnServer({ server, args, logFile, keepOpen }: RedisProcessOptions): ChildProcess {
  const log = openSync(logFile, 'w', 0o600);
  try {
    // Its own process group: Ctrl-C in a terminal goes to the whole group, and Redis must outlive the app's drain.
    return spawn(server.path, args, {
      argv0: server.argv0,
      detached: true,
      stdio: [keepOpen ?? 'ignore', log, log],
    });
  } finally {
    closeSync(log);
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}

async function answers(address: RedisAddress, alive: () => boolean): Promise<boolean> {
  let silentSince = performance.now();
  while (alive() && performance.now() - silentSince < SILENCE_LIMIT_MS) {
    const reply = await ask(address, 'PING');
    if (reply === '+PONG') return alive();
    if (reply !== '') silentSince = performance.now();
    await delay(POLL_MS);
  }
  return false;
}

function tailOf(logFile: string): string {
  try {
    return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-10).join('\n');
  } catch (error) {
    return `(it cannot be read: ${(error as Error).message})`;
  }
}
