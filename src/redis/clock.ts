/**
 * Owns the time that decides: the clock of Redis, carried between replies by this process's monotonic clock.
 * The wall clock of the process takes no part, so a node whose clock is wrong changes nothing.
 */
import { LatchkeyError } from '../contract/errors.ts';

/** How long one observation is preferred over a slower one. */
const TRUSTED_MS = 10_000;
/** What two clocks may drift apart in that time, and more. */
const DRIFT_MS = 20;

export type RedisClock = {
  /** Milliseconds since 1970 by Redis. Throws `store_unavailable` before the first observation. */
  now(): number;
  /**
   * Time by Redis at which so many ms have passed for certain, as far ahead of {@link now} as it may be. Throws
   * `store_unavailable` before the first observation: what must not happen late has to know when that is.
   */
  deadline(ms: number): number;
  /** Takes in a reply that carried TIME; `sentAt` and the present are monotonic milliseconds. */
  observe(redisMs: number, sentAt: number): void;
};

export function createRedisClock(monotonic: () => number = () => performance.now()): RedisClock {
  let best: { offset: number; error: number; at: number } | undefined;

  function known() {
    if (best === undefined) throw new LatchkeyError('store_unavailable');
    return best;
  }

  return {
    now: () => Math.floor(monotonic() + known().offset),
    deadline: (ms) => Math.ceil(monotonic() + known().offset + known().error + ms),
    // The server read its clock somewhere between sending and receiving: the shorter that was, the better it is known.
    observe(redisMs, sentAt) {
      const receivedAt = monotonic();
      const error = (receivedAt - sentAt) / 2;
      const offset = redisMs + error - receivedAt;
      if (best !== undefined && error > best.error && receivedAt - best.at < TRUSTED_MS) {
        // Unless both cannot be true: the clock of Redis was set, or another server answers, or this machine has slept.
        if (Math.abs(offset - best.offset) <= error + best.error + DRIFT_MS) return;
      }
      best = { offset, error, at: receivedAt };
    },
  };
}
