/**
 * What gateways and verifiers ask: /validate, introspection (RFC 7662), revocation (RFC 7009), public keys (RFC 7517),
 * metadata (RFC 8414), and which key opens which door.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from 'jose';
import type { Response } from 'supertest';
import {
  asAdmin,
  asGateway,
  bearer,
  introspect,
  issue,
  logout,
  refresh,
  revokeByToken,
  tokenHash,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { ADMIN_KEY, closeServices, GATEWAY_KEY, startService, type Service } from '../helpers/service.ts';

let service: Service;
let ada: Response;

beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
  ada = await issue(service, 'ada', { platform: 'ios', deviceName: 'Ada’s phone' });
});
afterAll(closeServices);

describe('GET /validate', () => {
  it('says in headers whose token it is, without a body', async () => {
    const answer = await validate(service, ada.body.accessToken);
    expect([answer.status, answer.text]).toEqual([200, '']);
    expect(answer.headers).toMatchObject({
      'x-auth-user': 'ada',
      'x-auth-tenant': 'default',
      'x-auth-platform': 'ios',
      'x-auth-token-id': ada.body.token.tokenId,
      'x-auth-expires': String(Date.parse(ada.body.token.accessExpiresAt) / 1000),
      'cache-control': 'no-store',
    });
  });

  it.each(['get', 'post', 'put', 'patch', 'delete', 'head', 'options'] as const)(
    'takes %s, as the request asked about may be of any method',
    async (method) => {
      const good = await service.api[method]('/validate/default/orders/7?x=1').set(bearer(ada.body.accessToken));
      expect([good.status, good.headers['x-auth-user']]).toEqual([200, 'ada']);
      const bad = await service.api[method]('/validate');
      expect([bad.status, bad.headers['x-auth-reason']]).toEqual([401, 'token_missing']);
    },
  );

  it.each([
    ['/validate', 200],
    ['/validate/default', 200],
    ['/validate/default/', 200],
    ['/validate/default/a/b/c.html?d=e', 200],
    ['/validate/default/a%2Fb/%F0%9F%94%91', 200],
    ['/validate/*', 200],
    ['/validate/*/below', 200],
    ['/validate/%2A', 200],
    ['/validate/other', 401],
    ['/validate/other/default', 401],
  ])('%s is %i', async (path, status) => {
    expect((await service.api.get(path).set(bearer(ada.body.accessToken))).status).toBe(status);
  });

  it('percent-encodes ids, whatever they hold', async () => {
    const [tenant, userId] = ['größe: 100%', '🦊 ada/ü'];
    const fox = await issue(service, userId, { deviceId: '📱' }, tenant);
    const answer = await validate(service, fox.body.accessToken, tenant);
    expect(answer.status).toBe(200);
    expect(answer.headers['x-auth-user']).toBe('%F0%9F%A6%8A%20ada%2F%C3%BC');
    expect(decodeURIComponent(String(answer.headers['x-auth-user']))).toBe(userId);
    expect(decodeURIComponent(String(answer.headers['x-auth-tenant']))).toBe(tenant);
  });

  it('takes a body of any type and size as the business of others', async () => {
    const answer = await service.api
      .post('/validate')
      .set(bearer(ada.body.accessToken))
      .set('content-type', 'text/csv')
      .send('x'.repeat(100_000));
    expect(answer.status).toBe(200);
  });
});

describe('a refusal', () => {
  it('names no error when no token was sent', async () => {
    const answer = await service.api.get('/validate');
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="latchkey"');
    expect(answer.headers['x-auth-reason']).toBe('token_missing');
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.body).toMatchObject({ status: 401, code: 'token_missing', type: 'urn:latchkey:error:token_missing' });
  });

  it('says why, and who ended it', async () => {
    const phone = await issue(service, 'refused');
    await logout(service, phone.body.accessToken);
    const answer = await validate(service, phone.body.accessToken);
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
    expect(answer.headers['x-auth-reason']).toBe('token_logged_out');
    expect(answer.body).toMatchObject({
      code: 'token_logged_out',
      endedAt: expect.any(String),
      endedBy: { kind: 'user', platform: 'ios' },
    });
    expect(answer.headers['x-auth-user']).toBeUndefined();
  });

  it('is 503 with Retry-After when it cannot know, and never 401', async () => {
    const cutOff = await startService({ prefix: service.prefix });
    cutOff.redis.disconnect();
    for (const answer of [
      await validate(cutOff, ada.body.accessToken),
      await introspect(cutOff, ada.body.accessToken),
      await refresh(cutOff, ada.body.refreshToken),
      await cutOff.api.get('/readyz'),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([503, 'store_unavailable']);
      expect(answer.headers['retry-after']).toBe('1');
    }
    expect((await cutOff.api.get('/healthz')).status).toBe(200);
  });
});

