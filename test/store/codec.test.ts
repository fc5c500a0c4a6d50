/** What is written to Redis is read back as it was, and what cannot be read is reported, never thrown. */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { EVENT_TYPES } from '../../src/contract/event-types.ts';
import { TOKEN_REASONS } from '../../src/contract/errors.ts';
import type { Actor } from '../../src/domain/token.ts';
import {
  fieldsOf,
  packActor,
  packDetail,
  packRecord,
  packRenewal,
  readToken,
  readTokens,
  readUser,
  readVersion,
} from '../../src/redis/codec.ts';
import { readEvent, readHistoryEntry } from '../../src/redis/event-codec.ts';
import { createPlatforms } from '../../src/domain/platform.ts';
import type { NewToken } from '../../src/tokens/store.ts';
import { tokenView } from '../../src/tokens/views.ts';

const US = '\u001F';
const USER = { tenant: 'acme 😀', userId: 'ann:{x}' };
const AT = 1_700_000_000_123;
const TOKEN: NewToken = {
  ...USER,
  tokenId: 'token-1',
  platform: 'ios',
  deviceId: 'd:1/ä',
  deviceName: 'Ann’s 📱',
  createdAt: AT,
  expiresAt: AT + 2_592_000_000,
  accessExpiresAt: AT + 900_000,
  generation: 1,
  rotatedAt: AT,
  idleMs: 0,
  salt: 'c2FsdA',
  ip: '2001:db8::1',
  userAgent: 'Mozilla/5.0 (iPhone; …) 👩‍👩‍👧',
};
const ACTOR: Actor = {
  kind: 'login',
  platform: 'macos',
  deviceName: 'Ann’s 💻',
  policy: 'single-device',
  reason: 'evicted',
};

/** Text as the service lets it in: anything but control characters. */
const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map((value) => value.replaceAll(/\p{Cc}/gu, ''));
const time = fc.integer({ min: 0, max: 4_102_444_800_000 });
const actor: fc.Arbitrary<Actor> = fc.record(
  {
    kind: fc.constantFrom('login' as const, 'admin' as const, 'user' as const, 'system' as const),
    platform: text.filter(isGiven),
    deviceName: text.filter(isGiven),
    policy: text.filter(isGiven),
    reason: text.filter(isGiven),
  },
  { requiredKeys: ['kind'] },
);
const token: fc.Arbitrary<NewToken> = fc.record({
  tenant: fc.constant(USER.tenant),
  userId: fc.constant(USER.userId),
  tokenId: fc.base64String({ minLength: 4, maxLength: 24 }),
  platform: text,
  deviceId: text,
  deviceName: text,
  createdAt: time,
  expiresAt: time,
  accessExpiresAt: time,
  generation: fc.nat(),
  rotatedAt: time,
  idleMs: fc.nat(),
  salt: text,
  ip: text,
  userAgent: text,
});
/** What a hash could hold after something else than this service wrote to it. */
const garbage = fc.oneof(
  text,
  fc.string(),
  fc.array(text, { maxLength: 12 }).map((parts) => parts.join(US)),
  fc.integer().map(String),
);

/** The fields of one token as the scripts leave them. */
const stored = (one: NewToken, seq: number | string = 7) => ({
  [one.tokenId]: `${seq}${US}${packRecord(one)}`,
  [`${one.tokenId}:r`]: packRenewal(one),
});

const hash = (fields: Readonly<Record<string, string | undefined>>) =>
  new Map(Object.entries(fields) as [string, string][]);

const read = (tokenId: string, fields: Readonly<Record<string, string>>) =>
  readToken(
    USER,
    tokenId,
    fieldsOf(tokenId).map((field) => fields[field]),
  );

describe('a token', () => {
  it.each([
    { what: 'with emoji', one: TOKEN },
    { what: 'with empty parts', one: { ...TOKEN, deviceName: '', ip: '', userAgent: '' } },
    {
      what: 'with nothing but separators of other formats',
      one: { ...TOKEN, deviceId: '|,;:{}', deviceName: '"\\\u001E '.trim() },
    },
  ])('$what is read as it was written', ({ one }) => {
    expect(read(one.tokenId, stored(one))).toEqual({ ...one, seq: 7, lastSeenAt: one.createdAt });
  });

  it('of any texts and times is read as it was written', () => {
    fc.assert(
      fc.property(token, fc.nat(), (one, seq) => {
        expect(read(one.tokenId, stored(one, seq))).toEqual({ ...one, seq, lastSeenAt: one.createdAt });
      }),
    );
  });

  it('was last seen when its own field says', () => {
    const fields = { ...stored(TOKEN), 'token-1:s': String(AT + 60_000) };
    expect(read('token-1', fields)?.lastSeenAt).toBe(AT + 60_000);
  });

  it.each(TOKEN_REASONS.map((code) => ({ code })))('that ended with $code says by whom and when', ({ code }) => {
    const fields = { ...stored(TOKEN), 'token-1:e': [code, AT + 1, packActor(ACTOR)].join(US) };
    expect(read('token-1', fields)?.end).toEqual({ code, at: AT + 1, by: ACTOR });
  });

  it('that is not there is undefined', () => {
    const none = fieldsOf('token-1').map(() => null);
    expect(readToken(USER, 'token-1', none)).toBeUndefined();
    expect(read('token-1', {})).toBeUndefined();
  });
});

