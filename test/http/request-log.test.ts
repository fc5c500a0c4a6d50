/** What a request leaves in the log, above all one whose client does not wait for its answer. */
import { request } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createLog } from '../../src/log.ts';
import { asGateway, createUser, issue, listTokens, login, PASSWORD } from '../helpers/calls.ts';
import { ADMIN_KEY, GATEWAY_KEY } from '../helpers/keys.ts';
import { until } from '../helpers/processes.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { SseClient } from '../helpers/sse.ts';

type Line = Readonly<Record<string, unknown>>;

const lines: Line[] = [];
const log = createLog('info', { write: (text) => void lines.push(JSON.parse(text) as Line) });
const requests = () => lines.filter(({ msg }) => msg === 'request');
let service: Service;

beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'single-device' }, override: { log } });
});
afterEach(() => {
  lines.length = 0;
});
afterAll(closeServices);

const begun = () =>
  new Promise<void>((resolve) => {
    service.server.once('request', () => resolve());
  });

/** A login with a password; so much work that its client can be gone before it is done. */
function loginBytes(userId: string, deviceId: string): string {
  const body = JSON.stringify({ userId, password: PASSWORD, platform: 'ios', deviceId });
  const head = `POST /login HTTP/1.1\r\nHost: a\r\nX-Request-Id: ${deviceId}\r\nContent-Type: application/json`;
  return `${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

describe('F28 a request whose client goes away leaves its line', () => {
  it('which tells what came of it', async () => {
    await createUser(service, 'ada');
    const first = await login(service, 'ada', { deviceId: 'first' });
    lines.length = 0;
    const client = await RawClient.to(service.url);
    const came = begun();
    client.send(loginBytes('ada', 'second'));
    await came;
    await client.close();
    await until('the line is there', () => requests().length > 0);
    expect(requests()).toMatchObject([
      { aborted: true, method: 'POST', route: '/login', requestId: 'second', status: 200, ip: '127.0.0.1' },
    ]);
    const { body } = await listTokens(service, 'ada');
    expect(body.tokens).toMatchObject([{ tokenId: first.body.token.tokenId, state: 'kicked' }, { deviceId: 'second' }]);
  });

  it('when its body is cut off', async () => {
    const client = await RawClient.to(service.url);
    const came = begun();
    client.send(loginBytes('ada', 'cut').slice(0, -5));
    await came;
    await client.close();
    await until('the line is there', () => requests().length > 0);
    expect(requests()).toMatchObject([{ aborted: true, route: '/login', code: 'invalid_request', requestId: 'cut' }]);
  });

  it('one for each of those that wait behind each other', async () => {
    await createUser(service, 'bob');
    lines.length = 0;
    const client = await RawClient.to(service.url);
    const came = begun();
    client.send(loginBytes('bob', 'one') + loginBytes('bob', 'two'), 'GET /healthz HTTP/1.1', 'Host: a', '', '');
    await came;
    await client.close();
    await until('the lines are there', () => requests().length >= 3);
    expect(requests().map(({ aborted, route }) => [aborted, route])).toEqual(
      expect.arrayContaining([
        [true, '/login'],
        [true, '/login'],
        [true, '/healthz'],
      ]),
    );
  });

  it('but one that has listened to the feed has had its answer', async () => {
    const client = new SseClient(service.url);
    expect(await client.connect()).toBe(200);
    expect(requests()).toEqual([]);
    client.cut();
    await until('the line is there', () => requests().length > 0);
    expect(requests()).toMatchObject([{ route: '/events', status: 200 }]);
    expect(requests()[0]).not.toHaveProperty('aborted');
  });

  it('and one that was answered says nothing of it', async () => {
    await service.api.get('/healthz');
    await service.api.get('/nowhere');
    await until('the lines are there', () => requests().length >= 2);
    expect(requests()).toMatchObject([
      { status: 200, route: '/healthz' },
      { status: 404, code: 'not_found' },
    ]);
    for (const line of requests()) expect(line).not.toHaveProperty('aborted');
  });
});

describe('F36 what a request may leave in the log', () => {
  it('overloaded: its line, and no stack trace', async () => {
    const readiness = { isDraining: () => true, hasAgreed: () => true, check: () => Promise.resolve() };
    const full = await startService({ override: { log, readiness } });
    expect((await full.api.get('/readyz')).status).toBe(503);
    await until('the line is there', () => requests().length > 0);
    expect(lines).toMatchObject([{ msg: 'request', status: 503, code: 'overloaded' }]);
  });

  it('an outage: the cause, without a stack trace', async () => {
    const blind = await startService({ redisUrl: 'redis://127.0.0.1:1', override: { log } });
    expect((await issue(blind, 'ada')).status).toBe(503);
    await until('the line is there', () => requests().length > 0);
    const [trouble] = lines;
    expect(trouble).toMatchObject({ msg: 'request failed', code: 'store_unavailable', reason: expect.any(String) });
    expect(JSON.stringify(lines)).not.toContain('stack');
  });

  it('a fault of ours: where it was', async () => {
    const broken = await startService({
      unchecked: true,
      override: {
        log,
        readiness: { isDraining: () => false, hasAgreed: () => true, check: () => Promise.reject(new Error('bug')) },
      },
    });
    expect((await broken.api.get('/readyz')).status).toBe(500);
    expect(lines[0]).toMatchObject({ msg: 'request failed', err: { stack: expect.stringContaining('request-log') } });
  });
});

const basic = (text: string) => ({ authorization: `Basic ${btoa(text)}` });

describe('F36 a key of HTTP Basic', () => {
  it('is what follows the colon', async () => {
    const ask = (headers: Readonly<Record<string, string>>) => service.api.get('/admin/users').set(headers);
    for (const pair of [`:${ADMIN_KEY}`, `gateway:${ADMIN_KEY}`]) expect((await ask(basic(pair))).status).toBe(200);
    for (const pair of [ADMIN_KEY, GATEWAY_KEY, `${ADMIN_KEY}:`, `${ADMIN_KEY}:x`])
      expect((await ask(basic(pair))).status).toBe(401);
    const { accessToken } = (await issue(service, 'eve')).body;
    const introspect = service.api.post('/introspect').type('form').send({ token: accessToken });
    expect((await introspect.set(basic(GATEWAY_KEY))).status).toBe(401);
  });
});

describe('F45 the feed', () => {
  it.each(['GET', 'HEAD'] as const)(
    '%s tells whoever stands in between to neither pack nor gather it',
    async (method) => {
      const headers = await new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
        const sent = request(`${service.url}/events`, {
          method,
          headers: { ...asGateway, 'accept-encoding': 'gzip, br' },
          agent: false,
        });
        sent.once('error', reject).once('response', (response) => {
          resolve(response.headers);
          sent.destroy();
        });
        sent.end();
      });
      expect(headers).toMatchObject({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store, no-transform',
        'x-accel-buffering': 'no',
      });
      expect(headers).not.toHaveProperty('content-encoding');
    },
  );
});
