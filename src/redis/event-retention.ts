/**
 * Owns how long the feed keeps events: longer than any access token of the deployment lives, so that nobody who still
 * holds one can miss its end. Tenants may lengthen the life of theirs; the longest ever set is on record for all nodes.
 */
import { answerOf, type RedisClient } from './connect.ts';
import type { Keys } from './keys.ts';

/** So that a late reader misses none that matters. */
const MARGIN_MS = 10 * 60 * 1000;
const LONGEST = 'accessMs';

export type EventRetention = {
  readonly keptMs: () => number;
  /** Puts a life on record, before it comes into force. Never shortens. */
  readonly raise: (accessMs: number) => Promise<void>;
  /** Puts this node's own on record, and takes in what the others have. */
  readonly refresh: () => Promise<void>;
};

/** @param ownAccessMs life of an access token by this node's settings */
export function createEventRetention(redis: RedisClient, keys: Keys, ownAccessMs: number): EventRetention {
  let longestMs = ownAccessMs;

  async function raise(accessMs: number): Promise<void> {
    await answerOf(redis.zadd(keys.longest(), 'GT', accessMs, LONGEST));
    longestMs = Math.max(longestMs, Number(await answerOf(redis.zscore(keys.longest(), LONGEST))));
  }

  return { keptMs: () => longestMs + MARGIN_MS, raise, refresh: () => raise(ownAccessMs) };
}
