/**
 * Owns what every script call of a user has in common: its keys, its context and its turn.
 */
import type { UserKey } from '../domain/token.ts';
import type { Ended } from '../tokens/store.ts';
import type { RedisClock } from './clock.ts';
import type { Fields } from './codec.ts';
import { answerOf, type RedisClient } from './connect.ts';
import type { EventRetention } from './event-retention.ts';
import type { Keys } from './keys.ts';
import { createRun, type Run } from './run-script.ts';
import { UserTurns } from './user-turns.ts';

/** How long a user's history outlives the last thing that happened. */
const HISTORY_KEPT_MS = 30 * 24 * 60 * 60 * 1000;

export type UserScope = {
  readonly redis: RedisClient;
  readonly keys: Keys;
  readonly clock: RedisClock;
  readonly turns: UserTurns;
  /** How long the feed keeps an event now: longer than any access token of the deployment lives. */
  readonly eventsKeptMs: () => number;
  /** Makes the deployment keep events for access tokens that live so long. Never shortens. */
  readonly keepEventsFor: (accessMs: number) => Promise<void>;
  /** tokens, user, history, events */
  readonly keysOf: (user: UserKey) => [string, string, string, string];
  readonly contextOf: (user: UserKey) => [string, string, number, number];
  readonly run: Run;
};

/** @param retention how long the feed keeps events */
export function createUserScope(
  redis: RedisClient,
  keys: Keys,
  clock: RedisClock,
  retention: EventRetention,
): UserScope {
  return {
    redis,
    keys,
    clock,
    turns: new UserTurns(),
    keysOf: (user) => [keys.tokens(user), keys.user(user), keys.history(user), keys.events(keys.shardOf(user))],
    contextOf: (user) => [user.tenant, user.userId, retention.keptMs(), HISTORY_KEPT_MS],
    eventsKeptMs: retention.keptMs,
    keepEventsFor: retention.raise,
    run: createRun(clock),
  };
}

/** A flat reply of id, platform, id, platform, … */
export function readEnded(flat: readonly string[]): Ended[] {
  const pairs = flat.flatMap((tokenId, index) =>
    index % 2 === 0 ? [{ tokenId, platform: flat[index + 1] ?? '' }] : [],
  );
  return pairs;
}

/** A flat HGETALL as scripts return it. */
export function readFlatHash(flat: readonly string[]): Fields {
  const fields = new Map<string, string>();
  for (let at = 0; at < flat.length; at += 2) fields.set(flat[at] ?? '', flat[at + 1] ?? '');
  return fields;
}

/**
 * A whole hash; one round trip. By its name in capitals the client leaves the reply as it is: an object whose names are
 * token ids costs more to make than the rest of the read.
 */
export async function readHash(redis: RedisClient, key: string): Promise<Fields> {
  return readFlatHash((await answerOf(redis.call('HGETALL', key))) as string[]);
}
