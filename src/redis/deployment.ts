/**
 * Owns what all nodes of a deployment must agree on, and whether this node may serve: the version of Redis, SHARDS, the
 * signing keys. Must not know what the keys sign. Keeps the clock in step while nothing else is asked of Redis.
 */
import { randomUUID } from 'node:crypto';
import type { RedisClock } from './clock.ts';
import { answerOf, type RedisClient } from './connect.ts';
import type { EventRetention } from './event-retention.ts';
import type { Keys } from './keys.ts';
import { createRun, type Run } from './run-script.ts';

const MIN_MAJOR_VERSION = 7;
/** How often an idle node looks at the time of Redis, and whether the deployment's record is still there. */
const HEARTBEAT_MS = 2_000;

/** This node must not serve this Redis: no retry makes it right. */
export class DeploymentMismatch extends Error {
  override readonly name = 'DeploymentMismatch';
}

export type Deployment = {
  /** Resolves when this node has agreed with Redis. Throws `store_unavailable`, or a DeploymentMismatch. */
  check(): Promise<void>;
  /** Begins to check in the background, at once and then regularly, until stopped. */
  watch(on: {
    readonly agreed: () => void;
    readonly lost: (error: unknown) => void;
    readonly mismatch: (error: DeploymentMismatch) => void;
  }): void;
  stop(): void;
};

export type DeploymentFacts = {
  /** The key that signs, and all keys that this node verifies with. */
  readonly kid: string;
  readonly kids: readonly string[];
  /** Refuse a Redis that may evict keys, instead of warning. */
  readonly strict: boolean;
  readonly retention: EventRetention;
  readonly warn: (message: string) => void;
};

export function createDeployment(
  redis: RedisClient,
  keys: Keys,
  clock: RedisClock,
  facts: DeploymentFacts,
): Deployment {
  const run = createRun(clock);
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let serverChecked = false;

  async function check(): Promise<void> {
    await observeTime(redis, keys, clock);
    if (!serverChecked) await checkServer(redis, facts);
    serverChecked = true;
    await agree(redis, keys, run, facts);
    await facts.retention.refresh();
  }

  return {
    check,
    watch(on) {
      let latest = 0;
      const beat = async () => {
        const turn = (latest += 1);
        try {
          await check();
          on.agreed();
        } catch (error) {
          serverChecked = false;
          if (error instanceof DeploymentMismatch) on.mismatch(error);
          else on.lost(error);
        }
        // Another may have begun while this one waited for a connection that was lost.
        if (!stopped && turn === latest) timer = setTimeout(beat, HEARTBEAT_MS).unref();
      };
      redis.on('ready', () => {
        clearTimeout(timer);
        void beat();
      });
      void beat();
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** TIME of the node that serves the settings; the same reading that scripts make. */
async function observeTime(redis: RedisClient, keys: Keys, clock: RedisClock): Promise<void> {
  const sentAt = performance.now();
  const script = "local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)";
  clock.observe(Number(await answerOf(redis.eval(script, 1, keys.settings()))), sentAt);
}

async function checkServer(redis: RedisClient, { strict, warn }: DeploymentFacts): Promise<void> {
  const info = await answerOf(redis.info());
  const version = /redis_version:(\d+)\.(\S+)/.exec(info);
  if (version === null || Number(version[1]) < MIN_MAJOR_VERSION) {
    throw new DeploymentMismatch(
      `Redis ${MIN_MAJOR_VERSION}.0 or newer is needed; this one is ${version?.[0] ?? 'of unknown version'}`,
    );
  }
  const eviction = /maxmemory_policy:(\S+)/.exec(info)?.[1] ?? 'unknown';
  if (eviction === 'noeviction') return;
  const message = `Redis may evict tokens: maxmemory-policy is "${eviction}", it must be "noeviction"`;
  if (strict) throw new DeploymentMismatch(message);
  warn(message);
}

/** The first node writes the record; every other one must fit it. */
async function agree(redis: RedisClient, keys: Keys, run: Run, { kid, kids }: DeploymentFacts): Promise<void> {
  const settings = keys.settings();
  const record = (formerKid: string) =>
    run(() => redis.recordDeployment(settings, keys.shards, kid, randomUUID(), formerKid));
  const read = () => answerOf(redis.hmget(settings, 'shards', 'kid', 'epoch'));
  let [shards, recordedKid, epoch] = await read();
  // A first node that was ended in between leaves a part: the next one writes the rest.
  if (!shards || !recordedKid || !epoch) {
    await record('');
    [shards, recordedKid] = await read();
  }
  if (shards !== String(keys.shards)) {
    throw new DeploymentMismatch(
      `this deployment was set up with SHARDS=${shards}, this node has SHARDS=${keys.shards}`,
    );
  }
  if (!kids.includes(recordedKid ?? '')) {
    throw new DeploymentMismatch(
      `this deployment signs with key "${recordedKid}", which is not among this node's (it signs with "${kid}"): ` +
        'give every node the same SIGNING_KEYS_FILE',
    );
  }
  if (recordedKid && recordedKid !== kid) await record(recordedKid);
}
