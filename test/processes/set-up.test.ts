/** What `npm start` and `npm test` do before anything else, in a folder that is not set up, by several at a time. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from '@jest/globals';

const setup = new URL('../../scripts/setup.mjs', import.meta.url).href;
const LIMIT_MS = 120_000;

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A project whose one package is beside it: installing it needs no network. */
function newProject(): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-set-up-'));
  folders.push(folder);
  mkdirSync(join(folder, 'dependency'));
  writeFileSync(join(folder, 'dependency/package.json'), JSON.stringify({ name: 'dependency', version: '1.0.0' }));
  const dependencies = { dependency: 'file:dependency' };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }));
  const args = ['install', '--package-lock-only', '--offline', '--no-audit', '--no-fund'];
  expect(spawnSync('npm', args, { cwd: folder }).status).toBe(0);
  return folder;
}

/** Sets the folder up in a process of its own; answers what it printed. */
async function setUp(folder: string): Promise<string> {
  const script = `import { setUp } from ${JSON.stringify(setup)}; setUp(${JSON.stringify(folder)});`;
  return (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])).stdout;
}

const installs = (outputs: readonly string[]) => outputs.filter((text) => text.includes('Installing packages')).length;
const expectWhole = (folder: string) => {
  expect(existsSync(join(folder, 'node_modules/dependency/package.json'))).toBe(true);
  expect(readdirSync(folder).filter((name) => name.startsWith('.set-up'))).toEqual([]);
};

describe('the set-up', () => {
  it(
    'is done by one of four that start at once; the others wait for it',
    async () => {
      const folder = newProject();
      const outputs = await Promise.all(Array.from({ length: 4 }, () => setUp(folder)));
      expect(installs(outputs)).toBe(1);
      expectWhole(folder);
      expect(installs([await setUp(folder)])).toBe(0);
    },
    LIMIT_MS,
  );

  it(
    'is not kept up by one that was killed over it',
    async () => {
      const folder = newProject();
      const { pid } = spawnSync(process.execPath, ['-e', '0']);
      writeFileSync(join(folder, '.set-up.lock'), String(pid));
      expect(installs([await setUp(folder)])).toBe(1);
      expectWhole(folder);
    },
    LIMIT_MS,
  );
});
