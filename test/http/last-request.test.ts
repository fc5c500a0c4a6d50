/**
 * Where one request ends and the next begins. Whoever is answered before the body has come is told that the connection
 * ends, and it does: otherwise the peer's next request would be read as that body, and its body as a request.
 */
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ADMIN_KEY, GATEWAY_KEY } from '../helpers/keys.ts';
import { issue, listTokens, PASSWORD } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

let fast: Service;
let routed: Service;
let accessToken: string;
const clients: RawClient[] = [];

beforeAll(async () => {
  fast = await startService({ unchecked: true });
  routed = await startService({ prefix: fast.prefix, unchecked: true, routerOnly: true });
  ({ accessToken } = (await issue(fast, 'ada')).body);
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});
afterAll(closeServices);

async function connectTo({ server }: Service): Promise<RawClient> {
  const client = await RawClient.to((server.address() as AddressInfo).port);
  clients.push(client);
  return client;
}

const HOST = 'Host: latchkey.test';
const LENGTH = 'Content-Length: 50';
const CHUNKED = 'Transfer-Encoding: chunked';
const JSON_TYPE = 'Content-Type: application/json';
const FORM = 'Content-Type: application/x-www-form-urlencoded';
const GATEWAY = `Authorization: Bearer ${GATEWAY_KEY}`;
const good = () => `Authorization: Bearer ${accessToken}`;
/** What an attacker would like to be read as a request, and answered. */
const SMUGGLED = ['GET /healthz HTTP/1.1', HOST, '', ''];

/** Each is answered before the body: one is announced, and none of it sent. Or what follows would be passed over. */
const EARLY: [what: string, status: number, head: () => string[]][] = [
  ['a good token', 200, () => ['GET /validate HTTP/1.1', good(), LENGTH]],
  ['a good token, POST', 200, () => ['POST /validate/default/a/b HTTP/1.1', good(), LENGTH]],
  ['a good token, chunked', 200, () => ['GET /validate HTTP/1.1', good(), CHUNKED]],
  ['a good token, HEAD', 200, () => ['HEAD /validate HTTP/1.1', good(), LENGTH]],
  ['a good token, asking for an upgrade', 200, () => [...upgrade(), good(), LENGTH]],
  ['a good token, asking for an upgrade without a body', 200, () => [...upgrade(), good()]],
  ['a good token, a body that waits to be invited', 200, () => ['PUT /validate HTTP/1.1', good(), LENGTH, CONTINUE]],
  ['HTTP/1.0 that would stay', 200, () => ['GET /validate HTTP/1.0', good(), LENGTH, 'Connection: keep-alive']],
  ['no token', 401, () => ['GET /validate HTTP/1.1', LENGTH]],
  ['a probe', 200, () => ['GET /healthz HTTP/1.1', LENGTH]],
  ['a readiness probe', 200, () => ['GET /readyz HTTP/1.1', CHUNKED]],
  ['keys', 200, () => ['GET /.well-known/jwks.json HTTP/1.1', LENGTH]],
  ['own tokens, which take no body', 400, () => ['GET /tokens HTTP/1.1', good(), LENGTH]],
  ['the feed, which takes none either', 400, () => ['GET /events HTTP/1.1', GATEWAY, LENGTH]],
  ['the feed, refused', 401, () => ['GET /events HTTP/1.1', LENGTH]],
  ['no such path', 404, () => ['POST /nowhere HTTP/1.1', LENGTH]],
  ['no such method', 405, () => ['PUT /login HTTP/1.1', CHUNKED]],
  ['an address that is none', 400, () => ['POST /admin/users/%zz/tokens HTTP/1.1', LENGTH]],
  ['nobody’s key', 401, () => ['POST /introspect HTTP/1.1', FORM, LENGTH]],
  ['nobody’s key, as admin', 401, () => ['POST /admin/users HTTP/1.1', JSON_TYPE, LENGTH, CONTINUE]],
  ['another media type', 415, () => ['POST /login HTTP/1.1', 'Content-Type: text/plain', LENGTH]],
  ['another character set', 415, () => ['POST /login HTTP/1.1', `${JSON_TYPE}; charset=x`, LENGTH]],
  ['another encoding', 415, () => ['POST /login HTTP/1.1', JSON_TYPE, 'Content-Encoding: zstd', CHUNKED]],
  ['a body that is too large', 413, () => ['POST /login HTTP/1.1', JSON_TYPE, 'Content-Length: 16385', CONTINUE]],
  ['another expectation', 417, () => ['POST /login HTTP/1.1', JSON_TYPE, LENGTH, 'Expect: wonders']],
];

