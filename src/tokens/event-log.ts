/**
 * Owns what the feed asks of the store of events, and what that guarantees. Must not know Redis.
 *
 * - Events of one user stand in one shard, in the order in which they happened, each exactly once.
 * - An event that was confirmed to anyone is read by every read that begins after it.
 * - Hints may be lost and may be wrong: they only say where a read is worth its while.
 */
import type { Event } from '../contract/events.ts';
import type { Position } from './feed-cursor.ts';

export type LoggedEvent = { readonly position: Position; readonly event: Event };

export type EventLog = {
  readonly shards: number;
  /** Time by the store's clock, ms since 1970. */
  now(): number;
  /** Unix ms from which on no event is missing: older ones have been trimmed, or may have been. */
  keptSince(): number;
  /** Changes when the store has lost its past. Undefined while it is being set up anew. */
  epoch(): Promise<string | undefined>;
  /** Events after a position, oldest first, at most `limit`. */
  read(shard: number, after: Position, limit: number): Promise<readonly LoggedEvent[]>;
  /** Position of the latest event of every shard. */
  ends(): Promise<readonly Position[]>;
  /** Calls back with the shards that have something new; returns how to stop. */
  onHint(listener: (shard: number) => void): () => void;
};
