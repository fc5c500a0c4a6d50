/**
 * Ends of tokens on purpose: by their own user, by an admin, by a gateway. What has ended is refused everywhere from the
 * next call on, and nothing brings it back.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Response } from 'supertest';
import {
  asAdmin,
  endOwn,
  eventTypes,
  introspect,
  issue,
  keysUnder,
  listTokens,
  logout,
  ownTokens,
  refresh,
  revokeAll,
  revokeByToken,
  revokeToken,
  tokenHash,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

let here: Service;
/** Another node of the same deployment. */
let there: Service;

beforeAll(async () => {
  here = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
  there = await startService({ env: { LOGIN_POLICY: 'no-kick' }, prefix: here.prefix });
});
afterAll(closeServices);

const idOf = (answer: Response): string => answer.body.token.tokenId;
const tagOf = (answer: Response) => ({ tokenId: idOf(answer), platform: answer.body.token.platform });
const issueOn = (userId: string, ...platforms: string[]) =>
  platforms.reduce<Promise<Response[]>>(
    async (done, platform) => [...(await done), await issue(here, userId, { platform })],
    Promise.resolve([]),
  );
const one = async (userId: string) => (await issueOn(userId, 'ios'))[0] as Response;

describe('O8 logout and revoke end the token itself', () => {
  it.each([
    ['logout', 'token_logged_out', (_userId: string, token: Response) => logout(here, token.body.accessToken)],
    [
      'DELETE /tokens/{id}',
      'token_logged_out',
      (_userId: string, token: Response) => endOwn(here, token.body.accessToken, idOf(token)),
    ],
    ['admin revoke', 'token_revoked', (userId: string, token: Response) => revokeToken(here, userId, idOf(token))],
    ['admin revoke all', 'token_revoked', (userId: string) => revokeAll(here, userId)],
    [
      'RFC 7009, access token',
      'token_revoked',
      (_userId: string, token: Response) => revokeByToken(here, token.body.accessToken),
    ],
    [
      'RFC 7009, refresh token',
      'token_revoked',
      (_userId: string, token: Response) => revokeByToken(here, token.body.refreshToken),
    ],
  ])('%s: REST and gateway refuse it from the next call, on every node', async (what, code, end) => {
    const userId = `o8 ${what}`;
    const token = await one(userId);
    expect((await end(userId, token)).status).toBe(200);
    for (const node of [there, here]) {
      const access = token.body.accessToken;
      expect((await introspect(node, access)).body).toMatchObject({ active: false, reason: code });
      for (const refused of [
        await validate(node, access),
        await ownTokens(node, access),
        await endOwn(node, access, idOf(token)),
        await logout(node, access),
        await refresh(node, token.body.refreshToken),
      ]) {
        expect([refused.status, refused.body.code]).toEqual([401, code]);
      }
    }
  });
});

describe('T11 logging out the old token never removes the newer one', () => {
  it('holds for logout by access token, by refresh token, and for the old token ended before', async () => {
    const single = await startService({ env: { LOGIN_POLICY: 'single-device' }, prefix: here.prefix });
    const old = await issue(single, 't11', { deviceId: 'phone' });
    const next = await issue(single, 't11', { deviceId: 'phone' });
    expect((await logout(single, old.body.accessToken)).body.code).toBe('token_replaced');
    expect((await logout(single, undefined, { refreshToken: old.body.refreshToken })).body.code).toBe('token_replaced');
    expect((await logout(single, old.body.accessToken, { scope: 'all' })).status).toBe(401);
    expect((await revokeToken(single, 't11', idOf(old))).body).toEqual({ revoked: [] });
    await revokeByToken(single, old.body.refreshToken);
    expect(await verdict(single, next.body.accessToken)).toBe('good');
  });

  it('ends the old one alone where both are active', async () => {
    const [old, next] = (await issueOn('t11-both', 'ios', 'ios')) as [Response, Response];
    expect((await logout(here, old.body.accessToken)).body).toEqual({ count: 1 });
    expect(await verdict(here, next.body.accessToken)).toBe('good');
  });
});

