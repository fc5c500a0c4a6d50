/**
 * A frequent request takes the short way past the router (fast-lane.ts). Nobody can tell: each request here is sent both
 * ways, and the answers are the same to the last header.
 */
import { Agent, request } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { asAdmin, asGateway, bearer, issue, PASSWORD } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

type Sent = {
  readonly method: string;
  readonly path: string;
  /** Name, value, name, value, …: names may come twice. */
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
};
type Received = { readonly status: number; readonly headers: Record<string, unknown>; readonly body: unknown };

const REQUEST_ID = 'the-same-for-both';

let fast: Service;
let routed: Service;
let accessToken: string;
const agent = new Agent({ keepAlive: true });

beforeAll(async () => {
  fast = await startService({ unchecked: true });
  routed = await startService({ prefix: fast.prefix, unchecked: true, routerOnly: true });
  ({ accessToken } = (await issue(fast, 'ada')).body);
});
afterAll(async () => {
  agent.destroy();
  await closeServices();
});

function send(to: Service, { method, path, headers = [], body }: Sent): Promise<Received> {
  return new Promise((resolve, reject) => {
    const list = ['Host', 'latchkey.test', 'X-Request-Id', REQUEST_ID, ...headers];
    const { port } = new URL(to.url);
    const sent = request({ host: '127.0.0.1', port, method, path, headers: list, agent }).once('error', reject);
    sent.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.once('end', () => {
        const { date: _date, ...others } = response.headers;
        resolve({ status: response.statusCode ?? 0, headers: others, body: withoutChance(text) });
      });
    });
    sent.end(body);
  });
}

/** What is different at every login: ids, tokens, times. Their form stays. */
function withoutChance(text: string): unknown {
  if (!text.startsWith('{')) return text;
  return JSON.parse(text, (name, value: unknown) => {
    const isChance = /^(accessToken|refreshToken|tokenId|\w+At|retryAfterSeconds)$/.test(name);
    return isChance ? typeof value : value;
  });
}

const pairs = (headers: Readonly<Record<string, string>>) => Object.entries(headers).flat();
const json = (text: string, type = 'application/json'): Pick<Sent, 'headers' | 'body'> => ({
  headers: ['Content-Type', type, 'Content-Length', String(Buffer.byteLength(text))],
  body: text,
});
const form = (text: string, ...more: string[]): Pick<Sent, 'headers' | 'body'> => ({
  ...json(text, 'application/x-www-form-urlencoded'),
  headers: [...(json(text, 'application/x-www-form-urlencoded').headers ?? []), ...pairs(asGateway), ...more],
});

async function expectSame(sent: Sent): Promise<Received> {
  const [one, other] = [await send(fast, sent), await send(routed, sent)];
  expect(one).toEqual(other);
  return one;
}

const BODIES: [what: string, text: string][] = [
  ['that is cut off', '{"userId":"ada","platform":"ios"'],
  ['of text', '"text"'],
  ['of a list', '[]'],
  ['of nothing', 'null'],
  ['that is empty', ''],
  ['of an empty object', '{}'],
  ['with a byte order mark', '\u{FEFF}{}'],
  ['of the wrong type', '{"userId":1}'],
  ['that is too large', `{"userId":"${'a'.repeat(17_000)}"}`],
  ['of a stranger', JSON.stringify({ userId: 'x', password: PASSWORD, platform: 'ios', deviceId: 'd' })],
  ['for the platform admin', JSON.stringify({ userId: 'x', password: PASSWORD, platform: 'admin', deviceId: 'd' })],
];

const FORMS: [what: string, text: string][] = [
  ['two tokens', 'token=a&token=b'],
  ['brackets', 'token[a]=b&token[]=c&[x]=y'],
  ['names of an object’s own parts', 'token=a&__proto__=b&constructor=c&hasOwnProperty=d'],
  ['percent signs that mean nothing', 'token=%zz&tenant=%E0%A4%A'],
  ['pluses and spaces', 'token=a+b c&tenant=%2B'],
  ['empty parts', '&&token=&=x&tenant'],
  ['signs beyond ASCII', 'token=é☃&tenant=%C3%A9'],
  ['very many parts', `token=a${'&b=c'.repeat(2000)}`],
  ['too large a body', `token=${'a'.repeat(17_000)}`],
];

