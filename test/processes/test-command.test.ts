/** How the tests are started: by `npm test`, with the id of a promise, and by jest alone. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = (...args: string[]) => promisify(execFile)(process.execPath, args, { cwd: root });

async function filesListed(...args: string[]): Promise<string[]> {
  const { stdout } = await run('scripts/test.mjs', '--listTests', ...args);
  const lines = stdout.split('\n').filter((line) => line.endsWith('.test.ts'));
  return lines.map((line) => relative(root, line)).toSorted();
}

describe('F30 npm test -- -t with the id of a promise', () => {
  it.each(['O6 ', 'T6', 'R12 '])('%j loads the files that have it, and no others', async (promise) => {
    const id = new RegExp(`\\b${promise.trim()}\\b`);
    const all = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
    const holding = all.filter(
      (file) => file.endsWith('.test.ts') && id.test(readFileSync(join(root, 'test', file), 'utf8')),
    );
    expect(await filesListed('-t', promise)).toEqual(holding.map((file) => join('test', file)).toSorted());
    expect(holding.length).toBeLessThan(20);
  });

  it('and the names of files leaves it at these', async () => {
    expect(await filesListed('-t', 'O6 ', 'test/domain/platform.test.ts')).toEqual(['test/domain/platform.test.ts']);
  });
});

describe('F30 jest alone', () => {
  it('says what to run', async () => {
    const alone = run('node_modules/jest/bin/jest.js', 'test/domain/platform.test.ts');
    await expect(alone).rejects.toMatchObject({
      stderr: expect.stringContaining('run: npm test -- test/domain/platform.test.ts'),
    });
  });
});
