/**
 * Tokens that time has ended while an access token of theirs is still in time: a gateway that checks by itself takes it
 * until it is told. Only the clock of Redis counts for the scripts, so it is the records that are moved.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import type { Response } from 'supertest';
import {
  asAdmin,
  changeUser,
  deleteUser,
  endOwn,
  history,
  introspect,
  issue,
  listTokens,
  logout,
  PASSWORD,
  refresh,
  revokeAll,
  revokeByToken,
  revokeToken,
  statesOf,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { closeCheckers, readyChecker, wordOf } from '../gateway/checkers.ts';

const US = '\u001F';
const IDLE_MS = 120_000;

let service: Service;
beforeAll(async () => {
  service = await startService({
    env: { LOGIN_POLICY: 'no-kick', IDLE_TTL_SECONDS: '120', REFRESH_GRACE_SECONDS: '0' },
  });
});
afterAll(async () => {
  closeCheckers();
  await closeServices();
});

type Phone = {
  readonly userId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly tokenId: string;
};
const keyOf = (userId: string) => service.keys.tokens({ tenant: 'default', userId });

/** What time has ended: unused for too long, or older than a life that the tenant has shortened since. */
const WAYS = {
  idle: async ({ userId, tokenId }: Phone) => {
    await service.redis.hset(keyOf(userId), `${tokenId}:s`, service.store.now() - IDLE_MS - 1);
  },
  old: async ({ userId, tokenId }: Phone) => {
    const parts = ((await service.redis.hget(keyOf(userId), `${tokenId}:r`)) ?? '').split(US);
    await service.redis.hset(keyOf(userId), `${tokenId}:r`, [service.store.now() - 1, ...parts.slice(1)].join(US));
  },
};

async function phoneOf(userId: string, more: object = {}): Promise<Phone> {
  const { body } = await issue(service, userId, { platform: 'ios', deviceId: 'phone', ...more });
  const { accessToken, refreshToken, token } = body;
  return { userId, accessToken, refreshToken, tokenId: token.tokenId };
}

async function outlivedPhone(userId: string, way: keyof typeof WAYS = 'idle', more: object = {}): Promise<Phone> {
  const phone = await phoneOf(userId, more);
  await WAYS[way](phone);
  expect(await verdict(service, phone.accessToken)).toBe('token_expired');
  return phone;
}

/** The event that told the end of a token. */
async function endOf({ userId, tokenId }: Phone) {
  const { events } = (await history(service, userId)).body;
  const [end, ...more] = events.filter((one: { tokenId?: string; type: string }) => {
    return one.tokenId === tokenId && one.type !== 'token.issued';
  });
  expect(more).toEqual([]);
  return end;
}

const setPolicy = (userId: string, policy: string) =>
  service.api.put(`/admin/users/${userId}/policy`).set(asAdmin).send({ policy });
const refreshedBefore = async (userId: string) => {
  const phone = await phoneOf(userId);
  const { body } = await refresh(service, phone.refreshToken);
  await WAYS.idle(phone);
  return { ...phone, accessToken: body.accessToken };
};

const revoked = ({ tokenId }: Phone) => ({ revoked: [{ tokenId, platform: 'ios' }] });
const one = () => ({ count: 1 });
const nothing = () => ({});

