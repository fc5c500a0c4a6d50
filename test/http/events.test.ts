/**
 * What a user's other devices can learn: every login, every decline, every end, once each, in order. Read as admins do
 * (history) and as the feed does (the stream).
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Event } from '../../src/contract/events.ts';
import { readEvent } from '../../src/redis/event-codec.ts';
import {
  asAdmin,
  asGateway,
  changeUser,
  createUser,
  deleteUser,
  endOwn,
  eventTypes,
  history,
  issue,
  login,
  logout,
  ownTokens,
  refresh,
  revokeAll,
  revokeByToken,
  revokeToken,
  validate,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

/** The user's events in the stream that feeds are made from, oldest first. */
async function streamOf(service: Service, userId: string, tenant = 'default'): Promise<Event[]> {
  const shard = service.keys.shardOf({ tenant, userId });
  const entries = await service.redis.xrange(service.keys.events(shard), '-', '+');
  const events = entries.map(([id, [, packed = '']]) => readEvent(shard, id, packed));
  expect(events).not.toContain(undefined);
  return events.filter((event) => event !== undefined && event.userId === userId && event.tenant === tenant) as Event[];
}

const typesInStream = async (service: Service, userId: string) =>
  (await streamOf(service, userId)).map(({ type }) => type);

/** A service that takes clients' addresses from the proxy in front. */
const behindProxy = (policy: string) => startService({ env: { LOGIN_POLICY: policy, TRUST_PROXY: '1' } });

const loginFrom = (service: Service, from: string, body: object) =>
  service.api
    .post('/login')
    .set('X-Forwarded-For', from)
    .send({ userId: 'ada', password: 'correct horse battery staple', ...body });

describe('L10 a new login, and a declined one, is an event for the user’s other devices', () => {
  it('a new login: platform, device, address and time', async () => {
    const service = await behindProxy('no-kick');
    await createUser(service, 'ada');
    await loginFrom(service, '203.0.113.1', { platform: 'ios', deviceId: 'phone' });
    const device = { platform: 'web', deviceId: 'laptop', deviceName: 'Café' };
    const { body } = await loginFrom(service, '203.0.113.2', device);
    const { events } = (await history(service, 'ada')).body;
    expect(events).toHaveLength(2);
    expect(events[0]).toEqual({
      id: expect.any(String),
      type: 'token.issued',
      tenant: 'default',
      userId: 'ada',
      tokenId: body.token.tokenId,
      platform: 'web',
      at: expect.any(String),
      exp: Date.parse(body.token.accessExpiresAt) / 1000,
      by: { kind: 'login', platform: 'web', deviceName: 'Café' },
      ip: '203.0.113.2',
    });
    const [first, second] = [Date.parse(events[1].at), Date.parse(events[0].at)];
    expect(second).toBeGreaterThanOrEqual(first);
    expect(await streamOf(service, 'ada')).toEqual(events.toReversed());
  });

  it('a declined login: the same, and which tokens were in the way', async () => {
    const service = await behindProxy('decline-second');
    await createUser(service, 'ada');
    const { body } = await loginFrom(service, '203.0.113.1', { platform: 'ios', deviceId: 'phone' });
    const device = { platform: 'web', deviceId: 'laptop', deviceName: 'Stranger' };
    expect((await loginFrom(service, '203.0.113.66', device)).status).toBe(409);
    const { events } = (await history(service, 'ada')).body;
    expect(events[0]).toEqual({
      id: expect.any(String),
      type: 'login.declined',
      tenant: 'default',
      userId: 'ada',
      platform: 'web',
      at: expect.any(String),
      by: { kind: 'login', platform: 'web', deviceName: 'Stranger' },
      ip: '203.0.113.66',
      conflicts: [body.token.tokenId],
    });
    expect(events).toHaveLength(2);
    expect(await streamOf(service, 'ada')).toEqual(events.toReversed());
  });

  it('every declined attempt is told once, whoever races', async () => {
    const a = await behindProxy('decline-second');
    const b = await startService({ env: { LOGIN_POLICY: 'decline-second' }, prefix: a.prefix });
    await Promise.all(Array.from({ length: 40 }, (_, index) => issue(index % 2 === 0 ? a : b, 'ada')));
    const types = await typesInStream(a, 'ada');
    expect(types[0]).toBe('token.issued');
    expect(types.slice(1)).toEqual(Array.from({ length: 39 }, () => 'login.declined'));
  });

  it('is no event of anybody else: not of another user, not of another tenant', async () => {
    const service = await startService();
    await issue(service, 'ada', {}, 'one');
    await issue(service, 'ada', {}, 'two');
    await issue(service, 'bob', {}, 'one');
    for (const [userId, tenant] of [
      ['ada', 'one'],
      ['ada', 'two'],
      ['bob', 'one'],
    ] as const) {
      const events = await streamOf(service, userId, tenant);
      expect(events).toMatchObject([{ type: 'token.issued', userId, tenant }]);
    }
  });
});

