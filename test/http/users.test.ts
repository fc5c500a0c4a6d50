/**
 * Users over HTTP: records, passwords, blocks, and that a change of them ends every token in one step, even when it
 * lands in the middle of a login.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createPasswords, type Passwords } from '../../src/credentials/password.ts';
import type { Actor } from '../../src/domain/token.ts';
import {
  asAdmin,
  changeUser,
  createUser,
  deleteUser,
  eventTypes,
  getUser,
  issue,
  keysUnder,
  listTokens,
  login,
  PASSWORD,
  statesOf,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { sized } from '../helpers/sizes.ts';

let service: Service;
beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
});
afterAll(closeServices);

const outcome = ({ status, body }: { status: number; body: { code?: string } }) => [status, body.code];

describe('user records', () => {
  it('are created once, shown without a secret, and deleted', async () => {
    const created = await createUser(service, 'ada');
    expect(created.status).toBe(201);
    expect(created.body).toEqual({
      tenant: 'default',
      userId: 'ada',
      createdAt: expect.any(String),
      hasPassword: true,
    });
    expect(outcome(await createUser(service, 'ada'))).toEqual([409, 'already_exists']);
    expect((await getUser(service, 'ada')).body).toEqual({ ...created.body, locks: [] });
    expect((await deleteUser(service, 'ada')).body).toEqual({ revoked: [] });
    expect(outcome(await getUser(service, 'ada'))).toEqual([404, 'not_found']);
    expect(outcome(await deleteUser(service, 'ada'))).toEqual([404, 'not_found']);
    expect(outcome(await login(service, 'ada'))).toEqual([401, 'invalid_credentials']);
  });

  it('are listed a page at a time, each once, in order, of one tenant', async () => {
    const userIds = Array.from({ length: 23 }, (_, index) => `page-${String(index).padStart(2, '0')}`);
    await Promise.all(
      userIds.map((userId) => service.users.create({ tenant: 'paged', userId }, '$argon2id$never-checked')),
    );
    await service.users.create({ tenant: 'paged-too', userId: 'page-00' }, '$argon2id$never-checked');
    const pages: string[][] = [];
    let after: string | undefined;
    do {
      const query = { tenant: 'paged', limit: 10, ...(after !== undefined && { after }) };
      const { body } = await service.api.get('/admin/users').query(query).set(asAdmin);
      pages.push(body.users.map((user: { userId: string }) => user.userId));
      after = body.next;
    } while (after !== undefined);
    expect(pages.map((page) => page.length)).toEqual([10, 10, 3]);
    expect(pages.flat()).toEqual(userIds);
  });

  it('are made by a patch where there is none', async () => {
    expect((await changeUser(service, 'patched', { password: PASSWORD })).status).toBe(200);
    expect((await login(service, 'patched')).status).toBe(200);
    const blockedAlone = await changeUser(service, 'blocked-alone', { blocked: {} });
    expect(blockedAlone.body.user).toMatchObject({ hasPassword: false, blocked: {} });
    expect(outcome(await login(service, 'blocked-alone'))).toEqual([401, 'invalid_credentials']);
  });

  it('keep tombstones beyond their end, so that the devices can be told', async () => {
    await createUser(service, 'deleted');
    const token = await login(service, 'deleted');
    const answer = await deleteUser(service, 'deleted');
    expect(answer.body.revoked).toEqual([{ tokenId: token.body.token.tokenId, platform: 'ios' }]);
    expect((await validate(service, token.body.accessToken)).body).toMatchObject({
      code: 'token_revoked',
      endedBy: { kind: 'admin', reason: 'user_deleted' },
    });
    await createUser(service, 'deleted');
    expect(await verdict(service, token.body.accessToken)).toBe('token_revoked');
  });
});

describe('O10 a new password or a block revokes every token in one step', () => {
  it.each([
    ['a new password', { password: 'another good password' }, 'token_revoked', 'user.password_changed'],
    ['a block', { blocked: { reason: 'fraud' } }, 'user_blocked', 'user.blocked'],
    ['both at once', { password: 'another good password', blocked: {} }, 'user_blocked', 'user.blocked'],
  ])('%s', async (what, change, code, event) => {
    const userId = `o10 ${what}`;
    await createUser(service, userId);
    const platforms = ['ios', 'web', 'macos', 'admin'];
    const tokens = [];
    for (const platform of platforms) tokens.push(await issue(service, userId, { platform }));
    const { commands, result } = await counting(service, userId, () => changeUser(service, userId, change));
    expect(commands).toBe(1);
    expect(result.body.revoked).toEqual(
      tokens.map(({ body }) => ({ tokenId: body.token.tokenId, platform: body.token.platform })),
    );
    for (const { body } of tokens) expect(await verdict(service, body.accessToken)).toBe(code);
    expect(await statesOf(service, userId)).toEqual(platforms.map((platform) => [platform, 'revoked']));
    expect((await eventTypes(service, userId)).filter((type) => type === event)).toHaveLength(1);
  });

  it('gives the reason of a new password, and lets only that one in', async () => {
    await createUser(service, 'o10 login');
    const token = await login(service, 'o10 login');
    await changeUser(service, 'o10 login', { password: 'another good password' });
    expect((await validate(service, token.body.accessToken)).body.endedBy).toEqual({
      kind: 'admin',
      reason: 'password_changed',
    });
    expect(outcome(await login(service, 'o10 login'))).toEqual([401, 'invalid_credentials']);
    expect((await login(service, 'o10 login', { password: 'another good password' })).status).toBe(200);
  });
});

/** How many commands that touch this user a call sent to Redis. */
async function counting<T>(node: Service, userId: string, call: () => Promise<T>) {
  const key = node.keys.user({ tenant: 'default', userId });
  const send = node.redis.sendCommand.bind(node.redis);
  let commands = 0;
  node.redis.sendCommand = (command, stream) => {
    if (command.args.some((argument) => String(argument) === key)) commands += 1;
    return send(command, stream);
  };
  try {
    return { result: await call(), commands };
  } finally {
    node.redis.sendCommand = send;
  }
}

