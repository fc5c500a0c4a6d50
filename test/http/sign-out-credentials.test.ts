/** By what a token may be ended: access tokens past their end, and headers that are no good beside a body that is. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt, SignJWT } from 'jose';
import { makeKeySet, readKeySet } from '../../src/tokens/signing-keys.ts';
import { history, introspect, issue, logout, refresh, revokeByToken, statesOf, verdict } from '../helpers/calls.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

let service: Service;
beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '60' } });
});
afterAll(closeServices);

/** Signed in for so long that the access token is over. */
async function pastAccess(userId: string) {
  const { body } = await issue(service, userId);
  service.shiftClock(61_000);
  expect(await verdict(service, body.accessToken)).toBe('token_expired');
  return body;
}

describe('F3 POST /revoke of an access token past its exp', () => {
  it('ends its token: the refresh token of the device is no good any more', async () => {
    const { accessToken, refreshToken } = await pastAccess('late');
    expect((await revokeByToken(service, accessToken)).status).toBe(200);
    expect(await statesOf(service, 'late')).toEqual([['ios', 'revoked']]);
    expect((await refresh(service, refreshToken)).body.code).toBe('token_revoked');
    expect((await history(service, 'late')).body.events[0]).toMatchObject({
      type: 'token.revoked',
      by: { kind: 'admin', reason: 'revocation_endpoint' },
    });
    // Good for nothing else.
    expect((await introspect(service, accessToken)).body).toMatchObject({ active: false, reason: 'token_expired' });
  });

  it.each<[string, () => Promise<Parameters<SignJWT['sign']>[0]>, object, object]>([
    ['another key', async () => (await readKeySet(await makeKeySet('EdDSA'), 'EdDSA')).privateKey, {}, {}],
    ['another type', async () => service.signingKeys.privateKey, { typ: 'secevent+jwt' }, {}],
    ['another issuer', async () => service.signingKeys.privateKey, {}, { iss: 'http://elsewhere.test' }],
    ['another audience', async () => service.signingKeys.privateKey, {}, { aud: 'http://elsewhere.test' }],
  ])('but not with %s', async (what, key, header, claims) => {
    const userId = what.replace(' ', '-');
    const { accessToken, refreshToken } = await pastAccess(userId);
    const forged = await new SignJWT({ ...decodeJwt(accessToken), ...claims })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: service.signingKeys.kid, ...header })
      .sign(await key());
    expect((await revokeByToken(service, forged)).status).toBe(200);
    expect((await refresh(service, refreshToken)).status).toBe(200);
  });
});

const withHeader = (authorization: string, body: object) =>
  service.api.post('/logout').set('authorization', authorization).send(body);

/** Lines as they are: clients join two headers of this name, or drop one. */
async function withTwoHeaders([first, second]: readonly [string, string], body: object): Promise<number> {
  const text = JSON.stringify(body);
  const client = await RawClient.to(service.url);
  client.send(
    'POST /logout HTTP/1.1',
    'Host: a',
    `Authorization: ${first}`,
    `Authorization: ${second}`,
    'Content-Type: application/json',
    `Content-Length: ${text.length}`,
    '',
    text,
  );
  await client.untilAnswered();
  await client.close();
  return client.statuses[0] ?? 0;
}

describe('F4 POST /logout with a header that is no good and a body that is', () => {
  it.each<[string, () => Promise<string>, string]>([
    ['expired', async () => `Bearer ${(await pastAccess('header-of')).accessToken}`, 'token_expired'],
    [
      'logged out',
      async () => {
        const { accessToken } = (await issue(service, 'header-of')).body;
        await logout(service, accessToken);
        return `Bearer ${accessToken}`;
      },
      'token_logged_out',
    ],
    ['empty', async () => '', 'token_malformed'],
    ['only Bearer', async () => 'Bearer', 'token_malformed'],
    ['Bearer and a blank', async () => 'Bearer ', 'token_malformed'],
    ['of another scheme', async () => 'Basic YTpi', 'token_malformed'],
    ['no token of ours', async () => 'Bearer null', 'token_malformed'],
  ])('%s: gives way', async (how, header, code) => {
    const authorization = await header();
    const userId = how.replaceAll(' ', '-');
    const { refreshToken } = (await issue(service, userId)).body;
    const answer = await withHeader(authorization, { refreshToken });
    expect([answer.status, answer.body]).toEqual([200, { count: 1 }]);
    expect(await statesOf(service, userId)).toEqual([['ios', 'logged_out']]);
    // With nothing else it is told what is wrong with it; beside a body that is no good, what is wrong with that.
    const alone = await withHeader(authorization, {});
    expect([alone.status, alone.body.code]).toEqual([401, code]);
    const both = await withHeader(authorization, { refreshToken });
    expect([both.status, both.body.code]).toEqual([401, 'token_logged_out']);
  });

  it('two headers, of whom neither counts', async () => {
    const good = `Bearer ${(await issue(service, 'in-header')).body.accessToken}`;
    const { refreshToken } = (await issue(service, 'in-body')).body;
    for (const pair of [[good, 'Bearer x'] as const, ['Bearer x', good] as const]) {
      expect(await withTwoHeaders(pair, {})).toBe(401);
      expect(await withTwoHeaders(pair, { refreshToken })).toBe(pair[0] === good ? 200 : 401);
    }
    expect(await statesOf(service, 'in-body')).toEqual([['ios', 'logged_out']]);
    expect(await statesOf(service, 'in-header')).toEqual([['ios', 'active']]);
  });

  it('a good header wins over the body', async () => {
    const [mine, theirs] = [(await issue(service, 'mine')).body, (await issue(service, 'theirs')).body];
    const answer = await withHeader(`Bearer ${mine.accessToken}`, { refreshToken: theirs.refreshToken, scope: 'all' });
    expect([answer.status, answer.body]).toEqual([200, { count: 1 }]);
    expect(await statesOf(service, 'mine')).toEqual([['ios', 'logged_out']]);
    expect(await statesOf(service, 'theirs')).toEqual([['ios', 'active']]);
  });
});
