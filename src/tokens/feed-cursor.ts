/**
 * Owns the form of a feed cursor: the feed's epoch and a position in every shard's stream. Opaque to all others.
 */

/** Place in a stream: everything up to it has been seen. */
export type Position = { readonly ms: number; readonly seq: number };

export type Cursor = { readonly epoch: string; readonly positions: readonly Position[] };

export const BEGINNING: Position = { ms: 0, seq: 0 };

/** Of a position behind all that a millisecond has, however much that is. */
export const WHOLE_MS = Number.MAX_SAFE_INTEGER;

/**
 * Behind a cursor whose every place that is no whole millisecond is that of an entry. Cursors without it are older: there a
 * place 0 may also be a time up to which nothing had happened.
 */
const FORM = '1';

/** The place behind all that happened before a time: no entry need stand there. */
export function placeBefore(ms: number): Position {
  return { ms: ms - 1, seq: WHOLE_MS };
}

/** Whether an entry stands, or stood, at a place. */
export function isEntry({ ms, seq }: Position): boolean {
  return ms > 0 && seq !== WHOLE_MS;
}

/**
 * Longer is no cursor of ours. At most 1024 shards, each of its own: six digits for the distance (a week and ten minutes,
 * the longest that events are kept), three for the place in the millisecond, two separators. That is 11,264 characters
 * with 46 before and 2 behind them, which leaves the other headers a quarter of the 16 KB that Node takes.
 */
export const MAX_CURSOR_LENGTH = 12_288;

/** Negative when `a` lies before `b`. */
export function comparePositions(a: Position, b: Position): number {
  return a.ms - b.ms || a.seq - b.seq;
}

export function laterOf(a: Position, b: Position): Position {
  return comparePositions(a, b) >= 0 ? a : b;
}

/** Times as distances from the latest one, runs of equal shards once: an idle feed has a cursor of a few characters. */
export function writeCursor({ epoch, positions }: Cursor): string {
  const latest = Math.max(...positions.map((position) => position.ms));
  const parts = positions.map(({ ms, seq }) => `${(latest - ms).toString(36)}${writePlace(seq)}`);
  const runs: string[] = [];
  for (let from = 0; from < parts.length;) {
    let to = from;
    while (parts[to] === parts[from]) to += 1;
    runs.push(to - from > 1 ? `${parts[from]}*${(to - from).toString(36)}` : `${parts[from]}`);
    from = to;
  }
  return [epoch, latest.toString(36), runs.join('_'), FORM].join('~');
}

/** A listener that began at a time has a whole millisecond in many shards: its 11 digits are left out. */
function writePlace(seq: number): string {
  if (seq === 0) return '';
  return seq === WHOLE_MS ? '.' : `.${seq.toString(36)}`;
}

/** Undefined when it is not a cursor of a feed with so many shards. What a later version adds behind it is left out. */
export function readCursor(text: string, shards: number): Cursor | undefined {
  const [, epoch, latest, runs, form] = /^([\w-]{1,64})~([0-9a-z]{1,11})~([0-9a-z._*]+)(?:~(\d*).*)?$/.exec(text) ?? [];
  if (epoch === undefined || latest === undefined || runs === undefined) return undefined;
  const positions: Position[] = [];
  for (const run of runs.split('_')) {
    const [, distance, place, count] = /^([0-9a-z]{1,11})(\.[0-9a-z]{0,11})?(?:\*([0-9a-z]{1,3}))?$/.exec(run) ?? [];
    if (distance === undefined) return undefined;
    const written = { ms: parseInt(latest, 36) - parseInt(distance, 36), seq: readPlace(place) };
    const position = form === undefined && written.ms > 0 && written.seq === 0 ? placeBefore(written.ms) : written;
    for (let left = parseInt(count ?? '1', 36); left > 0 && positions.length <= shards; left -= 1)
      positions.push(position);
  }
  const good = positions.length === shards && positions.every(({ ms }) => ms >= 0);
  return good ? { epoch, positions } : undefined;
}

function readPlace(place: string | undefined): number {
  if (place === undefined) return 0;
  return place === '.' ? WHOLE_MS : parseInt(place.slice(1), 36);
}