const good = () => pairs(bearer(accessToken));

describe('by both ways the answer is the same', () => {
  it.each([
    '/validate',
    '/validate/',
    '/Validate',
    '//validate',
    '/validate?x=1',
    '/validate/default',
    '/validate/other',
    '/validate/%2A',
    '/validate/*',
    '/validate/%zz',
    '/validate/default/',
    '/validate/default/a/b?c=d',
    '/validate/%64efault/x',
    '/validates',
    `/validate/${'x'.repeat(129)}`,
  ])('to %s, by any method, with a good token and without', async (path) => {
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS']) {
      await expectSame({ method, path });
      await expectSame({ method, path, headers: good() });
    }
  });

  it('to /validate with an Authorization that is wrong in any way', async () => {
    for (const value of ['', 'Bearer', 'Bearer ', 'Basic abc', 'bearer  x.y.z ', `Bearer ${'x'.repeat(9000)}`]) {
      await expectSame({ method: 'GET', path: '/validate', headers: ['Authorization', value] });
    }
    await expectSame({ method: 'GET', path: '/validate', headers: [...good(), ...good()] });
  });

  it.each<[string, () => Partial<Sent>]>([
    ['a token', () => form(`token=${accessToken}`)],
    ['a token of another tenant', () => form(`token=${accessToken}&tenant=other`)],
    ['no body', () => ({ headers: pairs(asGateway) })],
    ['an empty body', () => form('')],
    ...FORMS.map(([what, text]): [string, () => Partial<Sent>] => [what, () => form(text)]),
    ['another media type', () => ({ ...json('{}'), headers: [...(json('{}').headers ?? []), ...pairs(asGateway)] })],
    ['another character set', () => form('token=a', 'Content-Type', 'application/x-www-form-urlencoded; charset=x')],
    ['nobody’s key', () => ({ ...form('token=a'), headers: (form('token=a').headers ?? []).slice(0, 4) })],
    [
      'a compressed body',
      () => {
        const body = gzipSync(`token=${accessToken}`);
        const type = ['Content-Type', 'application/x-www-form-urlencoded', 'Content-Encoding', 'gzip'];
        return { headers: [...type, 'Content-Length', String(body.length), ...pairs(asGateway)], body };
      },
    ],
  ])('to /introspect with %s', async (_what, sent) => {
    await expectSame({ method: 'POST', path: '/introspect', ...sent() });
  });

  it.each(['GET', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'])('to %s, where POST alone is taken', async (method) => {
    for (const path of ['/introspect', '/login', '/token/refresh', '/token', '/presence']) {
      await expectSame({ method, path });
    }
  });

  it.each(BODIES)('to /login and /token/refresh with a body %s', async (_what, text) => {
    for (const path of ['/login', '/token/refresh']) await expectSame({ method: 'POST', path, ...json(text) });
  });

  it('to /login in another character set or in chunks', async () => {
    await expectSame({ method: 'POST', path: '/login', ...json('{}', 'application/json; charset=utf-16') });
    await expectSame({ method: 'POST', path: '/login', ...json('{}', 'text/plain') });
    const headers = ['Content-Type', 'application/json', 'Transfer-Encoding', 'chunked'];
    await expectSame({ method: 'POST', path: '/login', headers, body: '{"userId":"ada"}' });
  });

  it.each([
    ['/admin/users/eve/tokens', 200],
    ['/admin/users/eve/tokens?tenant=other', 200],
    ['/admin/users/eve/tokens?tenant=a&tenant=b', 400],
    ['/admin/users/%E2%98%83/tokens', 200],
    ['/admin/users/%zz/tokens', 400],
    ['/admin/users/a%2Fb/tokens', 200],
    ['/admin/users//tokens', 404],
    ['/admin/users/eve/tokens/', 404],
  ])('to POST %s', async (path, status) => {
    const { headers = [], body = '' } = json('{"platform":"ios","deviceId":"d"}');
    const sent = { method: 'POST', path, body };
    // The first login has nobody to displace; from then on both ways do the same.
    await send(fast, { ...sent, headers: [...headers, ...pairs(asAdmin)] });
    const received = await expectSame({ ...sent, headers: [...headers, ...pairs(asAdmin)] });
    expect(received.status).toBe(status);
    await expectSame({ ...sent, headers: [...headers, ...pairs(asGateway)] });
  });
});

