/**
 * Finds a Redis (or Valkey) server program on this machine, and installs one when there is none.
 * Knows nothing of how the server is run, and reads no environment: PATH and consent to install are given.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { installInstructions, installRedis } from './redis-install.ts';

const MINIMUM_MAJOR = 7;

/** A program to spawn as `spawn(path, args, { argv0 })`. */
export interface RedisServer {
  readonly path: string;
  /** One Redis binary plays several parts and picks one by the name it is called by. */
  readonly argv0: string;
  readonly version: string;
}

export interface FindRedisOptions {
  /** The PATH to look in. */
  readonly path: string;
  /** May a package manager be called when there is no server? */
  readonly install: boolean;
  /** Gets the one line that says what is about to be installed. */
  readonly log: (line: string) => void;
}

/** Debian's redis-tools has the server only under its checker's name. */
const PROGRAMS = [
  { file: 'redis-server', argv0: 'redis-server' },
  { file: 'valkey-server', argv0: 'valkey-server' },
  { file: 'redis-check-rdb', argv0: 'redis-server' },
] as const;

/**
 * The first server on PATH that is new enough; installs one when PATH has none at all.
 * Throws with instructions for the reader when there is only an old one, or none and no way to get one.
 */
export async function findRedis(options: FindRedisOptions): Promise<RedisServer> {
  const present = await serversOn(options.path);
  if (present.length > 0) return newEnough(present);
  if (!options.install) throw new Error(`No Redis server was found on PATH.\n${installInstructions}`);
  await installRedis({ find: (name) => fileOn(options.path, name), log: options.log });
  const installed = await serversOn(options.path);
  if (installed.length > 0) return newEnough(installed);
  throw new Error(`Redis was installed, but no server is on PATH.\n${installInstructions}`);
}

function newEnough(servers: readonly RedisServer[]): RedisServer {
  const good = servers.find(({ version }) => Number.parseInt(version, 10) >= MINIMUM_MAJOR);
  if (good) return good;
  const found = servers.map(({ path, version }) => `${path} is ${version}`).join(', ');
  throw new Error(`Redis ${MINIMUM_MAJOR}.0 or newer is needed, but ${found}.\n${installInstructions}`);
}

async function serversOn(path: string): Promise<RedisServer[]> {
  const servers: RedisServer[] = [];
  for (const { file, argv0 } of PROGRAMS) {
    const found = fileOn(path, file);
    const version = found && (await versionOf(found, argv0));
    if (found && version) servers.push({ path: found, argv0, version });
  }
  return servers;
}

/** Undefined for a program that is not a server: a real redis-check-rdb has another kind of answer. */
async function versionOf(path: string, argv0: string): Promise<string | undefined> {
  // Not execFile: it drops argv0.
  const child = spawn(path, ['--version'], { argv0, stdio: ['ignore', 'pipe', 'ignore'], timeout: 5_000 });
  // What cannot be run has no output, which is answer enough.
  child.on('error', () => {});
  try {
    const answer = await text(child.stdout);
    return /\bserver v=(\d+\.\d+\.\d+)/.exec(answer)?.[1];
  } catch {
    return undefined;
  }
}

function fileOn(path: string, name: string): string | undefined {
  const candidates = path
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name));
  return candidates.find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
