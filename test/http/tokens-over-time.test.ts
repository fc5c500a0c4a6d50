/**
 * Tokens over time: expiry of the access token, of the token itself, of idleness; refresh rotation; a Redis that lost
 * everything. The clock is moved, never waited for; where only the clock of Redis counts, the record is moved instead.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import calculateSlot from 'cluster-key-slot';
import { decodeJwt, SignJWT, type JWTPayload } from 'jose';
import {
  eventTypes,
  introspect,
  issue,
  keysUnder,
  login,
  createUser,
  ownTokens,
  refresh,
  revokeAll,
  statesOf,
  tokenHash,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

const US = '\u001F';
const outcome = ({ status, body }: { status: number; body: { code?: string } }) => [status, body.code];
const keyOf = (service: Service, userId: string) => service.keys.tokens({ tenant: 'default', userId });

/** Parts of a token's renewal, as scripts/lib.lua lists them. */
const RENEWAL = { expiresAt: 0, accessExpiresAt: 1, generation: 2, rotatedAt: 3, idleMs: 4 };

/** Moves one time in a token's renewal back, as if so much more time had passed on the clock of Redis. */
async function moveBack(service: Service, userId: string, tokenId: string, part: keyof typeof RENEWAL, ms: number) {
  const key = keyOf(service, userId);
  const parts = (await service.redis.hget(key, `${tokenId}:r`))?.split(US) ?? [];
  parts[RENEWAL[part]] = String(Number(parts[RENEWAL[part]]) - ms);
  await service.redis.hset(key, `${tokenId}:r`, parts.join(US));
}

describe('O11 a token never outlives its own expiresAt because of another’s', () => {
  it('holds on the clock of the node', async () => {
    const short = await startService({
      env: { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '900', REFRESH_TTL_SECONDS: '900' },
    });
    const long = await startService({
      env: { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '3600', REFRESH_TTL_SECONDS: '7200' },
      prefix: short.prefix,
    });
    const dying = await issue(short, 'o11');
    const living = await issue(long, 'o11', { platform: 'web' });
    for (const node of [short, long]) node.shiftClock(899_000);
    expect((await refresh(long, (await issue(long, 'o11', { platform: 'linux' })).body.refreshToken)).status).toBe(200);
    for (const node of [short, long]) node.shiftClock(1_001);
    expect(await verdict(long, dying.body.accessToken)).toBe('token_expired');
    expect(outcome(await refresh(long, dying.body.refreshToken))).toEqual([401, 'token_expired']);
    expect(await verdict(long, living.body.accessToken)).toBe('good');
    expect(await statesOf(long, 'o11')).toEqual([
      ['ios', 'expired'],
      ['web', 'active'],
      ['linux', 'active'],
    ]);
  });

  it('holds on the clock of Redis, which the scripts go by', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
    const dying = await issue(service, 'o11-redis');
    const living = await issue(service, 'o11-redis', { platform: 'web' });
    await moveBack(service, 'o11-redis', dying.body.token.tokenId, 'expiresAt', 2_592_000_000);
    expect(await verdict(service, dying.body.accessToken)).toBe('token_expired');
    expect(outcome(await refresh(service, dying.body.refreshToken))).toEqual([401, 'token_expired']);
    await moveBack(service, 'o11-redis', dying.body.token.tokenId, 'accessExpiresAt', 900_000);
    const { revoked } = (await revokeAll(service, 'o11-redis')).body;
    expect(revoked).toEqual([{ tokenId: living.body.token.tokenId, platform: 'web' }]);
  });

  it('lets the hash live as long as its longest token, and no longer', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
    const first = await issue(service, 'o11-hash');
    const second = await issue(service, 'o11-hash');
    // Which of the two that is, a node that comes to know Redis time better in between decides by a few ms.
    const ends = [first, second].map(({ body }) => Date.parse(body.token.expiresAt));
    expect(await service.redis.pexpiretime(keyOf(service, 'o11-hash'))).toBe(Math.max(...ends));
  });
});

