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

/** What one read found. Entries that are no event to this version are passed over, and counted. */
export type Page = {
  /** Oldest first. */
  readonly events: readonly LoggedEvent[];
  /** Where the last entry stands, event or not; undefined when there was none. */
  readonly last: Position | undefined;
  /** As many entries as were asked for: there may be more. */
  readonly isFull: boolean;
  /** The entry that was read from is still there. */
  readonly isAnchored: boolean;
};

export type EventLog = {
  readonly shards: number;
  /** Time by the store's clock, ms since 1970. */
  now(): number;
  /** Unix ms from which on no event is missing: older ones have been trimmed, or may have been. */
  keptSince(): number;
  /** Changes when the store has lost its past. Undefined while it is being set up anew. */
  epoch(): Promise<string | undefined>;
  /** The store has lost a part of its past: gives it another epoch, unless that was done already. */
  renewEpoch(lost: string): Promise<void>;
  /** What stands behind a position, at most `limit` entries. */
  read(shard: number, after: Position, limit: number): Promise<Page>;
  /** Whether there is an entry at a position. */
  has(shard: number, position: Position): Promise<boolean>;
  /** Position of the latest event of every shard; the beginning where there is none. */
  ends(): Promise<readonly Position[]>;
  /** Of every shard, who holds it: another one after a restart, and after another server took its place. */
  holders(): Promise<readonly string[]>;
  /** Calls back with the shards that have something new; returns how to stop. */
  onHint(listener: (shard: number) => void): () => void;
};
