/**
 * POST /admin/policies/simulate: what a login would do under a policy, to given tokens or to a user's own. Stores nothing.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { asAdmin, everythingUnder, inAscii, issue, listTokens } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

let service: Service;
beforeAll(async () => {
  service = await startService();
});

const simulate = (body: object, tenant = 'default') =>
  service.api.post(`/admin/policies/simulate?tenant=${tenant}`).set(asAdmin).send(body);

/** Given tokens, oldest first: t1, t2, … */
const signedIn = (...platforms: readonly string[]) =>
  platforms.map((platform, index) => ({ tokenId: `t${index + 1}`, platform, deviceId: `d${index + 1}` }));

const on = (platform: string, deviceId = 'new-device') => ({ platform, deviceId });
const nothing = { declined: false, kick: [], delete: [], replace: [], conflicts: [] };
const limit = { match: {}, countBy: 'all', max: 1, overflow: 'kick' };

describe('a simulated login on given tokens', () => {
  it.each([
    [
      'kicks',
      'single-device',
      on('web'),
      {
        kick: [
          { tokenId: 't1', platform: 'ios' },
          { tokenId: 't2', platform: 'windows' },
        ],
      },
    ],
    ['kicks by an OpenIM number', '5', on('web'), { kick: [{ tokenId: 't1', platform: 'ios' }] }],
    ['takes over its own device', 'no-kick', on('ios', 'd1'), { replace: [{ tokenId: 't1', platform: 'ios' }] }],
    ['finds nothing in its way', 'one-per-platform', on('web'), {}],
    ['evicts', 'no-kick', { ...on('web'), evict: ['t2'] }, { kick: [{ tokenId: 't2', platform: 'windows' }] }],
    [
      'deletes',
      { name: 'own', limits: [{ ...limit, max: 2, overflow: 'delete' }] },
      on('web'),
      {
        delete: [{ tokenId: 't1', platform: 'ios' }],
      },
    ],
    ['is of the admin platform, which disturbs nobody', 'single-device', on('admin'), {}],
  ])('%s', async (_what, policy, login, expected) => {
    const answer = await simulate({ policy, tokens: signedIn('ios', 'windows'), login });
    expect([answer.status, answer.body]).toEqual([200, { ...nothing, ...expected }]);
  });

  it('is declined with the conflicts', async () => {
    const { body } = await simulate({ policy: 'decline-second', tokens: signedIn('ios', 'web'), login: on('ipad') });
    expect(body).toEqual({
      ...nothing,
      declined: true,
      conflicts: [
        expect.objectContaining({ tokenId: 't1', platform: 'ios' }),
        expect.objectContaining({ tokenId: 't2', platform: 'web' }),
      ],
    });
  });

  it('takes the order given as the order of the logins', async () => {
    const tokens = signedIn('ios', 'ios', 'ios').toReversed();
    const { body } = await simulate({ policy: 'one-per-platform', tokens: tokens.slice(0, 2), login: on('ios') });
    expect(body.kick.map((token: { tokenId: string }) => token.tokenId)).toEqual(['t3', 't2']);
    const kept = { name: 'two', limits: [{ ...limit, max: 2 }] };
    expect((await simulate({ policy: kept, tokens, login: on('ios') })).body.kick).toEqual([
      { tokenId: 't3', platform: 'ios' },
      { tokenId: 't2', platform: 'ios' },
    ]);
  });

  it('takes 1000 tokens, however long what names them', async () => {
    const deviceId = '\u{1F600}'.repeat(128);
    const tokens = Array.from({ length: 1000 }, (_, at) => ({
      tokenId: `${at}`.padStart(64, 't'),
      platform: 'ios',
      deviceId,
    }));
    const body = JSON.stringify({ policy: 'no-kick', tokens, login: { platform: 'web', deviceId } }, undefined, 2);
    for (const text of [body, inAscii(body)]) {
      const answer = await service.api
        .post('/admin/policies/simulate')
        .set({ ...asAdmin, 'content-type': 'application/json' })
        .send(text);
      expect(answer.status).toBe(200);
    }
  });

  it('takes as many tokens as it says: 1000', async () => {
    const tokens = signedIn(...Array.from({ length: 1000 }, () => 'android-pad'));
    const answer = await simulate({ policy: 'single-device', tokens, login: on('ios') });
    expect([answer.status, answer.body.kick?.length]).toEqual([200, 1000]);
    const more = await simulate({ policy: 'single-device', tokens: [...tokens, ...signedIn('ios')], login: on('ios') });
    expect([more.status, more.body.code]).toEqual([400, 'invalid_request']);
  });
});

