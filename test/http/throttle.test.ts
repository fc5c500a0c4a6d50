/**
 * Failed passwords: who is locked out by whom, for how long, and who never is. Locks are Redis's own time, so they are
 * short here and waited for, or their stored moments are moved; addresses come as a proxy in front would name them.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openStore } from '../../src/redis/open-store.ts';
import { connectRedis, type RedisClient } from '../../src/redis/connect.ts';
import { parseRedisUrl } from '../../src/redis/redis-url.ts';
import {
  createUser,
  eventTypes,
  history,
  issue,
  keysUnder,
  listTokens,
  logout,
  PASSWORD,
  refresh,
  revokeAll,
  validate,
  type LoginBody,
} from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { tellTime, testPrefix, testRedisUrl } from '../helpers/test-redis.ts';

afterAll(closeServices);

/** Failures that lead to no lock yet. */
const FREE = 2;
const ENV = {
  TRUST_PROXY: '1',
  THROTTLE_USER_FAILURES: String(FREE + 1),
  THROTTLE_ADDRESS_FAILURES: '7',
  THROTTLE_LOCK_SECONDS: '600',
  THROTTLE_MAX_LOCK_SECONDS: '2400',
};

/** A login with a device of its own and, unless it is said otherwise, an address of its own. */
let counter = 0;
function loginFrom(service: Service, userId: string, body: LoginBody & { readonly from?: string } = {}) {
  counter += 1;
  const { from = `10.0.${counter >> 8}.${counter & 255}`, ...rest } = body;
  return service.api
    .post('/login')
    .set('X-Forwarded-For', from)
    .send({ userId, password: PASSWORD, platform: 'ios', deviceId: `device-${counter}`, ...rest });
}

const LOCKED = '429 too_many_attempts';
const WRONG = '401 invalid_credentials';

const told = ({ status, body }: { status: number; body: { code?: string } }) => `${status} ${body.code ?? ''}`.trim();

/** Where strangers guess a user's password from: one network a user. */
const attackers = new Map<string, string>();
function attackerOf(userId: string): string {
  const address = attackers.get(userId) ?? `203.0.${attackers.size >> 8}.${attackers.size & 255}`;
  attackers.set(userId, address);
  return address;
}

/** So many wrong passwords, one after the other; returns what was answered. */
async function guess(service: Service, userId: string, times: number, body: LoginBody = {}): Promise<string[]> {
  const answers: string[] = [];
  for (let tries = 0; tries < times; tries += 1) {
    answers.push(told(await loginFrom(service, userId, { password: 'wrong', from: attackerOf(userId), ...body })));
  }
  return answers;
}

/** The last of so many wrong passwords, from everywhere, that the user is locked for strangers wherever they are. */
async function lockEverywhere(service: Service, userId: string): Promise<void> {
  const key = service.keys.attempts({ tenant: 'default', userId });
  await service.redis.hset(key, { 'f:s': 10 * (FREE + 1) - 1, 'a:s': service.store.now() });
  expect(told(await loginFrom(service, userId, { password: 'wrong' }))).toBe(WRONG);
}

/** Every test has users of its own, made with one password hash each. */
let users = 0;
async function newUser(service: Service): Promise<string> {
  users += 1;
  const userId = `user-${users}`;
  expect((await createUser(service, userId)).status).toBe(201);
  return userId;
}

