/**
 * One Latchkey in this process, on the real Redis of the test run, under a key prefix of its own. Every answer that a
 * test sees is compared with openapi.yaml.
 */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import supertest from 'supertest';
import { createApp, type AppDeps } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { createLog } from '../../src/log.ts';
import { createRedisClock, type RedisClock } from '../../src/redis/clock.ts';
import { connectRedis } from '../../src/redis/connect.ts';
import type { RedisTarget } from '../../src/redis/redis-url.ts';
import { createDeployment, type Deployment } from '../../src/redis/deployment.ts';
import { openStore, type OpenStore } from '../../src/redis/open-store.ts';
import { makeKeySet, readKeySet, type SigningKeys } from '../../src/tokens/signing-keys.ts';
import { createSigner } from '../../src/tokens/signer.ts';
import { createFeed } from '../../src/tokens/feed-hub.ts';
import { ADMIN_KEY, GATEWAY_KEY, NO_THROTTLE, REFRESH_SECRET } from './keys.ts';
import { checkAgainstOpenapi } from './openapi-check.ts';
import { signingWith } from './signing.ts';
import { testPrefix, testRedisUrl } from './test-redis.ts';

export { ADMIN_KEY, GATEWAY_KEY, REFRESH_SECRET };

/** One key pair for the whole test file: services of one deployment share theirs. */
const sharedKeys = makeKeySet('EdDSA').then((set) => readKeySet(set, 'EdDSA'));

export type ServiceOptions = {
  /** Settings as in the environment; `LOGIN_POLICY` above all. */
  readonly env?: Readonly<Record<string, string>>;
  /** Same prefix = same deployment: two services with one prefix are two nodes. */
  readonly prefix?: string;
  readonly keys?: SigningKeys;
  readonly redisUrl?: string;
  /** For who must know the address before the start, as in ISSUER; any free one otherwise. */
  readonly port?: number;
  /** Every request goes by the router, none by the fast lane. */
  readonly routerOnly?: boolean;
  /** Answers are not compared with openapi.yaml: for addresses that no document names. */
  readonly unchecked?: boolean;
  /** Replaces parts of the wiring, e.g. a signer that fails. */
  readonly override?: Partial<AppDeps>;
};

export type Service = OpenStore & {
  readonly server: Server;
  readonly url: string;
  readonly api: ReturnType<typeof supertest>;
  readonly redis: Redis;
  readonly prefix: string;
  readonly signingKeys: SigningKeys;
  readonly deployment: Deployment;
  /** Moves this node's idea of Redis time by so many ms; what Redis itself thinks stays. */
  readonly shiftClock: (ms: number) => void;
  readonly close: () => Promise<void>;
};

const TEST_SETTINGS = { ISSUER: 'http://latchkey.test', ...NO_THROTTLE };

const open: Service[] = [];

/** No test makes trouble of this kind by accident: it ends the run. */
export function unexpected(error: unknown): never {
  throw error;
}

/** Starts a service; closed by {@link closeServices} in an afterAll or afterEach. */
export async function startService(options: ServiceOptions = {}): Promise<Service> {
  const prefix = options.prefix ?? testPrefix();
  const REDIS_URL = options.redisUrl ?? testRedisUrl();
  const config = loadConfig({ ...TEST_SETTINGS, REDIS_URL, ...options.env, KEY_PREFIX: prefix });
  const signingKeys = options.keys ?? (await sharedKeys);
  const log = createLog('silent');
  const redis = connectRedis(config.redis as RedisTarget) as Redis;
  redis.on('error', () => {});
  const { clock, shiftClock } = shiftableClock();
  const stores = openStore(
    redis,
    {
      keyPrefix: prefix,
      shards: config.shards,
      accessTtlSeconds: config.accessTtlSeconds,
      throttle: config.throttle,
      onTouchFailed: () => {},
    },
    clock,
  );
  const deployment = createDeployment(redis, stores.keys, clock, {
    kid: signingKeys.kid,
    kids: signingKeys.jwks.keys.map((key) => key.kid),
    strict: false,
    retention: stores.retention,
    warn: () => {},
  });
  const feed = createFeed(stores.eventLog, unexpected);
  const app = createApp({
    config,
    secrets: { refreshSecret: REFRESH_SECRET, adminApiKey: ADMIN_KEY, gatewayApiKey: GATEWAY_KEY },
    keys: signingKeys,
    signer: createSigner(signingWith(signingKeys), config.issuer, config.audience),
    stores,
    feed,
    readiness: { isDraining: () => false, hasAgreed: () => true, check: () => deployment.check() },
    log,
    ...options.override,
  });
  const listener = options.routerOnly ? app.router : app.listener;
  const server = createHttpServer(
    options.unchecked ? listener : checkAgainstOpenapi(listener),
    config.keepAliveSeconds,
  );
  await new Promise<void>((resolve) => {
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  if (options.redisUrl === undefined) {
    await new Promise<void>((resolve) => {
      if (redis.status === 'ready') resolve();
      else redis.once('ready', () => resolve());
    });
    await deployment.check();
  } else {
    deployment.watch({ agreed: () => {}, lost: () => {}, mismatch: () => {} });
  }
  const service: Service = {
    ...stores,
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    api: supertest(server),
    redis,
    prefix,
    signingKeys,
    deployment,
    shiftClock,
    async close() {
      feed.close();
      deployment.stop();
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
      redis.disconnect();
    },
  };
  open.push(service);
  return service;
}

/** Closes what the file has started. */
export async function closeServices(): Promise<void> {
  await Promise.all(open.splice(0).map((service) => service.close()));
}

function shiftableClock(): { clock: RedisClock; shiftClock: (ms: number) => void } {
  const real = createRedisClock();
  let shift = 0;
  return {
    clock: { ...real, now: () => real.now() + shift },
    shiftClock: (ms) => {
      shift += ms;
    },
  };
}
