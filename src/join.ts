/**
 * Owns how a process becomes a node of the deployment: its Redis client, the stores on it, and the record that all nodes
 * agree on. Serves nothing.
 */
import type { Config } from './config.ts';
import type { Logger } from './log.ts';
import { connectRedis, type RedisClient } from './redis/connect.ts';
import { createDeployment, type Deployment } from './redis/deployment.ts';
import { openStore, type OpenStore } from './redis/open-store.ts';
import type { RedisTarget } from './redis/redis-url.ts';
import { createRedisNews, type RedisNews } from './redis-news.ts';
import type { LoadedSecrets } from './secrets.ts';

/** A Redis that has not answered by then may come later. */
export const FIRST_ANSWER_MS = 2_000;

export type NodeParts = {
  readonly config: Config;
  readonly loaded: LoadedSecrets;
  readonly target: RedisTarget;
  readonly log: Logger;
};

export type Joined = {
  readonly redis: RedisClient;
  readonly stores: OpenStore;
  readonly deployment: Deployment;
  readonly news: RedisNews;
  readonly leave: () => void;
};

/** Begins to connect; asks nothing yet. */
export function join({ config, loaded, target, log }: NodeParts): Joined {
  const redis = connectRedis(target);
  const news = createRedisNews(log, target);
  redis.on('error', news.trouble);
  const stores = openStore(redis, {
    keyPrefix: config.keyPrefix,
    shards: config.shards,
    accessTtlSeconds: config.accessTtlSeconds,
    throttle: config.throttle,
    onTouchFailed: (error) => log.debug({ err: error }, 'last seen was not noted'),
  });
  const deployment = createDeployment(redis, stores.keys, stores.clock, {
    kid: loaded.keys.kid,
    kids: loaded.keys.jwks.keys.map((key) => key.kid),
    strict: config.production,
    retention: stores.retention,
    warn: (message) => log.warn(message),
  });
  return {
    redis,
    stores,
    deployment,
    news,
    leave() {
      deployment.stop();
      redis.disconnect();
    },
  };
}

/**
 * Joins and leaves again: for a process that only has to know whether it would fit. Throws a DeploymentMismatch; a Redis
 * that cannot be reached is no reason to refuse.
 */
export async function checkFit(parts: NodeParts): Promise<void> {
  // What else there is to say, those who stay say themselves.
  const { redis, deployment, leave } = join({ ...parts, log: parts.log.child({}, { level: 'silent' }) });
  let limit: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      limit = setTimeout(resolve, FIRST_ANSWER_MS);
      redis.once('error', () => resolve());
      deployment.watch({ agreed: resolve, lost: () => {}, mismatch: reject });
    });
  } finally {
    clearTimeout(limit);
    leave();
  }
}
