/**
 * Owns where a listener of the feed begins, and when a cursor can no longer be gone on from. Pure.
 */
import type { FeedStart, ResetReason } from './feed.ts';
import { BEGINNING, WHOLE_MS, readCursor, type Cursor, type Position } from './feed-cursor.ts';

/** How far a node's idea of the store's clock may be off, and more. */
export const CLOCK_TOLERANCE_MS = 5_000;

/** Where the feed stands. */
export type FeedState = {
  readonly epoch: string | undefined;
  readonly positions: readonly Position[];
  readonly now: number;
  /** Unix ms from which on no event is missing. */
  readonly keptSince: number;
  /** Whether what stands in {@link entriesOf} the start is in the store. */
  readonly isHeld: boolean;
};

/**
 * How near to the present a place is known to be that of an entry: a shard without entries is told as seen only up to a
 * time that lies further back.
 */
const ENTRIES_ALONE_MS = 1_000;

/**
 * Places of a cursor where an entry must stand. Where none does, the store has lost it, or its clock has fallen back, and
 * what comes next may stand before the cursor.
 */
export function entriesOf(start: FeedStart, shards: number, now: number): { shard: number; position: Position }[] {
  const cursor = typeof start === 'object' && 'cursor' in start ? readCursor(start.cursor, shards) : undefined;
  const places = (cursor?.positions ?? []).map((position, shard) => ({ shard, position }));
  return places.filter(({ position: { ms, seq } }) => seq !== WHOLE_MS && ms > now - ENTRIES_ALONE_MS);
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
  const since = (ms: number) => Math.max(0, Math.min(ms, now) - 1);
  if ('ms' in start) {
    const begin = { positions: all({ ms: since(start.ms), seq: WHOLE_MS }) };
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
  if (!isHeld || times.some((ms) => ms > now + CLOCK_TOLERANCE_MS)) return 'cursor_in_future';
  return times.some((ms) => ms < keptSince) ? 'cursor_expired' : undefined;
}