describe('F1 whatever ends tokens ends one that its access token outlives', () => {
  it.each<[string, string, (phone: Phone) => object, (phone: Phone) => Promise<Response>]>([
    ['revoking it', 'token_revoked', revoked, ({ userId, tokenId }) => revokeToken(service, userId, tokenId)],
    ['revoking all', 'token_revoked', revoked, ({ userId }) => revokeAll(service, userId)],
    ['revoking a platform', 'token_revoked', revoked, ({ userId }) => revokeAll(service, userId, '?platform=ios')],
    ['RFC 7009, access token', 'token_revoked', nothing, ({ accessToken }) => revokeByToken(service, accessToken)],
    ['RFC 7009, refresh token', 'token_revoked', nothing, ({ refreshToken }) => revokeByToken(service, refreshToken)],
    ['a block', 'user_blocked', revoked, ({ userId }) => changeUser(service, userId, { blocked: { reason: 'spam' } })],
    [
      'a password',
      'token_revoked',
      revoked,
      ({ userId }) => changeUser(service, userId, { password: `new ${PASSWORD}` }),
    ],
    ['deletion of the user', 'token_revoked', revoked, ({ userId }) => deleteUser(service, userId)],
    [
      'its log-out, refresh token',
      'token_logged_out',
      one,
      ({ refreshToken }) => logout(service, undefined, { refreshToken }),
    ],
    ['its log-out, access token', 'token_logged_out', one, ({ accessToken }) => logout(service, accessToken)],
  ])('%s: %s', async (name, code, body, act) => {
    for (const way of ['idle', 'old'] as const) {
      const phone = await outlivedPhone(`${way} ${name}`.replaceAll(/\W/g, '-'), way);
      const answer = await act(phone);
      expect([answer.status, answer.body]).toEqual([200, expect.objectContaining(body(phone))]);
      expect(await verdict(service, phone.accessToken)).toBe(code);
      expect(await endOf(phone)).toMatchObject({ code, exp: decodeJwt(phone.accessToken).exp });
      expect((await listTokens(service, phone.userId)).body.tokens[0].state).not.toBe('expired');
    }
  });

  it.each<[string, (phone: Phone, accessToken: string) => Promise<Response>]>([
    ['others', (_phone, accessToken) => logout(service, accessToken, { scope: 'others' })],
    ['DELETE', ({ tokenId }, accessToken) => endOwn(service, accessToken, tokenId)],
  ])('another device of the user, by %s', async (name, act) => {
    const userId = `other-${name}`;
    const { accessToken } = (await issue(service, userId, { platform: 'web' })).body;
    const phone = await phoneOf(userId);
    await WAYS.idle(phone);
    expect((await act(phone, accessToken)).body).toEqual({ count: 1 });
    expect(await verdict(service, phone.accessToken)).toBe('token_logged_out');
  });

  it('a refresh token that is used a second time', async () => {
    const phone = await refreshedBefore('reused');
    expect((await refresh(service, phone.refreshToken)).body.code).toBe('refresh_reused');
    expect(await verdict(service, phone.accessToken)).toBe('refresh_reused');
    expect(await endOf(phone)).toMatchObject({ type: 'token.revoked', code: 'refresh_reused', by: { kind: 'system' } });
  });

  it('but it speaks for no other token of the user', async () => {
    const phone = await outlivedPhone('no-authority');
    for (const scope of ['others', 'all'] as const) {
      for (const answer of [
        await logout(service, phone.accessToken, { scope }),
        await logout(service, undefined, { scope, refreshToken: phone.refreshToken }),
      ]) {
        expect([answer.status, answer.body.code]).toEqual([401, 'token_expired']);
      }
    }
  });

  it('beside a refresh token that is no good', async () => {
    const other = await phoneOf('bad-body-other');
    await revokeAll(service, other.userId);
    for (const [number, bad] of ['nonsense', 'lkr1.e30.AA', other.refreshToken].entries()) {
      const phone = await outlivedPhone(`bad-body-${number}`);
      const answer = await logout(service, phone.accessToken, { refreshToken: bad });
      expect([bad, answer.status, answer.body]).toEqual([bad, 200, { count: 1 }]);
      expect(await verdict(service, phone.accessToken)).toBe('token_logged_out');
    }
    const reused = await refreshedBefore('bad-body-reused');
    await refresh(service, reused.refreshToken);
    const told = await logout(service, reused.accessToken, { refreshToken: reused.refreshToken });
    expect([told.status, told.body.code]).toEqual([401, 'refresh_reused']);
  });

  it('once: the second time there is nothing to end', async () => {
    const phone = await outlivedPhone('once');
    expect((await revokeAll(service, 'once')).body.revoked).toHaveLength(1);
    expect((await revokeAll(service, 'once')).body.revoked).toEqual([]);
    expect((await endOf(phone)).code).toBe('token_revoked');
  });
});

