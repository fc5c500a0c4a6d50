/**
 * Installs the packages when they are missing or older than the lockfile; otherwise does nothing.
 * Plain Node without dependencies, because it runs before there are any.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const POLL_MS = 100;

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @returns {number} when the file last changed (ms), or -1 without such a file */
export function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -1;
}

/** Makes node_modules match package-lock.json. */
export function setUp(folder = root) {
  if (whyInstall(folder) === undefined) return;
  alone(folder, () => {
    const reason = whyInstall(folder);
    if (reason !== undefined) installPackages(reason, folder);
  });
}

function whyInstall(folder) {
  const installed = modifiedAt(join(folder, 'node_modules/.package-lock.json'));
  if (installed < 0) return 'no packages are installed yet';
  return installed < modifiedAt(join(folder, 'package-lock.json')) ? 'package-lock.json has changed' : undefined;
}

/**
 * Of those who start at the same time in one folder one works, and the others wait; what they find may be all done. Holds
 * between processes that see each other: containers that share a folder are to be started one after the other.
 */
export function alone(folder, work) {
  const lock = join(folder, '.set-up.lock');
  const own = `${lock}.${randomUUID()}`;
  writeFileSync(own, String(process.pid));
  try {
    let isTold = false;
    while (!takes(lock, own)) {
      if (!isTold) console.log('Waiting for another start in this folder to finish its set-up.');
      isTold = true;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
    }
    try {
      work();
    } finally {
      rmSync(lock, { force: true });
    }
  } finally {
    rmSync(own, { force: true });
  }
}

/** A link appears with its content; one whose owner has died is in nobody's way. */
function takes(lock, own) {
  try {
    linkSync(own, lock);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    // A container that was killed over it comes back with the same pid.
    const owner = ownerOf(lock);
    if (owner === process.pid || (owner !== undefined && !isAlive(owner))) rmSync(lock, { force: true });
    return false;
  }
}

function ownerOf(lock) {
  try {
    return Number(readFileSync(lock, 'utf8'));
  } catch {
    return undefined; // It has just been given up, and may be another's by now.
  }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

export function installPackages(reason, folder = root) {
  console.log(`Installing packages with npm ci: ${reason}.`);
  // The build needs the devDependencies, which npm leaves out under NODE_ENV=production unless told.
  const { status, signal, error } = spawnSync('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: 'inherit',
  });
  if (status === 0) return;
  throw new Error(`npm ci failed (${error?.message ?? signal ?? `exit code ${status}`}); its output is above.`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setUp();
