/**
 * An access token has one text and one form: other spellings of the same bytes are no token, and what our key has signed
 * in another form is none of ours. Whoever asks, here and in a gateway.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CompactSign, decodeJwt, SignJWT, type JWTPayload } from 'jose';
import { makeKeySet, readKeySet } from '../../src/tokens/signing-keys.ts';
import { closeCheckers, readyChecker, wordOf } from '../gateway/checkers.ts';
import {
  asAdmin,
  asGateway,
  bearer,
  introspect,
  issue,
  ownTokens,
  refresh,
  revokeByToken,
  statesOf,
  validate,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

let service: Service;
let accessToken: string;
beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
  ({ accessToken } = (await issue(service, 'ada', { platform: 'ios' })).body);
});
afterAll(async () => {
  closeCheckers();
  await closeServices();
});

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Other texts of the same bytes, as a lenient reader of base64url takes them. */
function spellingsOf(token: string): string[] {
  const signature = Buffer.from(token.split('.')[2] ?? '', 'base64url');
  const ends = Array.from(LETTERS, (letter) => token.slice(0, -1) + letter);
  const sameBytes = ends.filter(
    (text) => text !== token && Buffer.from(text.split('.')[2] ?? '', 'base64url').equals(signature),
  );
  const [header, payload, last = ''] = token.split('.');
  const inStandard = Buffer.from(last, 'base64url').toString('base64');
  const around = [`${token}=`, `${token}==`, ` ${token}`, `${token} `, `${token}\n`, `\t${token}`, `${token}.`];
  const inside = [`${header} .${payload}.${last}`, `${header}.${payload}.${last.slice(0, 9)} ${last.slice(9)}`];
  return [...sameBytes, ...around, ...inside, `${header}.${payload}.${inStandard}`, `${token.slice(0, -1)}%41`];
}

describe('F10 an access token has one text', () => {
  it.each(['EdDSA', 'ES256', 'RS256'] as const)('signed with %s', async (algorithm) => {
    const keys = await readKeySet(await makeKeySet(algorithm), algorithm);
    const node = await startService({ keys });
    const token = (await issue(node, 'ada')).body.accessToken as string;
    const checkers = [await readyChecker(node.url), await readyChecker(node.url, { mode: 'online' })];
    const spellings = spellingsOf(token);
    expect(spellings.length).toBeGreaterThan(12);
    for (const text of spellings) {
      expect([text, (await introspect(node, text)).body]).toEqual([text, { active: false, reason: 'token_malformed' }]);
      expect((await revokeByToken(node, text)).status).toBe(200);
      for (const checker of checkers) expect([text, await wordOf(checker, text)]).toEqual([text, 'token_malformed']);
    }
    // What stands around a token is the header's own, not the token's.
    for (const text of spellings.filter((one) => !/\s/.test(one))) {
      expect([text, (await validate(node, text)).body.code]).toEqual([text, 'token_malformed']);
      expect([text, (await ownTokens(node, text)).body.code]).toEqual([text, 'token_malformed']);
      expect((await node.api.post('/logout').set(bearer(text)).send({})).status).toBe(401);
    }
    expect(await statesOf(node, 'ada')).toEqual([['ios', 'active']]);
    expect((await validate(node, token)).status).toBe(200);
    for (const checker of checkers) expect(await wordOf(checker, token)).toBe('active');
    closeCheckers();
  });
});

const signed = (claims: JWTPayload) =>
  new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: service.signingKeys.kid })
    .sign(service.signingKeys.privateKey);

/** Of a payload that no library would write. */
const signedText = (payload: string) =>
  new CompactSign(Buffer.from(payload))
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: service.signingKeys.kid })
    .sign(service.signingKeys.privateKey);