describe('T14 a block with an end', () => {
  it('revokes all, refuses logins until it ends, then allows', async () => {
    const node = await startService();
    await createUser(node, 't14');
    const token = await login(node, 't14');
    const until = new Date(node.store.now() + 60_000).toISOString();
    const { body } = await changeUser(node, 't14', { blocked: { until, reason: 'cooling off' } });
    expect(body.user.blocked).toMatchObject({ until, reason: 'cooling off' });
    expect(await verdict(node, token.body.accessToken)).toBe('user_blocked');
    const refused = await login(node, 't14');
    expect(refused.status).toBe(403);
    expect(refused.body).toMatchObject({ code: 'user_blocked', until, reason: 'cooling off' });
    expect(outcome(await issue(node, 't14'))).toEqual([403, 'user_blocked']);
    node.shiftClock(59_000);
    expect((await login(node, 't14')).status).toBe(403);
    node.shiftClock(1_001);
    expect((await login(node, 't14')).status).toBe(200);
    expect((await getUser(node, 't14')).body.blocked).toBeUndefined();
    expect(await verdict(node, token.body.accessToken)).toBe('user_blocked');
  });

  it('is lifted by null, and its tokens stay ended', async () => {
    const token = await issue(service, 't14 lift');
    await changeUser(service, 't14 lift', { blocked: {} });
    expect((await issue(service, 't14 lift')).status).toBe(403);
    expect((await changeUser(service, 't14 lift', { blocked: null })).body.user.blocked).toBeUndefined();
    expect((await issue(service, 't14 lift')).status).toBe(200);
    expect(await verdict(service, token.body.accessToken)).toBe('user_blocked');
    expect((await eventTypes(service, 't14 lift')).filter((type) => type === 'user.unblocked')).toHaveLength(1);
  });
});

describe('D5 of two blocks the stricter wins', () => {
  const soon = { until: '2999-01-01T00:00:00.000Z' };
  const late = { until: '3999-01-01T00:00:00.000Z' };
  const forever = {};

  it.each([
    ['later after sooner', soon, late, late.until],
    ['sooner after later', late, soon, late.until],
    ['endless after later', late, forever, undefined],
    ['later after endless', forever, late, undefined],
  ])('%s', async (what, first, second, until) => {
    await changeUser(service, `d5 ${what}`, { blocked: first });
    const { body } = await changeUser(service, `d5 ${what}`, { blocked: second });
    expect(body.user.blocked).toBeDefined();
    expect(body.user.blocked.until).toBe(until);
  });
});