const inChunks = (sent: Pick<Sent, 'headers' | 'body'>): Pick<Sent, 'headers' | 'body'> => {
  const headers = sent.headers ?? [];
  const at = headers.indexOf('Content-Length');
  return { ...sent, headers: [...headers.slice(0, at), 'Transfer-Encoding', 'chunked', ...headers.slice(at + 2)] };
};

/** One that says its length is read by our own reader, one in chunks by Express'. */
describe('a body says the same whole and in chunks', () => {
  it.each(BODIES.filter(([, text]) => text !== ''))('of JSON %s', async (_what, text) => {
    const whole = await send(fast, { method: 'POST', path: '/login', ...json(text) });
    expect(await send(fast, { method: 'POST', path: '/login', ...inChunks(json(text)) })).toEqual(whole);
  });

  it.each(FORMS)('of a form with %s', async (_what, text) => {
    const whole = await send(fast, { method: 'POST', path: '/introspect', ...form(text) });
    expect(await send(fast, { method: 'POST', path: '/introspect', ...inChunks(form(text)) })).toEqual(whole);
  });

  it('that ends before its length costs nobody else anything', async () => {
    const headers = ['Content-Type', 'application/json', 'Content-Length', '100'];
    const { port } = new URL(fast.url);
    const cut = request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      path: '/login',
      headers: ['Host', 'x', ...headers],
    });
    cut.on('error', () => {});
    cut.write('{"userId":');
    await new Promise((resolve) => {
      fast.server.once('request', resolve);
    });
    cut.destroy();
    expect((await send(fast, { method: 'GET', path: '/validate' })).status).toBe(401);
  });
});

describe('what keeps browsers from making anything of an answer', () => {
  const PROTECTION = {
    'content-security-policy': "default-src 'none';frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'strict-transport-security': 'max-age=31536000; includeSubDomains',
  };

  it.each(['/validate', '/healthz', '/nowhere'])('goes with the body of %s', async (path) => {
    const { headers } = await expectSame({ method: 'GET', path });
    expect(headers).toMatchObject(PROTECTION);
    expect(headers).not.toHaveProperty('x-powered-by');
  });

  it('is left out where there is no body', async () => {
    const { status, headers } = await expectSame({ method: 'GET', path: '/validate', headers: good() });
    expect([status, headers['content-length']]).toEqual([200, '0']);
    for (const name of Object.keys(PROTECTION)) expect(headers).not.toHaveProperty(name);
  });
});

/** The id of an answer to a request that brought these: one header for each. */
const idFor = async (to: Service, ids: readonly string[]) =>
  (await to.api.get('/validate').set('X-Request-Id', ids as unknown as string)).headers['x-request-id'];

describe('the id that ties an answer to its line in the log', () => {
  it.each(['a', 'A-z_0.9', 'x'.repeat(64)])('is the one that came: %s', async (id) => {
    expect([await idFor(fast, [id]), await idFor(routed, [id])]).toEqual([id, id]);
  });

  it.each([[[]], [['']], [['a b']], [['x'.repeat(65)]], [['a', 'b']], [['a', 'a']]])(
    'is a new one for %j',
    async (ids) => {
      for (const to of [fast, routed]) expect(await idFor(to, ids)).toMatch(/^[\w-]{22}$/);
    },
  );
});