describe('T17 no access token without an end', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ env: { ACCESS_TTL_SECONDS: '900', REFRESH_TTL_SECONDS: '1000' } });
  });

  it('holds for login, trusted issuance and refresh, and none ends after its token', async () => {
    await createUser(service, 't17');
    const first = await login(service, 't17');
    const answers = [
      first,
      await issue(service, 't17', { platform: 'web' }),
      await refresh(service, first.body.refreshToken),
    ];
    for (const { body } of answers) {
      const { exp = 0, iat = 0, sid } = decodeJwt(body.accessToken);
      expect(exp - iat).toBe(900);
      expect(body.expiresIn).toBe(900);
      expect(sid).toBe(body.token.tokenId);
      expect(exp * 1000).toBe(Date.parse(body.token.accessExpiresAt));
      expect(exp * 1000).toBeLessThanOrEqual(Date.parse(body.token.expiresAt));
    }
    expect(new Set(answers.map(({ body }) => decodeJwt(body.accessToken).jti)).size).toBe(3);
  });

  it('never signs one that outlives its token', async () => {
    const tight = await startService({ env: { ACCESS_TTL_SECONDS: '60', REFRESH_TTL_SECONDS: '60' } });
    const { body } = await issue(tight, 't17-tight');
    expect(Number(decodeJwt(body.accessToken).exp) * 1000).toBeLessThanOrEqual(Date.parse(body.token.expiresAt));
  });

  it('refuses one without exp, although our own key signed it', async () => {
    const { body } = await issue(service, 't17-forged');
    const { exp, ...claims } = decodeJwt(body.accessToken);
    const resign = (payload: JWTPayload) =>
      new SignJWT(payload)
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: service.signingKeys.kid })
        .sign(service.signingKeys.privateKey);
    expect(await verdict(service, await resign({ ...claims, exp: Number(exp) }))).toBe('good');
    expect(await verdict(service, await resign(claims))).toBe('token_invalid');
  });

  it('refuses it past its exp, though its token lives on, and past the end of its token, though another’s lives on', async () => {
    const node = await startService({
      env: { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '900', REFRESH_TTL_SECONDS: '1000' },
    });
    const phone = await issue(node, 't17-past');
    node.shiftClock(898_000);
    expect(await verdict(node, phone.body.accessToken)).toBe('good');
    node.shiftClock(2_000);
    expect(await verdict(node, phone.body.accessToken)).toBe('token_expired');
    expect((await introspect(node, phone.body.accessToken)).body).toMatchObject({ active: false });
    await issue(node, 't17-past', { platform: 'web' });
    node.shiftClock(99_000);
    const next = await refresh(node, phone.body.refreshToken);
    expect(next.status).toBe(200);
    expect(await verdict(node, phone.body.accessToken)).toBe('token_expired');
    node.shiftClock(1_000_001);
    expect(outcome(await refresh(node, next.body.refreshToken))).toEqual([401, 'token_expired']);
    expect(await verdict(node, next.body.accessToken)).toBe('token_expired');
  });
});

describe('T18 a Redis that lost everything', () => {
  it('makes old tokens unknown, not kicked, and takes new ones at once', async () => {
    const service = await startService();
    const old = await issue(service, 't18');
    const kicked = await issue(service, 't18-kicked');
    await issue(service, 't18-kicked');
    await service.redis.del(await keysUnder(service));
    expect(await keysUnder(service)).toEqual([]);
    for (const { body } of [old, kicked]) {
      expect(outcome(await validate(service, body.accessToken))).toEqual([401, 'token_unknown']);
      expect(outcome(await refresh(service, body.refreshToken))).toEqual([401, 'token_unknown']);
    }
    expect(await keysUnder(service)).toEqual([]);
    const next = await issue(service, 't18');
    expect(next.status).toBe(200);
    expect(await verdict(service, next.body.accessToken)).toBe('good');
    expect(await verdict(service, old.body.accessToken)).toBe('token_unknown');
    expect((await service.api.get('/readyz')).status).toBe(200);
  });
});