describe('T15 failed passwords lock the user for strangers of the same network', () => {
  let service: Service;

  beforeAll(async () => {
    service = await startService({ env: ENV });
  });

  it('after the free failures, with any number of devices; with Retry-After; the right password too', async () => {
    const userId = await newUser(service);
    expect(await guess(service, userId, FREE + 3)).toEqual([...Array(FREE + 1).fill(WRONG), LOCKED, LOCKED]);
    const answer = await loginFrom(service, userId, { from: attackerOf(userId) });
    expect(told(answer)).toBe(LOCKED);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(600);
  });

  it('and no other user, and none of another tenant', async () => {
    const [locked, other] = [await newUser(service), await newUser(service)];
    await createUser(service, locked, 'other');
    await guess(service, locked, FREE + 1);
    expect(told(await loginFrom(service, other))).toBe('200');
    expect(told(await loginFrom(service, locked, { tenant: 'other' }))).toBe('200');
    expect(told(await loginFrom(service, locked, { from: attackerOf(locked) }))).toBe(LOCKED);
  });

  it('a user that does not exist is locked in the same way, so that it cannot be told apart', async () => {
    expect(await guess(service, 'nobody', FREE + 2)).toEqual([...Array(FREE + 1).fill(WRONG), LOCKED]);
  });

  it('an attempt that is refused is not counted as a failure', async () => {
    const userId = await newUser(service);
    await guess(service, userId, FREE + 1);
    const key = service.keys.attempts({ tenant: 'default', userId });
    const before = await service.redis.hgetall(key);
    await guess(service, userId, 5);
    expect(await service.redis.hgetall(key)).toEqual(before);
  });

  it('right passwords are never counted, and do not forgive', async () => {
    const userId = await newUser(service);
    for (let tries = 0; tries < 8; tries += 1) expect((await loginFrom(service, userId)).status).toBe(200);
    await guess(service, userId, FREE);
    for (let tries = 0; tries < 8; tries += 1) expect((await loginFrom(service, userId)).status).toBe(200);
    expect(await guess(service, userId, 2)).toEqual([WRONG, LOCKED]);
  });

  it('a look at what a login would do counts like a login', async () => {
    const userId = await newUser(service);
    await guess(service, userId, FREE + 1, { dryRun: true });
    expect(told(await loginFrom(service, userId, { dryRun: true, from: attackerOf(userId) }))).toBe(LOCKED);
  });

  it('trusted issuance is never throttled', async () => {
    const userId = await newUser(service);
    await guess(service, userId, FREE + 1);
    for (let tries = 0; tries < 10; tries += 1) expect((await issue(service, userId)).status).toBe(200);
  });

  it('all guesses at one moment are not all free', async () => {
    const strict = await startService({ env: { ...ENV, THROTTLE_USER_LOGINS: '10' } });
    const userId = await newUser(strict);
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => loginFrom(strict, userId, { password: 'wrong' }).then(told)),
    );
    expect(answers.filter((answer) => answer === WRONG).length).toBeLessThanOrEqual(10);
    expect(answers.filter((answer) => answer === LOCKED).length).toBeGreaterThanOrEqual(30);
  });

  it('a decline is never counted as a failed password', async () => {
    const declining = await startService({ env: { ...ENV, LOGIN_POLICY: 'decline-second' } });
    const userId = await newUser(declining);
    const holder = await loginFrom(declining, userId);
    for (let tries = 0; tries < 10; tries += 1) {
      expect(told(await loginFrom(declining, userId))).toBe('409 login_declined');
    }
    await logout(declining, holder.body.accessToken);
    expect(told(await loginFrom(declining, userId))).toBe('200');
    expect(await declining.redis.exists(declining.keys.attempts({ tenant: 'default', userId }))).toBe(0);
  });

  it('0 switches the count off', async () => {
    const open = await startService({ env: { ...ENV, THROTTLE_USER_FAILURES: '0' } });
    const userId = await newUser(open);
    expect(new Set(await guess(open, userId, 6))).toEqual(new Set([WRONG]));
  });
});

