/**
 * Declined logins: what the device is told, that nothing else happens, and how its user gets in all the same.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Policy } from '../../src/contract/policy.ts';
import { createPasswords } from '../../src/credentials/password.ts';
import { ADMIN_PLATFORM, BUILT_IN_PLATFORMS } from '../../src/domain/platform.ts';
import {
  asAdmin,
  changeUser,
  createUser,
  eventTypes,
  issue,
  listTokens,
  login,
  logout,
  PASSWORD,
  statesOf,
  tokenHash,
  verdict,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

const declining = { env: { LOGIN_POLICY: 'decline-second' } };

const setPolicy = (service: Service, userId: string, policy: string | Policy) =>
  service.api.put(`/admin/users/${userId}/policy`).set(asAdmin).send({ policy });

describe('F18 a declined login is told when its seat frees itself', () => {
  it.each([
    ['the end of the token', { REFRESH_TTL_SECONDS: '120' }, 119_300, 1],
    ['the end of the token, soon', { REFRESH_TTL_SECONDS: '120' }, 100_000, 20],
    ['idleness', { IDLE_TTL_SECONDS: '120' }, 119_300, 1],
    ['nothing for long', { IDLE_TTL_SECONDS: '600' }, 30_000, 60],
  ])('by %s', async (_what, env, afterMs, seconds) => {
    const service = await startService({ env: { ...declining.env, ACCESS_TTL_SECONDS: '60', ...env } });
    const { token } = (await issue(service, 'ada')).body;
    service.shiftClock(afterMs);
    const { status, headers, body } = await issue(service, 'ada', { platform: 'web' });
    expect([status, body.conflicts?.[0]?.tokenId]).toEqual([409, token.tokenId]);
    // What has passed since the login is less than a second.
    expect([seconds, Math.max(1, seconds - 1)]).toContain(body.retryAfterSeconds);
    expect(headers['retry-after']).toBe(String(body.retryAfterSeconds));
    service.shiftClock(body.retryAfterSeconds * 1000);
    const again = await issue(service, 'ada', { platform: 'web', dryRun: true });
    expect(again.body.declined).toBe(seconds === 60);
  });

  it('when enough of them are free, where more than one is in the way', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '10' } });
    for (const [platform, refreshSeconds] of [
      ['ios', 70],
      ['macos', 90],
      ['linux', 110],
    ] as const) {
      await service.api.put('/admin/tenants/default').set(asAdmin).send({ ttl: { refreshSeconds } });
      await issue(service, 'ada', { platform });
    }
    const two: Policy = { name: 'two', limits: [{ match: {}, countBy: 'all', max: 2, overflow: 'decline' }] };
    await setPolicy(service, 'ada', two);
    service.shiftClock(60_000);
    const { body } = await issue(service, 'ada', { platform: 'web' });
    expect(body.conflicts).toHaveLength(3);
    // With one seat less there would still be two.
    expect(body.retryAfterSeconds).toBeGreaterThan(20);
    expect(body.retryAfterSeconds).toBeLessThanOrEqual(30);
    service.shiftClock(body.retryAfterSeconds * 1000);
    expect((await issue(service, 'ada', { platform: 'web' })).status).toBe(200);
  });
});

describe('T2 a declined login is a 409 of its own and changes nothing', () => {
  let service: Service;

  beforeAll(async () => {
    service = await startService({ env: { ...declining.env, THROTTLE_USER_FAILURES: '3' } });
  });

  it('tells what is in the way and when to try again; the tokens are byte for byte as before', async () => {
    await createUser(service, 'ada');
    const phone = await login(service, 'ada', { platform: 'ios', deviceName: 'Ada’s phone' });
    const before = await tokenHash(service, 'ada');
    const declined = await login(service, 'ada', { platform: 'web', deviceName: 'Work' });
    expect(declined.status).toBe(409);
    expect(declined.headers['content-type']).toMatch('application/problem+json');
    expect(declined.headers['retry-after']).toBe('60');
    const { requestId, ...problem } = declined.body;
    expect(requestId).toEqual(expect.any(String));
    expect(problem).toEqual({
      type: 'urn:latchkey:error:login_declined',
      title: expect.any(String),
      status: 409,
      code: 'login_declined',
      retryAfterSeconds: 60,
      conflicts: [
        {
          tokenId: phone.body.token.tokenId,
          platform: 'ios',
          deviceName: 'Ada’s phone',
          lastSeenAt: phone.body.token.createdAt,
        },
      ],
    });
    expect(await tokenHash(service, 'ada')).toEqual(before);
    expect(await verdict(service, phone.body.accessToken)).toBe('good');
  });

  it('is not a wrong password, a shut-out platform, a lock or an outage', async () => {
    await createUser(service, 'bob');
    await login(service, 'bob', { platform: 'ios' });
    const codes: string[] = [];
    const noteOf = async (body: object) => {
      const answer = await login(service, 'bob', { platform: 'web', ...body });
      codes.push(`${answer.status} ${answer.body.code}`);
    };
    await noteOf({});
    await noteOf({ platform: ADMIN_PLATFORM });
    for (let tries = 0; tries < 5; tries += 1) await noteOf({ password: 'wrong' });
    expect(codes.slice(0, 3)).toEqual(['409 login_declined', '403 platform_not_allowed', '401 invalid_credentials']);
    expect(codes.at(-1)).toBe('429 too_many_attempts');
  });

  it('a wrong password is told of no conflicts', async () => {
    await createUser(service, 'eve');
    await login(service, 'eve', { platform: 'ios' });
    const { status, body } = await login(service, 'eve', { platform: 'web', password: 'wrong' });
    expect([status, body.code, body.conflicts]).toEqual([401, 'invalid_credentials', undefined]);
  });

  it('a blocked user is told so, not of conflicts', async () => {
    await createUser(service, 'mallory');
    await changeUser(service, 'mallory', { blocked: { reason: 'spam' } });
    expect((await login(service, 'mallory')).body.code).toBe('user_blocked');
  });

  it('the seat is free as soon as its device logs out', async () => {
    const first = await issue(service, 'carl');
    expect((await issue(service, 'carl')).status).toBe(409);
    await logout(service, first.body.accessToken);
    expect((await issue(service, 'carl')).status).toBe(200);
  });
});

describe('T3 a decline fires across platforms', () => {
  const platforms = BUILT_IN_PLATFORMS.map(({ name }) => name).filter((name) => name !== ADMIN_PLATFORM);

  it.each(platforms)('%s is in the way of every platform', async (held) => {
    const service = await startService(declining);
    const { body } = await issue(service, 'ada', { platform: held });
    const before = await tokenHash(service, 'ada');
    for (const platform of platforms) {
      const answer = await issue(service, 'ada', { platform });
      expect([platform, answer.status]).toEqual([platform, 409]);
      expect(answer.body.conflicts).toMatchObject([{ tokenId: body.token.tokenId, platform: held }]);
    }
    expect(await tokenHash(service, 'ada')).toEqual(before);
  });

  it('an admin token neither is in the way nor is declined', async () => {
    const service = await startService(declining);
    expect((await issue(service, 'ada', { platform: ADMIN_PLATFORM })).status).toBe(200);
    expect((await issue(service, 'ada', { platform: 'ios' })).status).toBe(200);
    expect((await issue(service, 'ada', { platform: ADMIN_PLATFORM })).status).toBe(200);
  });
});

describe('D3 with credentials alone a user sees what is in the way and ends it in the same login', () => {
  it('a decline, a look, an eviction', async () => {
    const service = await startService(declining);
    await createUser(service, 'ada');
    const laptop = await login(service, 'ada', { platform: 'macos', deviceName: 'Left at work' });
    const { tokenId } = laptop.body.token;
    const phone = { platform: 'ios', deviceId: 'phone', deviceName: 'Phone' };

    const declined = await login(service, 'ada', phone);
    expect([declined.status, declined.body.conflicts[0].deviceName]).toEqual([409, 'Left at work']);

    const before = await tokenHash(service, 'ada');
    const look = await login(service, 'ada', { ...phone, dryRun: true });
    expect([look.status, look.body]).toEqual([
      200,
      { declined: true, kick: [], delete: [], replace: [], conflicts: declined.body.conflicts },
    ]);
    const plan = await login(service, 'ada', { ...phone, dryRun: true, evict: [tokenId] });
    expect(plan.body).toEqual({
      declined: false,
      kick: [{ tokenId, platform: 'macos' }],
      delete: [],
      replace: [],
      conflicts: [],
    });
    expect(await tokenHash(service, 'ada')).toEqual(before);

    const evicting = await login(service, 'ada', { ...phone, evict: [tokenId] });
    expect(evicting.status).toBe(200);
    expect(evicting.body.displaced).toEqual([
      { tokenId, platform: 'macos', deviceName: 'Left at work', state: 'kicked', policy: 'decline-second' },
    ]);
    const { body } = await listTokens(service, 'ada', '?state=kicked');
    expect(body.tokens[0].endedBy).toEqual({
      kind: 'login',
      platform: 'ios',
      deviceName: 'Phone',
      policy: 'decline-second',
      reason: 'evicted',
    });
    expect(await verdict(service, laptop.body.accessToken)).toBe('token_kicked');
    expect(await eventTypes(service, 'ada')).toEqual([
      'token.issued',
      'token.kicked',
      'login.declined',
      'token.issued',
    ]);
  });

  it('another user’s token is not found, and nothing happens to anybody', async () => {
    const service = await startService(declining);
    const ada = await issue(service, 'ada');
    const bob = await issue(service, 'bob');
    const before = [await tokenHash(service, 'ada'), await tokenHash(service, 'bob')];
    for (const dryRun of [true, false]) {
      const evict = [ada.body.token.tokenId, bob.body.token.tokenId];
      const answer = await issue(service, 'ada', { evict, dryRun });
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    }
    expect([await tokenHash(service, 'ada'), await tokenHash(service, 'bob')]).toEqual(before);
  });

  it('the wrong password ends nothing and sees nothing', async () => {
    const service = await startService(declining);
    await createUser(service, 'ada');
    const { body } = await login(service, 'ada');
    for (const dryRun of [true, false]) {
      const evict = [body.token.tokenId];
      expect((await login(service, 'ada', { password: 'wrong', dryRun, evict })).status).toBe(401);
    }
    expect(await verdict(service, body.accessToken)).toBe('good');
  });

  it('a token that has ended already may be named; a declined login evicts nobody', async () => {
    const service = await startService(declining);
    await setPolicy(service, 'ada', {
      name: 'two',
      limits: [{ match: {}, countBy: 'all', max: 2, overflow: 'decline' }],
    });
    const ended = await issue(service, 'ada');
    await logout(service, ended.body.accessToken);
    const [first] = [await issue(service, 'ada'), await issue(service, 'ada')];
    const { status } = await issue(service, 'ada', { evict: [ended.body.token.tokenId] });
    expect(status).toBe(409);
    // Under a policy of one, to end one of two is not enough.
    await setPolicy(service, 'ada', 'decline-second');
    const before = await tokenHash(service, 'ada');
    const stillDeclined = await issue(service, 'ada', { evict: [first?.body.token.tokenId] });
    expect([stillDeclined.status, stillDeclined.body.conflicts.length]).toEqual([409, 1]);
    expect(await tokenHash(service, 'ada')).toEqual(before);
    expect(await verdict(service, first?.body.accessToken)).toBe('good');
  });

  it('of a group of several the oldest leaves by name, not by age', async () => {
    const service = await startService(declining);
    await setPolicy(service, 'ada', {
      name: 'two',
      limits: [{ match: {}, countBy: 'all', max: 2, overflow: 'decline' }],
    });
    await issue(service, 'ada', { platform: 'ios' });
    const newest = await issue(service, 'ada', { platform: 'web' });
    await issue(service, 'ada', { platform: 'linux', evict: [newest.body.token.tokenId] });
    expect(await statesOf(service, 'ada')).toEqual([
      ['ios', 'active'],
      ['web', 'kicked'],
      ['linux', 'active'],
    ]);
  });
});

describe('D6 racers for one seat under decline', () => {
  it.each([1, 2, 3])('100 racers on two nodes: one winner (round %d)', async (round) => {
    const a = await startService(declining);
    const b = await startService({ ...declining, prefix: a.prefix });
    const userId = `racer-${round}`;
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => issue(index % 2 === 0 ? a : b, userId, { platform: 'ios' })),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won).toHaveLength(1);
    const winner = won[0]?.body.token.tokenId;
    const lost = answers
      .filter((answer) => answer !== won[0])
      .map(({ status, body }) => [status, body.conflicts[0].tokenId]);
    expect(lost).toEqual(Array.from({ length: 99 }, () => [409, winner]));
    expect(await statesOf(b, userId)).toEqual([['ios', 'active']]);
  });

  it('30 racers with passwords: one winner', async () => {
    const a = await startService(declining);
    const b = await startService({ ...declining, prefix: a.prefix });
    await createUser(a, 'ada');
    const answers = await Promise.all(Array.from({ length: 30 }, (_, index) => login(index % 2 === 0 ? a : b, 'ada')));
    const statuses = answers.map(({ status }) => status).toSorted((x, y) => x - y);
    expect(statuses).toEqual([200, ...Array.from({ length: 29 }, () => 409)]);
  });
});

describe('T12 a platform that the policy shuts out', () => {
  let service: Service;
  let checked = 0;

  beforeAll(async () => {
    const real = createPasswords();
    service = await startService({
      env: { LOGIN_POLICY: 'turms-desktop-and-mobile', THROTTLE_USER_FAILURES: '2', THROTTLE_ADDRESS_FAILURES: '2' },
      override: {
        passwords: {
          hash: (password) => real.hash(password),
          matches: (stored, password) => {
            checked += 1;
            return real.matches(stored, password);
          },
        },
      },
    });
  });

  const attemptsOf = async (userId: string) => {
    const keys = [service.keys.attempts({ tenant: 'default', userId }), service.keys.addressAttempts('127.0.0.1')];
    return Promise.all(keys.map((key) => service.redis.hgetall(key)));
  };

  it.each([
    ['right', PASSWORD],
    ['wrong', 'wrong password'],
  ])('is 403 with the %s password, which is neither checked nor counted', async (_which, password) => {
    const userId = `user-${_which}`;
    await createUser(service, userId);
    checked = 0;
    for (let tries = 0; tries < 10; tries += 1) {
      const answer = await login(service, userId, { platform: 'web', password });
      expect([answer.status, answer.body.code]).toEqual([403, 'platform_not_allowed']);
    }
    expect(checked).toBe(0);
    expect(await attemptsOf(userId)).toEqual([{}, {}]);
    expect((await login(service, userId, { platform: 'ios' })).status).toBe(200);
  });

  it('is 403 for a user that does not exist, and for trusted issuance', async () => {
    expect((await login(service, 'nobody', { platform: 'web' })).body.code).toBe('platform_not_allowed');
    expect((await issue(service, 'anybody', { platform: 'web' })).body.code).toBe('platform_not_allowed');
  });

  it('is 403 during a lock too: the platform is looked at first', async () => {
    await createUser(service, 'locked');
    for (let tries = 0; tries < 4; tries += 1) await login(service, 'locked', { password: 'wrong' });
    expect((await login(service, 'locked')).status).toBe(429);
    expect((await login(service, 'locked', { platform: 'web' })).body.code).toBe('platform_not_allowed');
  });

  it('a user’s own policy counts before the tenant’s', async () => {
    await setPolicy(service, 'vip', 'no-kick');
    expect((await issue(service, 'vip', { platform: 'web' })).status).toBe(200);
  });

  it('a policy that comes into force between the look and the write is obeyed', async () => {
    const a = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
    // Set while the password is being checked, which the login has begun to do already.
    const real = createPasswords();
    const b = await startService({
      prefix: a.prefix,
      env: { LOGIN_POLICY: 'no-kick' },
      override: {
        passwords: {
          hash: (password) => real.hash(password),
          async matches(stored, password) {
            await setPolicy(a, 'ada', 'turms-desktop-and-mobile');
            return real.matches(stored, password);
          },
        },
      },
    });
    await createUser(a, 'ada');
    expect((await login(b, 'ada', { platform: 'web' })).body.code).toBe('platform_not_allowed');
    expect(await statesOf(a, 'ada')).toEqual([]);
  });
});
