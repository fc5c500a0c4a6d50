/**
 * What must never meet: two tenants of one deployment, and two deployments on one Redis.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Response } from 'supertest';
import {
  createUser,
  everythingUnder,
  getUser,
  introspect,
  issue,
  keysUnder,
  listTokens,
  login,
  ownTokens,
  refresh,
  revokeAll,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

describe('L7 tenants are apart', () => {
  let service: Service;
  let inA: Response;
  let inB: Response;

  beforeAll(async () => {
    service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    inA = await issue(service, 'ada', { platform: 'ios', deviceId: 'phone' }, 'A');
    inB = await issue(service, 'ada', { platform: 'ios', deviceId: 'phone' }, 'B');
  });

  it('takes one user and device of two tenants for two', async () => {
    expect(inB.body.displaced).toEqual([]);
    for (const { body } of [inA, inB]) expect(await verdict(service, body.accessToken)).toBe('good');
    const { tokens } = (await ownTokens(service, inA.body.accessToken)).body;
    expect(tokens).toMatchObject([{ tokenId: inA.body.token.tokenId, tenant: 'A' }]);
  });

  it.each([
    ['A', 200, undefined],
    ['*', 200, undefined],
    ['B', 401, 'token_invalid'],
    ['a', 401, 'token_invalid'],
    ['default', 401, 'token_invalid'],
    [undefined, 401, 'token_invalid'],
  ])('a token of A at /validate/%s is %i', async (tenant, status, code) => {
    const answer = await validate(service, inA.body.accessToken, tenant);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.headers['x-auth-tenant']).toBe(status === 200 ? 'A' : undefined);
    const introspected = await introspect(service, inA.body.accessToken, tenant ?? 'default');
    expect(introspected.body).toMatchObject(status === 200 ? { active: true, tenant: 'A' } : { active: false });
  });

  it('ends, lists and reads one tenant’s tokens alone', async () => {
    const other = await issue(service, 'bob', {}, 'B');
    expect((await revokeAll(service, 'bob', '?tenant=A')).body).toEqual({ revoked: [] });
    expect((await revokeAll(service, 'bob')).body).toEqual({ revoked: [] });
    expect((await listTokens(service, 'bob', '?tenant=A')).body.tokens).toEqual([]);
    expect((await listTokens(service, 'bob', '?tenant=B')).body.tokens).toHaveLength(1);
    expect(await verdict(service, other.body.accessToken)).toBe('good');
  });

  it('evicts and refreshes across no tenant', async () => {
    const evicting = await issue(service, 'ada', { evict: [inB.body.token.tokenId], deviceId: 'phone' }, 'A');
    expect(evicting.status).toBe(404);
    const [prefix, locator = '', mac] = inB.body.refreshToken.split('.');
    const parts = JSON.parse(Buffer.from(locator, 'base64url').toString()) as string[];
    const moved = Buffer.from(JSON.stringify(['A', ...parts.slice(1)])).toString('base64url');
    expect((await refresh(service, [prefix, moved, mac].join('.'))).body.code).toBe('token_unknown');
    expect(await verdict(service, inB.body.accessToken)).toBe('good');
  });

  it('knows users and passwords of one tenant in that tenant alone', async () => {
    await createUser(service, 'eve', 'A');
    expect((await getUser(service, 'eve', 'B')).status).toBe(404);
    expect((await login(service, 'eve', { tenant: 'A' })).status).toBe(200);
    expect((await login(service, 'eve', { tenant: 'B' })).body.code).toBe('invalid_credentials');
    expect((await login(service, 'eve')).body.code).toBe('invalid_credentials');
  });

  it('keeps tenant and user apart whatever characters their names share', async () => {
    const pairs = [
      ['a:b', 'c'],
      ['a', 'b:c'],
      ['a%3Ab', 'c'],
      ['a}', '{c'],
    ] as const;
    const answers = [];
    for (const [tenant, userId] of pairs) answers.push(await issue(service, userId, { platform: 'web' }, tenant));
    for (const [index, { body }] of answers.entries()) {
      expect(body.displaced).toEqual([]);
      expect([body.token.tenant, body.token.userId]).toEqual(pairs[index]);
      expect(await verdict(service, body.accessToken)).toBe('good');
    }
  });

  it('never mixes parallel logins of two tenants', async () => {
    const tenants = Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? 'A' : 'B'));
    const answers = await Promise.all(tenants.map((tenant) => issue(service, 'crowd', {}, tenant)));
    expect(answers.map(({ body }) => body.token.tenant)).toEqual(tenants);
    for (const tenant of ['A', 'B']) {
      const { tokens } = (await listTokens(service, 'crowd', `?tenant=${tenant}`)).body;
      expect(tokens).toHaveLength(30);
      expect(new Set(tokens.map((token: { tenant: string }) => token.tenant))).toEqual(new Set([tenant]));
      expect(tokens.filter((token: { state: string }) => token.state === 'active')).toHaveLength(1);
    }
  });
});

describe('R14 two deployments on one Redis', () => {
  it('never see each other’s keys, whatever one of them does', async () => {
    const one = await startService();
    // A prefix that begins like the other's is another prefix all the same.
    const two = await startService({ prefix: `${one.prefix}x` });
    await createUser(one, 'ada');
    const token = await login(one, 'ada', { deviceId: 'phone' });
    const before = await everythingUnder(one);
    expect(await keysUnder(one)).toContain(one.keys.user({ tenant: 'default', userId: 'ada' }));

    expect((await getUser(two, 'ada')).status).toBe(404);
    expect((await login(two, 'ada')).body.code).toBe('invalid_credentials');
    expect(await verdict(two, token.body.accessToken)).toBe('token_unknown');
    expect((await refresh(two, token.body.refreshToken)).body.code).toBe('token_unknown');
    await createUser(two, 'ada');
    expect((await login(two, 'ada', { deviceId: 'phone' })).body.displaced).toEqual([]);
    await revokeAll(two, 'ada');
    await two.api.get('/readyz');

    expect(await everythingUnder(one)).toEqual(before);
    expect(await verdict(one, token.body.accessToken)).toBe('good');
    const [first, second] = [await keysUnder(one), await keysUnder(two)];
    expect(first.length).toBeGreaterThan(3);
    expect(second.length).toBeGreaterThan(3);
    expect(first.filter((key) => second.includes(key))).toEqual([]);
  });

  it('writes nothing outside its prefix', async () => {
    const service = await startService();
    const sent = new Set<string>();
    const send = service.redis.sendCommand.bind(service.redis);
    service.redis.sendCommand = (command, stream) => {
      for (const key of command.getKeys()) sent.add(String(key));
      return send(command, stream);
    };
    await createUser(service, 'r14');
    const { body } = await login(service, 'r14');
    await refresh(service, body.refreshToken);
    await ownTokens(service, body.accessToken);
    await revokeAll(service, 'r14');
    expect((await service.api.get('/readyz')).status).toBe(200);
    expect(sent).toContain(service.keys.settings());
    expect([...sent].filter((key) => !key.startsWith(`${service.prefix}:`))).toEqual([]);
  });
});
