/**
 * Owns how long the feed keeps events: longer than any access token of the deployment lives, so that nobody who still
 * holds one can miss its end. Tenants may lengthen the life of theirs; the longest ever set is on record for all nodes.
 */
import type { RedisClock } from './clock.ts';
import { answerOf, type RedisClient } from './connect.ts';
import type { Keys } from './keys.ts';
import { createRun } from './run-script.ts';

/** So that a late reader misses none that matters. */
const MARGIN_MS = 10 * 60 * 1000;
/** Other nodes trim by the old life until their next heartbeat. */
const UNTIL_ALL_KNOW_MS = 10_000;
const LONGEST = 'accessMs';
/** What was trimmed before the longest life grew is not kept by what it is now. */
const WHOLE_SINCE = 'wholeSince';

export type EventRetention = {
  readonly keptMs: () => number;
  /** Unix ms from which on no event is missing. */
  readonly keptSince: () => number;
  /** Puts a life on record, before it comes into force. Never shortens. */
  readonly raise: (accessMs: number) => Promise<void>;
  /** Puts this node's own on record, and takes in what the others have. */
  readonly refresh: () => Promise<void>;
};

/** @param ownAccessMs life of an access token by this node's settings */
export function createEventRetention(
  redis: RedisClient,
  keys: Keys,
  clock: RedisClock,
  ownAccessMs: number,
): EventRetention {
  const run = createRun(clock);
  let longestMs = ownAccessMs;
  let wholeSince = 0;
  const keptSince = (accessMs: number) => Math.max(wholeSince, clock.now() - accessMs - MARGIN_MS);

  /** Answers the longest life on record; 0 = there is none yet. */
  async function read(): Promise<number> {
    const [longest, since] = await answerOf(redis.zmscore(keys.longest(), LONGEST, WHOLE_SINCE));
    longestMs = Math.max(longestMs, Number(longest ?? 0));
    wholeSince = Math.max(wholeSince, Number(since ?? 0));
    return Number(longest ?? 0);
  }

  /** What there is would go with its stream by the old life, where nothing new comes. */
  async function keepStreams(ms: number): Promise<void> {
    const shards = Array.from({ length: keys.shards }, (_, shard) => shard);
    await Promise.all(shards.map((shard) => run(() => redis.keepEvents(keys.events(shard), ms))));
  }

  async function raise(accessMs: number): Promise<void> {
    const longest = await read();
    // Not written again and again: a Redis that is full takes no ZADD, and the node would pass for one that is out.
    if (accessMs <= longest) return;
    const since = longest === 0 ? 0 : Math.floor(keptSince(longest)) + UNTIL_ALL_KNOW_MS;
    await keepStreams(accessMs + MARGIN_MS);
    await run(() => redis.raiseRetention(keys.longest(), accessMs, since));
    await read();
  }

  return {
    keptMs: () => longestMs + MARGIN_MS,
    keptSince: () => keptSince(longestMs),
    raise,
    refresh: () => raise(ownAccessMs),
  };
}