const CONTINUE = 'Expect: 100-continue';
function upgrade(): string[] {
  return ['GET /validate HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket'];
}

/** Host second: the first line is the request's own. */
const headOf = ([line = '', ...headers]: string[]) => [line, HOST, ...headers, '', ''];

describe.each([
  ['by the fast lane', () => fast],
  ['by the router', () => routed],
])('F43 an answer before the end of the body ends the connection, %s', (_lane, service) => {
  it.each(EARLY)('to %s: %i', async (_what, status, head) => {
    const client = await connectTo(service());
    client.send(...headOf(head()));
    await client.untilAnswered();
    expect(client.received).toMatch(/^connection: close$/im);
    expect(client.statuses).toEqual([status]);
    await client.untilEnded();
    // The peer has not read that yet, and sends the body and what it thinks is the next request.
    client.send('x'.repeat(50) + SMUGGLED.join('\r\n'));
    await client.close();
    expect(client.statuses).toEqual([status]);
  });
});

/** Without those of which only the head is sent. */
const isWhole = (head: readonly string[]) => !head.some((line) => /^(Expect|Upgrade|Content-Length: 1)/.test(line));

describe('F43 a body that has come with its head', () => {
  it.each(EARLY.filter(([, , head]) => isWhole(head())))(
    'to %s: %i, is passed over, and the next request is answered',
    async (_what, status, head) => {
      for (const service of [fast, routed]) {
        const client = await connectTo(service);
        const lines = headOf(head());
        const body = lines.includes(CHUNKED)
          ? '5\r\nGET /\r\n0\r\n\r\n'
          : 'GET /nowhere HTTP/1.1\r\n\r\n'.padEnd(50, 'x');
        // Another one before it: only the last of all may be told that the connection goes on or not.
        client.send(...SMUGGLED.slice(0, 3), lines.join('\r\n') + body + SMUGGLED.join('\r\n'));
        await client.untilAnswered(3);
        expect(client.statuses).toEqual([200, status, 200]);
        expect(client.received).not.toMatch(/^connection: close/im);
      }
    },
  );
});

describe('F43 what follows on such a connection', () => {
  it('is not carried out either', async () => {
    const act = '{"platform":"ios","deviceId":"d"}';
    const head = `POST /admin/users/mallory/tokens HTTP/1.1\r\n${HOST}\r\nAuthorization: Bearer ${ADMIN_KEY}`;
    const smuggled = `${head}\r\n${JSON_TYPE}\r\nContent-Length: ${act.length}\r\n\r\n${act}`;
    for (const service of [fast, routed]) {
      const client = await connectTo(service);
      const came = nextRequestOf(service);
      client.send(...headOf(['GET /validate HTTP/1.1', LENGTH]));
      const connection = await came;
      // While the first is being answered, and after.
      client.send('x'.repeat(20));
      await client.untilAnswered();
      client.send('x'.repeat(30) + smuggled);
      await until('all of it was read', () => connection.bytesRead > smuggled.length + 50);
      await client.close();
      await until('the server has closed', () => connection.destroyed);
      expect((await listTokens(service, 'mallory')).body.tokens).toEqual([]);
    }
  });

  it('is served as ever when the body comes late but before the answer', async () => {
    const client = await connectTo(fast);
    const body = JSON.stringify({ userId: 'x', password: PASSWORD, platform: 'ios', deviceId: 'd' });
    const head = ['POST /login HTTP/1.1', JSON_TYPE, `Content-Length: ${body.length}`, CONTINUE];
    client.send(...headOf(head));
    await client.untilAnswered();
    expect(client.statuses).toEqual([100]);
    client.send(body + SMUGGLED.join('\r\n'));
    await client.untilAnswered(3);
    expect(client.statuses).toEqual([100, 401, 200]);
    expect(client.received).not.toMatch(/^connection: close/im);
  });
});

