/**
 * Blocks: of a user, for a time or until lifted. They end every token, refuse every login, and are listed.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  asAdmin,
  changeUser,
  createUser,
  eventTypes,
  getUser,
  issue,
  login,
  refresh,
  statesOf,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { signerWith } from '../helpers/signing.ts';
import { testPrefix } from '../helpers/test-redis.ts';

afterAll(closeServices);

let node: Service;
beforeAll(async () => {
  node = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
});

let users = 0;
const newUser = () => `user-${(users += 1)}`;

const inSeconds = (seconds: number, service = node) => new Date(service.store.now() + seconds * 1000).toISOString();

type BlockView = { userId: string; blocked: { until?: string; reason?: string; at: string } };

async function blocks(service: Service, query = ''): Promise<{ blocks: BlockView[]; next?: string }> {
  const answer = await service.api.get(`/admin/blocks${query}`).set(asAdmin);
  expect(answer.status).toBe(200);
  return answer.body;
}

const toBody = ({ seconds, reason }: { seconds: number | undefined; reason: string }) => ({
  blocked: { reason, ...(seconds !== undefined && { until: inSeconds(seconds) }) },
});

const blockedUsers = async (service: Service, query = '') =>
  (await blocks(service, query)).blocks.map(({ userId }) => userId);

describe('T14 a block with an end revokes all, refuses logins until it ends, then allows', () => {
  it('by the clock, with nobody lifting it', async () => {
    const prefix = testPrefix();
    const service = await startService({ prefix, env: { LOGIN_POLICY: 'no-kick' } });
    const second = await startService({ prefix, env: { LOGIN_POLICY: 'no-kick' } });
    await createUser(service, 'ada');
    const devices = [
      await login(service, 'ada', { platform: 'ios' }),
      await login(service, 'ada', { platform: 'web' }),
    ];
    const until = inSeconds(600, service);
    const answer = await changeUser(service, 'ada', { blocked: { until, reason: 'spam' } });
    expect(answer.status).toBe(200);
    expect(answer.body.user.blocked).toMatchObject({ until, reason: 'spam' });
    expect(answer.body.revoked).toEqual(
      devices.map(({ body }) => ({ tokenId: body.token.tokenId, platform: body.token.platform })),
    );

    for (const { body } of devices) {
      expect(await verdict(second, body.accessToken)).toBe('user_blocked');
      const refused = await refresh(second, body.refreshToken);
      expect([refused.status, refused.body.code]).toEqual([401, 'user_blocked']);
      expect(refused.body.endedBy).toEqual({ kind: 'admin', reason: 'spam' });
    }
    expect(await statesOf(second, 'ada')).toEqual([
      ['ios', 'revoked'],
      ['web', 'revoked'],
    ]);

    const attempts = [
      () => login(second, 'ada'),
      () => issue(second, 'ada'),
      () => issue(second, 'ada', { platform: 'admin' }),
    ];
    for (const attempt of attempts) {
      const refused = await attempt();
      expect([refused.status, refused.body.code]).toEqual([403, 'user_blocked']);
      expect(refused.body).toMatchObject({ until, reason: 'spam' });
    }
    // Who does not know the password is not told of the block.
    expect((await login(second, 'ada', { password: 'a wrong password' })).body.code).toBe('invalid_credentials');

    second.shiftClock(595_000);
    expect((await login(second, 'ada')).body.code).toBe('user_blocked');
    second.shiftClock(6_000);
    const allowed = [await login(second, 'ada'), await issue(second, 'ada')];
    for (const { status, body } of allowed) {
      expect(status).toBe(200);
      expect(await verdict(second, body.accessToken)).toBe('good');
    }
    expect((await getUser(second, 'ada')).body).not.toHaveProperty('blocked');
    // What the block has ended stays ended.
    expect(await verdict(second, devices[0]?.body.accessToken)).toBe('user_blocked');
  });

  it('of a user that has no record yet', async () => {
    const userId = newUser();
    const { body } = await issue(node, userId);
    await changeUser(node, userId, { blocked: { until: inSeconds(600) } });
    expect(await verdict(node, body.accessToken)).toBe('user_blocked');
    expect((await issue(node, userId)).body.code).toBe('user_blocked');
  });

  it.each(['tomorrow', '2030-02-30T00:00:00Z', '2030-01-01', 1_900_000_000])(
    'whose end is %p is refused',
    async (until) => {
      const answer = await changeUser(node, newUser(), { blocked: { until } });
      expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    },
  );

  it('that lands while a login is under way stops it', async () => {
    const prefix = testPrefix();
    const plain = await startService({ prefix });
    const signer = signerWith(plain.signingKeys, 'http://latchkey.test');
    let landed = false;
    const racing = await startService({
      prefix,
      override: {
        signer: {
          async sign(token, issuedAt) {
            if (!landed) await changeUser(plain, 'ada', { blocked: { until: inSeconds(600, plain) } });
            landed = true;
            return signer.sign(token, issuedAt);
          },
        },
      },
    });
    await createUser(plain, 'ada');
    expect((await login(racing, 'ada')).body.code).toBe('user_blocked');
    expect(await statesOf(plain, 'ada')).toEqual([]);
  });
});

describe('D5 blocks survive restarts, are listed and lifted; of two blocks the stricter wins', () => {
  it('survives a restart', async () => {
    const prefix = testPrefix();
    const before = await startService({ prefix });
    await createUser(before, 'ada');
    await changeUser(before, 'ada', { blocked: { reason: 'for good' } });
    await changeUser(before, 'bob', { blocked: { until: inSeconds(600) } });
    await before.close();
    const after = await startService({ prefix });
    expect(await blockedUsers(after)).toEqual(['ada', 'bob']);
    expect((await login(after, 'ada')).body).toMatchObject({ code: 'user_blocked', reason: 'for good' });
    expect((await issue(after, 'bob')).body.code).toBe('user_blocked');
  });

  it('is listed with its end and reason, in order, per tenant, a page at a time', async () => {
    const service = await startService();
    const until = inSeconds(600);
    const names = ['ada', 'bob', 'Zoë', 'a b', 'x:y', ...Array.from({ length: 20 }, (_, index) => `u${index}`)];
    await Promise.all(
      names.map((userId) =>
        service.api
          .patch(`/admin/users/${encodeURIComponent(userId)}?tenant=t`)
          .set(asAdmin)
          .send({ blocked: { until, reason: `of ${userId}` } }),
      ),
    );
    await changeUser(service, 'elsewhere', { blocked: {} });
    // Users that are not blocked are not listed.
    await createUser(service, 'free', 't');

    const pages: BlockView[][] = [];
    let after: string | undefined;
    do {
      const from = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
      const page = await blocks(service, `?tenant=t&limit=4${from}`);
      pages.push(page.blocks);
      after = page.next;
    } while (after !== undefined);
    const all = pages.flat();
    expect(pages.every((page) => page.length <= 4)).toBe(true);
    expect(all.map(({ userId }) => userId).toSorted()).toEqual(names.toSorted());
    for (const { userId, blocked } of all) expect(blocked).toMatchObject({ until, reason: `of ${userId}` });
    const once = (await blocks(service, '?tenant=t&limit=100')).blocks;
    expect(once).toEqual(all);
    expect(await blockedUsers(service)).toEqual(['elsewhere']);
  });

  it('is no longer listed when it has run out, and does not shorten a page', async () => {
    const service = await startService();
    for (let index = 0; index < 12; index += 1) {
      const until = index % 3 === 0 ? { until: inSeconds(6000) } : { until: inSeconds(60) };
      await changeUser(service, `user-${String(index).padStart(2, '0')}`, { blocked: until });
    }
    expect(await blockedUsers(service)).toHaveLength(12);
    service.shiftClock(61_000);
    const first = await blocks(service, '?limit=3');
    expect(first.blocks.map(({ userId }) => userId)).toEqual(['user-00', 'user-03', 'user-06']);
    expect(await blockedUsers(service, `?limit=3&after=${first.next}`)).toEqual(['user-09']);
  });

  it('is lifted, and lifting it again changes nothing', async () => {
    const userId = newUser();
    await createUser(node, userId);
    await changeUser(node, userId, { blocked: {} });
    expect((await login(node, userId)).body.code).toBe('user_blocked');
    for (let round = 0; round < 2; round += 1) {
      const answer = await changeUser(node, userId, { blocked: null });
      expect([answer.status, answer.body.revoked]).toEqual([200, []]);
      expect(answer.body.user).not.toHaveProperty('blocked');
    }
    expect((await login(node, userId)).status).toBe(200);
    expect(await blockedUsers(node, '?limit=100')).not.toContain(userId);
    const types = await eventTypes(node, userId);
    expect(types.filter((type) => type === 'user.unblocked')).toHaveLength(1);
  });

  it('ends with its user', async () => {
    const userId = newUser();
    await changeUser(node, userId, { blocked: {} });
    await node.api.delete(`/admin/users/${userId}`).set(asAdmin);
    expect(await blockedUsers(node, '?limit=100')).not.toContain(userId);
    expect((await issue(node, userId)).status).toBe(200);
  });

  const short = { seconds: 600, reason: 'short' };
  const long = { seconds: 6000, reason: 'long' };
  const forEver = { seconds: undefined, reason: 'for ever' };
  it.each([
    [short, long, 'long'],
    [long, short, 'long'],
    [short, forEver, 'for ever'],
    [forEver, long, 'for ever'],
  ])('of %j and then %j the stricter holds', async (first, second, winner) => {
    const userId = newUser();
    await changeUser(node, userId, toBody(first));
    const answer = await changeUser(node, userId, toBody(second));
    expect(answer.body.user.blocked.reason).toBe(winner);
    expect('until' in answer.body.user.blocked).toBe(winner !== 'for ever');
    const refused = await issue(node, userId);
    expect([refused.body.code, refused.body.reason]).toEqual(['user_blocked', winner]);
    // Lifted is lifted: the weaker one does not come up again.
    await changeUser(node, userId, { blocked: null });
    expect((await issue(node, userId)).status).toBe(200);
  });

  it('of two at once as well', async () => {
    const userId = newUser();
    const ends = [600, 900, undefined, 700, 800];
    await Promise.all(
      ends.map((seconds) =>
        changeUser(node, userId, { blocked: seconds === undefined ? {} : { until: inSeconds(seconds) } }),
      ),
    );
    expect((await getUser(node, userId)).body.blocked).not.toHaveProperty('until');
  });

  it('a new password does not lift it', async () => {
    const userId = newUser();
    await changeUser(node, userId, { blocked: {} });
    await changeUser(node, userId, { password: 'a brand new password' });
    expect((await login(node, userId, { password: 'a brand new password' })).body.code).toBe('user_blocked');
  });

  it('leaves other users and the same name in another tenant alone', async () => {
    const userId = newUser();
    const elsewhere = await issue(node, userId, {}, 'other');
    await changeUser(node, userId, { blocked: {} });
    expect((await validate(node, elsewhere.body.accessToken, 'other')).status).toBe(200);
    expect((await issue(node, userId, {}, 'other')).status).toBe(200);
  });
});

const known = async () => {
  const userId = newUser();
  await createUser(node, userId);
  return userId;
};
const stored = async (userId: string) => ({
  record: await node.redis.hgetall(node.keys.user({ tenant: 'default', userId })),
  events: await eventTypes(node, userId),
});

describe('F8 a change that is none is told as what it is', () => {
  it.each(['1969-12-31T23:59:59Z', '1970-01-01T00:00:00Z', '2020-02-02T00:00:00+02:00'])(
    'a block until %s is refused',
    async (until) => {
      const userId = await known();
      const token = await login(node, userId);
      const before = await stored(userId);
      for (const change of [{ blocked: { until } }, { blocked: { until }, password: 'a brand new password' }]) {
        const { status, body } = await changeUser(node, userId, change);
        expect([status, body.code, body.detail]).toEqual([
          400,
          'invalid_request',
          'blocked.until: expected a time in the future',
        ]);
      }
      expect(await stored(userId)).toEqual(before);
      expect(await verdict(node, token.body.accessToken)).toBe('good');
      const nobody = newUser();
      expect((await changeUser(node, nobody, { blocked: { until } })).status).toBe(400);
      expect((await getUser(node, nobody)).status).toBe(404);
    },
  );

  it.each([
    ['a shorter one', { seconds: 600, reason: 'shorter' }],
    ['the same one', { seconds: 6000, reason: 'first' }],
  ])('of a block and then %s the answer is what holds, and nothing is told or written', async (_what, second) => {
    const userId = await known();
    const first = toBody({ seconds: 6000, reason: 'first' });
    const { body } = await changeUser(node, userId, first);
    const { record, events } = await stored(userId);
    const again = await changeUser(node, userId, second.seconds === 6000 ? first : toBody(second));
    expect([again.status, again.body]).toEqual([200, { user: body.user, revoked: [] }]);
    const after = await stored(userId);
    expect(after.events).toEqual(events);
    expect({ ...after.record, rev: '' }).toEqual({ ...record, rev: '' });
  });

  it('another reason for the same block is taken, and told', async () => {
    const userId = await known();
    await changeUser(node, userId, { blocked: { reason: 'first' } });
    const { body } = await changeUser(node, userId, { blocked: { reason: 'second' } });
    expect(body.user.blocked).toMatchObject({ reason: 'second' });
    expect((await eventTypes(node, userId)).filter((type) => type === 'user.blocked')).toHaveLength(2);
  });

  it('lifting a block of nobody is 404 and makes no record', async () => {
    const userId = newUser();
    const answer = await changeUser(node, userId, { blocked: null });
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    expect(await stored(userId)).toEqual({ record: {}, events: [] });
    // A policy alone is no record.
    await node.api.put(`/admin/users/${userId}/policy`).set(asAdmin).send({ policy: 'no-kick' }).expect(200);
    expect((await changeUser(node, userId, { blocked: null })).status).toBe(404);
    expect((await getUser(node, userId)).status).toBe(404);
    expect((await node.api.get('/admin/users?limit=100').set(asAdmin)).body.users).not.toContainEqual(
      expect.objectContaining({ userId }),
    );
  });

  it('nothing at all is 400 for anybody, and makes no record', async () => {
    const [nobody, somebody] = [newUser(), await known()];
    for (const userId of [nobody, somebody]) {
      const { status, body } = await changeUser(node, userId, {});
      expect([status, body.code, body.detail]).toEqual([
        400,
        'invalid_request',
        'body: expected password, blocked, or both',
      ]);
    }
    expect(await stored(nobody)).toEqual({ record: {}, events: [] });
  });

  it('taking away a policy that nobody has leaves no trace', async () => {
    const userId = newUser();
    await node.api.delete(`/admin/users/${userId}/policy`).set(asAdmin).expect(200);
    expect(await stored(userId)).toEqual({ record: {}, events: [] });
  });
});
