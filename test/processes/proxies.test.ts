// The examples for nginx, HAProxy and Caddy as they stand, in real ones before a real Latchkey: who passes, what cannot be
// spoofed, and that a kick reaches the next request and the feed at once.
import type { IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { closeCheckers, readyChecker, wordOf } from '../gateway/checkers.ts';
import { asAdmin, issue } from '../helpers/calls.ts';
import { freePort } from '../helpers/free-port.ts';
import { until } from '../helpers/processes.ts';
import { call, portOf, SPELLINGS, startApp, startExample, type App } from '../helpers/proxied.ts';
import { findProxy, type ProxyName } from '../helpers/proxies.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { SseClient } from '../helpers/sse.ts';

const PREFLIGHT = { origin: 'https://app.test', 'access-control-request-method': 'POST' };

/** What an operator may have set for all answers, in place of what the example says of the feed. nginx packs what it is told to. */
const PACKING: Readonly<Record<ProxyName, readonly [ours: RegExp, theirs: string]>> = {
  nginx: [/proxy_buffering off;\s+gzip off;/g, 'gzip on; gzip_types application/json; gzip_proxied any;'],
  haproxy: [/option http-no-delay/g, 'compression algo gzip\n  compression type text/event-stream'],
  caddy: [/(?=reverse_proxy @gateway)/g, 'encode {\ngzip\nmatch {\nheader Content-Type text/event-stream*\n}\n}\n'],
};

let service: Service;
let app: App;
const ends: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
  app = await startApp();
});
afterAll(async () => {
  closeCheckers();
  for (const end of ends) await end();
  app.close();
  await closeServices();
});

const tokenOf = async (userId: string, platform = 'ios') => {
  const { body } = await issue(service, userId, { platform });
  return { authorization: `Bearer ${body.accessToken}` };
};

/** Listens to the feed until a kick comes: well before a heartbeat pushes it out. */
async function hearKick(feedPort: number, userId: string, encodings = 'gzip, br, zstd'): Promise<void> {
  const client = new SseClient(`http://127.0.0.1:${feedPort}`, { 'accept-encoding': encodings });
  expect(await client.connect('?types=token.kicked')).toBe(200);
  await until('the first cursor', () => client.lastId !== undefined, 10_000);
  for (const platform of ['ios', 'web']) await tokenOf(userId, platform);
  await until('the kick', () => client.events.some(({ data }) => data['userId'] === userId), 10_000);
  client.cut();
}

const proxies = (['nginx', 'haproxy', 'caddy'] as const).map((name) => ({ name, found: findProxy(name) }));
const missing = proxies.flatMap(({ name, found }) => ('missing' in found ? [[name, found.missing]] : []));
const present = proxies.filter(({ found }) => 'path' in found);

// Aloud: what could not be tried must not pass for tried.
(missing.length > 0 ? describe.skip : describe)('F51 proxies to try the examples in', () => {
  it(`are all here${missing.map(([name, why]) => `; not ${name}: ${why}`).join('')}`, () => {
    expect(missing).toEqual([]);
  });
});