describe('T13 admins list fresh and revoke by user, platform, class and token', () => {
  it.each([
    ['user', '', [0, 1, 2, 3]],
    ['platform', '?platform=windows', [1]],
    ['class', '?class=desktop', [1, 2]],
    ['platform within its class', '?class=desktop&platform=macos', [2]],
    ['platform outside the class', '?class=mobile&platform=macos', []],
  ])('by %s: returns what it revoked, and the very next validate elsewhere sees it', async (what, query, chosen) => {
    const userId = `t13 ${what}`;
    const tokens = await issueOn(userId, 'ios', 'windows', 'macos', 'admin');
    for (const { body } of tokens) expect(await verdict(there, body.accessToken)).toBe('good');
    const answer = await revokeAll(here, userId, query);
    expect(answer.body).toEqual({ revoked: chosen.map((index) => tagOf(tokens[index] as Response)) });
    const expected = tokens.map((_, index) => (chosen.includes(index) ? 'token_revoked' : 'good'));
    expect(await Promise.all(tokens.map(({ body }) => verdict(there, body.accessToken)))).toEqual(expected);
    const states = expected.map((said) => (said === 'good' ? 'active' : 'revoked'));
    const listed = (await listTokens(there, userId)).body.tokens;
    expect(listed.map((token: { state: string }) => token.state)).toEqual(states);
  });

  it('by token, with a reason that its device is told', async () => {
    const [token, other] = (await issueOn('t13 token', 'ios', 'web')) as [Response, Response];
    const answer = await revokeToken(here, 't13 token', idOf(token), '?reason=lost');
    expect(answer.body).toEqual({ revoked: [tagOf(token)] });
    const refused = await validate(there, token.body.accessToken);
    expect(refused.body).toMatchObject({ code: 'token_revoked', endedBy: { kind: 'admin', reason: 'lost' } });
    expect(await verdict(there, other.body.accessToken)).toBe('good');
  });

  it('lists by platform and state, without secrets', async () => {
    const [phone] = (await issueOn('t13 list', 'ios', 'web', 'web')) as [Response];
    await revokeToken(here, 't13 list', idOf(phone));
    const listed = async (query: string) =>
      (await listTokens(there, 't13 list', query)).body.tokens.map((token: Record<string, string>) => token.platform);
    expect(await listed('')).toEqual(['ios', 'web', 'web']);
    expect(await listed('?platform=web')).toEqual(['web', 'web']);
    expect(await listed('?state=revoked')).toEqual(['ios']);
    expect(await listed('?platform=ios&state=active')).toEqual([]);
    const text = JSON.stringify((await listTokens(there, 't13 list')).body);
    expect(text).not.toMatch(/salt|generation|accessToken"|refreshToken|password/);
  });

  it.each(['platform=tv', 'class=watch'])('?%s is 400 and names the valid ones', async (query) => {
    const answer = await revokeAll(here, 't13 unknown', `?${query}`);
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.detail).toMatch(/valid: .*(ios|mobile)/);
  });

  it('reads nothing old: 50 revokes, 50 times seen by the next validate of the other node', async () => {
    for (let round = 0; round < 50; round += 1) {
      const token = await one('t13 fresh');
      expect(await verdict(there, token.body.accessToken)).toBe('good');
      await revokeToken(here, 't13 fresh', idOf(token));
      expect(await verdict(there, token.body.accessToken)).toBe('token_revoked');
    }
  });
});