describe('F1 a login meets a token that its access token outlives', () => {
  it.each([
    { how: 'kick', policy: 'single-device', login: {}, code: 'token_kicked', state: 'kicked', reason: 'expired' },
    { how: 'decline', policy: 'decline-second', login: {}, code: 'token_kicked', state: 'kicked', reason: 'expired' },
    {
      how: 'replace',
      policy: 'no-kick',
      login: { platform: 'ios', deviceId: 'phone' },
      code: 'token_replaced',
      state: 'replaced',
      reason: 'same_device',
    },
  ])('$how', async ({ how, policy, login, code, state, reason }) => {
    const phone = await outlivedPhone(`meets-${how}`);
    await setPolicy(phone.userId, policy);
    const { status, body } = await issue(service, phone.userId, { platform: 'web', ...login });
    expect([status, body.displaced]).toEqual([200, [expect.objectContaining({ tokenId: phone.tokenId, state })]]);
    expect(await verdict(service, phone.accessToken)).toBe(code);
    expect(await endOf(phone)).toMatchObject({ code, by: { kind: 'login', policy, reason } });
  });

  it('evict', async () => {
    const phone = await outlivedPhone('evicts');
    const { body } = await issue(service, 'evicts', { platform: 'web', evict: [phone.tokenId] });
    expect(body.displaced).toMatchObject([{ tokenId: phone.tokenId, state: 'kicked' }]);
    expect(await verdict(service, phone.accessToken)).toBe('token_kicked');
  });

  it('an overflow that deletes', async () => {
    const phone = await outlivedPhone('deletes');
    const policy = { name: 'quiet', limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'delete' }] };
    await service.api.put('/admin/users/deletes/policy').set(asAdmin).send({ policy });
    const { body } = await issue(service, 'deletes', { platform: 'web' });
    expect(body.displaced).toMatchObject([{ tokenId: phone.tokenId, state: 'gone' }]);
    expect(await endOf(phone)).toMatchObject({ type: 'token.deleted', exp: decodeJwt(phone.accessToken).exp });
  });

  it('where there is room: its end by time is told, by the system, and it is not displaced', async () => {
    const checker = await readyChecker(service.url);
    const phone = await phoneOf('room');
    expect(await wordOf(checker, phone.accessToken)).toBe('active');
    await WAYS.idle(phone);
    const dryRun = (await issue(service, 'room', { platform: 'web', dryRun: true })).body;
    expect(dryRun).toMatchObject({ kick: [], replace: [], delete: [{ tokenId: phone.tokenId }] });
    const { body } = await issue(service, 'room', { platform: 'web' });
    expect(body.displaced).toEqual([]);
    const { exp } = decodeJwt(phone.accessToken);
    expect(await endOf(phone)).toMatchObject({
      type: 'token.revoked',
      code: 'token_expired',
      exp,
      by: { kind: 'system' },
    });
    await until('the gateway hears it', async () => (await wordOf(checker, phone.accessToken)) === 'token_expired');
    const refused = await validate(service, phone.accessToken);
    expect([refused.body.code, refused.body.endedBy]).toEqual(['token_expired', undefined]);
    expect((await introspect(service, phone.accessToken)).body).toEqual({ active: false, reason: 'token_expired' });
    const [shown] = (await listTokens(service, 'room')).body.tokens;
    expect(shown).toMatchObject({ state: 'expired', endedBy: { kind: 'system' } });
    // And that was its end: nothing ends it again, no later login tells it once more.
    await issue(service, 'room', { platform: 'linux' });
    expect((await revokeAll(service, 'room', '?platform=ios')).body.revoked).toEqual([]);
    expect((await endOf(phone)).code).toBe('token_expired');
  });

  it('one whose access token is over goes without an event', async () => {
    const phone = await phoneOf('quietly');
    const parts = ((await service.redis.hget(keyOf('quietly'), `${phone.tokenId}:r`)) ?? '').split(US);
    const past = String(service.store.now() - 1);
    await service.redis.hset(keyOf('quietly'), `${phone.tokenId}:r`, [past, past, ...parts.slice(2)].join(US));
    await issue(service, 'quietly', { platform: 'web' });
    expect(await statesOf(service, 'quietly')).toEqual([['web', 'active']]);
    expect(await endOf(phone)).toBeUndefined();
  });
});
