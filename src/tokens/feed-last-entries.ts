/**
 * Owns the last entry of every shard that the feed has read, and how it shows by them that the store has lost a part of its
 * past. Must not know who listens.
 */
import type { EventLog } from './event-log.ts';
import { isEntry, type Position } from './feed-cursor.ts';
import { positionIn } from './feed-seat.ts';
import { CLOCK_TOLERANCE_MS } from './feed-start.ts';

export class LastEntries {
  readonly #log: EventLog;
  #places: Position[] = [];
  /** Who held the shards when they were read. */
  #holders: readonly string[] = [];

  constructor(log: EventLog) {
    this.#log = log;
  }

  at(shard: number): Position {
    return positionIn(this.#places, shard);
  }

  note(shard: number, place: Position): void {
    this.#places[shard] = place;
  }

  /** Goes on from where every shard ends; answers these places. */
  async goToEnds(): Promise<readonly Position[]> {
    this.#holders = await this.#log.holders();
    this.#places = [...(await this.#log.ends())];
    return this.#places;
  }

  /** Shards whose entry is no longer there. */
  async missing(): Promise<number[]> {
    const isThere = await Promise.all(
      this.#places.map(async (place, shard) => !isEntry(place) || this.#log.has(shard, place)),
    );
    return isThere.flatMap((there, shard) => (there ? [] : [shard]));
  }

  /**
   * Whether one of these missing entries is not old enough to be trimmed, and its shard is held by another server than when
   * it was read, or by one that was started again.
   */
  async isLoss(missing: readonly number[]): Promise<boolean> {
    const keptSince = missing.length > 0 ? this.#log.keptSince() + CLOCK_TOLERANCE_MS : 0;
    const young = missing.filter((shard) => this.at(shard).ms > keptSince);
    if (young.length === 0) return false;
    const holders = await this.#log.holders();
    return young.some((shard) => holders[shard] !== this.#holders[shard]);
  }
}