describe('D4 ending a token is by tokenId, repeatable, and says what it did', () => {
  it('says 1, then 0; revoked, then nothing', async () => {
    const [mine, other, third] = (await issueOn('d4', 'ios', 'web', 'linux')) as [Response, Response, Response];
    expect((await endOwn(here, mine.body.accessToken, idOf(other))).body).toEqual({ count: 1 });
    const before = await tokenHash(here, 'd4');
    expect((await endOwn(here, mine.body.accessToken, idOf(other))).body).toEqual({ count: 0 });
    expect(await tokenHash(here, 'd4')).toEqual(before);
    expect((await revokeToken(here, 'd4', idOf(third))).body).toEqual({ revoked: [tagOf(third)] });
    expect((await revokeToken(here, 'd4', idOf(third))).body).toEqual({ revoked: [] });
    expect((await revokeToken(here, 'd4', 'never-was')).body).toEqual({ revoked: [] });
    expect((await revokeAll(here, 'nobody')).body).toEqual({ revoked: [] });
    expect((await revokeByToken(here, mine.body.accessToken)).status).toBe(200);
    expect((await revokeByToken(here, mine.body.accessToken)).status).toBe(200);
    expect((await revokeByToken(here, 'nonsense')).status).toBe(200);
    expect((await eventTypes(here, 'd4')).filter((type) => type !== 'token.issued')).toHaveLength(3);
  });

  it('answers 404 to another user’s token and to an unknown one, and ends neither', async () => {
    const mine = await one('d4-mine');
    const foreign = await one('d4-foreign');
    for (const tokenId of [idOf(foreign), 'never-was']) {
      const answer = await endOwn(here, mine.body.accessToken, tokenId);
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    }
    expect((await revokeToken(here, 'd4-mine', idOf(foreign))).body).toEqual({ revoked: [] });
    expect(await verdict(here, foreign.body.accessToken)).toBe('good');
  });
});

describe('L1 a user sees the devices that are signed in', () => {
  it('has exactly one current, all that tells them apart, and no ghosts', async () => {
    const ended = await one('l1');
    await logout(here, ended.body.accessToken);
    const phone = await issue(here, 'l1', { platform: 'ios', deviceId: 'd1', deviceName: 'Ada’s phone' });
    const laptop = await issue(here, 'l1', { platform: 'macos', deviceId: 'd2', deviceName: 'Ada’s laptop' });
    const { tokens } = (await ownTokens(here, laptop.body.accessToken)).body;
    expect(tokens.map((token: Record<string, unknown>) => [token.tokenId, token.current])).toEqual([
      [idOf(phone), false],
      [idOf(laptop), true],
    ]);
    expect(tokens[0]).toMatchObject({
      tokenId: idOf(phone),
      platform: 'ios',
      class: 'mobile',
      deviceId: 'd1',
      deviceName: 'Ada’s phone',
      state: 'active',
      ip: '127.0.0.1',
      createdAt: phone.body.token.createdAt,
      expiresAt: phone.body.token.expiresAt,
    });
    expect(Date.parse(tokens[0].lastSeenAt)).toBeGreaterThanOrEqual(Date.parse(tokens[0].createdAt));
    expect((await ownTokens(here, phone.body.accessToken)).body.tokens[0].current).toBe(true);
  });

  it('leaves out a token that time has ended', async () => {
    const node = await startService({
      env: { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '60', REFRESH_TTL_SECONDS: '60' },
      prefix: here.prefix,
    });
    await issue(node, 'l1-ghost', { platform: 'ios' });
    node.shiftClock(61_000);
    const fresh = await issue(node, 'l1-ghost', { platform: 'web' });
    const { tokens } = (await ownTokens(node, fresh.body.accessToken)).body;
    expect(tokens.map((token: { tokenId: string }) => token.tokenId)).toEqual([idOf(fresh)]);
  });
});

