import { writeSync } from 'node:fs';

/** Prints the count of tests as the very last line of a run, alone on its line: jest's own summary comes after reporters. */
export default class CountReporter {
  onRunComplete(_contexts, results) {
    const skipped = results.numPendingTests > 0 ? `, ${results.numPendingTests} skipped` : '';
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    process.once('exit', () => writeSync(1, `\n${results.numPassedTests} passed, ${failed} failed${skipped}\n`));
  }
}
