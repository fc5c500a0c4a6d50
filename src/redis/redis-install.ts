/**
 * Installs a Redis server through the machine's own package manager, and words the instructions for people.
 * Knows neither versions nor how a server is recognised; redis-binary.ts decides whether the result is good.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What to tell a person who has to do it by hand. */
export const installInstructions = [
  'Install Redis 7.0 or newer (or Valkey):',
  '  Debian, Ubuntu:  sudo apt-get update && sudo apt-get install -y redis-tools',
  '  macOS:           brew install redis',
  '  Fedora:          sudo dnf install -y valkey',
  '  Alpine:          sudo apk add redis',
  'or set REDIS_URL to a Redis that runs elsewhere, for example REDIS_URL=redis://127.0.0.1:6379.',
].join('\n');

interface PackageManager {
  readonly program: string;
  /** Homebrew refuses to run as root; the others need it. */
  readonly needsRoot: boolean;
  /** Tried in this order until one succeeds. */
  readonly attempts: readonly (readonly (readonly string[])[])[];
}

// redis-tools rather than redis-server: it holds the same binary and starts no system daemon.
const APT_INSTALL = ['install', '-y', '--no-install-recommends', 'redis-tools'];

const MANAGERS: readonly PackageManager[] = [
  { program: 'apt-get', needsRoot: true, attempts: [[APT_INSTALL], [['update'], APT_INSTALL]] },
  { program: 'brew', needsRoot: false, attempts: [[['install', 'redis']]] },
  // Newer Fedora and RHEL have replaced Redis with Valkey.
  { program: 'dnf', needsRoot: true, attempts: [[['install', '-y', 'valkey']], [['install', '-y', 'redis']]] },
  { program: 'apk', needsRoot: true, attempts: [[['add', '--no-cache', 'redis']], [['add', '--no-cache', 'valkey']]] },
];

export interface InstallOptions {
  /** The full path of a program, or undefined when there is none of that name. */
  readonly find: (program: string) => string | undefined;
  readonly log: (line: string) => void;
}

/** Throws with the instructions when there is no package manager, no right to use it, or it fails. */
export async function installRedis({ find, log }: InstallOptions): Promise<void> {
  const manager = MANAGERS.find(({ program }) => find(program) !== undefined);
  const program = manager && find(manager.program);
  if (!manager || !program) throw new Error(`No Redis server was found on PATH.\n${installInstructions}`);
  const prefix = manager.needsRoot ? rootPrefix(find) : [];
  if (!prefix)
    throw new Error(`No Redis server was found on PATH, and installing one needs root.\n${installInstructions}`);
  log(`No Redis server found: installing one with ${manager.program} (LATCHKEY_NO_INSTALL=1 prevents this).`);
  let failure: unknown;
  for (const commands of manager.attempts) {
    try {
      for (const args of commands) await runQuietly([...prefix, program, ...args]);
      return;
    } catch (error) {
      failure = error;
    }
  }
  throw new Error(`${manager.program} could not install Redis.\n${tailOf(failure)}\n${installInstructions}`, {
    cause: failure,
  });
}

/** Undefined when this user cannot become root without being asked for a password. */
function rootPrefix(find: InstallOptions['find']): string[] | undefined {
  // Keeps apt from asking questions; sudo drops the caller's environment, so it is set behind it.
  const quiet = ['env', 'DEBIAN_FRONTEND=noninteractive'];
  if (process.getuid?.() === 0) return quiet;
  const sudo = find('sudo');
  return sudo ? [sudo, '-n', ...quiet] : undefined;
}

async function runQuietly([program, ...args]: string[]): Promise<void> {
  if (program !== undefined) await run(program, args, { maxBuffer: 16 * 1024 * 1024 });
}

/** The last lines that a failed command wrote; its whole output would bury the instructions below it. */
function tailOf(failure: unknown): string {
  const output =
    typeof failure === 'object' && failure !== null && 'stderr' in failure ? String(failure.stderr) : String(failure);
  return output.trim().split('\n').slice(-5).join('\n');
}
