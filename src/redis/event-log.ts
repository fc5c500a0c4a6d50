/**
 * Owns how the events of all shards are read from their streams, and the hints that scripts publish beside them.
 * Must not know who listens.
 */
import { Cluster } from 'ioredis';
import type { EventLog } from '../tokens/event-log.ts';
import type { Position } from '../tokens/feed-cursor.ts';
import type { RedisClock } from './clock.ts';
import { readEvent } from './event-codec.ts';
import { answerOf, type RedisClient } from './connect.ts';
import type { EventRetention } from './event-retention.ts';
import type { Keys } from './keys.ts';

export function createEventLog(redis: RedisClient, keys: Keys, clock: RedisClock, retention: EventRetention): EventLog {
  const shards = Array.from({ length: keys.shards }, (_, shard) => shard);
  return {
    shards: keys.shards,
    now: () => clock.now(),
    keptSince: retention.keptSince,

    async epoch() {
      return (await answerOf(redis.hget(keys.settings(), 'epoch'))) ?? undefined;
    },

    async read(shard, after, limit) {
      const from = `(${after.ms}-${after.seq}`;
      const entries = await answerOf(redis.xrange(keys.events(shard), from, '+', 'COUNT', limit));
      return entries.flatMap(([id, fields]) => {
        const event = readEvent(shard, id, packedIn(fields));
        return event === undefined ? [] : [{ position: readPosition(id), event }];
      });
    },

    async ends() {
      const last = await answerOf(
        Promise.all(shards.map((shard) => redis.xrevrange(keys.events(shard), '+', '-', 'COUNT', 1))),
      );
      return last.map(([entry]) => readPosition(entry?.[0] ?? '0-0'));
    },

    // A connection of its own: one that listens can do nothing else.
    onHint(listener) {
      const channels = new Map(shards.map((shard) => [keys.events(shard), shard]));
      const listening: RedisClient = redis instanceof Cluster ? redis.duplicate() : redis.duplicate();
      listening.on('error', () => {}); // Reconnects by itself; until then the poll goes on.
      listening.on('ready', () => {
        listening.subscribe(...channels.keys()).catch(() => {});
      });
      listening.on('message', (channel: string) => {
        const shard = channels.get(channel);
        if (shard !== undefined) listener(shard);
      });
      return () => listening.disconnect();
    },
  };
}

/** Names and values by turns. */
function packedIn(fields: readonly string[]): string {
  const at = fields.findIndex((name, index) => index % 2 === 0 && name === 'e');
  return (at < 0 ? undefined : fields[at + 1]) ?? '';
}

function readPosition(id: string): Position {
  const [ms, seq] = id.split('-').map(Number);
  return { ms: ms ?? 0, seq: seq ?? 0 };
}