describe('T15 failed passwords lock the address for strangers, apart from the user', () => {
  let service: Service;

  beforeAll(async () => {
    service = await startService({ env: ENV });
  });

  /** One failure against each of many users, from one address. */
  async function spray(from: string, times: number): Promise<string[]> {
    const answers: string[] = [];
    for (let tries = 0; tries < times; tries += 1) {
      answers.push(told(await loginFrom(service, `victim-${from}-${tries}`, { password: 'wrong', from })));
    }
    return answers;
  }

  it('whichever users they were for', async () => {
    expect(await spray('192.0.2.1', 9)).toEqual([...Array(7).fill(WRONG), LOCKED, LOCKED]);
  });

  it('and not the users: they get in from elsewhere', async () => {
    const userId = await newUser(service);
    await spray('192.0.2.2', 7);
    expect(told(await loginFrom(service, userId, { from: '192.0.2.2' }))).toBe(LOCKED);
    expect(told(await loginFrom(service, userId, { from: '192.0.2.3' }))).toBe('200');
  });

  it('a neighbour logs in while another user of the address is locked', async () => {
    const [locked, neighbour] = [await newUser(service), await newUser(service)];
    const from = '192.0.2.4';
    expect(await guess(service, locked, FREE + 2, { from })).toContain(LOCKED);
    expect(told(await loginFrom(service, neighbour, { from }))).toBe('200');
  });

  it('a neighbour’s known device logs in even while the address is locked', async () => {
    const neighbour = await newUser(service);
    const from = '192.0.2.5';
    const known = { from, deviceId: 'tablet' };
    const { body } = await loginFrom(service, neighbour, known);
    await spray(from, 7);
    expect(told(await loginFrom(service, neighbour, known))).toBe(LOCKED);
    expect(told(await loginFrom(service, neighbour, { ...known, deviceProof: body.refreshToken }))).toBe('200');
  });

  it('a /64 of IPv6 is one address', async () => {
    const userId = await newUser(service);
    for (let tries = 0; tries < 7; tries += 1) {
      await loginFrom(service, `six-${tries}`, { password: 'wrong', from: `2001:db8:1:2::${tries + 1}` });
    }
    expect(told(await loginFrom(service, userId, { from: '2001:db8:1:2:ffff::1' }))).toBe(LOCKED);
    expect(told(await loginFrom(service, userId, { from: '2001:db8:1:3::1' }))).toBe('200');
  });

  it('an address that nobody in front vouches for is the peer’s own', async () => {
    const direct = await startService({ env: { ...ENV, TRUST_PROXY: '' } });
    const userId = await newUser(direct);
    for (let tries = 0; tries < 7; tries += 1) await loginFrom(direct, `any-${tries}`, { password: 'wrong' });
    expect(told(await loginFrom(direct, userId))).toBe(LOCKED);
  });
});

