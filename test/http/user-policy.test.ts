/**
 * The policy of one user: goes before the tenant's from the next login on, needs no record and makes none, and a login
 * under way decides again when it changes.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { asAdmin, createUser, getUser, issue, listTokens, login } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { signerWith } from '../helpers/signing.ts';
import { testPrefix } from '../helpers/test-redis.ts';

afterAll(closeServices);

/** Two nodes of one deployment. */
let node: Service;
let other: Service;
beforeAll(async () => {
  const prefix = testPrefix();
  node = await startService({ prefix });
  other = await startService({ prefix });
});

let users = 0;
const newUser = () => `user-${(users += 1)}`;

const policyOf = (userId: string, tenant = 'default') => `/admin/users/${userId}/policy?tenant=${tenant}`;
const putPolicy = (service: Service, userId: string, policy: unknown, tenant?: string) =>
  service.api.put(policyOf(userId, tenant)).set(asAdmin).send({ policy });
const dropPolicy = (service: Service, userId: string, tenant?: string) =>
  service.api.delete(policyOf(userId, tenant)).set(asAdmin);

async function signIn(service: Service, userId: string, ...platforms: readonly string[]): Promise<void> {
  for (const platform of platforms) expect((await issue(service, userId, { platform })).status).toBe(200);
}

async function active(service: Service, userId: string): Promise<string[]> {
  const { body } = await listTokens(service, userId, '?state=active');
  return body.tokens.map((token: { platform: string }) => token.platform);
}

const own = { name: 'two-in-all', limits: [{ match: {}, countBy: 'all', max: 2, overflow: 'kick' }] };

/** The policy that GET /admin/tenants/default shows, and its source. */
const inForce = async (query: string) =>
  (await other.api.get(`/admin/tenants/default${query}`).set(asAdmin)).body.effective.policy;

describe('the policy of one user', () => {
  it.each([
    ['a preset’s name', 'single-device', ['web']],
    ['an OpenIM number', '5', ['windows', 'web']],
    ['a policy', own, ['ios', 'web']],
  ])('holds from the next login on, on every node: %s', async (_what, policy, left) => {
    const userId = newUser();
    await signIn(node, userId, 'windows', 'ios');
    const answer = await putPolicy(node, userId, policy);
    expect([answer.status, answer.body]).toEqual([200, { policy }]);
    expect(await active(other, userId)).toEqual(['windows', 'ios']);
    await signIn(other, userId, 'web');
    expect(await active(node, userId)).toEqual(left);
  });

  it('shows as the policy in force of that user, and of no other', async () => {
    const [user, neighbour] = [newUser(), newUser()];
    await putPolicy(node, user, own);
    expect(await inForce(`?userId=${user}`)).toEqual({ value: own, source: 'user' });
    expect((await inForce(`?userId=${neighbour}`)).source).not.toBe('user');
    expect((await inForce('')).source).not.toBe('user');
  });

  it('goes before the tenant’s, whichever was set last', async () => {
    const [user, neighbour] = [newUser(), newUser()];
    const set = (policy: string) => node.api.put('/admin/tenants/default').set(asAdmin).send({ policy });
    await putPolicy(node, user, 'single-device');
    await set('no-kick');
    for (const userId of [user, neighbour]) await signIn(other, userId, 'ios', 'ios', 'web');
    expect(await active(node, user)).toEqual(['web']);
    expect(await active(node, neighbour)).toEqual(['ios', 'ios', 'web']);
    await node.api.put('/admin/tenants/default').set(asAdmin).send({});
  });

  it('keeps the tenant’s other rules in force', async () => {
    const ttl = { accessSeconds: 77 };
    await node.api.put('/admin/tenants/t').set(asAdmin).send({ policy: 'no-kick', ttl });
    await putPolicy(node, 'ada', 'single-device', 't');
    expect((await issue(other, 'ada', {}, 't')).body.expiresIn).toBe(77);
  });

  it('is of this user in this tenant alone', async () => {
    const userId = newUser();
    await putPolicy(node, userId, 'single-device', 'elsewhere');
    await signIn(node, userId, 'ios', 'web');
    expect(await active(node, userId)).toEqual(['ios', 'web']);
  });

  it('shuts a platform out, and shows to nobody who does not know the password', async () => {
    const userId = newUser();
    await createUser(node, userId);
    const noWeb = { name: 'no-web', limits: [{ ...own.limits[0], match: { platforms: ['web'] }, max: 0 }] };
    await putPolicy(node, userId, noWeb);
    const stranger = await login(other, userId, { platform: 'web', password: 'wrong password' });
    expect([stranger.status, stranger.body.code]).toEqual([401, 'invalid_credentials']);
    const owner = await login(other, userId, { platform: 'web' });
    expect([owner.status, owner.body.code]).toEqual([403, 'platform_not_allowed']);
  });

  it('lets a platform in that the tenant shuts out, which all others are told before the password', async () => {
    const [userId, nobody] = [newUser(), newUser()];
    await createUser(node, userId, 'no-web');
    const noWeb = { name: 'no-web', limits: [{ ...own.limits[0], match: { platforms: ['web'] }, max: 0 }] };
    expect((await node.api.put('/admin/tenants/no-web').set(asAdmin).send({ policy: noWeb })).status).toBe(200);
    await putPolicy(node, userId, 'no-kick', 'no-web');
    const body = { tenant: 'no-web', platform: 'web' };
    expect((await login(other, userId, body)).status).toBe(200);
    expect((await login(other, nobody, { ...body, password: 'wrong' })).body.code).toBe('platform_not_allowed');
  });

  it('ends with DELETE, which may be repeated', async () => {
    const userId = newUser();
    await putPolicy(node, userId, 'single-device');
    for (const service of [node, other]) {
      const answer = await dropPolicy(service, userId);
      expect([answer.status, answer.body]).toEqual([200, { policy: null }]);
    }
    await signIn(other, userId, 'ios', 'web');
    expect(await active(node, userId)).toEqual(['ios', 'web']);
  });

  it.each([
    ['an unknown name', 'nobody', /unknown policy "nobody"; valid: no-kick, one-per-platform/],
    [
      'an unknown platform',
      { ...own, limits: [{ ...own.limits[0], match: { platforms: ['tv'] } }] },
      /"tv"; valid: ios/,
    ],
    ['a maximum out of range', { ...own, limits: [{ ...own.limits[0], max: -1 }] }, /policy\.limits\.0\.max/],
    ['a misspelled key', { ...own, limit: [] }, /limit/],
    ['no policy', undefined, /policy/],
    ['null', null, /policy/],
  ])('with %s is refused and nothing is stored', async (_what, policy, why) => {
    const answer = await putPolicy(node, 'nobody', policy);
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.detail).toMatch(why);
    expect(await node.redis.exists(node.keys.user({ tenant: 'default', userId: 'nobody' }))).toBe(0);
  });
});

