/**
 * Owns how the events of all shards are read from their streams, and the hints that scripts publish beside them.
 * Must not know who listens.
 */
import { randomUUID } from 'node:crypto';
import { Cluster } from 'ioredis';
import type { EventLog } from '../tokens/event-log.ts';
import type { Position } from '../tokens/feed-cursor.ts';
import type { RedisClock } from './clock.ts';
import { readEvent } from './event-codec.ts';
import { answerOf, isForbidden, type RedisClient } from './connect.ts';
import type { EventRetention } from './event-retention.ts';
import type { Keys } from './keys.ts';
import { createRun } from './run-script.ts';

export function createEventLog(redis: RedisClient, keys: Keys, clock: RedisClock, retention: EventRetention): EventLog {
  const shards = Array.from({ length: keys.shards }, (_, shard) => shard);
  const run = createRun(clock);
  let beside: RedisClient | undefined;
  const reader = () => (beside?.status === 'ready' ? beside : redis);
  return {
    shards: keys.shards,
    now: () => clock.now(),
    keptSince: retention.keptSince,

    async epoch() {
      return (await answerOf(redis.hget(keys.settings(), 'epoch'))) ?? undefined;
    },

    async renewEpoch(lost) {
      await run(() => redis.renewEpoch(keys.settings(), lost, randomUUID()));
    },

    async read(shard, after, limit) {
      const from = `${after.ms}-${after.seq}`;
      // With the entry that it reads from: only so it shows that one is gone.
      const found = await answerOf(reader().xrange(keys.events(shard), from, '+', 'COUNT', limit + 1));
      const isAnchored = found[0]?.[0] === from;
      const entries = isAnchored ? found.slice(1) : found.slice(0, limit);
      const last = entries.at(-1);
      return {
        events: entries.flatMap(([id, fields]) => {
          const event = readEvent(shard, id, packedIn(fields));
          return event === undefined ? [] : [{ position: readPosition(id), event }];
        }),
        last: last && readPosition(last[0]),
        isFull: entries.length === limit,
        isAnchored,
      };
    },

    async has(shard, { ms, seq }) {
      const id = `${ms}-${seq}`;
      return (await answerOf(reader().xrange(keys.events(shard), id, id, 'COUNT', 1))).length > 0;
    },

    holders: () => Promise.all(shards.map((shard) => holderOf(redis, keys.events(shard)))),

    async ends() {
      const last = await answerOf(
        Promise.all(shards.map((shard) => redis.xrevrange(keys.events(shard), '+', '-', 'COUNT', 1))),
      );
      return last.map(([entry]) => readPosition(entry?.[0] ?? '0-0'));
    },

    // Connections of their own: one that listens can do nothing else, and what is read must not hold up validations.
    onHint(listener) {
      const channels = new Map(shards.map((shard) => [keys.events(shard), shard]));
      const listening = besides(redis); // Until it has connected the poll goes on.
      const reading = besides(redis);
      beside = reading;
      // When the main connection leaves its server, as that is no master any more, these must not stay.
      const follow = () => [listening, reading].forEach((other) => other.disconnect(true));
      redis.on('close', follow);
      listening.on('ready', () => {
        listening.subscribe(...channels.keys()).catch(() => {});
      });
      listening.on('message', (channel: string) => {
        const shard = channels.get(channel);
        if (shard !== undefined) listener(shard);
      });
      return () => {
        redis.off('close', follow);
        listening.disconnect();
        // It counts as ready for a while yet, and another may have taken its place.
        if (beside === reading) beside = undefined;
        reading.disconnect();
      };
    },
  };
}

/** Names and values by turns. */
function packedIn(fields: readonly string[]): string {
  const at = fields.findIndex((name, index) => index % 2 === 0 && name === 'e');
  return (at < 0 ? undefined : fields[at + 1]) ?? '';
}

/** Connects, and again whenever it has lost its connection. */
function besides(redis: RedisClient): RedisClient {
  const other = redis instanceof Cluster ? redis.duplicate() : redis.duplicate();
  other.on('error', () => {});
  return other;
}

/**
 * Another text after a restart of the server that has the key, and when another server has it. Without the right to ask
 * it may be another one at any time.
 */
async function holderOf(redis: RedisClient, key: string): Promise<string> {
  const script = "return redis.call('INFO', 'server') .. redis.call('INFO', 'replication')";
  const info = await answerOf(redis.eval(script, 1, key)).then(String, (error: unknown) => {
    if (!isForbidden(error)) throw error;
    return `run_id:${randomUUID()}`;
  });
  return [/^run_id:\S+/m, /^master_replid:\S+/m].map((form) => form.exec(info)?.[0] ?? '').join(' ');
}

function readPosition(id: string): Position {
  const [ms, seq] = id.split('-').map(Number);
  return { ms: ms ?? 0, seq: seq ?? 0 };
}
