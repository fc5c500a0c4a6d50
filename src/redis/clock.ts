/**
 * Owns the time that decides: the clock of Redis, carried between replies by this process's monotonic clock.
 * The wall clock of the process takes no part, so a node whose clock is wrong changes nothing.
 */
import { LatchkeyError } from '../contract/errors.ts';

/** How long one observation is preferred over a slower one. */
const TRUSTED_MS = 10_000;

export type RedisClock = {
  /** Milliseconds since 1970 by Redis. Throws `store_unavailable` before the first observation. */
  now(): number;
  /** Takes in a reply that carried TIME; `sentAt` and the present are monotonic milliseconds. */
  observe(redisMs: number, sentAt: number): void;
};

export function createRedisClock(monotonic: () => number = () => performance.now()): RedisClock {
  let best: { offset: number; error: number; at: number } | undefined;
  return {
    now() {
      if (best === undefined) throw new LatchkeyError('store_unavailable');
      return Math.floor(monotonic() + best.offset);
    },
    // The server read its clock somewhere between sending and receiving: the shorter that was, the better it is known.
    observe(redisMs, sentAt) {
      const receivedAt = monotonic();
      const error = (receivedAt - sentAt) / 2;
      if (best !== undefined && error > best.error && receivedAt - best.at < TRUSTED_MS) return;
      best = { offset: redisMs + error - receivedAt, error, at: receivedAt };
    },
  };
}