describe('what a login tells a stranger', () => {
  it('is the same for an unknown user, a wrong password, and both of a blocked user', async () => {
    await createUser(service, 'known');
    await createUser(service, 'blocked');
    await changeUser(service, 'blocked', { blocked: {} });
    const wrong = { password: 'wrong password' };
    const answers = await Promise.all([
      login(service, 'known', wrong),
      login(service, 'unknown', wrong),
      login(service, 'blocked', wrong),
    ]);
    const bodies = answers.map(({ status, body }) => ({ status, ...body, requestId: undefined }));
    expect(bodies[0]).toMatchObject({ status: 401, code: 'invalid_credentials' });
    expect(bodies[1]).toEqual(bodies[0]);
    expect(bodies[2]).toEqual(bodies[0]);
    const headers = answers.map((answer) => Object.keys(answer.headers).toSorted());
    expect(headers[1]).toEqual(headers[0]);
    expect(outcome(await login(service, 'blocked'))).toEqual([403, 'user_blocked']);
    expect(await service.redis.exists(service.keys.tokens({ tenant: 'default', userId: 'unknown' }))).toBe(0);
  });
});

describe('a password change, block or delete that lands between a login’s check and its write wins', () => {
  const ADMIN: Actor = { kind: 'admin' };
  const TRIES = sized(168, 20);
  const LANES = 2;

  type Change = (other: Service, userId: string, newHash: string) => Promise<unknown>;
  const changes: Record<string, { code: string; land: Change }> = {
    'a new password': {
      code: 'invalid_credentials',
      land: (other, userId, passwordHash) => other.users.change({ tenant: 'default', userId }, { passwordHash }, ADMIN),
    },
    'a block': { code: 'user_blocked', land: (other, userId) => changeUser(other, userId, { blocked: {} }) },
    'a delete': { code: 'invalid_credentials', land: (other, userId) => deleteUser(other, userId) },
  };

  it.each(Object.entries(changes))(`%s, ${TRIES.told} times`, async (what, { code, land }) => {
    const real = createPasswords();
    const [hash, newHash] = await Promise.all([real.hash(PASSWORD), real.hash('another good password')]);
    const other = await startService({ prefix: service.prefix });

    async function lane(number: number): Promise<number> {
      let landed = 0;
      let pending: (() => Promise<unknown>) | undefined;
      const passwords: Passwords = {
        hash: (password) => real.hash(password),
        async matches(stored, password) {
          const right = await real.matches(stored, password);
          const change = pending;
          pending = undefined;
          if (change !== undefined) {
            await change();
            if (right) landed += 1;
          }
          return right;
        },
      };
      const node = await startService({ prefix: service.prefix, override: { passwords } });
      for (let count = number; count < TRIES.count; count += LANES) {
        const userId = `race ${what} ${count}`;
        await other.users.create({ tenant: 'default', userId }, hash);
        pending = () => land(other, userId, newHash);
        const answer = await login(node, userId);
        expect([userId, answer.body.code]).toEqual([userId, code]);
        expect((await listTokens(other, userId, '?state=active')).body.tokens).toEqual([]);
        expect(await node.redis.exists(node.keys.tokens({ tenant: 'default', userId }))).toBe(0);
      }
      return landed;
    }

    const landed = await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
    expect(landed.reduce((sum, count) => sum + count)).toBe(TRIES.count);
  });
});

describe('a key without a TTL', () => {
  it('is that of a user, an index of users, or the settings, and no other', async () => {
    await issue(service, 'r7');
    for (const key of await keysUnder(service)) {
      const lasting = /^\w+:(\{\d+\}:(u:|users$|blocked$|tenant:)|settings$|longest$)/.test(key);
      expect([key, (await service.redis.pttl(key)) === -1]).toEqual([key, lasting]);
    }
  });
});