describe('tokens of a user', () => {
  it('come oldest first, without the fields of the hash itself', () => {
    const [old, young] = [
      { ...TOKEN, tokenId: 'young-in-name' },
      { ...TOKEN, tokenId: 'a' },
    ];
    const fields = { ':v': '12', ':q': '10', ...stored(young, 10), ...stored(old, 9) };
    const { tokens, unreadable } = readTokens(USER, hash(fields));
    expect(tokens.map((one) => one.tokenId)).toEqual(['young-in-name', 'a']);
    expect(unreadable).toEqual([]);
  });

  it.each([
    { what: 'a record without its renewal', fields: { broken: stored(TOKEN)['token-1'] } },
    { what: 'a renewal without its record', fields: { 'broken:r': packRenewal(TOKEN) } },
    { what: 'an end alone', fields: { 'broken:e': 'token_kicked' } },
    { what: 'a last seen alone', fields: { 'broken:s': String(AT) } },
    { what: 'a record of too few parts', fields: { broken: `7${US}ios`, 'broken:r': packRenewal(TOKEN) } },
    { what: 'a sequence that is no number', fields: { ...named(stored(TOKEN, 'x')) } },
    { what: 'an end of too few parts', fields: { ...named(stored(TOKEN)), 'broken:e': `token_kicked${US}1` } },
    {
      what: 'an end at no time',
      fields: { ...named(stored(TOKEN)), 'broken:e': `token_kicked${US}x${US}${packActor(ACTOR)}` },
    },
    { what: 'a renewal of words', fields: { ...named(stored(TOKEN)), 'broken:r': ['a', 'b', 'c', 'd', 'e'].join(US) } },
    { what: 'a last seen of words', fields: { ...named(stored(TOKEN)), 'broken:s': 'yesterday' } },
    { what: 'a time beyond all time', fields: { ...named(stored({ ...TOKEN, createdAt: 9e15 })) } },
    { what: 'an empty record', fields: { broken: '', 'broken:r': '' } },
  ])('$what is no token, and the others are read', ({ fields }) => {
    const isRecord = 'broken' in fields || 'broken:r' in fields;
    const { tokens, unreadable } = readTokens(USER, hash({ ...fields, ...stored(TOKEN) }));
    expect(unreadable.map((one) => one.tokenId)).toEqual(isRecord ? ['broken'] : []);
    expect(tokens.map((one) => one.tokenId)).toEqual(['token-1']);
  });

  it('are each read or reported, whatever stands in the hash, and can be shown', () => {
    const suffix = fc.constantFrom('', ':r', ':s', ':e', ':x');
    const field = fc
      .tuple(fc.constantFrom('a', 'b', '__proto__', 'constructor'), suffix)
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.dictionary(field, garbage), (fields) => {
        const { tokens, unreadable } = readTokens(USER, hash(fields));
        for (const one of tokens) expect(() => tokenView(one, createPlatforms(), AT)).not.toThrow();
        const ids = new Set(
          Object.keys(fields)
            .filter((name) => /^[^:]+(:r)?$/.test(name))
            .map((name) => name.split(':')[0] ?? ''),
        );
        const found = [...tokens, ...unreadable].map((one) => one.tokenId);
        expect(found.toSorted()).toEqual([...ids].toSorted());
      }),
      { numRuns: 500 },
    );
  });
});

const packed = (type: string, exp: string, detail: string, at: string = String(AT)) =>
  [type, USER.tenant, USER.userId, 'token-1', 'ios', at, exp, detail].join(US);

