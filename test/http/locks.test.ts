/** Locks that failed passwords lead to: whom each keeps out, who sees them, and what lifts them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { asAdmin, changeUser, createUser, deleteUser, getUser, PASSWORD, type LoginBody } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

const LOCKED = '429 too_many_attempts';
const WRONG = '401 invalid_credentials';
const FAILURES = 2;

let service: Service;
beforeAll(async () => {
  const env = { TRUST_PROXY: '1', THROTTLE_USER_FAILURES: String(FAILURES), THROTTLE_LOCK_SECONDS: '600' };
  service = await startService({ env });
});

let counter = 0;
const newName = () => `user-${(counter += 1)}`;

async function newUser(): Promise<string> {
  const userId = newName();
  expect((await createUser(service, userId)).status).toBe(201);
  return userId;
}

async function loginFrom(from: string, userId: string, body: LoginBody = {}, on = service): Promise<string> {
  counter += 1;
  const login = { userId, password: PASSWORD, platform: 'ios', deviceId: `device-${counter}`, ...body };
  const answer = await on.api.post('/login').set('X-Forwarded-For', from).send(login);
  return `${answer.status} ${answer.body.code ?? ''}`.trim();
}

const guess = (from: string, userId: string) => loginFrom(from, userId, { password: 'wrong' });

async function lock(userId: string, from = '192.0.2.1'): Promise<void> {
  for (let failures = 0; failures < FAILURES; failures += 1) expect(await guess(from, userId)).toBe(WRONG);
  expect(await guess(from, userId)).toBe(LOCKED);
}

const locksOf = async (userId: string) => (await getUser(service, userId)).body.locks;
const lift = async (userId: string) =>
  (await service.api.delete(`/admin/users/${userId}/locks`).set(asAdmin).expect(200)).body.lifted;

describe('F38 strangers lock a user for their own network first', () => {
  it('and the owner gets in from anywhere else, on a new device', async () => {
    const userId = await newUser();
    await lock(userId, '192.0.2.1');
    expect(await loginFrom('192.0.2.1', userId)).toBe(LOCKED);
    expect(await loginFrom('::ffff:c000:201', userId)).toBe(LOCKED);
    expect(await loginFrom('192.0.2.2', userId)).toBe('200');
  });

  it('which of IPv6 is the /64', async () => {
    const userId = await newUser();
    expect(await guess('2001:db8:1:2::1', userId)).toBe(WRONG);
    expect(await guess('2001:db8:1:2::2', userId)).toBe(WRONG);
    expect(await loginFrom('2001:db8:1:2:3::', userId)).toBe(LOCKED);
    expect(await loginFrom('2001:db8:1:3::', userId)).toBe('200');
  });

  it('and for all networks at ten times as many failures; then a new device has to wait anywhere', async () => {
    const userId = await newUser();
    const networks = Array.from({ length: 20 }, (_, index) => `198.51.${index}.1`);
    for (const from of networks) expect([from, await guess(from, userId)]).toEqual([from, WRONG]);
    expect(await loginFrom('203.0.113.1', userId)).toBe(LOCKED);
    expect(await locksOf(userId)).toEqual([{ by: 'all_networks', until: expect.any(String), failures: 20 }]);
  });

  it('a burst that one network sends at once is not one from everywhere', async () => {
    const userId = await newUser();
    const guessed = { user: { tenant: 'default', userId }, address: '192.0.2.1', deviceId: 'any' };
    // All of them were let through before the first had failed.
    await Promise.all(Array.from({ length: 30 }, () => service.attempts.fail(guessed, false)));
    expect(await loginFrom('192.0.2.2', userId)).toBe('200');
    expect(await locksOf(userId)).toMatchObject([{ by: 'network', network: '192.0.2.1' }]);
  });

  it.each([
    ['locked for this user', '2', '0'],
    ['locked for all', '0', '2'],
  ])('whoever is %s cannot use up the attempts of the owner', async (_what, ofUser, ofAddress) => {
    const env = { TRUST_PROXY: '1', THROTTLE_USER_FAILURES: ofUser, THROTTLE_ADDRESS_FAILURES: ofAddress };
    const strict = await startService({ env: { ...env, THROTTLE_USER_LOGINS: '4', THROTTLE_WINDOW_SECONDS: '3600' } });
    const userId = newName();
    await createUser(strict, userId);
    const answers: string[] = [];
    for (let tries = 0; tries < 8; tries += 1)
      answers.push(await loginFrom('192.0.2.1', userId, { password: 'wrong' }, strict));
    expect(answers).toEqual([WRONG, WRONG, ...Array<string>(6).fill(LOCKED)]);
    expect(await loginFrom('192.0.2.2', userId, {}, strict)).toBe('200');
    expect(await loginFrom('192.0.2.2', userId, {}, strict)).toBe('200');
    expect(await loginFrom('192.0.2.2', userId, {}, strict)).toBe(LOCKED);
  });

  it('networks whose failures are forgotten leave nothing behind', async () => {
    const userId = newName();
    const key = service.keys.attempts({ tenant: 'default', userId });
    const long = service.store.now() - 3_700_000;
    const old = Array.from({ length: 200 }, (_, index) => [`f:nold-${index}`, 1, `a:nold-${index}`, long]).flat();
    await service.redis.hset(key, ...old, 'l:nold-0', service.store.now() + 60_000);
    expect(await guess('192.0.2.1', userId)).toBe(WRONG);
    const left = Object.keys(await service.redis.hgetall(key)).toSorted();
    expect(left).toEqual(['a:n192.0.2.1', 'a:nold-0', 'a:s', 'f:n192.0.2.1', 'f:nold-0', 'f:s', 'l:nold-0']);
  });
});

describe('F15 locks are seen and lifted', () => {
  it('an admin sees whom they keep out, until when, and why', async () => {
    const userId = await newUser();
    expect(await locksOf(userId)).toEqual([]);
    await lock(userId, '192.0.2.1');
    await lock(userId, '2001:db8:1:2::9');
    const until = expect.any(String);
    const locks = await locksOf(userId);
    expect(locks).toHaveLength(2);
    expect(locks).toContainEqual({ by: 'network', network: '192.0.2.1', until, failures: FAILURES });
    expect(locks).toContainEqual({ by: 'network', network: '2001:db8:1:2', until, failures: FAILURES });
    for (const one of locks) {
      const seconds = (Date.parse(one.until) - service.store.now()) / 1000;
      expect(seconds).toBeGreaterThan(300);
      expect(seconds).toBeLessThanOrEqual(600);
    }
    service.shiftClock(600_001);
    expect(await locksOf(userId)).toEqual([]);
    service.shiftClock(-600_001);
  });

  it('an admin lifts them, and failures are counted from none again', async () => {
    const userId = await newUser();
    await lock(userId);
    expect(await lift(userId)).toEqual([
      { by: 'network', network: '192.0.2.1', until: expect.any(String), failures: FAILURES },
    ]);
    expect(await locksOf(userId)).toEqual([]);
    expect(await lift(userId)).toEqual([]);
    expect(await guess('192.0.2.1', userId)).toBe(WRONG);
    expect(await loginFrom('192.0.2.1', userId)).toBe('200');
  });

  it('also of a name that has no record, and of its own tenant alone', async () => {
    const name = newName();
    await lock(name);
    expect((await service.api.delete(`/admin/users/${name}/locks?tenant=other`).set(asAdmin)).body.lifted).toEqual([]);
    expect(await guess('192.0.2.1', name)).toBe(LOCKED);
    expect(await lift(name)).toHaveLength(1);
    expect(await guess('192.0.2.1', name)).toBe(WRONG);
    expect((await getUser(service, name)).status).toBe(404);
  });

  it('a known device’s own lock as well', async () => {
    const userId = await newUser();
    const device = { platform: 'ios', deviceId: 'phone' };
    const { body } = await service.api.post('/login').send({ userId, password: PASSWORD, ...device });
    const known = { ...device, deviceProof: body.refreshToken };
    for (let failures = 0; failures < FAILURES; failures += 1)
      await loginFrom('192.0.2.1', userId, { ...known, password: 'wrong' });
    expect(await loginFrom('192.0.2.1', userId, known)).toBe(LOCKED);
    expect(await locksOf(userId)).toEqual([{ by: 'device', until: expect.any(String), failures: FAILURES }]);
    await lift(userId);
    expect(await loginFrom('192.0.2.1', userId, known)).toBe('200');
  });

  it.each<[string, (userId: string) => Promise<unknown>]>([
    ['a new password', (userId) => changeUser(service, userId, { password: PASSWORD })],
    [
      'deleting and creating the user',
      async (userId) => (await deleteUser(service, userId), createUser(service, userId)),
    ],
  ])('%s lifts them', async (_what, act) => {
    const userId = await newUser();
    await lock(userId);
    await act(userId);
    expect(await locksOf(userId)).toEqual([]);
    expect(await loginFrom('192.0.2.1', userId)).toBe('200');
  });

  it('creating a user whose name strangers had locked lifts them', async () => {
    const name = newName();
    await lock(name);
    await createUser(service, name);
    expect(await loginFrom('192.0.2.1', name)).toBe('200');
  });

  it('a block, or lifting it, does not: it is no word about who guesses', async () => {
    const userId = await newUser();
    await lock(userId);
    await changeUser(service, userId, { blocked: {} });
    await changeUser(service, userId, { blocked: null });
    expect(await loginFrom('192.0.2.1', userId)).toBe(LOCKED);
  });
});