describe('R13 a refresh keeps the token and its seat', () => {
  it('keeps tokenId, seat and order: the oldest login still goes first', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'no-kick', MAX_PER_PLATFORM: '2' } });
    const first = await issue(service, 'r13');
    const second = await issue(service, 'r13');
    const refreshed = await refresh(service, first.body.refreshToken);
    expect(refreshed.body.token.tokenId).toBe(first.body.token.tokenId);
    expect(refreshed.body.token.createdAt).toBe(first.body.token.createdAt);
    const { tokens } = (await ownTokens(service, second.body.accessToken)).body;
    expect(tokens.map((token: { tokenId: string }) => token.tokenId)).toEqual(
      [first, second].map(({ body }) => body.token.tokenId),
    );
    const third = await issue(service, 'r13');
    expect(third.body.displaced).toMatchObject([{ tokenId: first.body.token.tokenId }]);
    expect(await verdict(service, refreshed.body.accessToken)).toBe('token_kicked');
    expect(await eventTypes(service, 'r13')).toEqual(['token.issued', 'token.kicked', 'token.issued', 'token.issued']);
  });

  it('keeps the access token in use good', async () => {
    const service = await startService();
    const first = await issue(service, 'r13-access');
    const next = await refresh(service, first.body.refreshToken);
    for (const { body } of [first, next]) expect(await verdict(service, body.accessToken)).toBe('good');
  });

  it('has all keys of a user, and the stream that tells of them, in one hash slot', async () => {
    const { keys } = await startService();
    const slots = Array.from({ length: 500 }, (_, index) => {
      const user = { tenant: `tenant{${index % 7}}`, userId: `user}{${index}` };
      const all = [keys.tokens(user), keys.user(user), keys.history(user), keys.events(keys.shardOf(user))];
      const own = new Set([...all, keys.users(keys.shardOf(user))].map((key) => calculateSlot(key)));
      expect(own.size).toBe(1);
      return [...own][0];
    });
    expect(new Set(slots).size).toBeGreaterThan(50);
  });
});

describe('L6 refresh tokens are for one use', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ env: { LOGIN_POLICY: 'no-kick', REFRESH_GRACE_SECONDS: '10' } });
  });

  it('gives every caller within the grace the same successor', async () => {
    const { body } = await issue(service, 'l6-grace');
    const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(service, body.refreshToken)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(new Set(answers.map((answer) => answer.body.refreshToken)).size).toBe(1);
    for (const answer of answers) expect(await verdict(service, answer.body.accessToken)).toBe('good');
    await moveBack(service, 'l6-grace', body.token.tokenId, 'rotatedAt', 9_000);
    expect((await refresh(service, body.refreshToken)).body.refreshToken).toBe(answers[0]?.body.refreshToken);
    expect((await refresh(service, answers[0]?.body.refreshToken)).status).toBe(200);
  });

  it('ends the token when one is used after the grace', async () => {
    const { body } = await issue(service, 'l6-reuse');
    const next = await refresh(service, body.refreshToken);
    await moveBack(service, 'l6-reuse', body.token.tokenId, 'rotatedAt', 10_001);
    expect(outcome(await refresh(service, body.refreshToken))).toEqual([401, 'refresh_reused']);
    expect(outcome(await refresh(service, next.body.refreshToken))).toEqual([401, 'refresh_reused']);
    expect(outcome(await validate(service, next.body.accessToken))).toEqual([401, 'refresh_reused']);
    expect(await statesOf(service, 'l6-reuse')).toEqual([['ios', 'revoked']]);
  });

  it('ends the token when the one before the last is used, however soon', async () => {
    const { body } = await issue(service, 'l6-old');
    const second = await refresh(service, body.refreshToken);
    await refresh(service, second.body.refreshToken);
    expect(outcome(await refresh(service, body.refreshToken))).toEqual([401, 'refresh_reused']);
  });

  it.each([
    ['another secret', (text: string) => text.replace(/.{8}$/, 'AAAAAAAA')],
    ['a cut MAC', (text: string) => text.slice(0, -4)],
    ['the same bytes, written otherwise', withSpareBit],
    ['the same bytes, with padding', (text: string) => `${text}=`],
    ['another generation', (text: string) => withGeneration(text, 2)],
  ])('touches nothing when the MAC is wrong: %s', async (what, forge) => {
    const userId = `l6 ${what}`;
    const { body } = await issue(service, userId);
    const before = await tokenHash(service, userId);
    expect(outcome(await refresh(service, forge(body.refreshToken)))).toEqual([401, 'token_invalid']);
    expect(await tokenHash(service, userId)).toEqual(before);
    expect((await refresh(service, body.refreshToken)).status).toBe(200);
  });

  it('stores no secret: what Redis holds does not make a refresh token', async () => {
    const { body } = await issue(service, 'l6-secret');
    const stored = JSON.stringify(await tokenHash(service, 'l6-secret'));
    for (const part of [...body.refreshToken.split('.').slice(1), body.accessToken]) expect(stored).not.toContain(part);
  });

  it('says who kicked it', async () => {
    const single = await startService({ env: { LOGIN_POLICY: 'single-device' }, prefix: service.prefix });
    const { body } = await issue(single, 'l6-kicked');
    await issue(single, 'l6-kicked', { platform: 'web', deviceName: 'kiosk' });
    const refused = await refresh(single, body.refreshToken);
    expect(outcome(refused)).toEqual([401, 'token_kicked']);
    expect(refused.body).toMatchObject({
      endedAt: expect.any(String),
      endedBy: { kind: 'login', platform: 'web', deviceName: 'kiosk', policy: 'single-device' },
    });
  });
});

