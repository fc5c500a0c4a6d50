/**
 * The Redis of a deployment that has none: a real server as a child, on a private unix socket, with an
 * append-only file in the data folder. Guarantees: one owner a folder, no server outlives its app, and whatever
 * was written more than a second before a SIGKILL is there after the next start. Reads no environment.
 */
import { closeSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { acquireDataLock, isHeld, makeFifo, openFifo } from './data-lock.ts';
import { ask } from './redis-ask.ts';
import type { RedisServer } from './redis-binary.ts';
import { startRedisProcess } from './redis-process.ts';

/** sun_path is 104 bytes on macOS and 108 on Linux, the closing NUL included. */
const SOCKET_PATH_MAX_BYTES = 103;
const OLD_SERVER_LIMIT_MS = 5_000;
const POLL_MS = 10;

export interface EmbeddedOptions {
  readonly dataDir: string;
  readonly server: RedisServer;
  /** Called once, if Redis ends without `stop()`. What was written is safe, but this process can go no further. */
  readonly onExit: (error: Error) => void;
}

export interface EmbeddedRedis {
  readonly socketPath: string;
  /** Ends Redis with everything on disk and gives the folder free. Idempotent. */
  stop(): Promise<void>;
}

/** Resolves when Redis answers. Throws when the folder is in use, or Redis does not come up; then nothing is left. */
export async function startEmbedded({ dataDir, server, onExit }: EmbeddedOptions): Promise<EmbeddedRedis> {
  const owned = resolve(dataDir);
  const folder = join(owned, 'redis');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const undo: (() => void)[] = [];
  const undoAll = (): void =>
    undo
      .splice(0)
      .toReversed()
      .forEach((step) => step());
  try {
    const lock = acquireDataLock(join(owned, 'lock'), owned);
    undo.push(() => lock.release());
    const socket = reachableSocket(folder);
    undo.push(() => socket.temporaryFolder && rmSync(socket.temporaryFolder, { recursive: true, force: true }));
    const redis = await startServer({ server, folder, socket });
    let stopping: Promise<void> | undefined;
    void redis.ended.then((how) => {
      undoAll();
      if (!stopping) onExit(new Error(how));
    });
    return { socketPath: socket.path, stop: () => (stopping ??= redis.end()) };
  } catch (error) {
    undoAll();
    throw error;
  }
}

interface Socket {
  readonly path: string;
  readonly temporaryFolder?: string;
}

/** The socket is in the data folder; when that path is too long for a socket, it is reached by a short detour. */
function reachableSocket(folder: string): Socket {
  const path = join(folder, 'redis.sock');
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX_BYTES) return { path };
  const temporaryFolder = mkdtempSync(join(tmpdir(), 'latchkey-'));
  symlinkSync(folder, join(temporaryFolder, 'redis'));
  return { path: join(temporaryFolder, 'redis/redis.sock'), temporaryFolder };
}

async function startServer(given: { server: RedisServer; folder: string; socket: Socket }) {
  const { server, folder, socket } = given;
  // Open in the server for as long as it, or a child of its own that rewrites the file, is alive.
  const serverFifo = join(folder, 'server.fifo');
  makeFifo(serverFifo);
  await untilOldServerIsGone(serverFifo, socket.path);
  const keepOpen = openFifo(serverFifo);
  try {
    return await startRedisProcess({
      server,
      args: serverArguments(folder, socket.path),
      address: { path: socket.path },
      logFile: join(folder, 'redis.log'),
      keepOpen,
      ...(socket.temporaryFolder === undefined ? {} : { temporaryFolder: socket.temporaryFolder }),
    });
  } finally {
    closeSync(keepOpen);
  }
}

/**
 * After a SIGKILL of the app its Redis lives on for a moment, and Redis itself takes no lock on its data. The lock
 * is ours by now, so a server that still runs here has no app: it is told to end, should its guard have died too.
 */
async function untilOldServerIsGone(serverFifo: string, socketPath: string): Promise<void> {
  const deadline = performance.now() + OLD_SERVER_LIMIT_MS;
  while (isHeld(serverFifo)) {
    if (performance.now() > deadline) {
      throw new Error(`An earlier Redis still runs on ${serverFifo} and does not end; end it, then start again.`);
    }
    await ask({ path: socketPath }, 'SHUTDOWN');
    await delay(POLL_MS);
  }
}

function serverArguments(folder: string, socketPath: string): string[] {
  const settings = {
    port: '0',
    unixsocket: socketPath,
    unixsocketperm: '700',
    dir: folder,
    // No snapshots beside the append-only file: it alone is the data.
    save: '',
    appendonly: 'yes',
    appendfsync: 'everysec',
    // Forgetting a token early would let a kicked device back in: a full Redis must refuse instead.
    'maxmemory-policy': 'noeviction',
    // A token's record is longer than the default of 64 bytes, which would cost the compact encoding.
    'hash-max-listpack-value': '512',
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}
