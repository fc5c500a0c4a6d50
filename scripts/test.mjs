/**
 * `npm test`: set-up, build (some tests start the built server), then jest with the arguments given. `--whole` runs the long
 * tests at their whole size; `-t` with the id of a promise (`-t 'T6 '`) loads only the files that have it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildIfStale } from './build.mjs';
import { runNode } from './run-node.mjs';
import { root, setUp } from './setup.mjs';

const PROMISE = /^[A-Z]\d{1,2}\b ?$/;

/** The test files that hold this promise; none when it is no promise, or jest is told which files anyway. */
function filesOf(args) {
  const at = args.findIndex((arg) => arg === '-t' || arg === '--testNamePattern');
  const wanted = args[at + 1] ?? '';
  const areNamed = args.some((arg, index) => index !== at + 1 && !arg.startsWith('-'));
  if (at < 0 || areNamed || !PROMISE.test(wanted)) return [];
  const id = new RegExp(`\\b${wanted.trim()}\\b`);
  const files = readdirSync(join(root, 'test'), { recursive: true }).filter((file) => file.endsWith('.test.ts'));
  return files.map((file) => join('test', file)).filter((file) => id.test(readFileSync(join(root, file), 'utf8')));
}

try {
  const args = process.argv.slice(2).filter((arg) => arg !== '--whole');
  if (process.argv.includes('--whole')) process.env.LATCHKEY_TEST_SIZE = 'whole';
  setUp();
  buildIfStale();
  runNode([
    // Jest loads ES modules through vm modules, which Node still calls experimental.
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    ...args,
    ...filesOf(args),
  ]);
} catch (error) {
  console.error(error.message);
  // The last line of a test run is always its count, also when it never came to the tests.
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
}
