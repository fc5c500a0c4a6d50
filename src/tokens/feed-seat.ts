/** Owns what the feed knows of one listener, and what it has not seen yet. */
import type { Event } from '../contract/events.ts';
import type { LoggedEvent, Page } from './event-log.ts';
import type { FeedListener, FeedMessage } from './feed.ts';
import { BEGINNING, comparePositions, type Position } from './feed-cursor.ts';

export type Seat = {
  readonly listener: FeedListener;
  readonly onEnd: () => void;
  positions: Position[];
  /** Shards in which the seat has reached the hub, and is served by it. */
  readonly live: boolean[];
  /** Whether it has been told that it has caught up. */
  isToldLive: boolean;
  closed: boolean;
};

export function createSeat(listener: FeedListener, onEnd: () => void, positions: readonly Position[]): Seat {
  const live = positions.map(() => false);
  return { listener, onEnd, positions: [...positions], live, isToldLive: false, closed: false };
}

export function positionIn(positions: readonly Position[], shard: number): Position {
  return positions[shard] ?? BEGINNING;
}

/** False when the listener can take no more. */
export function tell(seat: Seat, message: FeedMessage): boolean {
  return seat.closed || seat.listener(message);
}

export function unseen(found: readonly LoggedEvent[], after: Position): Event[] {
  return found.filter(({ position }) => comparePositions(position, after) > 0).map(({ event }) => event);
}

/** The clock of the store has fallen back so far that something new stands before a place that was told as seen. */
export function isPassedOver(seen: readonly Position[], shards: readonly number[], pages: readonly Page[]): boolean {
  return shards.some((shard, index) => {
    const first = pages[index]?.events[0]?.position;
    return first !== undefined && comparePositions(first, positionIn(seen, shard)) <= 0;
  });
}
