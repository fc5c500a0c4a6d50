// The RFC endpoints and our tokens, as clients see them that were written by others: oauth4webapi, express-oauth2-jwt-bearer, jose.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import express from 'express';
import { auth } from 'express-oauth2-jwt-bearer';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import * as oauth from 'oauth4webapi';
import { makeKeySet, readKeySet } from '../../src/tokens/signing-keys.ts';
import { issue, revokeAll, validate } from '../helpers/calls.ts';
import { freePort } from '../helpers/free-port.ts';
import { closeServices, GATEWAY_KEY, startService, type Service } from '../helpers/service.ts';

/** A service whose issuer is its own address, as in a real deployment. */
type Deployed = { readonly service: Service; readonly metadata: oauth.AuthorizationServer };

const SPECIAL_KEY = 'a key: with + and % and / and = and ümlaut';
const AUDIENCE = 'https://chat.example';
/** Loopback has no TLS. */
const plain = { [oauth.allowInsecureRequests]: true };

const gateway: oauth.Client = { client_id: 'chat-gateway' };
const app: oauth.Client = { client_id: 'ios' };
const asGateway = oauth.ClientSecretBasic(GATEWAY_KEY);

const servers: Server[] = [];
afterAll(async () => {
  for (const server of servers) server.close();
  await closeServices();
});

async function deploy(algorithm: 'EdDSA' | 'ES256' | 'RS256' = 'EdDSA', env = {}): Promise<Deployed> {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const keys = await readKeySet(await makeKeySet(algorithm), algorithm);
  const service = await startService({ port, keys, env: { ISSUER: issuer, AUDIENCE, ...env } });
  const answer = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...plain });
  return { service, metadata: await oauth.processDiscoveryResponse(new URL(issuer), answer) };
}

let deployed: Deployed;
beforeAll(async () => {
  deployed = await deploy();
});

/** What oauth4webapi throws holds the challenges that it read from WWW-Authenticate. */
async function challengesOf(call: Promise<unknown>): Promise<unknown> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error ?? new Error('it was not refused');
  return error.cause;
}

const refreshWith = async ({ metadata }: Deployed, refreshToken: string) =>
  oauth.refreshTokenGrantRequest(metadata, app, oauth.None(), refreshToken, plain);

const ask = async ({ metadata }: Deployed, token: string, by = asGateway) => {
  const answer = await oauth.introspectionRequest(metadata, gateway, by, token, plain);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  return oauth.processIntrospectionResponse(metadata, gateway, answer);
};

const revoke = async ({ metadata }: Deployed, token: string, hint?: string) => {
  const parameters = hint === undefined ? {} : { additionalParameters: { token_type_hint: hint } };
  const answer = await oauth.revocationRequest(metadata, gateway, asGateway, token, { ...plain, ...parameters });
  await oauth.processRevocationResponse(answer);
  return answer;
};

const getTokens = async (token: string) =>
  oauth.protectedResourceRequest(token, 'GET', new URL(`${deployed.service.url}/tokens`), undefined, null, plain);

const byBearer: oauth.ClientAuth = (_as, _client, _body, headers) =>
  headers.set('authorization', `Bearer ${GATEWAY_KEY}`);

