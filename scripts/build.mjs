/**
 * Builds src into dist: TypeScript through tsc, the Lua scripts by copy. Does nothing while dist is up to date.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyLua } from './copy-lua.mjs';
import { alone, installPackages, modifiedAt, root, setUp } from './setup.mjs';

const stamp = join(root, 'dist/.built');
const compiler = join(root, 'node_modules/typescript/bin/tsc');

export function buildIfStale() {
  if (isFresh()) return;
  alone(root, () => {
    if (!isFresh()) build();
  });
}

function isFresh() {
  return modifiedAt(stamp) >= newestInput();
}

function build() {
  // Packages that somebody installed with --omit=dev run the service, but cannot build it.
  if (!existsSync(compiler)) installPackages('the compiler is missing');
  const startedAt = new Date();
  rmSync(stamp, { force: true });
  const { status, signal } = spawnSync(process.execPath, [compiler, '-p', 'src/tsconfig.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error(`The build failed (tsc: ${signal ?? `exit code ${status}`}).`);
  copyLua();
  removeLeftovers();
  // Dated at the start: a file saved while tsc ran makes the next build run again.
  mkdirSync(join(root, 'dist'), { recursive: true });
  writeFileSync(stamp, '');
  utimesSync(stamp, startedAt, startedAt);
}

/** What was built from a file that is gone would go on being shipped. */
function removeLeftovers() {
  for (const entry of readdirSync(join(root, 'dist'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === '.built') continue;
    const built = join(entry.parentPath, entry.name);
    const source = join(root, 'src', relative(join(root, 'dist'), built).replace(/\.(m?js|d\.m?ts)(\.map)?$/, ''));
    if (!['', '.ts', '.mjs'].some((extension) => existsSync(source + extension))) rmSync(built);
  }
}

/** Folders count too: a deleted or renamed file changes only its folder's date. */
function newestInput() {
  const inputs = ['tsconfig.json', 'package-lock.json', 'src'];
  for (const entry of readdirSync(join(root, 'src'), { recursive: true })) inputs.push(join('src', entry));
  return Math.max(...inputs.map((path) => modifiedAt(join(root, path))));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setUp();
  buildIfStale();
}
