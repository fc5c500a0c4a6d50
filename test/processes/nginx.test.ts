// examples/nginx as it stands, in a real nginx before a real Latchkey: who passes, as whom, and what the others are told.
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { issue } from '../helpers/calls.ts';
import { freePort } from '../helpers/free-port.ts';
import {
  call,
  example,
  PASSED_ON,
  portOf,
  SPELLINGS,
  startApp,
  startExample,
  type App,
  type Sent,
} from '../helpers/proxied.ts';
import { findProxy } from '../helpers/proxies.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

const nginx = findProxy('nginx');
const withNginx = 'path' in nginx ? describe : describe.skip;
const title = 'path' in nginx ? 'examples/nginx' : `examples/nginx (skipped: ${nginx.missing})`;

afterAll(closeServices);

/** The length of a body is passed on, and the body is not; one connection to Latchkey, which all share. */
const mistake = (config: string) => {
  const without = config.replace('proxy_set_header Content-Length "";', '');
  const more = without.replace(
    'proxy_set_header Authorization $http_authorization;',
    'proxy_set_header Content-Length $http_content_length; proxy_set_header X-A $http_x_a; $&',
  );
  expect(more).not.toBe(without);
  return more.replace('keepalive 16;', 'keepalive 1;');
};

withNginx(title, () => {
  const ends: (() => Promise<unknown>)[] = [];
  let app: App;

  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(async () => {
    for (const end of ends) await end();
    app.close();
  });

  /** The example with this test's addresses, and a way to call through it. */
  async function startBefore(latchkeyPort: number, change?: (config: string) => string) {
    const addresses = { latchkeyPort, appPort: portOf(app.server) };
    const { end, port } = await startExample('nginx', nginx, addresses, change);
    ends.push(end);
    return (headers: Sent, method = 'GET', body = '') => call(port, headers, method, body);
  }

  const before = (service: Service) => startBefore(portOf(service.server));

  it('lets a good token pass and says whose it is', async () => {
    const service = await startService();
    const get = await before(service);
    const { body } = await issue(service, 'ada ☂/%', { platform: 'ios' });
    const answer = await get({ authorization: `Bearer ${body.accessToken}` });
    expect(answer.status).toBe(200);
    const seen = JSON.parse(answer.body) as IncomingHttpHeaders;
    expect(PASSED_ON.map((name) => seen[name])).toEqual([
      'ada%20%E2%98%82%2F%25',
      'default',
      'ios',
      body.token.tokenId,
      String(Date.parse(body.token.accessExpiresAt) / 1000),
    ]);
    expect(seen.authorization).toBeUndefined();
    expect(answer.headers['x-auth-reason']).toBeUndefined();
  });

  it('overwrites what a client sends under these names', async () => {
    const service = await startService();
    const get = await before(service);
    const { body } = await issue(service, 'mallory');
    const spoofed = Object.fromEntries(PASSED_ON.map((name) => [name, 'spoofed']));
    const answer = await get({
      ...spoofed,
      'x-auth-user': ['root', 'admin'],
      authorization: `Bearer ${body.accessToken}`,
    });
    const seen = JSON.parse(answer.body) as IncomingHttpHeaders;
    expect(seen['x-auth-user']).toBe('mallory');
    expect(answer.body).not.toMatch(/spoofed|root|admin/);
  });

  it('takes requests with a body of any type', async () => {
    const service = await startService();
    const send = await before(service);
    const { body } = await issue(service, 'ada');
    const headers = { authorization: `Bearer ${body.accessToken}`, 'content-type': 'text/csv' };
    expect((await send(headers, 'POST', 'a,b\n'.repeat(20_000))).status).toBe(200);
    expect((await send({ 'content-type': 'text/csv' }, 'POST', 'a,b')).status).toBe(401);
  });

  it('takes requests whose headers are more than Latchkey itself would take', async () => {
    const service = await startService();
    const get = await before(service);
    const { body } = await issue(service, 'ada');
    const large = Object.fromEntries(['x-one', 'x-two', 'cookie'].map((name) => [name, `a=${'b'.repeat(6_144)}`]));
    const answer = await get({ ...large, authorization: `Bearer ${body.accessToken}` });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ ...large, 'x-auth-user': 'ada' });
    expect(await get(large)).toMatchObject({ status: 401, headers: { 'x-auth-reason': 'token_missing' } });
  });

  it('asks under the id of the request', async () => {
    const asked: (string | undefined)[] = [];
    const latchkey = createServer((incoming, response) => {
      asked.push(incoming.headersDistinct['x-request-id']?.join());
      response.end();
    });
    ends.push(async () => latchkey.close());
    await new Promise<void>((resolve) => {
      latchkey.listen(0, '127.0.0.1', resolve);
    });
    const get = await startBefore(portOf(latchkey));
    await get({ 'x-request-id': 'one-for-all' });
    await get({});
    expect(asked).toEqual(['one-for-all', undefined]);
  });

  it('refuses a kicked device from the next request on, and tells it why', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    const get = await before(service);
    const { body } = await issue(service, 'ada', { platform: 'ios' });
    const headers = { authorization: `Bearer ${body.accessToken}` };
    expect((await get(headers)).status).toBe(200);
    await issue(service, 'ada', { platform: 'web' });
    const reachedBefore = app.reached();
    const refused = await get(headers);
    expect(refused).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Bearer error="invalid_token"', 'x-auth-reason': 'token_kicked' },
    });
    expect(app.reached()).toBe(reachedBefore);
  });

  it.each([
    ['no token', {}, 'token_missing'],
    ['rubbish', { authorization: 'Bearer rubbish' }, 'token_malformed'],
    ['a password', { authorization: 'Basic YTpi' }, 'token_malformed'],
  ])('refuses %s', async (_case, headers, reason) => {
    const get = await before(await startService());
    expect(await get(headers)).toMatchObject({ status: 401, headers: { 'x-auth-reason': reason } });
  });

  it('refuses a token of another tenant', async () => {
    const service = await startService();
    const get = await before(service);
    const { body } = await issue(service, 'ada', {}, 'acme');
    expect(await get({ authorization: `Bearer ${body.accessToken}` })).toMatchObject({
      status: 401,
      headers: { 'x-auth-reason': 'token_invalid' },
    });
  });

  it('F43 reads no request out of another one, where the length of a body is passed on without it', async () => {
    const service = await startService();
    const { body } = await issue(service, 'mallory');
    const send = await startBefore(portOf(service.server), mistake);
    const reachedBefore = app.reached();
    // Whatever comes before the header in the next request is declared to be the body of this one.
    for (let length = 1; length < 120; length += 1) {
      const good = { authorization: `Bearer ${body.accessToken}` };
      expect((await send(good, 'POST', 'x'.repeat(length))).status).toBe(200);
      const forged = await send({ 'x-a': 'GET /healthz HTTP/1.0' });
      expect([length, forged.status]).toEqual([length, 401]);
    }
    expect(app.reached()).toBe(reachedBefore + 119);
  });

  it('lets nobody pass while Latchkey is out, or its Redis', async () => {
    const service = await startService();
    const { body } = await issue(service, 'ada');
    const headers = { authorization: `Bearer ${body.accessToken}` };
    const reachedBefore = app.reached();
    const closed = { status: 503, headers: { 'retry-after': '1' } };
    const withoutLatchkey = await startBefore(await freePort());
    expect(await withoutLatchkey(headers)).toMatchObject(closed);
    const blind = await startService({ prefix: service.prefix, redisUrl: `redis://127.0.0.1:${await freePort()}` });
    const withoutRedis = await before(blind);
    expect(await withoutRedis(headers)).toMatchObject(closed);
    expect(app.reached()).toBe(reachedBefore);
  });
});

