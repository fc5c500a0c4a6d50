/** The form of a feed cursor: whatever is written can be read, and goes into the headers of a request. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import {
  comparePositions,
  MAX_CURSOR_LENGTH,
  placeBefore,
  readCursor,
  WHOLE_MS,
  writeCursor,
  type Cursor,
  type Position,
} from '../../src/tokens/feed-cursor.ts';

const EPOCH = 'a392dd58-cf25-43c7-a4da-d4e4b34e1522';
const NOW = 1_795_222_935_385;
/** The most that settings allow. */
const SHARDS = 1024;
/** Three digits of a position's place: more than Redis carries out in a millisecond. */
const MOST_IN_A_MS = 36 ** 3 - 1;
const SPREADS: Readonly<Record<string, number>> = {
  'five seconds': 5_000,
  'an hour': 3_600_000,
  'a week and ten minutes': 604_800_000 + 600_000,
};

const cursorOf = (positions: readonly Position[]): Cursor => ({ epoch: EPOCH, positions });

describe('F21 a cursor of the next version', () => {
  it('is read as far as it is known', () => {
    const positions = [1, 2, 3].map((seq) => ({ ms: NOW, seq }));
    const text = writeCursor(cursorOf(positions));
    for (const more of ['~', '~2', '~p:7~{"a":1}']) expect(readCursor(text + more, 3)).toEqual(cursorOf(positions));
    const [bare = ''] = text.split('~1', 1);
    for (const other of [`v2:${text}`, `${bare}!~1`, `${bare}_0~1`]) expect(readCursor(other, 3)).toBeUndefined();
  });
});

describe('F42 a cursor of an older version', () => {
  it('may name a time where nothing had happened, so that its places 0 are no entries', () => {
    const positions = [
      { ms: NOW, seq: 3 },
      { ms: NOW, seq: 0 },
      { ms: 0, seq: 0 },
    ];
    const text = writeCursor(cursorOf(positions));
    expect(readCursor(text, 3)).toEqual(cursorOf(positions));
    const older = text.slice(0, text.lastIndexOf('~'));
    expect(readCursor(older, 3)?.positions).toEqual([positions[0], placeBefore(NOW), positions[2]]);
    expect(comparePositions(placeBefore(NOW), { ms: NOW, seq: 0 })).toBeLessThan(0);
  });
});

describe('a cursor of 1024 shards', () => {
  it.each(Object.entries(SPREADS))('is read as it was written, with positions over %s', (_name, spread) => {
    const place = fc.oneof(fc.constant(0), fc.nat({ max: 9 }), fc.nat({ max: MOST_IN_A_MS }), fc.constant(WHOLE_MS));
    const position = fc.record({ ms: fc.nat({ max: spread }).map((behind) => NOW - behind), seq: place });
    const positions = fc.array(position, { minLength: SHARDS, maxLength: SHARDS, size: 'max' });
    const property = fc.property(positions, (all) => {
      const cursor = cursorOf(all);
      const text = writeCursor(cursor);
      expect(text.length).toBeLessThanOrEqual(MAX_CURSOR_LENGTH);
      expect(readCursor(text, SHARDS)).toEqual(cursor);
    });
    fc.assert(property, { numRuns: 30 });
  });

  it('is never longer than a request can carry, however far its positions lie apart', () => {
    const oldest = NOW - (SPREADS['a week and ten minutes'] as number);
    const positions = Array.from({ length: SHARDS }, (_, shard) => ({ ms: oldest + shard, seq: MOST_IN_A_MS }));
    positions[SHARDS - 1] = { ms: NOW, seq: MOST_IN_A_MS };
    const text = writeCursor(cursorOf(positions));
    expect(text.length).toBeGreaterThan(11_000);
    expect(text.length).toBeLessThanOrEqual(MAX_CURSOR_LENGTH);
    expect(readCursor(text, SHARDS)).toEqual(cursorOf(positions));
  });

  it('has a few characters for a whole millisecond, which may also be written in full', () => {
    const positions = [
      { ms: NOW, seq: 3 },
      { ms: NOW - 36, seq: WHOLE_MS },
      { ms: NOW - 36, seq: WHOLE_MS },
    ];
    const text = writeCursor(cursorOf(positions));
    expect(text).toBe(`${EPOCH}~${NOW.toString(36)}~0.3_10.*2~1`);
    const inFull = text.replace('10.', `10.${WHOLE_MS.toString(36)}`);
    expect(readCursor(inFull, 3)).toEqual(cursorOf(positions));
  });
});
