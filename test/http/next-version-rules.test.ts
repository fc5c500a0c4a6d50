/**
 * Rules as the next version may store them. What is known holds; what is not understood is never taken for absent: a login
 * does not skip its policy, and no fault leaves its tenant.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createFeed } from '../../src/tokens/feed-hub.ts';
import { createSecurityEvents } from '../../src/tokens/security-event.ts';
import { createWebhooks } from '../../src/tokens/webhooks.ts';
import { asAdmin, asGateway, createUser, issue, login, refresh, verdict, type LoginBody } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, type Service, startService, unexpected } from '../helpers/service.ts';
import { signingWith } from '../helpers/signing.ts';

afterAll(closeServices);

let service: Service;
let tenants = 0;

beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
});

/** A tenant whose rules another version has stored, after this one had set some. */
async function tenantWith(stored: unknown, before: object = {}): Promise<string> {
  const tenant = `tenant-${(tenants += 1)}`;
  expect((await service.api.put(`/admin/tenants/${tenant}`).set(asAdmin).send(before)).status).toBe(200);
  await store(tenant, stored);
  return tenant;
}

const store = (tenant: string, stored: unknown) =>
  service.redis.hset(
    service.keys.tenant(tenant),
    'config',
    typeof stored === 'string' ? stored : JSON.stringify(stored),
  );

const signIn = (tenant: string, body: LoginBody = {}) => issue(service, 'ada', body, tenant);
const show = (tenant: string, query = '') => service.api.get(`/admin/tenants/${tenant}${query}`).set(asAdmin);
const wordOf = ({ status, body }: { status: number; body: { code?: string } }) => `${status} ${body.code ?? ''}`.trim();

describe('F21 rules with members that this version does not know', () => {
  it('known members hold, unknown ones are named and kept', async () => {
    const stored = {
      policy: 'single-device',
      ttl: { accessSeconds: 60, offlineSeconds: 5, platforms: { web: { accessSeconds: 30, silent: true } } },
      presence: { leaseSeconds: 60, graceSeconds: 0, online: 'any' },
      war: { maxDisplacements: 1, windowSeconds: 60, scope: 'device' },
      tombstones: { maxPerUser: 3, days: 7 },
      refresh: { graceSeconds: 3 },
    };
    const tenant = await tenantWith(stored);
    const first = await signIn(tenant, { platform: 'ios' });
    expect([first.status, first.body.expiresIn]).toEqual([200, 60]);
    const second = await signIn(tenant, { platform: 'web', interactive: false });
    expect([second.status, second.body.expiresIn, second.body.displaced.length]).toEqual([200, 30, 1]);
    expect(wordOf(await signIn(tenant, { platform: 'ios', interactive: false }))).toBe('429 reconnect_war');
    expect((await refresh(service, second.body.refreshToken)).status).toBe(200);

    const { body } = await show(tenant);
    expect(body.config).toEqual({
      policy: 'single-device',
      ttl: { accessSeconds: 60, platforms: { web: { accessSeconds: 30 } } },
      presence: { leaseSeconds: 60, graceSeconds: 0 },
      war: { maxDisplacements: 1, windowSeconds: 60 },
      tombstones: { maxPerUser: 3 },
    });
    expect(body.unreadable.toSorted()).toEqual([
      'presence.online',
      'refresh',
      'tombstones.days',
      'ttl.offlineSeconds',
      'ttl.platforms.web.silent',
      'war.scope',
    ]);
    expect(body.effective.policy).toEqual({ value: 'single-device', source: 'tenant' });
    expect(await service.redis.hget(service.keys.tenant(tenant), 'config')).toBe(JSON.stringify(stored));
  });

  it('a number beyond the bounds of this version holds', async () => {
    const tenant = await tenantWith({
      ttl: { accessSeconds: 1, refreshSeconds: 700_000_000 },
      tombstones: { maxPerUser: 500 },
    });
    const { status, body } = await signIn(tenant);
    expect([status, body.expiresIn <= 1]).toEqual([200, true]);
  });

  it('a PUT replaces the whole', async () => {
    const tenant = await tenantWith({ shiny: 1, policy: 'next-preset' });
    const { headers } = await show(tenant);
    const put = await service.api
      .put(`/admin/tenants/${tenant}`)
      .set(asAdmin)
      .set('if-match', String(headers.etag))
      .send({ policy: 'no-kick' });
    expect([put.status, put.body.unreadable]).toEqual([200, undefined]);
    expect(await service.redis.hget(service.keys.tenant(tenant), 'config')).toBe('{"policy":"no-kick"}');
    expect((await signIn(tenant)).status).toBe(200);
  });
});