describe('POST /introspect (RFC 7662)', () => {
  it('answers the claims of a good token', async () => {
    const { status, body } = await introspect(service, ada.body.accessToken, 'default');
    expect(status).toBe(200);
    expect(body).toEqual({
      active: true,
      token_type: 'Bearer',
      iss: 'http://latchkey.test',
      aud: 'http://latchkey.test',
      sub: 'ada',
      client_id: 'ios',
      jti: expect.any(String),
      iat: expect.any(Number),
      exp: Date.parse(ada.body.token.accessExpiresAt) / 1000,
      sid: ada.body.token.tokenId,
      tenant: 'default',
      platform: 'ios',
      device_id: ada.body.token.deviceId,
    });
  });

  it.each([
    ['nonsense', 'nonsense', 'token_malformed'],
    ['a JWT of nobody', 'e30.e30.e30', 'token_malformed'],
  ])('is 200 for %s, with the reason', async (_what, token, reason) => {
    const { status, body } = await introspect(service, token);
    expect([status, body]).toEqual([200, { active: false, reason }]);
  });

  it('expects the default tenant unless told otherwise', async () => {
    const other = await issue(service, 'ada', {}, 'other');
    const ask = (form: object) => service.api.post('/introspect').set(asGateway).type('form').send(form);
    const token = other.body.accessToken as string;
    expect((await ask({ token })).body).toEqual({ active: false, reason: 'token_invalid' });
    expect((await ask({ token, tenant: 'other' })).body.active).toBe(true);
    expect((await ask({ token, tenant: '*', token_type_hint: 'access_token' })).body.active).toBe(true);
  });

  it('says who ended a token, unless INTROSPECTION_REASONS is off', async () => {
    const silent = await startService({ env: { INTROSPECTION_REASONS: 'false' }, prefix: service.prefix });
    const ended = await issue(service, 'introspected');
    await logout(service, ended.body.accessToken);
    expect((await introspect(service, ended.body.accessToken)).body).toEqual({
      active: false,
      reason: 'token_logged_out',
      endedAt: expect.any(String),
      endedBy: { kind: 'user', platform: 'ios' },
    });
    expect((await introspect(silent, ended.body.accessToken)).body).toEqual({ active: false });
    expect((await introspect(silent, 'nonsense')).body).toEqual({ active: false });
    expect((await introspect(silent, ada.body.accessToken)).body.active).toBe(true);
  });
});

describe('POST /revoke (RFC 7009)', () => {
  it.each(['accessToken', 'refreshToken'])('ends the token behind an %s, and answers nothing', async (kind) => {
    const token = await issue(service, `revoke ${kind}`);
    const answer = await revokeByToken(service, token.body[kind]);
    expect([answer.status, answer.text]).toEqual([200, '']);
    expect(await verdict(service, token.body.accessToken)).toBe('token_revoked');
  });

  it('answers 200 to a token that is no good, and touches nothing', async () => {
    const token = await issue(service, 'revoke forged');
    const before = await tokenHash(service, 'revoke forged');
    const forged = (token.body.refreshToken as string).replace(/.{8}$/, 'AAAAAAAA');
    for (const text of [forged, 'nonsense', (token.body.accessToken as string).replace(/.{8}$/, 'AAAAAAAA')]) {
      expect((await revokeByToken(service, text)).status).toBe(200);
    }
    expect(await tokenHash(service, 'revoke forged')).toEqual(before);
  });
});

const basic = (client: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${client}:${secret}`).toString('base64')}`,
});
const everyCharacter = (key: string) => key.replaceAll(/./g, (one) => `%${one.charCodeAt(0).toString(16)}`);
const gatewayCall = (headers: Readonly<Record<string, string>>) =>
  service.api.post('/introspect').set(headers).type('form').send({ token: 'nonsense' });
const adminCall = (headers: Readonly<Record<string, string>>) => service.api.get('/admin/users').set(headers);

