/**
 * Owns what all nodes of a deployment must agree on, and whether this node may serve: SHARDS, the signing keys, what the
 * servers are like, what its user may do there. Must not know what the keys sign. Keeps the clock in step while nothing else is asked of Redis.
 */
import { randomUUID } from 'node:crypto';
import { Cluster } from 'ioredis';
import { LatchkeyError } from '../contract/errors.ts';
import type { RedisClock } from './clock.ts';
import { answerOf, isForbidden, type RedisClient } from './connect.ts';
import type { EventRetention } from './event-retention.ts';
import type { Keys } from './keys.ts';
import { assertRights } from './rights.ts';
import { createRun, type Run } from './run-script.ts';
import { createServerChecks, DeploymentMismatch, type ServerCheckOptions } from './server-checks.ts';

/** How often an idle node looks at the time of Redis, and whether the deployment's record is still there. */
const HEARTBEAT_MS = 2_000;

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

export type DeploymentFacts = ServerCheckOptions & {
  /** The key that signs, and all keys that this node verifies with. */
  readonly kid: string;
  readonly kids: readonly string[];
  readonly retention: EventRetention;
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
  const servers = createServerChecks(facts);

  async function check(): Promise<void> {
    await Promise.all([observeTime(redis, keys, clock), leaveReplica(redis)]);
    await servers.check(redis);
    await assertRights(redis, keys);
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
          servers.tellAgain();
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

/**
 * A master that was demoted goes on answering reads, of what is old by then: a new connection may lead to the new one.
 * Without the right to ask, writes alone show it.
 */
async function leaveReplica(redis: RedisClient): Promise<void> {
  if (redis instanceof Cluster) return;
  const [role] = await answerOf(redis.role()).catch((error: unknown) => {
    if (!isForbidden(error)) throw error;
    return ['master'];
  });
  if (role === 'master') return;
  redis.disconnect(true);
  throw new LatchkeyError('store_unavailable');
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