const POLICY = { name: 'p', limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'kick' }] };
const limitWith = (change: object) => ({ ...POLICY, limits: [{ ...POLICY.limits[0], ...change }] });

describe('F21 a policy that this version does not understand', () => {
  const policies: [string, unknown][] = [
    ['a preset of the next version', 'one-per-room'],
    ['a number of the next version', '17'],
    ['a member more', { ...POLICY, extends: 'no-kick' }],
    ['a condition more', limitWith({ match: { rooms: ['kitchen'] } })],
    ['another way to count', limitWith({ countBy: 'room' })],
    ['another overflow', limitWith({ overflow: 'queue' })],
    ['a limit beyond the bounds', limitWith({ max: 1000 })],
    ['another form', 7],
    ['none', null],
  ];

  it.each(policies)('of a tenant: %s. No login passes it over, and all else goes on', async (_what, policy) => {
    const tenant = await tenantWith({ policy, ttl: { accessSeconds: 60 } });
    await store(tenant, {});
    const held = await signIn(tenant);
    await createUser(service, 'ada', tenant);
    await store(tenant, { policy, ttl: { accessSeconds: 60 } });

    const answers = [
      await signIn(tenant),
      await signIn(tenant, { dryRun: true }),
      await login(service, 'ada', { tenant }),
    ];
    for (const { status, headers, body } of answers) {
      expect([status, body.code, headers['retry-after']]).toEqual([503, 'store_unreadable', '5']);
      expect(body.detail).toContain('policy');
    }
    const { body } = await show(tenant);
    expect([body.unreadable, body.effective.policy.source]).toEqual([['policy'], 'tenant']);
    expect(await verdict(service, held.body.accessToken)).toBe('good');
    const renewed = await refresh(service, held.body.refreshToken);
    expect([renewed.status, renewed.body.expiresIn]).toEqual([200, 60]);
    // A user's own policy goes before the tenant's.
    await service.api.put(`/admin/users/ada/policy?tenant=${tenant}`).set(asAdmin).send({ policy: 'no-kick' });
    expect((await signIn(tenant)).status).toBe(200);
    expect((await signIn('default')).status).toBe(200);
  });

  it.each(policies)('of a user: %s', async (_what, policy) => {
    const userId = `user-${(tenants += 1)}`;
    const key = service.keys.user({ tenant: 'default', userId });
    await service.redis.hset(key, 'policy', JSON.stringify(policy));
    expect(wordOf(await issue(service, userId))).toBe('503 store_unreadable');
    const shown = await show('default', `?userId=${userId}`);
    expect([shown.status, shown.body.effective.policy.source]).toEqual([200, 'user']);
    expect((await issue(service, 'somebody-else')).status).toBe(200);
    expect((await service.api.delete(`/admin/users/${userId}/policy`).set(asAdmin)).status).toBe(200);
    expect((await issue(service, userId)).status).toBe(200);
  });
});

