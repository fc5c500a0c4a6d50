/**
 * Owns where a listener of the feed begins, and when a cursor can no longer be gone on from. Pure.
 */
import type { FeedStart, ResetReason } from './feed.ts';
import {
  BEGINNING,
  comparePositions,
  isEntry,
  placeBefore,
  readCursor,
  type Cursor,
  type Position,
} from './feed-cursor.ts';

/** How far a node's idea of the store's clock may be off, and more. */
export const CLOCK_TOLERANCE_MS = 5_000;

/** Where the feed stands. */
export type FeedState = {
  readonly epoch: string | undefined;
  readonly positions: readonly Position[];
  readonly now: number;
  /** Unix ms from which on no event is missing. */
  readonly keptSince: number;
  /** Whether {@link entriesBeyond} the start are all in the store. */
  readonly isHeld: boolean;
};

/**
 * Entries that a cursor names and the hub has not read. Where one is missing, the store has lost it, or its clock has fallen
 * back, and what comes next may stand before the cursor. Those that the hub has passed show when their listener catches up.
 */
export function entriesBeyond(start: FeedStart, hub: readonly Position[]): { shard: number; position: Position }[] {
  const cursor = typeof start === 'object' && 'cursor' in start ? readCursor(start.cursor, hub.length) : undefined;
  const places = (cursor?.positions ?? []).map((position, shard) => ({ shard, position }));
  return places.filter(
    ({ position, shard }) => isEntry(position) && comparePositions(position, hub[shard] ?? BEGINNING) > 0,
  );
}

/** With a `reset` the listener has missed something, and goes on from the positions: the present, or all that is kept. */
export function resolveStart(
  start: FeedStart,
  state: FeedState,
): { positions: readonly Position[]; reset?: ResetReason } {
  const { positions, now, keptSince } = state;
  const all = (position: Position) => positions.map(() => position);
  if (start === 'now') return { positions };
  if (start === 'start') return { positions: all(BEGINNING) };
  // A time to come is now: else a caller whose clock is fast would silently miss what happens until then.
  const since = (ms: number) => placeBefore(Math.max(1, Math.min(ms, now)));
  if ('ms' in start) {
    const begin = { positions: all(since(start.ms)) };
    return start.ms < keptSince ? { ...begin, reset: 'cursor_expired' } : begin;
  }
  const cursor = readCursor(start.cursor, positions.length);
  if (cursor === undefined) return { positions, reset: 'cursor_invalid' };
  const reset = faultOf(cursor, state);
  return reset === undefined ? { positions: cursor.positions } : { positions, reset };
}

function faultOf(cursor: Cursor, { epoch, now, keptSince, isHeld }: FeedState): ResetReason | undefined {
  if (cursor.epoch !== epoch) return 'epoch_changed';
  const times = cursor.positions.map((position) => position.ms).filter((ms) => ms > 0);
  if (!isHeld || cursor.positions.some((place) => isAhead(place, now))) return 'cursor_in_future';
  return times.some((ms) => ms < keptSince) ? 'cursor_expired' : undefined;
}

/** A place that no entry has given lies in the past; if not, the clock has fallen back, and what comes next may stand before it. */
function isAhead(place: Position, now: number): boolean {
  return place.ms > now + (isEntry(place) ? CLOCK_TOLERANCE_MS : 0);
}