describe('an event', () => {
  it.each(EVENT_TYPES.map((type) => ({ type })))('$type is read as it was written', ({ type }) => {
    const detail = packDetail(ACTOR, '::1', ['token-2', 'token-3']);
    expect(readEvent(5, '17-0', packed(type, '1700000900', detail))).toEqual({
      id: '5-17-0',
      type,
      ...USER,
      tokenId: 'token-1',
      platform: 'ios',
      at: '2023-11-14T22:13:20.123Z',
      exp: 1_700_000_900,
      by: ACTOR,
      ip: '::1',
      conflicts: ['token-2', 'token-3'],
    });
  });

  it('has no part that is empty', () => {
    const bare = ['user.unblocked', USER.tenant, USER.userId, '', '', AT, '', packDetail({ kind: 'admin' }, '', [])];
    expect(readEvent(0, '1-0', bare.join(US))).toEqual({
      id: '0-1-0',
      type: 'user.unblocked',
      ...USER,
      at: '2023-11-14T22:13:20.123Z',
      by: { kind: 'admin' },
    });
  });

  it('of any actor is read as it was written', () => {
    fc.assert(
      fc.property(actor, text, (by, ip) => {
        const event = readEvent(0, '1-0', packed('token.kicked', '', packDetail(by, ip, [])));
        expect(event).toMatchObject({ by, ...(ip && { ip }) });
        expect(event?.by).toEqual(by);
      }),
    );
  });

  it.each(['x', '1e400', '0.5'])('is told without the time until which it matters where that is %j', (exp) => {
    const event = readEvent(0, '1-0', packed('token.kicked', exp, packDetail(ACTOR, '', [])));
    expect([event?.type, event?.exp]).toEqual(['token.kicked', undefined]);
  });

  it('stands in a history behind its id', () => {
    const event = packed('token.kicked', '9', packDetail(ACTOR, '', []));
    expect(readHistoryEntry(3, `17-0${US}${event}`)).toEqual(readEvent(3, '17-0', event));
  });

  it.each([
    { what: 'an unknown type', event: packed('token.lost', '9', packDetail(ACTOR, '', [])) },
    { what: 'too few parts', event: 'token.kicked' },
    { what: 'no time', event: packed('token.kicked', '9', packDetail(ACTOR, '', []), 'x') },
    { what: 'a time beyond all time', event: packed('token.kicked', '9', packDetail(ACTOR, '', []), '9e15') },
    { what: 'nothing', event: '' },
  ])('of $what is undefined', ({ event }) => {
    expect(readEvent(0, '1-0', event)).toBeUndefined();
    expect(readHistoryEntry(0, event)).toBeUndefined();
  });

  it('is never thrown over', () => {
    const part = fc.oneof(text, fc.constantFrom(...EVENT_TYPES), fc.integer().map(String));
    fc.assert(
      fc.property(fc.array(part, { minLength: 12, maxLength: 15 }), garbage, (parts, other) => {
        const event = readEvent(0, '1-0', ['token.kicked', ...parts.slice(1)].join(US));
        expect(event && new Date(event.at).toISOString()).toBe(event?.at);
        expect(() => readHistoryEntry(0, other)).not.toThrow();
      }),
      { numRuns: 500 },
    );
  });
});

describe('a user', () => {
  const createdAt = String(AT);
  it.each([
    { what: 'no record', fields: {}, user: undefined },
    { what: 'a version alone', fields: { rev: '1' }, user: undefined },
    {
      what: 'a password',
      fields: { createdAt, password: '$argon2' },
      user: { createdAt: AT, passwordHash: '$argon2' },
    },
    {
      what: 'a block without an end',
      fields: { createdAt, blockedUntil: '0', blockedAt: createdAt, blockReason: '' },
      user: { createdAt: AT, block: { until: null, at: AT } },
    },
    {
      what: 'a block with an end and a reason',
      fields: { createdAt, blockedUntil: String(AT + 9), blockedAt: createdAt, blockReason: 'spam 😀' },
      user: { createdAt: AT, block: { until: AT + 9, at: AT, reason: 'spam 😀' } },
    },
  ])('$what', ({ fields, user }) => {
    expect(readUser(USER, hash(fields as Record<string, string>))).toEqual(user && { ...USER, ...user });
  });
});

describe('the version', () => {
  it.each([
    { tokens: {}, user: {}, version: '0-0' },
    { tokens: { ':v': '5' }, user: {}, version: '5-0' },
    { tokens: { ':v': '5' }, user: { rev: '9' }, version: '5-9' },
  ] as const)('$version is that of the tokens and that of the user', ({ tokens, user, version }) => {
    expect(readVersion(hash(tokens as Record<string, string>), hash(user as Record<string, string>))).toBe(version);
  });
});

function isGiven(value: string): boolean {
  return value !== '';
}

/** The same fields under the id `broken`. */
function named(fields: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.replace('token-1', 'broken'), value]));
}