describe('T15 a device that proves it is known has counters of its own', () => {
  let service: Service;

  beforeAll(async () => {
    service = await startService({ env: { ...ENV, LOGIN_POLICY: 'single-device' } });
  });

  const phone = { platform: 'ios', deviceId: 'phone' };

  /** A user whose phone has logged in, and whom strangers have locked since. */
  async function lockedOwner(): Promise<{ userId: string; refreshToken: string; tokenId: string; access: string }> {
    const userId = await newUser(service);
    const { body } = await loginFrom(service, userId, phone);
    await lockEverywhere(service, userId);
    expect(told(await loginFrom(service, userId, phone))).toBe(LOCKED);
    return { userId, refreshToken: body.refreshToken, tokenId: body.token.tokenId, access: body.accessToken };
  }

  it('gets in during a lock that strangers have led to', async () => {
    const { userId, refreshToken } = await lockedOwner();
    expect(told(await loginFrom(service, userId, { ...phone, deviceProof: refreshToken }))).toBe('200');
  });

  it('with a refresh token of long ago', async () => {
    const { userId, refreshToken } = await lockedOwner();
    let latest = refreshToken;
    for (let times = 0; times < 3; times += 1) {
      latest = String((await refresh(service, latest)).body.refreshToken);
    }
    expect(told(await loginFrom(service, userId, { ...phone, deviceProof: refreshToken }))).toBe('200');
  });

  it.each<[string, (userId: string, access: string) => Promise<unknown>]>([
    ['kicked', (userId) => issue(service, userId, { platform: 'web' })],
    ['revoked', (userId) => revokeAll(service, userId)],
    ['logged out', (_userId, access) => logout(service, access)],
    ['replaced', (userId) => issue(service, userId, phone)],
  ])('with the refresh token of a token that was %s', async (_how, end) => {
    const { userId, refreshToken, access } = await lockedOwner();
    await end(userId, access);
    expect((await validate(service, access)).status).toBe(401);
    expect(told(await loginFrom(service, userId, { ...phone, deviceProof: refreshToken }))).toBe('200');
  });

  it('a proof is no password', async () => {
    const { userId, refreshToken } = await lockedOwner();
    const answer = await loginFrom(service, userId, { ...phone, password: 'wrong', deviceProof: refreshToken });
    expect(told(answer)).toBe(WRONG);
  });

  it('a proof of another device, another user, or nobody counts for nothing', async () => {
    const { userId, refreshToken } = await lockedOwner();
    const stranger = await newUser(service);
    const own = await loginFrom(service, stranger, phone);
    const [prefix, locator] = refreshToken.split('.');
    const proofs = {
      'of another device': { ...phone, deviceId: 'other', deviceProof: refreshToken },
      'of another user': { ...phone, deviceProof: own.body.refreshToken },
      'an access token': { ...phone, deviceProof: own.body.accessToken },
      'a forged one': { ...phone, deviceProof: `${prefix}.${locator}.${'A'.repeat(43)}` },
      'not one at all': { ...phone, deviceProof: 'x' },
    };
    for (const [what, body] of Object.entries(proofs)) {
      expect([what, told(await loginFrom(service, userId, body))]).toEqual([what, LOCKED]);
    }
  });

  it('its failures lock itself alone, not the user, and not its address', async () => {
    const userId = await newUser(service);
    const { body } = await loginFrom(service, userId, phone);
    const known = { ...phone, deviceProof: body.refreshToken, from: '198.51.100.1' };
    const answers = await guess(service, userId, 10, known);
    expect(answers).toEqual([...Array(FREE + 1).fill(WRONG), ...Array(9 - FREE).fill(LOCKED)]);
    expect(told(await loginFrom(service, userId, known))).toBe(LOCKED);
    expect(told(await loginFrom(service, userId, { from: known.from }))).toBe('200');
  });

  it('strangers who use up the user’s rate do not keep it out; its own rate holds', async () => {
    const busy = await startService({
      env: { TRUST_PROXY: '1', THROTTLE_USER_LOGINS: '5', THROTTLE_WINDOW_SECONDS: '3600' },
    });
    const userId = await newUser(busy);
    let deviceProof = (await loginFrom(busy, userId, phone)).body.refreshToken;
    await guess(busy, userId, 5);
    expect(told(await loginFrom(busy, userId))).toBe(LOCKED);
    const answers: string[] = [];
    for (let tries = 0; tries < 7; tries += 1) {
      const answer = await loginFrom(busy, userId, { ...phone, deviceProof });
      answers.push(told(answer));
      deviceProof = answer.body.refreshToken ?? deviceProof;
    }
    expect(answers).toEqual([...Array(5).fill('200'), LOCKED, LOCKED]);
  });

  it('neighbours who use up the address’ rate do not keep it out', async () => {
    const busy = await startService({
      env: { TRUST_PROXY: '1', THROTTLE_ADDRESS_LOGINS: '5', THROTTLE_WINDOW_SECONDS: '3600' },
    });
    const userId = await newUser(busy);
    const from = '198.51.100.2';
    const { body } = await loginFrom(busy, userId, { ...phone, from });
    for (let tries = 0; tries < 5; tries += 1) await loginFrom(busy, `any-${tries}`, { from });
    expect(told(await loginFrom(busy, userId, { ...phone, from }))).toBe(LOCKED);
    expect(told(await loginFrom(busy, userId, { ...phone, from, deviceProof: body.refreshToken }))).toBe('200');
  });
});

async function failTimes(times: number, fail: () => Promise<number>): Promise<number[]> {
  const locks: number[] = [];
  for (let failures = 0; failures < times; failures += 1) locks.push(await fail());
  return locks;
}

