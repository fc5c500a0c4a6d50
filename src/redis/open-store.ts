/**
 * Owns how the stores are put together on one Redis client. Sends nothing by itself.
 */
import type { TokenStore, UserStore } from '../tokens/store.ts';
import { createRedisClock, type RedisClock } from './clock.ts';
import type { RedisClient } from './connect.ts';
import { createKeys, type Keys } from './keys.ts';
import { defineScripts } from './scripts.ts';
import { createTokenStore } from './token-store.ts';
import { createUserScope } from './user-scope.ts';
import { createUserStore } from './user-store.ts';

/** How much longer than the longest access token the feed keeps an event, so that a late reader misses none that matters. */
const EVENTS_MARGIN_MS = 10 * 60 * 1000;

export type StoreOptions = {
  readonly keyPrefix: string;
  readonly shards: number;
  readonly accessTtlSeconds: number;
  /** Hears of "last seen" notes that failed; they are not worth failing a request. */
  readonly onTouchFailed: (error: unknown) => void;
};

export type OpenStore = {
  readonly store: TokenStore;
  readonly users: UserStore;
  readonly keys: Keys;
  readonly clock: RedisClock;
};

export function openStore(redis: RedisClient, options: StoreOptions, clock = createRedisClock()): OpenStore {
  defineScripts(redis);
  const keys = createKeys(options.keyPrefix, options.shards);
  const scope = createUserScope(redis, keys, clock, options.accessTtlSeconds * 1000 + EVENTS_MARGIN_MS);
  return { store: createTokenStore(scope, options.onTouchFailed), users: createUserStore(scope), keys, clock };
}