describe('the keys of callers', () => {
  it.each([
    ['the gateway key', asGateway, 200],
    ['the admin key', asAdmin, 200],
    ['Basic with any client id', basic('nginx', GATEWAY_KEY), 200],
    ['Basic without a client id', basic('', GATEWAY_KEY), 200],
    ['Basic, percent-encoded', basic('my%3Aclient', everyCharacter(GATEWAY_KEY)), 200],
    ['Basic with the admin key', basic('x', ADMIN_KEY), 200],
    ['a scheme in another case', { authorization: `bEARER ${GATEWAY_KEY}` }, 200],
    ['no key', {}, 401],
    ['another key', { authorization: `Bearer ${GATEWAY_KEY}x` }, 401],
    ['an empty key', { authorization: 'Bearer ' }, 401],
    ['Basic with another key', basic('x', 'wrong'), 401],
    ['Basic with the key as client id', basic(GATEWAY_KEY, ''), 401],
    ['Basic that is not percent-encoding', basic('x', '%E0%A4%A'), 401],
    ['the bare key', { authorization: GATEWAY_KEY }, 401],
  ])('gateway call with %s is %j', async (what, headers, status) => {
    const answer = await gatewayCall(headers);
    const code = status === 401 ? 'unauthorized' : undefined;
    expect([what, answer.status, answer.body.code]).toEqual([what, status, code]);
  });

  it('takes a key that holds "+" and "%", encoded as RFC 6749 says', async () => {
    const key = 'gateway key+with%signs:0123456789abcdef';
    const node = await startService({
      override: {
        secrets: { refreshSecret: 'r'.repeat(32), adminApiKey: ADMIN_KEY, gatewayApiKey: key },
      },
    });
    const encoded = encodeURIComponent(key).replaceAll('%20', '+');
    const ask = (headers: Readonly<Record<string, string>>) =>
      node.api.post('/introspect').set(headers).type('form').send({ token: 'nonsense' });
    expect((await ask(basic('client', encoded))).status).toBe(200);
    expect((await ask(basic('client', key))).status).toBe(401);
  });

  it.each([
    ['the admin key', asAdmin, 200, undefined],
    ['Basic with the admin key', basic('x', ADMIN_KEY), 200, undefined],
    ['the gateway key', asGateway, 403, 'forbidden'],
    ['no key', {}, 401, 'unauthorized'],
    ['another key', bearer('another-key-of-32-characters-0123456789'), 401, 'unauthorized'],
  ])('admin call with %s is answered as it should be', async (_what, headers, status, code) => {
    const answer = await adminCall(headers);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });

  it('is no app’s access token', async () => {
    expect((await adminCall(bearer(ada.body.accessToken))).status).toBe(401);
    const operator = await issue(service, 'operator', { platform: 'admin' });
    expect((await adminCall(bearer(operator.body.accessToken))).status).toBe(401);
    expect((await service.api.get('/tokens').set(asAdmin)).status).toBe(401);
  });
});

describe('GET /.well-known', () => {
  it('publishes the keys that access tokens are verified with, and no private part', async () => {
    const { status, body, headers } = await service.api.get('/.well-known/jwks.json');
    expect(status).toBe(200);
    expect(headers['cache-control']).toMatch(/public, max-age=\d+/);
    expect(Object.keys(body.keys[0]).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x']);
    const { payload, protectedHeader } = await jwtVerify(
      ada.body.accessToken,
      createLocalJWKSet(body as JSONWebKeySet),
      { issuer: 'http://latchkey.test', audience: 'http://latchkey.test', typ: 'at+jwt' },
    );
    expect(protectedHeader.kid).toBe(body.keys[0].kid);
    expect(payload.sub).toBe('ada');
  });

  it('says where the endpoints are, under the issuer', async () => {
    const { body } = await service.api.get('/.well-known/oauth-authorization-server');
    const issuer = 'http://latchkey.test';
    expect(body).toMatchObject({
      issuer,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      introspection_endpoint: `${issuer}/introspect`,
      revocation_endpoint: `${issuer}/revoke`,
      introspection_endpoint_auth_methods_supported: ['client_secret_basic'],
    });
    for (const url of [body.jwks_uri, body.introspection_endpoint, body.revocation_endpoint]) {
      expect((await service.api.get(new URL(url as string).pathname)).status).not.toBe(404);
    }
  });
});
