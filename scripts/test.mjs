/** `npm test`: set-up, build (some tests start the built server), then jest with the arguments given. */
import { buildIfStale } from './build.mjs';
import { runNode } from './run-node.mjs';
import { setUp } from './setup.mjs';

try {
  setUp();
  buildIfStale();
  runNode([
    // Jest loads ES modules through vm modules, which Node still calls experimental.
    '--experimental-vm-modules',
    '--disable-warning=ExperimentalWarning',
    'node_modules/jest/bin/jest.js',
    ...process.argv.slice(2),
  ]);
} catch (error) {
  console.error(error.message);
  // The last line of a test run is always its count, also when it never came to the tests.
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
}