/** 32 bytes leave the last of their 43 characters two bits that mean nothing. */
function withSpareBit(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const other = text.slice(0, -1) + alphabet[alphabet.indexOf(text.slice(-1)) + 1];
  const [mac, otherMac] = [text, other].map((one) => Buffer.from(one.split('.')[2] ?? '', 'base64url'));
  expect(otherMac).toEqual(mac);
  return other;
}

/** The same refresh token with another generation in its locator, and the old MAC. */
function withGeneration(text: string, generation: number): string {
  const [prefix, locator = '', mac] = text.split('.');
  const parts = JSON.parse(Buffer.from(locator, 'base64url').toString()) as unknown[];
  return [prefix, Buffer.from(JSON.stringify([...parts.slice(0, 3), generation])).toString('base64url'), mac].join('.');
}

describe('an idle token', () => {
  const env = { LOGIN_POLICY: 'no-kick', IDLE_TTL_SECONDS: '120', ACCESS_TTL_SECONDS: '900' };

  it('is expired when it was not used for longer, while its JWT would still be good', async () => {
    const service = await startService({ env });
    const { body } = await issue(service, 'idle');
    service.shiftClock(118_000);
    expect(await verdict(service, body.accessToken)).toBe('good');
    service.shiftClock(3_000);
    expect(await verdict(service, (await issue(service, 'idle')).body.accessToken)).toBe('good');
    const { body: unused } = await issue(service, 'idle-unused');
    service.shiftClock(121_000);
    expect(await verdict(service, unused.accessToken)).toBe('token_expired');
    expect(outcome(await refresh(service, unused.refreshToken))).toEqual([401, 'token_expired']);
    expect(await statesOf(service, 'idle-unused')).toEqual([['ios', 'expired']]);
  });

  it('stays alive by validation, by refresh, and by introspection', async () => {
    const uses: Record<string, (service: Service, body: { accessToken: string; refreshToken: string }) => unknown> = {
      validation: (service, body) => validate(service, body.accessToken),
      refresh: (service, body) => refresh(service, body.refreshToken),
      introspection: (service, body) => introspect(service, body.accessToken),
    };
    const service = await startService({ env });
    for (const [what, use] of Object.entries(uses)) {
      const { body } = await issue(service, what);
      const key = keyOf(service, what);
      const seenAt = async () => Number(await service.redis.hget(key, `${body.token.tokenId}:s`));
      const almostIdle = Date.now() - 110_000;
      await service.redis.hset(key, `${body.token.tokenId}:s`, almostIdle);
      await use(service, body);
      await until(`${what} is noted`, async () => (await seenAt()) > almostIdle + 100_000);
    }
  });

  it('is not brought back by being used after it ended', async () => {
    const service = await startService({ env });
    const { body } = await issue(service, 'idle-late');
    const key = keyOf(service, 'idle-late');
    await service.redis.hset(key, `${body.token.tokenId}:s`, Date.now() - 130_000);
    const before = await tokenHash(service, 'idle-late');
    expect(await verdict(service, body.accessToken)).toBe('token_expired');
    expect(outcome(await refresh(service, body.refreshToken))).toEqual([401, 'token_expired']);
    service.store.touch({ tenant: 'default', userId: 'idle-late' }, body.token.tokenId);
    await service.redis.ping();
    expect(await tokenHash(service, 'idle-late')).toEqual(before);
  });
});