describe('the policy of a user without a record', () => {
  it('does not make the user exist', async () => {
    const userId = newUser();
    await putPolicy(node, userId, 'single-device');
    expect((await getUser(node, userId)).status).toBe(404);
    const listed = await node.api.get('/admin/users?limit=100').set(asAdmin);
    expect(listed.body.users.map((user: { userId: string }) => user.userId)).not.toContain(userId);
    expect((await login(node, userId)).body.code).toBe('invalid_credentials');
    await dropPolicy(node, userId);
    expect(await node.redis.exists(node.keys.user({ tenant: 'default', userId }))).toBe(0);
  });

  it('survives the creation of the user', async () => {
    const userId = newUser();
    await putPolicy(node, userId, 'single-device');
    expect((await createUser(node, userId)).status).toBe(201);
    for (const platform of ['ios', 'web']) expect((await login(other, userId, { platform })).status).toBe(200);
    expect(await active(node, userId)).toEqual(['web']);
  });

  it('survives a new password and a block', async () => {
    const userId = newUser();
    await putPolicy(node, userId, 'single-device');
    for (const change of [{ password: 'another password' }, { blocked: {} }, { blocked: null }]) {
      expect((await node.api.patch(`/admin/users/${userId}`).set(asAdmin).send(change)).status).toBe(200);
    }
    await signIn(other, userId, 'ios', 'web');
    expect(await active(node, userId)).toEqual(['web']);
  });

  it('and its removal leaves the user as it is', async () => {
    const userId = newUser();
    await createUser(node, userId);
    await putPolicy(node, userId, 'single-device');
    await dropPolicy(node, userId);
    expect((await getUser(node, userId)).body).toMatchObject({ userId, hasPassword: true });
  });
});

/** A node that calls `meanwhile` once, after a login has read and decided and before it writes. */
async function startInterrupted(prefix: string, meanwhile: () => Promise<unknown>): Promise<Service> {
  let interrupted = false;
  const signer = signerWith(node.signingKeys, 'http://latchkey.test');
  return startService({
    prefix,
    override: {
      signer: {
        async sign(token, issuedAt) {
          if (!interrupted) {
            interrupted = true;
            await meanwhile();
          }
          return signer.sign(token, issuedAt);
        },
      },
    },
  });
}

describe('a change that lands between a login’s read and its write', () => {
  it.each([
    ['set, on another node', 'no-kick', 'single-device', ['web']],
    ['lifted, on another node', 'single-device', null, ['ios', 'web']],
  ])('makes it decide again: %s', async (_what, before, during, left) => {
    const prefix = testPrefix();
    const plain = await startService({ prefix });
    const change = () => (during === null ? dropPolicy(plain, 'ada') : putPolicy(plain, 'ada', during));
    const service = await startInterrupted(prefix, async () => expect((await change()).status).toBe(200));
    // With a record, which outlives the policy.
    await createUser(plain, 'ada');
    await putPolicy(plain, 'ada', before);
    await signIn(plain, 'ada', 'ios');
    const answer = await issue(service, 'ada', { platform: 'web' });
    expect(answer.status).toBe(200);
    expect(await active(plain, 'ada')).toEqual(left);
    expect(answer.body.displaced).toHaveLength(2 - left.length);
  });

  it('stops it when the platform is no longer allowed, and nothing is stored', async () => {
    const prefix = testPrefix();
    const plain = await startService({ prefix });
    const noWeb = { name: 'no-web', limits: [{ ...own.limits[0], match: { platforms: ['web'] }, max: 0 }] };
    const service = await startInterrupted(prefix, () => putPolicy(plain, 'ada', noWeb));
    await signIn(plain, 'ada', 'ios');
    expect((await issue(service, 'ada', { platform: 'web' })).body.code).toBe('platform_not_allowed');
    expect(await active(plain, 'ada')).toEqual(['ios']);
  });

  it('also when the change comes through the same node', async () => {
    const prefix = testPrefix();
    const plain = await startService({ prefix });
    const service: Service = await startInterrupted(prefix, () => putPolicy(service, 'ada', 'decline-second'));
    await signIn(plain, 'ada', 'ios');
    expect((await issue(service, 'ada', { platform: 'web' })).body.code).toBe('login_declined');
    expect(await active(plain, 'ada')).toEqual(['ios']);
  });
});