describe('a simulated login on the tokens that a user holds', () => {
  it('says what the login then does, and stores nothing', async () => {
    for (const platform of ['ios', 'windows']) await issue(service, 'ada', { platform }, 't');
    const before = await everythingUnder(service);
    const { body } = await simulate({ policy: 'single-device', userId: 'ada', login: on('web') }, 't');
    const declined = await simulate({ policy: 'decline-second', userId: 'ada', login: on('web') }, 't');
    expect(await everythingUnder(service)).toEqual(before);
    const { tokens } = (await listTokens(service, 'ada', '?tenant=t')).body;
    const held = tokens.map(({ tokenId, platform }: Record<string, string>) => ({ tokenId, platform }));
    expect(body).toEqual({ ...nothing, kick: held });
    expect(declined.body.conflicts).toHaveLength(2);

    await service.api.put('/admin/tenants/t').set(asAdmin).send({ policy: 'single-device' });
    const real = await issue(service, 'ada', { platform: 'web' }, 't');
    expect(real.body.displaced.map(({ tokenId }: { tokenId: string }) => tokenId)).toEqual(
      held.map(({ tokenId }: { tokenId: string }) => tokenId),
    );
    // Tokens that have ended are in nobody's way.
    expect((await simulate({ policy: 'single-device', userId: 'ada', login: on('ipad') }, 't')).body.kick).toEqual([
      { tokenId: real.body.token.tokenId, platform: 'web' },
    ]);
  });

  it('is of the tenant asked for', async () => {
    await issue(service, 'bob', { platform: 'ios' }, 'here');
    const body = { policy: 'single-device', userId: 'bob', login: on('web') };
    expect((await simulate(body, 'there')).body).toEqual(nothing);
    expect((await simulate(body, 'here')).body.kick).toHaveLength(1);
  });
});

describe('what cannot be simulated', () => {
  const policy = 'single-device';
  const login = on('ios');
  const shutOut = { name: 'no-ios', limits: [{ ...limit, match: { platforms: ['ios'] }, max: 0 }] };

  it.each([
    [
      'both tokens and a user',
      { policy, tokens: [], userId: 'ada', login },
      400,
      'invalid_request',
      /either tokens or userId/,
    ],
    ['neither', { policy, login }, 400, 'invalid_request', /either tokens or userId/],
    ['no login', { policy, tokens: [] }, 400, 'invalid_request', /login/],
    ['no policy', { tokens: [], login }, 400, 'invalid_request', /policy/],
    [
      'an unknown policy',
      { policy: 'none', tokens: [], login },
      400,
      'invalid_request',
      /unknown policy "none"; valid:/,
    ],
    [
      'a wrong policy',
      { policy: { name: 'x', limits: [{ ...limit, countBy: 'device' }] }, tokens: [], login },
      400,
      'invalid_request',
      /policy\.limits\.0\.countBy/,
    ],
    [
      'a login on an unknown platform',
      { policy, tokens: [], login: on('tv') },
      400,
      'invalid_request',
      /valid: ios, android/,
    ],
    [
      'a token on an unknown platform',
      { policy, tokens: signedIn('andriod'), login },
      400,
      'invalid_request',
      /valid: ios, android/,
    ],
    [
      'an eviction of nobody’s token',
      { policy, tokens: signedIn('ios'), login: { ...login, evict: ['t9'] } },
      404,
      'not_found',
      /evict/,
    ],
    ['a platform that the policy shuts out', { policy: shutOut, tokens: [], login }, 403, 'platform_not_allowed', /^$/],
  ] as const)('%s', async (_what, body, status, code, why) => {
    const answer = await simulate(body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.body.detail ?? '').toMatch(why);
  });

  it('is asked by anyone but an admin', async () => {
    const answer = await service.api.post('/admin/policies/simulate').send({ policy, tokens: [], login });
    expect(answer.status).toBe(401);
  });
});
