// The Express middleware: who passes, and what the others are told.
import { afterAll, describe, expect, it } from '@jest/globals';
import express, { type ErrorRequestHandler } from 'express';
import supertest from 'supertest';
import { authOf, requireToken, type RequireTokenOptions } from '../../src/gateway/express.ts';
import { bearer, issue } from '../helpers/calls.ts';
import { closeServices, startService } from '../helpers/service.ts';
import { closeCheckers, readyChecker } from './checkers.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';

afterAll(async () => {
  closeCheckers();
  closeProxies();
  await closeServices();
});

const onError: ErrorRequestHandler = (error: Error, _request, response, _next) => {
  response.status(500).json({ name: error.name });
};

async function start(options: RequireTokenOptions = {}) {
  const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
  const proxy = await startProxy(service.url);
  const checker = await readyChecker(proxy.url, { mode: 'online', timeoutMs: 500 });
  const app = express();
  app.get('/me', requireToken(checker, options), (request, response) => {
    const { sub, platform } = authOf(request);
    response.json({ sub, platform });
  });
  app.get('/open', (request, response) => {
    response.json(authOf(request));
  });
  app.use(onError);
  return { service, proxy, api: supertest(app) };
}

describe('requireToken', () => {
  it('lets a good token pass and says whose it is', async () => {
    const { service, api } = await start();
    const { body } = await issue(service, 'ada');
    const answer = await api.get('/me').set(bearer(body.accessToken));
    expect([answer.status, answer.body]).toEqual([200, { sub: 'ada', platform: 'ios' }]);
  });

  it('tells a kicked device which login took its place', async () => {
    const { service, api } = await start();
    const { body } = await issue(service, 'ada', { platform: 'ios' });
    await issue(service, 'ada', { platform: 'web', deviceName: 'Firefox' });
    const answer = await api.get('/me').set(bearer(body.accessToken));
    expect(answer.status).toBe(401);
    expect(answer.headers).toMatchObject({
      'www-authenticate': 'Bearer error="invalid_token", error_description="Signed out by a login on another device"',
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
    });
    expect(JSON.parse(answer.text)).toEqual({
      type: 'urn:latchkey:error:token_kicked',
      title: 'Signed out by a login on another device',
      status: 401,
      code: 'token_kicked',
      endedAt: expect.any(String),
      endedBy: { kind: 'login', platform: 'web', deviceName: 'Firefox', policy: 'single-device' },
    });
  });

  it.each([
    [{}, 'token_missing', /^Bearer$/],
    [{ authorization: 'Basic eDp5' }, 'token_malformed', /^Bearer error="invalid_token"/],
    [{ authorization: 'Bearer x' }, 'token_malformed', /^Bearer error="invalid_token"/],
  ])('401 for %j: %s', async (headers, code, challenge) => {
    const { api } = await start();
    const answer = await api.get('/me').set(headers);
    expect([answer.status, JSON.parse(answer.text).code]).toEqual([401, code]);
    expect(answer.headers['www-authenticate']).toMatch(challenge);
  });

  it.each([
    [{ platforms: ['web'] }, 403, 'platform_not_allowed', 'Bearer error="insufficient_scope"'],
    [{ tenant: 'acme' }, 401, 'token_invalid', expect.stringContaining('invalid_token')],
  ])('with %j another token is %s %s', async (options, status, code, challenge) => {
    const { service, api } = await start(options);
    const { body } = await issue(service, 'ada', { platform: 'ios' });
    const answer = await api.get('/me').set(bearer(body.accessToken));
    expect([answer.status, JSON.parse(answer.text).code, answer.headers['www-authenticate']]).toEqual([
      status,
      code,
      challenge,
    ]);
  });

  it('503 with Retry-After when it cannot know', async () => {
    const { service, proxy, api } = await start();
    const { body } = await issue(service, 'ada');
    proxy.cut();
    const answer = await api.get('/me').set(bearer(body.accessToken));
    expect([answer.status, answer.headers['retry-after'], JSON.parse(answer.text).code]).toEqual([
      503,
      '1',
      'store_unavailable',
    ]);
    expect(answer.headers['www-authenticate']).toBeUndefined();
  });

  it('R4 refuses options that there are not, and authOf a request that was not checked', async () => {
    const checker = { check: async () => ({ active: false, reason: 'token_missing' }) as const };
    expect(() => requireToken(checker, { platform: 'ios' } as RequireTokenOptions)).toThrow(/valid: platforms, tenant/);
    expect(() => requireToken(checker, { platforms: [] })).toThrow('at least one');
    const { api } = await start();
    expect((await api.get('/open')).body).toEqual({ name: 'TypeError' });
  });
});
