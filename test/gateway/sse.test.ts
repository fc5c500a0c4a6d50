// The reader of server-sent events: bytes cut anywhere, and a bound on what it holds. The cache and the clock beside it.
import { describe, expect, it } from '@jest/globals';
import { DigestCache } from '../../src/gateway/digest-cache.ts';
import { EndedTokens } from '../../src/gateway/ended-tokens.ts';
import { LatchkeyClock } from '../../src/gateway/clock.ts';
import { SseParser } from '../../src/gateway/sse.ts';
import { REASON_TITLES } from '../../src/gateway/types.ts';
import { ERRORS, TOKEN_REASONS } from '../../src/contract/errors.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const STREAM = ': hello\nevent: a\ndata: {"x":"ä"}\nid: 1\n\nevent:b\r\ndata:1\r\ndata: 2\r\n\r\nretry: 5\n\ndata\n\n';
const MESSAGES = [
  { type: 'a', data: '{"x":"ä"}', id: '1' },
  { type: 'b', data: '1\n2', id: undefined },
  { type: '', data: '', id: undefined },
];

describe('SseParser', () => {
  it('finds the same messages wherever the bytes are cut', () => {
    const all = bytes(STREAM);
    for (let size = 1; size <= all.length; size += 1) {
      const parser = new SseParser();
      const found = [];
      for (let from = 0; from < all.length; from += size) found.push(...parser.push(all.subarray(from, from + size)));
      expect(found).toEqual(MESSAGES);
    }
  });

  it.each([
    ['a line without an end', 'data: '.padEnd(60, 'x')],
    ['a message without an end', 'data: 12345\n'.repeat(10)],
  ])('gives up on %s', (_, text) => {
    const parser = new SseParser(50);
    expect(() => {
      for (const letter of text) parser.push(bytes(letter));
    }).toThrow('too long');
  });
});

describe('DigestCache', () => {
  it('holds no more than its size, and keeps what is used', () => {
    const cache = new DigestCache<number>(100);
    cache.set('used', 0);
    for (let n = 1; n <= 1000; n += 1) {
      cache.set(`digest-${n}`, n);
      expect(cache.get('used')).toBe(0);
      expect(cache.size).toBeLessThanOrEqual(101);
    }
    expect(cache.get('digest-1')).toBeUndefined();
    cache.clear();
    expect(cache.size).toBe(0);
  });
});

describe('EndedTokens', () => {
  it('keeps each until its end and no longer', () => {
    const ended = new EndedTokens();
    const event = { tenant: 'default', userId: 'ada', reason: 'token_kicked', endedAt: 'then' } as const;
    for (let n = 1; n <= 100; n += 1) ended.add({ ...event, tokenId: `t${n}` }, n * 1000, 0);
    ended.add({ ...event, tokenId: 'late' }, 1_000_000, 50_000);
    expect(ended.size).toBe(51);
    expect(ended.find('t50')).toBeUndefined();
    expect(ended.find('t51')).toBeDefined();
  });
});

describe('LatchkeyClock', () => {
  it('believes the quickest heartbeat, and says how late the others were', () => {
    const clock = new LatchkeyClock({ monotonic: () => 400, wall: () => 0 });
    expect(clock.observe(1_000_100, 200)).toBe(0);
    expect(clock.observe(1_000_200, 340)).toBe(40);
    expect(clock.observe(1_000_300, 390)).toBe(0);
    expect(clock.now()).toBe(1_000_310);
  });

  it('follows a clock that was set back after some heartbeats', () => {
    const clock = new LatchkeyClock({ monotonic: () => 10, wall: () => 0 });
    clock.observe(1_000_000, 0);
    for (let n = 1; n <= 8; n += 1) clock.observe(500_000 + n, n);
    expect(clock.now()).toBe(500_010);
  });
});

describe('reasons', () => {
  it('have the sentences of the contract', () => {
    const titles = TOKEN_REASONS.map((reason) => [reason, ERRORS[reason].title]);
    expect(Object.entries(REASON_TITLES)).toEqual(titles);
  });
});
