/**
 * Rules of a tenant: what may be written, who wins when two write, and that a change holds from the next login on
 * every node.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ConfigError, loadConfig } from '../../src/config.ts';
import { readEvent } from '../../src/redis/event-codec.ts';
import { asAdmin, bearer, issue, listTokens } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
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

let tenants = 0;
const newTenant = () => `tenant-${(tenants += 1)}`;

const get = (service: Service, tenant: string) => service.api.get(`/admin/tenants/${tenant}`).set(asAdmin);
const put = (service: Service, tenant: string, config: object, ifMatch?: string) =>
  service.api
    .put(`/admin/tenants/${tenant}`)
    .set(asAdmin)
    .set(ifMatch === undefined ? {} : { 'if-match': ifMatch })
    .send(config);

const activePlatforms = async (service: Service, userId: string, tenant: string) => {
  const { body } = await listTokens(service, userId, `?tenant=${tenant}&state=active`);
  return body.tokens.map((token: { platform: string }) => token.platform);
};

describe('what may be written', () => {
  const SECONDS = [
    ['accessSeconds', [10, 604_800], [0, 9, 604_801, 10.5, '60', null]],
    ['refreshSeconds', [900, 315_360_000], [0, 59, 315_360_001, 900.5, '900', null]],
    ['idleSeconds', [0, 120, 315_360_000], [-1, 1, 119, 315_360_001, 200.5, '200', null]],
    ['maxSeconds', [0, 60, 315_360_000], [-1, 1, 59, 315_360_001, 60.5, '60', null]],
  ] as const;
  const FULL = { accessSeconds: 60, refreshSeconds: 315_360_000 };
  const good = SECONDS.flatMap(([field, values]) => values.map((value) => [field, value] as const));
  const bad = SECONDS.flatMap(([field, , values]) => values.map((value) => [field, value] as const));

  it.each(good)('%s may be %p, of a tenant and of a platform', async (field, value) => {
    const ttl = { ...FULL, [field]: value };
    const answer = await put(node, 'good', { ttl: { ...ttl, platforms: { web: ttl } } });
    expect([answer.status, answer.body.effective?.[`ttl.${field}`]]).toEqual([200, { value, source: 'tenant' }]);
    expect(answer.body.effective[`ttl.platforms.web.${field}`]).toEqual({ value, source: 'tenant' });
  });

  it.each(bad)('%s must not be %p, of a tenant or of a platform', async (field, value) => {
    const answer = await put(node, 'bad', { ttl: { [field]: value, platforms: { web: { [field]: value } } } });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.detail).toContain(`ttl.${field}:`);
    expect(answer.body.detail).toContain(`ttl.platforms.web.${field}:`);
  });

  const lease = { leaseSeconds: 60, graceSeconds: 0 };
  const war = { maxDisplacements: 4, windowSeconds: 60 };
  it.each([
    { presence: { leaseSeconds: 1, graceSeconds: 0 } },
    { presence: { leaseSeconds: 86_400, graceSeconds: 86_400 } },
    { war: { maxDisplacements: 1, windowSeconds: 1 } },
    { war: { maxDisplacements: 20, windowSeconds: 3600 } },
    {},
  ])('%j is taken as it is', async (config) => {
    const answer = await put(node, 'good', config);
    expect([answer.status, answer.body.config]).toEqual([200, config]);
  });

  it.each([
    [{ presence: { ...lease, leaseSeconds: 0 } }, 'presence.leaseSeconds:'],
    [{ presence: { ...lease, leaseSeconds: 86_401 } }, 'presence.leaseSeconds:'],
    [{ presence: { ...lease, graceSeconds: -1 } }, 'presence.graceSeconds:'],
    [{ presence: { ...lease, graceSeconds: 86_401 } }, 'presence.graceSeconds:'],
    [{ presence: { leaseSeconds: 60 } }, 'presence.graceSeconds:'],
    [{ war: { ...war, maxDisplacements: 0 } }, 'war.maxDisplacements:'],
    [{ war: { ...war, maxDisplacements: 21 } }, 'war.maxDisplacements:'],
    [{ war: { ...war, windowSeconds: 0 } }, 'war.windowSeconds:'],
    [{ war: { ...war, windowSeconds: 3601 } }, 'war.windowSeconds:'],
    [{ polices: 'no-kick' }, 'polices'],
    [{ ttl: { accesSeconds: 60 } }, 'accesSeconds'],
    [{ ttl: { platforms: { web: { accesSeconds: 60 } } } }, 'accesSeconds'],
    [{ presence: { ...lease, grace: 1 } }, 'grace'],
    [{ war: { ...war, window: 1 } }, 'window'],
    [{ policy: 7 }, 'policy'],
    [[], 'body'],
    [{ ttl: { platforms: { tv: { accessSeconds: 60 } } } }, 'unknown platform "tv"; valid: ios, android, windows'],
    [{ ttl: { accessSeconds: 3600, refreshSeconds: 60 } }, 'ttl.accessSeconds:'],
    // The environment's 900 seconds would outlive the token.
    [{ ttl: { platforms: { web: { refreshSeconds: 60 } } } }, 'ttl.platforms.web.accessSeconds:'],
  ])('%j is refused', async (config, named) => {
    const answer = await put(node, 'bad', config);
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.detail).toContain(named);
  });

  const limit = { match: {}, countBy: 'all', max: 1, overflow: 'kick' };
  it.each([
    [
      'an unknown name',
      'single-devices',
      /unknown policy "single-devices" \(did you mean single-device\?\); valid: no-kick, .*single-device,.*sa-token/,
    ],
    ['an unknown number', '3', /unknown policy "3"; valid: no-kick/],
    ['a maximum out of range', { name: 'own', limits: [{ ...limit, max: 101 }] }, /policy\.limits\.0\.max: /],
    [
      'an unknown overflow',
      { name: 'own', limits: [{ ...limit, overflow: 'evict' }] },
      /policy\.limits\.0\.overflow: /,
    ],
    ['a misspelled key', { name: 'own', limits: [{ ...limit, victims: 'oldest_login' }] }, /victims/],
    [
      'an unknown class',
      { name: 'own', limits: [{ ...limit, match: { classes: ['tv'] } }] },
      /unknown class "tv"; valid:/,
    ],
    ['no seat for anyone', { name: 'own', limits: [{ ...limit, max: 0 }] }, /no platform is left that may log in/],
  ])('a policy with %s is refused, and the answer says why', async (_what, policy, why) => {
    const answer = await put(node, 'bad', { policy });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.detail).toMatch(why);
  });

  it('names all faults at once', async () => {
    const { body } = await put(node, 'bad', { ttl: { accessSeconds: 1, idleSeconds: 1 }, war: {}, extra: 1 });
    for (const name of ['ttl.accessSeconds', 'ttl.idleSeconds', 'war.maxDisplacements', 'war.windowSeconds', 'extra'])
      expect(body.detail).toContain(name);
    const platforms = { tv: { accessSeconds: 60 }, web: { refreshSeconds: 60 } };
    const { body: second } = await put(node, 'bad', { policy: 'none', ttl: { platforms } });
    for (const name of ['unknown policy "none"', 'unknown platform "tv"', 'ttl.platforms.web.accessSeconds'])
      expect(second.detail).toContain(name);
  });

  it('and what is refused changes nothing', async () => {
    expect((await get(node, 'bad')).body).toMatchObject({ version: 0, config: {} });
  });

  it('is for admins only', async () => {
    const token = (await issue(node, 'ada')).body.accessToken;
    const calls = [node.api.get('/admin/tenants/t'), node.api.put('/admin/tenants/t').send({})];
    for (const call of calls) expect((await call).status).toBe(401);
    expect((await node.api.put('/admin/tenants/t').set(bearer(token)).send({})).status).toBe(401);
    expect((await get(node, 't')).body.version).toBe(0);
  });
});

describe('who wins when two write', () => {
  it('counts versions up from 0 and gives each as ETag', async () => {
    const tenant = newTenant();
    const none = await get(node, tenant);
    expect([none.headers['etag'], none.body.version, none.body.config]).toEqual(['"0"', 0, {}]);
    const first = await put(node, tenant, { policy: 'no-kick' }, none.headers['etag']);
    expect([first.status, first.headers['etag'], first.body.version]).toEqual([200, '"1"', 1]);
    const second = await put(node, tenant, { policy: 'single-device' }, first.headers['etag']);
    expect([second.status, second.headers['etag']]).toEqual([200, '"2"']);
    expect((await get(other, tenant)).body).toEqual(second.body);
  });

  it.each(['"0"', '"2"', 'W/"2"', '"1x"', 'one', '""', '-1', '"1", "2"'])(
    'refuses If-Match %s when version 1 is in force',
    async (ifMatch) => {
      const tenant = newTenant();
      await put(node, tenant, { policy: 'no-kick' });
      const answer = await put(other, tenant, { policy: 'single-device' }, ifMatch);
      expect([answer.status, answer.body.code]).toEqual([412, 'version_mismatch']);
      expect((await get(node, tenant)).body).toMatchObject({ version: 1, config: { policy: 'no-kick' } });
    },
  );

  it.each(['"1"', '1', '*', undefined])('takes If-Match %s when version 1 is in force', async (ifMatch) => {
    const tenant = newTenant();
    await put(node, tenant, { policy: 'no-kick' });
    expect((await put(other, tenant, {}, ifMatch)).body).toMatchObject({ version: 2, config: {} });
  });

  it('lets exactly one of many writers win that saw the same version', async () => {
    const tenant = newTenant();
    const writers = Array.from({ length: 40 }, (_, index) =>
      put(index % 2 === 0 ? node : other, tenant, { war: { maxDisplacements: 1, windowSeconds: index + 1 } }, '"0"'),
    );
    const answers = await Promise.all(writers);
    const winners = answers.filter((answer) => answer.status === 200);
    expect(winners).toHaveLength(1);
    expect(answers.filter((answer) => answer.body.code === 'version_mismatch')).toHaveLength(39);
    expect((await get(node, tenant)).body).toEqual(winners[0]?.body);
  });
});

describe('tenant.changed', () => {
  it('is in the stream once for every change, and not for a refused one', async () => {
    const tenant = newTenant();
    await put(node, tenant, { policy: 'no-kick' });
    await put(node, tenant, { policy: 'bad name' });
    await put(other, tenant, { policy: 'single-device' }, '"0"');
    await put(other, tenant, { policy: 'single-device' }, '"1"');
    const entries = await node.redis.xrange(node.keys.tenantEvents(tenant), '-', '+');
    const events = entries
      .map(([id, [, packed = '']]) => readEvent(0, id, packed))
      .filter((event) => event?.tenant === tenant);
    expect(events).toEqual([
      expect.objectContaining({ type: 'tenant.changed', tenant, by: { kind: 'admin' } }),
      expect.objectContaining({ type: 'tenant.changed', tenant, by: { kind: 'admin' } }),
    ]);
    expect(events[0]).not.toHaveProperty('userId');
    expect(await node.redis.pttl(node.keys.tenantEvents(tenant))).toBeGreaterThan(0);
  });
});

describe('T16 a change at run time applies to the next login on every node, and GET says what is in force', () => {
  const own = {
    name: 'two-in-all',
    limits: [{ match: {}, countBy: 'all', max: 2, overflow: 'kick' }],
  };

  it.each([
    ['a preset’s name', 'single-device', ['web']],
    ['OpenIM’s number 5 (desktop-plus-one)', '5', ['windows', 'web']],
    ['OpenIM’s number 0 (no-kick)', '0', ['windows', 'ios', 'web']],
    ['a policy of its own', own, ['ios', 'web']],
  ])('by %s', async (_what, policy, left) => {
    const tenant = newTenant();
    for (const platform of ['windows', 'ios']) await issue(node, 'ada', { platform }, tenant);
    await put(node, tenant, { policy });
    // Nothing happens to those who are signed in already …
    expect(await activePlatforms(other, 'ada', tenant)).toEqual(['windows', 'ios']);
    // … until the next login, on the node that did not make the change.
    expect((await issue(other, 'ada', { platform: 'web' }, tenant)).status).toBe(200);
    expect(await activePlatforms(node, 'ada', tenant)).toEqual(left);
  });

  it('stops and allows the very next login, many times to and fro', async () => {
    const tenant = newTenant();
    const noWeb = { name: 'no-web', limits: [{ ...own.limits[0], match: { platforms: ['web'] }, max: 0 }] };
    const statuses: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const [writer, reader] = round % 3 === 0 ? [other, node] : [node, other];
      await put(writer, tenant, round % 2 === 0 ? { policy: noWeb } : {});
      statuses.push((await issue(reader, 'ada', { platform: 'web' }, tenant)).status);
    }
    expect(statuses).toEqual(Array.from({ length: 20 }, (_, round) => (round % 2 === 0 ? 403 : 200)));
  });

  it('and leaves other tenants as they are', async () => {
    const [changed, untouched] = [newTenant(), newTenant()];
    await put(node, changed, { policy: 'single-device' });
    for (const platform of ['windows', 'ios']) await issue(node, 'ada', { platform }, untouched);
    expect(await activePlatforms(node, 'ada', untouched)).toEqual(['windows', 'ios']);
  });

  it('shows each value in force with its source: default, environment or tenant', async () => {
    const service = await startService({ env: { ACCESS_TTL_SECONDS: '600', LOGIN_POLICY: '5' } });
    expect((await get(service, 'plain')).body.effective).toEqual({
      policy: { value: 'desktop-plus-one', source: 'environment' },
      'ttl.accessSeconds': { value: 600, source: 'environment' },
      'ttl.refreshSeconds': { value: 2_592_000, source: 'default' },
      'ttl.idleSeconds': { value: 0, source: 'default' },
      'ttl.maxSeconds': { value: 0, source: 'default' },
      'tombstones.maxPerUser': { value: 100, source: 'default' },
      presence: { value: null, source: 'default' },
      war: { value: null, source: 'default' },
      webhook: { value: null, source: 'default' },
    });
    const ttl = { accessSeconds: 300, idleSeconds: 0, platforms: { web: { maxSeconds: 3600 } } };
    const presence = { leaseSeconds: 60, graceSeconds: 120 };
    await put(service, 'special', { policy: own, ttl, presence });
    expect((await get(service, 'special')).body.effective).toEqual({
      policy: { value: own, source: 'tenant' },
      'ttl.accessSeconds': { value: 300, source: 'tenant' },
      'ttl.refreshSeconds': { value: 2_592_000, source: 'default' },
      'ttl.idleSeconds': { value: 0, source: 'tenant' },
      'ttl.maxSeconds': { value: 0, source: 'default' },
      'ttl.platforms.web.maxSeconds': { value: 3600, source: 'tenant' },
      'tombstones.maxPerUser': { value: 100, source: 'default' },
      presence: { value: presence, source: 'tenant' },
      war: { value: null, source: 'default' },
      webhook: { value: null, source: 'default' },
    });
  });

  it.each([
    ['ACCESS_TTL_SECONDS', '9'],
    ['ACCESS_TTL_SECONDS', '604801'],
    ['REFRESH_TTL_SECONDS', '59'],
    ['REFRESH_TTL_SECONDS', '315360001'],
    ['IDLE_TTL_SECONDS', '119'],
    ['IDLE_TTL_SECONDS', '-1'],
    ['REFRESH_GRACE_SECONDS', '301'],
    ['LOGIN_POLICY', 'nobody'],
    ['MAX_PER_PLATFORM', '0'],
  ])('refuses %s=%s at start', (name, value) => {
    expect(() => loadConfig({ [name]: value })).toThrow(ConfigError);
    expect(() => loadConfig({ [name]: value })).toThrow(new RegExp(`${name}: `));
  });
});

/** Each login kicks the one before it. Answers the tombstones, oldest first. */
async function kickTimes(tenant: string, times: number): Promise<string[]> {
  for (let count = 0; count <= times; count += 1) {
    expect((await issue(node, 'ada', { platform: count % 2 ? 'ios' : 'web' }, tenant)).status).toBe(200);
  }
  const { body } = await listTokens(node, 'ada', `?tenant=${tenant}&state=kicked`);
  return body.tokens.map((token: { tokenId: string }) => token.tokenId);
}

describe('tombstones', () => {
  it('are as many as the tenant wants, the oldest go first, and none before its last access token has ended', async () => {
    const tenant = newTenant();
    await put(node, tenant, { policy: 'single-device', tombstones: { maxPerUser: 3 } });
    const kept = await kickTimes(tenant, 6);
    expect(kept).toHaveLength(6);
    // Their access tokens end now, as far as the records say.
    const key = node.keys.tokens({ tenant, userId: 'ada' });
    for (const tokenId of kept) {
      const renewal = (await node.redis.hget(key, `${tokenId}:r`))?.split('\u001F') ?? [];
      await node.redis.hset(key, `${tokenId}:r`, renewal.with(1, '1').join('\u001F'));
    }
    await issue(node, 'ada', { platform: 'ipad' }, tenant);
    const { body } = await listTokens(node, 'ada', `?tenant=${tenant}&state=kicked`);
    expect(body.tokens).toHaveLength(3);
    expect(body.tokens.map((token: { tokenId: string }) => token.tokenId).slice(0, 2)).toEqual(kept.slice(-2));
  });
});
