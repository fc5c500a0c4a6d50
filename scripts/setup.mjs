/**
 * Installs the packages when they are missing or older than the lockfile; otherwise does nothing.
 * Plain Node without dependencies, because it runs before there are any.
 */
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @returns {number} when the file last changed (ms), or -1 without such a file */
export function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -1;
}

/** Makes node_modules match package-lock.json. */
export function setUp(folder = root) {
  const installed = modifiedAt(join(folder, 'node_modules/.package-lock.json'));
  if (installed < 0) installPackages('no packages are installed yet', folder);
  else if (installed < modifiedAt(join(folder, 'package-lock.json')))
    installPackages('package-lock.json has changed', folder);
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