describe('F36 what our key has signed in another form is token_invalid', () => {
  it.each<[what: string, claims: Record<string, unknown>]>([
    ['a platform of NUL', { platform: '\u0000' }],
    ['a platform with a line break', { platform: 'ios\r\nX-Injected: 1' }],
    ['a platform beyond ASCII', { platform: 'ios☃' }],
    ['an empty platform', { platform: '' }],
    ['a sid with a line break', { sid: 'a\r\nX-Injected: 1' }],
    ['a sid that is a field of ours', { sid: ':v' }],
    ['a user with a control character', { sub: 'a\u0000b' }],
    ['half of a surrogate pair as user', { sub: '\uD800' }],
    ['half of a surrogate pair as tenant', { tenant: 'a\uDC00' }],
    ['a user of 129 characters', { sub: 'x'.repeat(129) }],
    ['a jti of a number', { jti: 1 }],
    ['an exp beyond any date', { exp: 1e308 }],
    ['an exp after the year 9999', { exp: 1e12 }],
    ['an exp of a fraction', { exp: 9_999_999_999.5 }],
    ['an iat beyond any date', { iat: 1e308 }],
    ['an iat before 1970', { iat: -1 }],
    ['no exp', { exp: undefined }],
    ['no iat', { iat: undefined }],
  ])('%s', async (_what, claims) => {
    const token = await signed({ ...decodeJwt(accessToken), ...claims });
    expect((await validate(service, token, '*')).body.code).toBe('token_invalid');
    expect((await ownTokens(service, token)).body.code).toBe('token_invalid');
    expect((await introspect(service, token)).body).toEqual({ active: false, reason: 'token_invalid' });
    expect((await revokeByToken(service, token)).status).toBe(200);
    expect((await service.api.post('/logout').set(bearer(token)).send({})).status).toBe(401);
  });

  it('in a gateway too, where it could do harm', async () => {
    const checker = await readyChecker(service.url);
    for (const claims of [{ platform: '\u0000' }, { sub: '\uD800' }, { sid: 'a\r\nb' }, { exp: 1e308 }, { iat: -1 }]) {
      const token = await signed({ ...decodeJwt(accessToken), ...claims });
      expect([claims, await wordOf(checker, token)]).toEqual([claims, 'token_invalid']);
    }
    closeCheckers();
  });

  it.each(['"text"', '[]', 'null', '{', '1e400'])('a payload of %s is no access token', async (payload) => {
    const token = await signedText(payload);
    expect((await validate(service, token)).body.code).toMatch(/^token_(invalid|malformed)$/);
    expect((await introspect(service, token)).body.active).toBe(false);
  });

  it('claims of somebody else’s are left out, whatever they are called', async () => {
    const more = { active: false, reason: 'x', endedAt: 1, token_type: 'x', scope: { a: 1 } };
    const { body } = await introspect(service, await signed({ ...decodeJwt(accessToken), ...more }));
    expect(body).toEqual({ active: true, token_type: 'Bearer', ...decodeJwt(accessToken) });
  });
});

const key = (name: string) =>
  `expected "Authorization: Bearer <${name}>", or HTTP Basic with any client id and the key as secret`;

describe('F12 a 401 says what was expected', () => {
  const BEARER = 'expected one header "Authorization: Bearer <access token>"';
  const HEADERS: [what: string, headers: Record<string, string>][] = [
    ['no header', {}],
    ['another header', { 'x-api-key': 'k'.repeat(40) }],
    ['another kind', { authorization: 'Digest username="x"' }],
    ['no kind', { authorization: 'k'.repeat(40) }],
    ['another key', { authorization: `Bearer ${'k'.repeat(40)}` }],
    ['another secret', { authorization: `Basic ${Buffer.from('id:secret').toString('base64')}` }],
  ];

  it.each(HEADERS)('%s where a key is needed', async (_what, headers) => {
    const gateway = await service.api.post('/introspect').set(headers).type('form').send({ token: 'x' });
    expect([gateway.status, gateway.body.detail]).toEqual([401, key('GATEWAY_API_KEY')]);
    const admin = await service.api.get('/admin/users').set(headers);
    expect([admin.status, admin.body.detail]).toEqual([401, key('ADMIN_API_KEY')]);
  });

  it.each(HEADERS.slice(0, 4))('%s where an access token is needed', async (_what, headers) => {
    for (const path of ['/validate', '/tokens']) {
      const { status, body } = await service.api.get(path).set(headers);
      expect([status, body.detail]).toEqual([401, BEARER]);
    }
    const logout = await service.api.post('/logout').set(headers).send({});
    expect([logout.status, logout.body.detail]).toEqual([
      401,
      expect.stringContaining('"Authorization: Bearer <access token>"'),
    ]);
  });

  it('the keys that are known get no such answer, and a refresh token of another form does', async () => {
    expect((await service.api.get('/admin/users').set(asAdmin)).status).toBe(200);
    expect((await service.api.get('/admin/users').set(asGateway)).status).toBe(403);
    const { status, body } = await refresh(service, accessToken);
    expect([status, body.detail]).toEqual([401, 'expected a refresh token, as a login or a refresh answers it']);
  });
});