describe('RFC 8414: metadata', () => {
  it('leads to endpoints that are there, and may be kept for a while', async () => {
    const { metadata, service } = deployed;
    expect(metadata).toMatchObject({
      issuer: service.url,
      jwks_uri: `${service.url}/.well-known/jwks.json`,
      token_endpoint: `${service.url}/token`,
      introspection_endpoint: `${service.url}/introspect`,
      revocation_endpoint: `${service.url}/revoke`,
      response_types_supported: [],
      grant_types_supported: ['refresh_token'],
    });
    for (const path of ['oauth-authorization-server', 'jwks.json']) {
      const answer = await fetch(`${service.url}/.well-known/${path}`);
      expect([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([
        200,
        'application/json; charset=utf-8',
        'public, max-age=300',
      ]);
    }
    for (const endpoint of [metadata.token_endpoint, metadata.introspection_endpoint, metadata.revocation_endpoint]) {
      expect((await fetch(endpoint ?? '', { method: 'POST' })).status).not.toBe(404);
    }
  });
});

describe('RFC 6749: the refresh grant', () => {
  it('gives the next pair, which nobody may store on the way', async () => {
    const { body } = await issue(deployed.service, 'ada');
    const answer = await refreshWith(deployed, body.refreshToken);
    expect([answer.headers.get('cache-control'), answer.headers.get('pragma')]).toEqual(['no-store', 'no-cache']);
    const next = await oauth.processRefreshTokenResponse(deployed.metadata, app, answer);
    expect(next.token_type).toBe('bearer');
    // The answer counts from when it was written, which may be in the next second.
    expect([899, 900]).toContain(next.expires_in);
    expect(next.refresh_token).not.toBe(body.refreshToken);
    expect((await validate(deployed.service, next.access_token)).status).toBe(200);
  });

  it('answers invalid_grant with the reason when the token has ended', async () => {
    const { body } = await issue(deployed.service, 'bob');
    await revokeAll(deployed.service, 'bob');
    const answer = await refreshWith(deployed, body.refreshToken);
    const refused = oauth.processRefreshTokenResponse(deployed.metadata, app, answer);
    await expect(refused).rejects.toMatchObject({
      name: 'ResponseBodyError',
      status: 400,
      error: 'invalid_grant',
      error_description: 'token_revoked',
    });
  });

  it.each([
    ['no grant type', 'refresh_token=x', 'invalid_request'],
    ['no refresh token', 'grant_type=refresh_token', 'invalid_request'],
    ['another grant', 'grant_type=client_credentials', 'unsupported_grant_type'],
  ])('answers an error of section 5.2 to %s', async (_case, body, error) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await fetch(`${deployed.service.url}/token`, { method: 'POST', headers, body });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error });
  });
});

describe('RFC 7662: introspection', () => {
  it('tells whose token it is', async () => {
    const { body } = await issue(deployed.service, 'ada');
    expect(await ask(deployed, body.accessToken)).toMatchObject({
      active: true,
      token_type: 'Bearer',
      client_id: 'ios',
      sub: 'ada',
      iss: deployed.service.url,
      aud: AUDIENCE,
      exp: expect.any(Number),
      iat: expect.any(Number),
      jti: expect.any(String),
    });
  });

  it('says no more than inactive of a token that is no good, unless it may', async () => {
    const { body } = await issue(deployed.service, 'cid');
    await revokeAll(deployed.service, 'cid');
    expect(await ask(deployed, body.accessToken)).toMatchObject({ active: false, reason: 'token_revoked' });
    expect(await ask(deployed, 'rubbish')).toEqual({ active: false, reason: 'token_malformed' });
    const silent = await deploy('EdDSA', { INTROSPECTION_REASONS: 'false' });
    expect(await ask(silent, 'rubbish')).toEqual({ active: false });
  });

  it('takes the key as a bearer token too', async () => {
    const { body } = await issue(deployed.service, 'ada');
    expect(await ask(deployed, body.accessToken, byBearer)).toMatchObject({ active: true });
  });

  it('understands a secret that form encoding changes (RFC 6749 section 2.3.1)', async () => {
    const secrets = { refreshSecret: 'r'.repeat(32), adminApiKey: 'a'.repeat(32), gatewayApiKey: SPECIAL_KEY };
    const service = await startService({ override: { secrets } });
    const client = { client_id: 'a client: with + and %' };
    const metadata = { issuer: service.url, introspection_endpoint: `${service.url}/introspect` };
    const answer = await oauth.introspectionRequest(metadata, client, oauth.ClientSecretBasic(SPECIAL_KEY), 'x', plain);
    expect(await oauth.processIntrospectionResponse(metadata, client, answer)).toMatchObject({ active: false });
  });

  it.each([
    ['Basic', oauth.ClientSecretBasic('not the key'), [{ scheme: 'basic', parameters: { realm: 'latchkey' } }]],
    [
      'Bearer',
      (_as: unknown, _client: unknown, _body: unknown, headers: Headers) =>
        headers.set('authorization', 'Bearer not-the-key'),
      [{ scheme: 'bearer', parameters: { error: 'invalid_token' } }],
    ],
    ['nobody', oauth.None(), [{ scheme: 'bearer', parameters: { realm: 'latchkey' } }]],
  ] as const)('refuses a caller that is %s with a challenge in its own scheme', async (_case, by, challenges) => {
    expect(await challengesOf(ask(deployed, 'x', by))).toEqual(challenges);
  });
});

