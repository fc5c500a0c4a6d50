/**
 * Loaded into every server that is measured: answers what only the process itself can tell. Costs nothing until asked.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 1;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

const answers = {
  watchLoop() {
    delay.reset();
    delay.enable();
    return {};
  },
  /** Beyond the timer's own period. */
  loopDelay() {
    delay.disable();
    const ms = (percentile) => Math.max(0, delay.percentile(percentile) / 1e6 - RESOLUTION_MS);
    return { p50: ms(50), p99: ms(99), max: ms(100) };
  },
  memory: () => process.memoryUsage(),
  cpu: () => process.cpuUsage(),
};

if (process.send !== undefined) {
  process.on('message', (question) => process.send(answers[question]()));
  // The run is over, however it ended.
  process.on('disconnect', () => process.exit());
  process.channel.unref();
}