describe('T15 locks are temporary, growing and bounded, never permanent', () => {
  const user = { tenant: 'default', userId: 'ada' };
  const attempt = { user, address: '192.0.2.9', deviceId: 'd' };
  const LONG = 3_600_000;
  const clients: RedisClient[] = [];

  afterAll(() => {
    for (const client of clients) client.disconnect();
  });

  async function attemptsWith(throttle: Partial<Parameters<typeof openStore>[1]['throttle']>) {
    const redis = connectRedis(parseRedisUrl(testRedisUrl()));
    clients.push(redis);
    await new Promise<void>((resolve) => {
      redis.once('ready', () => resolve());
    });
    const figures = {
      userFailures: 3,
      addressFailures: 0,
      lockMs: 1000,
      longestLockMs: 5000,
      memoryMs: LONG,
      userLogins: 0,
      addressLogins: 0,
      windowMs: 1000,
      ...throttle,
    };
    const keyPrefix = testPrefix();
    const store = openStore(redis, {
      keyPrefix,
      shards: 4,
      accessTtlSeconds: 900,
      throttle: figures,
      onTouchFailed: () => {},
    });
    await tellTime(redis, store.clock);
    return { ...store, redis };
  }

  it('each failure beyond the free ones doubles the lock, up to the longest', async () => {
    const { attempts } = await attemptsWith({});
    expect(await failTimes(8, () => attempts.fail(attempt, false))).toEqual([0, 0, 1000, 2000, 4000, 5000, 5000, 5000]);
    expect(await failTimes(4, () => attempts.fail(attempt, true))).toEqual([0, 0, 1000, 2000]);
  });

  it('after a thousand failures the lock still is the longest one, and ends', async () => {
    const { attempts } = await attemptsWith({ longestLockMs: 1500 });
    const locks = await failTimes(1000, () => attempts.fail(attempt, false));
    expect(Math.max(...locks)).toBe(1500);
    expect((await attempts.begin(attempt)).userHere).toBeGreaterThan(0);
    await until('the lock has ended', async () => (await attempts.begin(attempt)).userHere === 0);
  });

  it('what is longer ago than the memory is forgotten', async () => {
    const { attempts, redis, keys } = await attemptsWith({});
    await failTimes(6, () => attempts.fail(attempt, false));
    const lastFailure = Number(await redis.hget(keys.attempts(user), 'a:n192.0.2.9'));
    await redis.hset(keys.attempts(user), 'a:n192.0.2.9', lastFailure - LONG - 1);
    expect(await failTimes(3, () => attempts.fail(attempt, false))).toEqual([0, 0, 1000]);
  });

  it('the counters themselves end; a lock that is longer than the memory does not end early', async () => {
    const { attempts, redis, keys } = await attemptsWith({
      memoryMs: 100,
      lockMs: 60_000,
      longestLockMs: 60_000,
      userLogins: 5,
    });
    await attempts.begin(attempt);
    expect(await redis.pttl(keys.attempts(user))).toBeGreaterThan(0);
    await failTimes(3, () => attempts.fail(attempt, false));
    expect(await redis.pttl(keys.attempts(user))).toBeGreaterThan(30_000);
  });

  it('over HTTP: 429, then the right password is good again without anybody’s help', async () => {
    const service = await startService({
      env: { ...ENV, THROTTLE_LOCK_SECONDS: '1', THROTTLE_MAX_LOCK_SECONDS: '2' },
    });
    const userId = await newUser(service);
    await guess(service, userId, FREE + 1);
    const again = () => loginFrom(service, userId, { from: attackerOf(userId) });
    const first = await again();
    expect([told(first), first.headers['retry-after']]).toEqual([LOCKED, '1']);
    await until('the lock has ended', async () => (await again()).status === 200);
    expect(await guess(service, userId, 2)).toEqual([WRONG, LOCKED]);
    expect((await again()).headers['retry-after']).toBe('2');
    await until('the longer lock has ended', async () => (await again()).status === 200);
  });

  it('every key of a throttled deployment but users and settings has an end', async () => {
    const service = await startService({ env: { ...ENV, THROTTLE_USER_LOGINS: '5', THROTTLE_ADDRESS_LOGINS: '5' } });
    const userId = await newUser(service);
    await guess(service, userId, 8, { from: '192.0.2.77' });
    const counters = (await keysUnder(service)).filter((key) => /:a:/.test(key));
    expect(counters).toHaveLength(2);
    for (const key of counters) expect(await service.redis.pttl(key)).toBeGreaterThan(0);
  });
});