describe('examples/traefik and examples/envoy', () => {
  it('pass on what Latchkey says, and nobody when it says nothing', () => {
    type Traefik = { http: { middlewares: { latchkey: { forwardAuth: { authResponseHeaders: string[] } } } } };
    const { forwardAuth } = (parse(example('traefik/dynamic.yml')) as Traefik).http.middlewares.latchkey;
    expect(forwardAuth.authResponseHeaders.map((name) => name.toLowerCase())).toEqual(PASSED_ON);
    const envoy = JSON.stringify(parse(example('envoy/envoy.yaml')));
    const [, patterns = ''] = /"allowed_upstream_headers":\{"patterns":(\[.*?\])/.exec(envoy) ?? [];
    expect((JSON.parse(patterns) as { exact: string }[]).map(({ exact }) => exact)).toEqual(PASSED_ON);
    expect(envoy).toContain('"failure_mode_allow":false');
  });

  it('F51 drop the spellings that CGI and WSGI take for ours', () => {
    expect(example('envoy/envoy.yaml')).toContain('headers_with_underscores_action: DROP_HEADER');
    type Headers = Record<string, { headers?: { customRequestHeaders: Record<string, string> } }>;
    type Traefik = { http: { middlewares: Headers; routers: { app: { middlewares: string[] } } } };
    const { middlewares, routers } = (parse(example('traefik/dynamic.yml')) as Traefik).http;
    expect(routers.app.middlewares).toEqual(['spellings', 'latchkey']);
    const removed = Object.entries(middlewares['spellings']?.headers?.customRequestHeaders ?? {});
    expect(removed.every(([, value]) => value === '')).toBe(true);
    const names = removed.map(([name]) => name.toLowerCase());
    expect(names.toSorted()).toEqual(SPELLINGS.filter((name) => !PASSED_ON.includes(name)).toSorted());
  });

  it('ask in a way that Latchkey understands: any method, the path appended', async () => {
    const service = await startService();
    const { body } = await issue(service, 'ada');
    const headers = { authorization: `Bearer ${body.accessToken}`, 'content-type': 'text/csv' };
    for (const [method, path] of [
      ['GET', '/validate'],
      ['POST', '/validate/default/rooms/1?page=2'],
      ['DELETE', '/validate/default/a%2Fb/../c//d'],
      ['OPTIONS', '/validate/default/'],
    ] as const) {
      const answer = await call(portOf(service.server), headers, method, '', path);
      expect([path, answer.status, answer.headers['x-auth-user']]).toEqual([path, 200, 'ada']);
    }
  });
});
