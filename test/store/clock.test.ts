/** The clock of Redis as a node carries it: which of two readings is believed. */
import { describe, expect, it } from '@jest/globals';
import { createRedisClock } from '../../src/redis/clock.ts';

const START = 1_700_000_000_000;
/** Of a machine that works: Redis and the node go on together. */
const TOGETHER = 0;

/** Readings at the node's monotonic time, each after a round trip, of a Redis that is so far ahead of where it was. */
function clockAfter(...readings: readonly { at: number; tripMs: number; ahead: number }[]) {
  let monotonic = 0;
  const clock = createRedisClock(() => monotonic);
  for (const { at, tripMs, ahead } of readings) {
    monotonic = at + tripMs;
    // Read late on the way: at the end of the trip.
    clock.observe(START + at + tripMs + ahead, at);
  }
  return { now: () => clock.now(), wait: (ms: number) => (monotonic += ms) };
}

describe('the clock of Redis', () => {
  it('is unknown before its first reading', () => {
    expect(() => createRedisClock().now()).toThrow('token store');
  });

  it('goes by the quicker of two readings', () => {
    const quick = { at: 0, tripMs: 2, ahead: TOGETHER };
    const slow = { at: 1000, tripMs: 100, ahead: TOGETHER };
    expect(clockAfter(quick, slow).now()).toBe(START + 1100 + 1);
    expect(clockAfter(slow, { ...quick, at: 2000 }).now()).toBe(START + 2002 + 1);
  });

  it('goes by a slower one once the quicker is old', () => {
    const clock = clockAfter({ at: 0, tripMs: 2, ahead: TOGETHER }, { at: 11_000, tripMs: 100, ahead: TOGETHER });
    expect(clock.now()).toBe(START + 11_100 + 50);
  });

  it.each([
    ['the machine has slept for an hour', 3_600_000],
    ['a failover led to a server whose clock is behind', -60_000],
    ['the clock of the server was set a little', 500],
  ])('goes by the newer one at once when both cannot be true: %s', (_why, ahead) => {
    const clock = clockAfter({ at: 0, tripMs: 2, ahead: TOGETHER }, { at: 500, tripMs: 40, ahead });
    expect(clock.now()).toBe(START + 540 + 20 + ahead);
    clock.wait(1000);
    expect(clock.now()).toBe(START + 1540 + 20 + ahead);
  });
});