describe('T15 counters are in Redis: all nodes count together', () => {
  it('failures on two nodes lock on both', async () => {
    const a = await startService({ env: ENV });
    const b = await startService({ env: ENV, prefix: a.prefix });
    const userId = await newUser(a);
    for (let failures = 0; failures <= FREE; failures += 1) {
      expect(await guess(failures % 2 === 0 ? a : b, userId, 1)).toEqual([WRONG]);
    }
    for (const node of [a, b]) expect(told(await loginFrom(node, userId, { from: attackerOf(userId) }))).toBe(LOCKED);
  });

  it('another deployment on the same Redis counts for itself', async () => {
    const a = await startService({ env: ENV });
    const b = await startService({ env: ENV });
    const userId = await newUser(a);
    await createUser(b, userId);
    await guess(a, userId, FREE + 1);
    expect(told(await loginFrom(b, userId))).toBe('200');
  });
});

describe('D9 a restart loses no throttle', () => {
  it('locks, failures and rates hold on the service that comes after', async () => {
    const env = { ...ENV, THROTTLE_USER_LOGINS: '20', THROTTLE_WINDOW_SECONDS: '3600' };
    const before = await startService({ env });
    const [locked, nearly, busy] = [await newUser(before), await newUser(before), await newUser(before)];
    await guess(before, locked, FREE + 1);
    await guess(before, nearly, FREE);
    for (let logins = 0; logins < 20; logins += 1) await loginFrom(before, busy);
    const { prefix } = before;
    before.server.close();

    const after = await startService({ env, prefix });
    expect(told(await loginFrom(after, locked, { from: attackerOf(locked) }))).toBe(LOCKED);
    expect(await guess(after, nearly, 2)).toEqual([WRONG, LOCKED]);
    expect(told(await loginFrom(after, busy))).toBe(LOCKED);
  });
});

describe('D10 a changed address changes nothing about who it is', () => {
  it('tokens, takeovers and proofs are the device’s, wherever it is', async () => {
    const service = await startService({ env: { ...ENV, LOGIN_POLICY: 'decline-second' } });
    const userId = await newUser(service);
    const phone = { platform: 'ios', deviceId: 'phone' };
    const home = await loginFrom(service, userId, { ...phone, from: '203.0.113.1' });
    const abroad = '2001:db8:aaaa::1';

    const checked = await service.api
      .get('/validate')
      .set({ authorization: `Bearer ${home.body.accessToken}`, 'X-Forwarded-For': abroad });
    expect([checked.status, checked.headers['x-auth-user']]).toEqual([200, userId]);

    const renewed = await service.api
      .post('/token/refresh')
      .set('X-Forwarded-For', abroad)
      .send({ refreshToken: home.body.refreshToken });
    expect([renewed.status, renewed.body.token.tokenId]).toEqual([200, home.body.token.tokenId]);

    await lockEverywhere(service, userId);
    const proof = { ...phone, from: abroad, deviceProof: home.body.refreshToken };
    const again = await loginFrom(service, userId, proof);
    expect(again.status).toBe(200);
    expect(again.body.displaced).toMatchObject([{ tokenId: home.body.token.tokenId, state: 'replaced' }]);
    const { body } = await listTokens(service, userId, '?state=active');
    expect(body.tokens).toMatchObject([{ ip: abroad, deviceId: 'phone' }]);
    expect((await history(service, userId)).body.events[0]).toMatchObject({ type: 'token.issued', ip: abroad });
    expect(await eventTypes(service, userId)).toEqual(['token.issued', 'token.replaced', 'token.issued']);
  });
});