describe('L2 end one, all others, or all', () => {
  it.each([
    ['this', 1, ['good', 'token_logged_out', 'good']],
    ['others', 2, ['token_logged_out', 'good', 'token_logged_out']],
    ['all', 3, ['token_logged_out', 'token_logged_out', 'token_logged_out']],
  ] as const)('scope %s ends %i', async (scope, count, said) => {
    const userId = `l2 ${scope}`;
    const bystander = await one(`${userId} bystander`);
    const tokens = await issueOn(userId, 'ios', 'web', 'macos');
    expect((await logout(here, tokens[1]?.body.accessToken, { scope })).body).toEqual({ count });
    expect(await Promise.all(tokens.map(({ body }) => verdict(there, body.accessToken)))).toEqual(said);
    expect(await verdict(here, bystander.body.accessToken)).toBe('good');
  });

  it('takes a refresh token when the access token is gone', async () => {
    const tokens = (await issueOn('l2 refresh', 'ios', 'web')) as [Response, Response];
    const answer = await logout(here, undefined, { refreshToken: tokens[0].body.refreshToken, scope: 'others' });
    expect(answer.body).toEqual({ count: 1 });
    expect(await verdict(here, tokens[1].body.accessToken)).toBe('token_logged_out');
    expect((await logout(here, undefined, { refreshToken: tokens[0].body.refreshToken })).body).toEqual({ count: 1 });
  });

  it('takes the refresh token before the latest, whose answer may have been lost', async () => {
    const { body } = await one('lost-answer');
    await refresh(there, body.refreshToken);
    expect((await logout(here, undefined, { refreshToken: body.refreshToken })).body).toEqual({ count: 1 });
  });

  it('takes an older one for what it is: used again, it ends its own token and no other', async () => {
    const [own, other] = (await issueOn('old-refresh', 'ios', 'web')) as [Response, Response];
    const next = await refresh(there, own.body.refreshToken);
    const latest = await refresh(there, next.body.refreshToken);
    const answer = await logout(here, undefined, { refreshToken: own.body.refreshToken, scope: 'all' });
    expect([answer.status, answer.body.code]).toEqual([401, 'refresh_reused']);
    expect(await verdict(there, latest.body.accessToken)).toBe('refresh_reused');
    expect(await verdict(there, other.body.accessToken)).toBe('good');
  });

  it.each([
    ['neither token', undefined, 'token_missing'],
    ['a refresh token that is none', 'nonsense', 'token_malformed'],
  ])('answers 401 to %s', async (_what, refreshToken, code) => {
    const answer = await logout(here, undefined, refreshToken === undefined ? {} : { refreshToken });
    expect([answer.status, answer.body.code]).toEqual([401, code]);
  });
});

describe('L3 copied tokens are worth nothing after the logout', () => {
  it('refuses access and refresh token on another node', async () => {
    const token = await one('l3');
    await logout(here, token.body.accessToken);
    expect((await validate(there, token.body.accessToken)).status).toBe(401);
    expect((await refresh(there, token.body.refreshToken)).status).toBe(401);
  });
});

describe('R8 nothing resurrects', () => {
  const ends = {
    'a logout': (token: Response) => logout(here, token.body.accessToken),
    'a revoke': (token: Response) => revokeAll(here, token.body.token.userId),
    'a kick': (token: Response) =>
      issue(here, token.body.token.userId, { platform: 'web', evict: [token.body.token.tokenId] }),
  };

  it.each(Object.entries(ends))('validate, refresh and touch after %s leave the hash as it was', async (what, end) => {
    const userId = `r8 ${what}`;
    const token = await one(userId);
    await end(token);
    const before = [await tokenHash(here, userId), await keysUnder(here)];
    await validate(there, token.body.accessToken);
    await introspect(there, token.body.accessToken);
    await refresh(there, token.body.refreshToken);
    await logout(there, token.body.accessToken);
    await endOwn(there, token.body.accessToken, idOf(token));
    await touchNow(there, userId, idOf(token));
    expect([await tokenHash(here, userId), await keysUnder(here)]).toEqual(before);
  });

  it('leaves a user whose tokens are gone without any key', async () => {
    const token = await one('r8 gone');
    const key = here.keys.tokens({ tenant: 'default', userId: 'r8 gone' });
    await here.redis.del(key);
    await validate(there, token.body.accessToken);
    await refresh(there, token.body.refreshToken);
    await revokeByToken(there, token.body.accessToken);
    await there.api.delete('/admin/users/r8%20gone/tokens').set(asAdmin);
    await touchNow(there, 'r8 gone', idOf(token));
    expect(await here.redis.exists(key)).toBe(0);
  });
});

/** Notes "last seen", and waits until Redis has answered: commands of one connection are answered in order. */
async function touchNow(service: Service, userId: string, tokenId: string): Promise<void> {
  service.store.touch({ tenant: 'default', userId }, tokenId);
  await service.redis.ping();
}
