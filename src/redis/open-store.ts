/**
 * Owns how the stores are put together on one Redis client. Sends nothing by itself.
 */
import type { EventLog } from '../tokens/event-log.ts';
import type { Stores, ThrottleSettings } from '../tokens/store.ts';
import { createAttemptStore } from './attempt-store.ts';
import { createRedisClock, type RedisClock } from './clock.ts';
import type { RedisClient } from './connect.ts';
import { createEventLog } from './event-log.ts';
import { createEventRetention, type EventRetention } from './event-retention.ts';
import { createKeys, type Keys } from './keys.ts';
import { defineScripts } from './scripts.ts';
import { createTenantStore } from './tenant-store.ts';
import { createTokenStore } from './token-store.ts';
import { createUserScope } from './user-scope.ts';
import { createUserStore } from './user-store.ts';
import { createWebhookStore } from './webhook-store.ts';

export type StoreOptions = {
  readonly keyPrefix: string;
  readonly shards: number;
  readonly accessTtlSeconds: number;
  readonly throttle: ThrottleSettings;
  /** Hears of "last seen" notes that failed; they are not worth failing a request. */
  readonly onTouchFailed: (error: unknown) => void;
};

export type OpenStore = Stores & {
  readonly keys: Keys;
  readonly clock: RedisClock;
  readonly retention: EventRetention;
  readonly eventLog: EventLog;
};

export function openStore(redis: RedisClient, options: StoreOptions, clock = createRedisClock()): OpenStore {
  defineScripts(redis, clock);
  const keys = createKeys(options.keyPrefix, options.shards);
  const retention = createEventRetention(redis, keys, clock, options.accessTtlSeconds * 1000);
  const scope = createUserScope(redis, keys, clock, retention);
  const tenants = createTenantStore(scope);
  return {
    store: createTokenStore(scope, tenants, options.onTouchFailed),
    users: createUserStore(scope),
    tenants,
    attempts: createAttemptStore(scope, options.throttle),
    webhooks: createWebhookStore(scope),
    keys,
    clock,
    retention,
    eventLog: createEventLog(redis, keys, clock, retention),
  };
}
