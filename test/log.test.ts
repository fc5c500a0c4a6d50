// The log's lines carry the time of the wall clock.
import { describe, expect, it } from '@jest/globals';
import { createLog } from '../src/log.ts';

describe('F46 times of the log', () => {
  it('are right after the machine has slept, when the monotonic clock stood still', () => {
    const lines: { time: string }[] = [];
    const log = createLog('info', { write: (line) => void lines.push(JSON.parse(line) as { time: string }) });
    const realNow = Date.now;
    const sleptMs = 3_600_000;
    Date.now = () => realNow() + sleptMs;
    try {
      log.info('awake');
    } finally {
      Date.now = realNow;
    }
    const late = Date.parse(lines[0]?.time ?? '') - realNow() - sleptMs;
    expect(Math.abs(late)).toBeLessThan(60_000);
  });
});