type Signed = {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly token: { readonly tokenId: string };
};

describe('every cause is one event', () => {
  let service: Service;
  const phone = { platform: 'ios', deviceId: 'phone' };

  beforeAll(async () => {
    service = await startService({ env: { LOGIN_POLICY: 'single-device', REFRESH_GRACE_SECONDS: '0' } });
    const deleting = { name: 'one', limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'delete' }] };
    await service.api.put('/admin/users/deletion/policy').set(asAdmin).send({ policy: deleting });
    await service.api.put('/admin/users/decline/policy').set(asAdmin).send({ policy: 'decline-second' });
  });

  const causes: Record<
    string,
    { act: (userId: string, signed: Signed) => Promise<unknown>; events: string[]; by: object }
  > = {
    kick: {
      act: (userId) => issue(service, userId, { platform: 'web' }),
      events: ['token.kicked', 'token.issued'],
      by: { kind: 'login', platform: 'web', policy: 'single-device' },
    },
    replacement: {
      act: (userId) => issue(service, userId, phone),
      events: ['token.replaced', 'token.issued'],
      by: { kind: 'login', platform: 'ios', policy: 'single-device', reason: 'same_device' },
    },
    eviction: {
      act: (userId, { token }) => issue(service, userId, { platform: 'web', evict: [token.tokenId] }),
      events: ['token.kicked', 'token.issued'],
      by: { kind: 'login', platform: 'web', policy: 'single-device', reason: 'evicted' },
    },
    deletion: {
      act: (userId) => issue(service, userId, { platform: 'web' }),
      events: ['token.deleted', 'token.issued'],
      by: { kind: 'login', platform: 'web', policy: 'one' },
    },
    decline: {
      act: (userId) => issue(service, userId, { platform: 'web' }),
      events: ['login.declined'],
      by: { kind: 'login', platform: 'web' },
    },
    'revoke of all': {
      act: (userId) => revokeAll(service, userId, '?reason=audit'),
      events: ['token.revoked'],
      by: { kind: 'admin', reason: 'audit' },
    },
    'revoke of one': {
      act: (userId, { token }) => revokeToken(service, userId, token.tokenId),
      events: ['token.revoked'],
      by: { kind: 'admin' },
    },
    'RFC 7009': {
      act: (_userId, { refreshToken }) => revokeByToken(service, refreshToken),
      events: ['token.revoked'],
      by: { kind: 'admin' },
    },
    logout: {
      act: (_userId, { accessToken }) => logout(service, accessToken),
      events: ['token.logged_out'],
      by: { kind: 'user' },
    },
    'own device ended': {
      act: (_userId, { accessToken, token }) => endOwn(service, accessToken, token.tokenId),
      events: ['token.logged_out'],
      by: { kind: 'user' },
    },
    'refresh reuse': {
      async act(_userId, { refreshToken }) {
        const next = await refresh(service, refreshToken);
        await refresh(service, String(next.body.refreshToken));
        await refresh(service, refreshToken);
      },
      events: ['token.revoked'],
      by: { kind: 'system', reason: 'refresh_reused' },
    },
    block: {
      act: (userId) => changeUser(service, userId, { blocked: { reason: 'spam' } }),
      events: ['token.revoked', 'user.blocked'],
      by: { kind: 'admin', reason: 'spam' },
    },
    'new password': {
      act: (userId) => changeUser(service, userId, { password: 'another good password' }),
      events: ['token.revoked', 'user.password_changed'],
      by: { kind: 'admin', reason: 'password_changed' },
    },
    'user deleted': {
      act: (userId) => deleteUser(service, userId),
      events: ['token.revoked', 'user.deleted'],
      by: { kind: 'admin', reason: 'user_deleted' },
    },
  };

  it.each(Object.entries(causes))('%s', async (cause, { act, events, by }) => {
    const userId = cause.replaceAll(' ', '-');
    const signed: Signed = (await issue(service, userId, phone)).body;
    await act(userId, signed);
    const told = (await streamOf(service, userId)).slice(1);
    expect(told.map(({ type }) => type)).toEqual(events);
    expect(told[0]).toMatchObject({ userId, tenant: 'default', platform: cause === 'decline' ? 'web' : 'ios' });
    expect(told[0]?.by).toMatchObject(by);
    expect(told[0]?.tokenId ?? told[0]?.conflicts?.[0]).toBe(signed.token.tokenId);
    expect(new Set(told.map(({ id }) => id)).size).toBe(told.length);
    // Once more changes nothing more: what has ended stays as it ended.
    expect((await eventTypes(service, userId)).toReversed()).toEqual(['token.issued', ...events]);
  });

  it('what has ended already is not told of again', async () => {
    const { body } = await issue(service, 'twice', phone);
    await revokeAll(service, 'twice');
    await revokeAll(service, 'twice');
    await revokeToken(service, 'twice', body.token.tokenId);
    await logout(service, undefined, { refreshToken: body.refreshToken });
    await revokeByToken(service, body.refreshToken);
    await refresh(service, body.refreshToken);
    expect(await typesInStream(service, 'twice')).toEqual(['token.issued', 'token.revoked']);
  });

  it('a kick of many is one event each, before that of the login, in the order of their logins', async () => {
    const ids: string[] = [];
    await service.api.put('/admin/users/many/policy').set(asAdmin).send({ policy: 'no-kick' });
    for (let devices = 0; devices < 5; devices += 1) ids.push((await issue(service, 'many')).body.token.tokenId);
    await service.api.delete('/admin/users/many/policy').set(asAdmin);
    const { body } = await issue(service, 'many');
    const told = (await streamOf(service, 'many')).slice(5);
    expect(told.map(({ type, tokenId }) => [type, tokenId])).toEqual([
      ...ids.map((tokenId) => ['token.kicked', tokenId]),
      ['token.issued', body.token.tokenId],
    ]);
  });

  it('what changes no state is no event', async () => {
    await createUser(service, 'calm');
    const { body } = await login(service, 'calm', phone);
    const { tokenId } = body.token;
    await validate(service, body.accessToken);
    await ownTokens(service, body.accessToken);
    await login(service, 'calm', { platform: 'web', dryRun: true });
    await login(service, 'calm', { platform: 'web', password: 'wrong' });
    await login(service, 'calm', { platform: 'web', evict: ['never-was'] });
    await service.api
      .post('/presence')
      .set(asGateway)
      .send({ tokens: [{ userId: 'calm', tokenId }] });
    const next = await refresh(service, body.refreshToken);
    expect(next.status).toBe(200);
    expect(await typesInStream(service, 'calm')).toEqual(['token.issued']);
    expect(await eventTypes(service, 'calm')).toEqual(['token.issued']);
  });

  it('a history holds the last 50, newest first', async () => {
    for (let logins = 0; logins < 30; logins += 1) await issue(service, 'busy', phone);
    const { events } = (await history(service, 'busy')).body;
    expect(events).toHaveLength(50);
    expect(events).toEqual((await streamOf(service, 'busy')).slice(-50).toReversed());
  });
});