describe('F21 rules whose values this version does not understand', () => {
  it.each([
    ['ttl', { ttl: { accessSeconds: '15m' } }, [503, 503]],
    ['ttl', { ttl: 'short' }, [503, 503]],
    ['presence', { presence: { leaseSeconds: 60 } }, [503, 200]],
    ['war', { war: true }, [503, 200]],
    ['tombstones', { tombstones: { maxPerUser: -1 } }, [503, 200]],
    ['webhook', { webhook: { url: 'amqp://queue' } }, [200, 200]],
  ])('%s in another form is not taken for absent', async (member, stored, [loginStatus, refreshStatus]) => {
    const tenant = await tenantWith({});
    const held = await signIn(tenant);
    await store(tenant, stored);
    expect((await show(tenant)).body).toMatchObject({ config: {}, unreadable: [member] });
    expect((await signIn(tenant)).status).toBe(loginStatus);
    expect((await refresh(service, held.body.refreshToken)).status).toBe(refreshStatus);
    expect(await verdict(service, held.body.accessToken)).toBe('good');
  });

  it.each(['not json', '[]', '"text"', 'null', ''])(
    'a text that is no rules (%j) is not taken for none',
    async (text) => {
      const tenant = await tenantWith(text);
      expect(wordOf(await signIn(tenant))).toBe('503 store_unreadable');
      expect((await show(tenant)).body).toMatchObject({
        version: 1,
        config: {},
        unreadable: expect.arrayContaining(['policy']),
      });
      expect((await service.api.put(`/admin/tenants/${tenant}`).set(asAdmin).send({})).status).toBe(200);
      expect((await signIn(tenant)).status).toBe(200);
    },
  );

  it('rules that stand under another name are not taken for none', async () => {
    const tenant = await tenantWith({});
    await service.redis.hdel(service.keys.tenant(tenant), 'config');
    expect(wordOf(await signIn(tenant))).toBe('503 store_unreadable');
  });

  it('in a batch of presence they are no fault of the other tenants', async () => {
    const presence = { leaseSeconds: 60, graceSeconds: 0 };
    const [good, grown, bad] = [
      await tenantWith({ presence }),
      await tenantWith({ presence: { ...presence, online: 'any' }, policy: 'next-preset' }, { presence }),
      await tenantWith({}),
    ];
    await store(grown, { presence });
    const tokens: object[] = [];
    for (const tenant of [bad, good, grown]) {
      const { body } = await signIn(tenant);
      tokens.push({ tenant, userId: 'ada', tokenId: body.token.tokenId, connectionId: 'c1' });
    }
    await store(grown, { presence: { ...presence, online: 'any' }, policy: 'next-preset' });
    const [badToken] = tokens as { readonly tokenId: string }[];
    const spoiled = [
      () => store(bad, { presence: 'on' }),
      // Another kind of value under the same name.
      async () => {
        await service.redis.del(service.keys.tenant(bad));
        await service.redis.set(service.keys.tenant(bad), '{}');
      },
      async () => {
        await service.redis.del(service.keys.tenant(bad), service.keys.tokens({ tenant: bad, userId: 'ada' }));
        await service.redis.set(service.keys.tokens({ tenant: bad, userId: 'ada' }), '{}');
      },
    ];
    for (const spoil of spoiled) {
      await spoil();
      for (const connectionId of ['c1', 'c2']) {
        const renewed = tokens.map((token) => ({ ...token, connectionId }));
        const { status, body } = await service.api.post('/presence').set(asGateway).send({ tokens: renewed });
        expect([status, body]).toEqual([200, { renewed: 2, refused: [], unreadable: [badToken?.tokenId] }]);
      }
      expect(wordOf(await signIn(bad))).toBe('503 store_unreadable');
    }
  });
});

describe('F21 a webhook of the next version', () => {
  it('with event types that are not known keeps those that are; in another form it is not taken for absent', async () => {
    const tenant = await tenantWith({
      webhook: { url: 'https://receiver.test/', types: ['token.kicked', 'token.moved'], secret: 'x' },
    });
    const { config, unreadable } = (await service.tenants.find(tenant)) ?? {};
    expect(config?.webhook).toEqual({ url: 'https://receiver.test/', types: ['token.kicked'] });
    expect(unreadable?.toSorted()).toEqual(['webhook.secret', 'webhook.types.1']);

    await store(tenant, { webhook: { url: 'https://receiver.test/', types: ['token.moved', 'token.lost'] } });
    expect((await service.tenants.find(tenant))?.config.webhook?.types).toEqual([]);

    await store(tenant, { webhook: { address: 'amqp://queue' } });
    const shown = await service.api.get(`/admin/tenants/${tenant}/webhook`).set(asAdmin);
    expect(wordOf(shown)).toBe('503 store_unreadable');
  });

  it.each([
    [
      'in another form stays on the list, for nodes that know what it is',
      { webhook: { address: 'amqp://queue' } },
      true,
    ],
    ['that has gone does not', {}, false],
  ])('%s', async (_what, stored, stays) => {
    const tenant = await tenantWith(stored);
    await service.redis.zadd(service.keys.webhooks(), 1, tenant);
    let looks = 0;
    const webhooks = createWebhooks({
      ...service,
      tenants: {
        ...service.tenants,
        find(name) {
          looks += name === tenant ? 1 : 0;
          return service.tenants.find(name);
        },
      },
      feed: createFeed(service.eventLog, unexpected),
      securityEvents: createSecurityEvents(signingWith(service.signingKeys), 'http://latchkey.test'),
      push: () => Promise.reject(new Error('nothing is delivered')),
      news: { onRefused() {}, onFailed() {}, onTrouble() {} },
    });
    webhooks.start();
    await until('the node has looked', () => looks > 0);
    await webhooks.stop();
    expect((await service.redis.zscore(service.keys.webhooks(), tenant)) !== null).toBe(stays);
  });

  it('numbers of its state in another form are none', async () => {
    const tenant = await tenantWith({ webhook: { url: 'https://receiver.test/' } });
    const state = { failures: 'many', nextAttemptAt: 'soon', lastDeliveredAt: 'then', refused: 'x', plan: 'b' };
    await service.redis.hset(service.keys.webhook(tenant), state);
    expect((await service.api.get(`/admin/tenants/${tenant}/webhook`).set(asAdmin)).body).toEqual({
      url: 'https://receiver.test/',
      state: 'starting',
      failures: 0,
      refused: 0,
    });
  });
});