/** The connection that the next request comes on. */
function nextRequestOf({ server }: Service): Promise<Socket> {
  return new Promise((resolve) => {
    server.once('request', ({ socket }: { socket: Socket }) => resolve(socket));
  });
}

describe('F34 a body beyond the limit', () => {
  const MB = 'x'.repeat(1_048_576);

  it.each([
    ['in chunks', CHUNKED, `100000\r\n${MB}\r\n`],
    ['that says how long it is', 'Content-Length: 1000000000', MB],
    ['said to be packed', `Content-Encoding: gzip\r\n${CHUNKED}`, `100000\r\n${MB}\r\n`],
  ])('%s is refused while it comes, and no more of it is read', async (_what, header, part) => {
    for (const [path, status] of [
      ['/login', 413],
      ['/admin/users', 413],
      ['/validate', 401],
    ] as const) {
      const client = await connectTo(fast);
      const head = [`POST ${path} HTTP/1.1`, JSON_TYPE, `Authorization: Bearer ${ADMIN_KEY}`, header];
      const came = nextRequestOf(fast);
      client.send(...headOf(head));
      const connection = await came;
      for (let count = 0; count < 30; count += 1) client.send(part);
      await client.untilEnded();
      expect(client.statuses).toEqual([status]);
      expect(client.received).toMatch(/^connection: close$/im);
      await until('no more is read', () => connection.isPaused() || connection.destroyed);
      expect(connection.bytesRead).toBeLessThan(1_000_000);
    }
  });

  it('is 413 too when it is small as it comes and large unpacked', async () => {
    const { gzipSync } = await import('node:zlib');
    const bomb = gzipSync(`{"userId":"${'a'.repeat(5_000_000)}"}`);
    expect(bomb.length).toBeLessThan(16_384);
    const sent = fast.api.post('/login').set({ 'content-type': 'application/json', 'content-encoding': 'gzip' });
    const answer = await sent.serialize((body: unknown) => body as string).send(bomb);
    expect([answer.status, answer.body.code]).toEqual([413, 'payload_too_large']);
  });

  it('that never ends is not waited for beyond 30 s', async () => {
    const { server } = await startService({ unchecked: true });
    expect([server.requestTimeout, server.headersTimeout]).toEqual([30_000, 30_000]);
    server.requestTimeout = server.headersTimeout = 100;
    const client = await RawClient.to((server.address() as AddressInfo).port);
    clients.push(client);
    client.send(...headOf(['POST /login HTTP/1.1', JSON_TYPE, LENGTH]));
    await client.untilEnded();
    expect(client.statuses).toEqual([408]);
  });
});

describe('F39 an idle connection', () => {
  it('is kept for longer than proxies keep theirs', async () => {
    const answer = await fast.api.get('/healthz').set('Connection', 'keep-alive');
    expect(answer.headers['keep-alive']).toBe('timeout=75');
  });

  it('is closed after KEEP_ALIVE_SECONDS', async () => {
    const service = await startService({ env: { KEEP_ALIVE_SECONDS: '1' } });
    const client = await connectTo(service);
    client.send('GET /healthz HTTP/1.1', HOST, '', '');
    await client.untilAnswered();
    expect(client.received).toMatch(/^keep-alive: timeout=1$/im);
    await client.untilEnded();
  });

  it('does not hold up a drain', async () => {
    const { createDrain } = await import('../../src/http/drain.ts');
    const { createHttpServer } = await import('../../src/http/server.ts');
    const server = createHttpServer((_request, response) => void response.end(), 75);
    const drain = createDrain(server);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const client = await RawClient.to((server.address() as AddressInfo).port);
    clients.push(client);
    client.send('GET / HTTP/1.1', HOST, '', '');
    await client.untilAnswered();
    await drain(600_000);
    await client.untilEnded();
  });
});

describe('F36 two Host headers', () => {
  it.each(['GET /healthz HTTP/1.1', 'GET /validate HTTP/1.1', 'POST /nowhere HTTP/1.1', 'GET /healthz HTTP/1.0'])(
    'are 400: %s',
    async (line) => {
      for (const service of [fast, routed]) {
        for (const second of [HOST, 'host: other.test', 'HOST:']) {
          const client = await connectTo(service);
          client.send(line, HOST, second, '', '');
          await client.untilEnded();
          expect(client.statuses).toEqual([400]);
        }
      }
    },
  );
});
