/**
 * One owner at a time for a data folder, held by the kernel: it ends with the process that holds it, however
 * that ends. So a lock left behind is never in the way, and no pid is ever looked at. Knows nothing of Redis.
 *
 * A holder keeps a FIFO open; "somebody has it open" is what the kernel can be asked. Who holds is fixed by
 * numbered symlinks to these FIFOs, since making a symlink is atomic and fails when it exists: the highest
 * number holds. The highest one stays after release (it dangles), so numbers only rise and none is used twice.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';

export interface DataLock {
  /** Idempotent. */
  release(): void;
}

/** Takes the lock kept in `folder`, or throws at once when a live process has it. `owned` is named in the error. */
export function acquireDataLock(folder: string, owned: string): DataLock {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const name = `pid-${process.pid}-${randomBytes(6).toString('hex')}`;
  const release = holdFifo(join(folder, name));
  try {
    claim(folder, name, owned);
  } catch (error) {
    release();
    throw error;
  }
  return { release };
}

/** Each round either claims, throws, or has lost to another process that went further, so it ends. */
function claim(folder: string, name: string, owned: string): void {
  for (;;) {
    const top = highest(folder);
    if (top > 0 && isHeld(join(folder, String(top)))) {
      throw new Error(`${owned} is in use by another Latchkey (${holderOf(folder, top)}); stop that one first.`);
    }
    const mine = top + 1;
    if (!tryLink(name, join(folder, String(mine)))) continue;
    if (highest(folder) === mine) {
      removeBelow(folder, mine);
      return;
    }
    // Slept while others claimed, released and tidied: this number is long past.
    rmSync(join(folder, String(mine)), { force: true });
  }
}

function numbersIn(folder: string): number[] {
  return readdirSync(folder)
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

function highest(folder: string): number {
  return Math.max(0, ...numbersIn(folder));
}

function tryLink(target: string, path: string): boolean {
  try {
    symlinkSync(target, path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Everything below the highest number was found dead by a later claim. */
function removeBelow(folder: string, mine: number): void {
  for (const old of numbersIn(folder).filter((number) => number < mine)) {
    const link = join(folder, String(old));
    const target = targetOf(link);
    if (target) rmSync(join(folder, target), { force: true });
    rmSync(link, { force: true });
  }
}

/** For people only: in a container the pid means nothing outside it. */
function holderOf(folder: string, number: number): string {
  return targetOf(join(folder, String(number)))?.replace(/^pid-(\d+)-.*$/, 'pid $1') ?? 'just ended';
}

function targetOf(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}

/** Makes a FIFO and keeps it open; the function returned closes and removes it. */
function holdFifo(path: string): () => void {
  makeFifo(path);
  let fd: number | undefined = openFifo(path);
  return () => {
    if (fd === undefined) return;
    closeSync(fd);
    fd = undefined;
    rmSync(path, { force: true });
  };
}

/** Makes a FIFO unless the path exists. Node has no call for it; mkfifo is in POSIX. */
export function makeFifo(path: string): void {
  const { status, stderr, error } = spawnSync('mkfifo', ['-m', '600', path], { encoding: 'utf8' });
  if (status !== 0 && !existsSync(path)) {
    throw new Error(`Cannot make a FIFO for the lock on the data folder: ${error?.message ?? stderr.trim()}`);
  }
}

/** Opens a FIFO so that it counts as held. For reading and writing, because any other way waits for a peer. */
export function openFifo(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
}

/** Does any process, child processes that inherited it included, have this FIFO open? */
export function isHeld(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    // ENXIO: nobody reads it. ENOENT: its holder removed it. Anything else must not look like "free".
    if (hasCode(error, 'ENXIO') || hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}
