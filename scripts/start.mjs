/** `npm start`: everything from a fresh clone to a running service. */
import { buildIfStale } from './build.mjs';
import { runNode } from './run-node.mjs';
import { setUp } from './setup.mjs';

try {
  setUp();
  buildIfStale();
  runNode(['--enable-source-maps', 'dist/main.js', ...process.argv.slice(2)]);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