(present.length > 0 ? describe.each(present) : describe.skip.each(proxies))('examples/$name', ({ name, found }) => {
  let proxy: Awaited<ReturnType<typeof startExample>>;

  beforeAll(async () => {
    proxy = await startExample(name, found, { latchkeyPort: portOf(service.server), appPort: portOf(app.server) });
    ends.push(proxy.end);
  });

  it('F51 lets a good token pass, any method, and says whose it is', async () => {
    const headers = await tokenOf('ada ☂/%');
    for (const [method, body] of [
      ['GET', ''],
      ['POST', 'a,b\n'.repeat(20_000)],
      ['DELETE', ''],
    ] as const) {
      const answer = await call(proxy.port, { ...headers, cookie: 'c'.repeat(8_000) }, method, body);
      expect([method, answer.status]).toEqual([method, 200]);
      const seen = JSON.parse(answer.body) as IncomingHttpHeaders;
      expect(seen).toMatchObject({ 'x-auth-user': 'ada%20%E2%98%82%2F%25', 'x-auth-platform': 'ios' });
      expect(seen.authorization).toBeUndefined();
    }
  });

  it('F51 lets nobody say who they are, in any spelling, in any case', async () => {
    const good = await tokenOf('mallory');
    const spoofed = Object.fromEntries(SPELLINGS.map((spelling) => [spelling, 'spoofed']));
    const upper = Object.fromEntries(SPELLINGS.map((spelling) => [spelling.toUpperCase(), ['spoofed', 'twice']]));
    for (const headers of [spoofed, upper]) {
      const answer = await call(proxy.port, { ...headers, ...good });
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.body)).toMatchObject({ 'x-auth-user': 'mallory' });
      expect(answer.body).not.toContain('spoofed');
      const preflight = await call(proxy.port, { ...headers, ...PREFLIGHT }, 'OPTIONS');
      expect(preflight.status).toBe(200);
      expect(preflight.body).not.toMatch(/spoofed|x[-_]auth/i);
    }
  });

  it('F51 refuses a kicked device from the next request on, and tells it why', async () => {
    const first = await tokenOf('bob', 'ios');
    expect((await call(proxy.port, first)).status).toBe(200);
    await tokenOf('bob', 'web');
    const reached = app.reached();
    const refused = await call(proxy.port, first);
    expect(refused.status).toBe(401);
    expect(refused.headers).toMatchObject({
      'x-auth-reason': 'token_kicked',
      'www-authenticate': 'Bearer error="invalid_token"',
    });
    expect(app.reached()).toBe(reached);
  });

  it('F51 lets preflights pass, as nobody, and nothing that only looks like one', async () => {
    expect((await call(proxy.port, PREFLIGHT, 'OPTIONS')).status).toBe(200);
    const reached = app.reached();
    const { origin } = PREFLIGHT;
    expect((await call(proxy.port, {}, 'OPTIONS')).status).toBe(401);
    expect((await call(proxy.port, { origin }, 'OPTIONS')).status).toBe(401);
    expect((await call(proxy.port, PREFLIGHT, 'GET')).status).toBe(401);
    expect((await call(proxy.port, PREFLIGHT, 'POST', 'x')).status).toBe(401);
    expect(app.reached()).toBe(reached);
  });

  it('F51 lets WebSockets pass with a good token only', async () => {
    const { authorization } = await tokenOf('eve');
    const shake = [
      'GET /chat HTTP/1.1',
      'Host: a',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
    ];
    const lines = [...shake, 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
    const client = await RawClient.to(proxy.port);
    client.send(...lines, `Authorization: ${authorization}`, '', '');
    await until('the app has been reached', () => client.received.includes('"x-auth-user":"eve"'));
    expect(client.statuses).toEqual([101]);
    client.send('said to the app');
    await until('the app answers', () => client.received.endsWith('said to the app'));
    await client.close();
    const stranger = await RawClient.to(proxy.port);
    stranger.send(...lines, '', '');
    await stranger.untilAnswered();
    expect(stranger.statuses).toEqual([401]);
    await stranger.close();
  });

  it('F51 lets no other protocol than WebSockets through, with or without a token', async () => {
    const other = {
      connection: 'Upgrade, HTTP2-Settings',
      upgrade: 'h2c',
      'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA',
    };
    const good = await tokenOf('trent');
    for (const [headers, method] of [
      [{ ...PREFLIGHT, ...other }, 'OPTIONS'],
      [{ ...good, ...other }, 'GET'],
      [{ ...good, ...other }, 'POST'],
    ] as const) {
      const answer = await call(proxy.port, headers, method);
      expect([method, answer.status]).toEqual([method, 200]);
      expect(JSON.parse(answer.body)).not.toHaveProperty('upgrade');
    }
  });

  it('F51 names WebSockets alone to the app, whatever a client names beside them', async () => {
    const { authorization } = await tokenOf('oscar');
    for (const upgrade of [
      'Upgrade: h2c\r\nUpgrade: websocket',
      'Upgrade: websocket\r\nUpgrade: h2c',
      'Upgrade: h2c, websocket',
    ]) {
      const client = await RawClient.to(proxy.port);
      const shake = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
      client.send(
        'GET /chat HTTP/1.1',
        'Host: a',
        'Connection: Upgrade',
        upgrade,
        ...shake,
        `Authorization: ${authorization}`,
        '',
        '',
      );
      await until('the app has been reached', () => client.received.includes('"x-auth-user":"oscar"'));
      expect(client.received).not.toContain('h2c');
      await client.close();
    }
  });

  it('F51 lets no client name our headers among those that end at the proxy', async () => {
    const headers = { ...(await tokenOf('walter')), connection: 'X-Auth-User, X-Auth-Tenant' };
    const answer = await call(proxy.port, headers);
    expect(JSON.parse(answer.body)).toMatchObject({ 'x-auth-user': 'walter', 'x-auth-tenant': 'default' });
  });

  it('F51 serves a gateway whole, where it serves the feed', async () => {
    const checker = await readyChecker(`http://127.0.0.1:${proxy.feedPort}`);
    const { authorization } = await tokenOf('peggy');
    expect(await wordOf(checker, authorization.replace('Bearer ', ''))).toBe('active');
  });

  it('F51 F45 passes a kick on to a listener of the feed at once, whatever it could unpack', async () => {
    await hearKick(proxy.feedPort, `${name}-carl`);
    expect((await call(proxy.feedPort, asAdmin, 'GET', '', '/admin/users')).status).toBe(404);
  });

  it('F45 passes a kick on at once where it was set to pack and gather what it can', async () => {
    const addresses = { latchkeyPort: portOf(service.server), appPort: portOf(app.server) };
    const packing = await startExample(name, found, addresses, (config) => {
      const [ours, theirs] = PACKING[name];
      return config.replaceAll(ours, theirs);
    });
    ends.push(packing.end);
    // Caddy 2.6.2 packs whatever comes in pieces of more than 512 bytes: what helps is to ask as our checker does.
    await hearKick(packing.feedPort, `${name}-dora`, name === 'caddy' ? 'identity' : undefined);
  });

  it('F51 lets nobody pass while Latchkey is out', async () => {
    const out = await startExample(name, found, { latchkeyPort: await freePort(), appPort: portOf(app.server) });
    ends.push(out.end);
    const reached = app.reached();
    const answer = await call(out.port, await tokenOf('ada'));
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1']);
    expect(app.reached()).toBe(reached);
  });
});