describe('RFC 7009: revocation', () => {
  it.each([
    ['an access token', 'accessToken', undefined],
    ['a refresh token', 'refreshToken', 'refresh_token'],
    ['a refresh token under a wrong hint', 'refreshToken', 'access_token'],
  ])('ends the token behind %s', async (_case, name, hint) => {
    const { body } = await issue(deployed.service, `revoked-${name}`);
    expect((await revoke(deployed, body[name], hint)).headers.get('cache-control')).toBe('no-store');
    expect((await validate(deployed.service, body.accessToken)).headers['x-auth-reason']).toBe('token_revoked');
  });

  it('has nothing against a token that is no good, nor against the same twice', async () => {
    const { body } = await issue(deployed.service, 'dan');
    for (const token of ['rubbish', body.accessToken, body.accessToken])
      expect((await revoke(deployed, token)).status).toBe(200);
  });

  it('refuses a caller without the key', async () => {
    const request = oauth.revocationRequest(deployed.metadata, gateway, oauth.ClientSecretBasic('no'), 'x', plain);
    expect(await challengesOf(oauth.processRevocationResponse(await request))).toMatchObject([{ scheme: 'basic' }]);
  });
});

describe('RFC 6750: bearer tokens of apps', () => {
  it('are taken, and refused with a challenge', async () => {
    const { body } = await issue(deployed.service, 'eve');
    expect((await getTokens(body.accessToken)).status).toBe(200);
    await revokeAll(deployed.service, 'eve');
    expect(await challengesOf(getTokens(body.accessToken))).toEqual([
      { scheme: 'bearer', parameters: { error: 'invalid_token' } },
    ]);
  });

  it('are asked for without an error when none was sent', async () => {
    const answer = await fetch(`${deployed.service.url}/tokens`);
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="latchkey"']);
  });
});

describe.each(['EdDSA', 'ES256', 'RS256'] as const)('RFC 9068 and 7517: access tokens signed with %s', (algorithm) => {
  let signed: Deployed;
  let accessToken: string;
  beforeAll(async () => {
    signed = await deploy(algorithm);
    accessToken = (await issue(signed.service, 'ada ☂')).body.accessToken;
  });

  it('are good by jose and the published keys, and for nobody else', async () => {
    const jwks = createRemoteJWKSet(new URL(signed.metadata.jwks_uri ?? ''));
    const options = { issuer: signed.service.url, audience: AUDIENCE, typ: 'at+jwt' };
    const { payload, protectedHeader } = await jwtVerify(accessToken, jwks, options);
    expect(payload.sub).toBe('ada ☂');
    expect(protectedHeader).toEqual(decodeProtectedHeader(accessToken));
    expect(protectedHeader.alg).toBe(algorithm);
    const elsewhere = jwtVerify(accessToken, jwks, { ...options, audience: 'https://other.example' });
    await expect(elsewhere).rejects.toMatchObject({ code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' });
  });

  it('are good by oauth4webapi, which finds the keys by the metadata', async () => {
    const request = new Request(`${AUDIENCE}/rooms`, { headers: { authorization: `Bearer ${accessToken}` } });
    const claims = await oauth.validateJwtAccessToken(signed.metadata, request, AUDIENCE, {
      ...plain,
      signingAlgorithms: [algorithm],
    });
    expect(claims).toMatchObject({ sub: 'ada ☂', client_id: 'ios', iss: signed.service.url });
    await expect(
      oauth.validateJwtAccessToken(signed.metadata, request, 'https://other.example', plain),
    ).rejects.toThrow('aud');
  });

  it('are good by express-oauth2-jwt-bearer in strict mode', async () => {
    const { service } = signed;
    const api = express();
    const issuerBaseURL = `${service.url}/.well-known/oauth-authorization-server`;
    const check = auth({ issuerBaseURL, audience: AUDIENCE, tokenSigningAlg: algorithm, strict: true });
    api.get('/rooms', check, (request, response) => response.json(request.auth?.payload.sub));
    const server = createServer(api).listen(0, '127.0.0.1');
    servers.push(server);
    await new Promise((resolve) => {
      server.once('listening', resolve);
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/rooms`;
    const call = async (token: string) => fetch(url, { headers: { authorization: `Bearer ${token}` } });
    const good = await call(accessToken);
    expect([good.status, await good.json()]).toEqual([200, 'ada ☂']);
    expect((await call(`${accessToken.slice(0, -4)}AAAA`)).status).toBe(401);
  });
});
