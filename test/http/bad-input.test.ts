/**
 * Input that is wrong: bodies, media types, methods, paths, ids, tokens, headers. Each is a 4xx with its stable code;
 * nothing is stored, and nothing internal is told.
 */
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { base64url, generateKeyPair, SignJWT, UnsecuredJWT, decodeJwt, type JWTPayload } from 'jose';
import type { Response } from 'supertest';
import { parse } from 'yaml';
import {
  asAdmin,
  asGateway,
  bearer,
  createUser,
  everythingUnder,
  history,
  introspect,
  issue,
  listTokens,
  login,
  ownTokens,
  PASSWORD,
  refresh,
  validate,
} from '../helpers/calls.ts';
import {
  ADMIN_KEY,
  closeServices,
  GATEWAY_KEY,
  REFRESH_SECRET,
  startService,
  type Service,
} from '../helpers/service.ts';

type Operation = { requestBody?: { content: Record<string, unknown> }; parameters?: { in: string; name: string }[] };
const { paths } = parse(readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8')) as {
  paths: Record<string, Record<string, Operation>>;
};

let service: Service;
/** A user with a password and one token. */
let ada: Response;

beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
  await createUser(service, 'ada');
  ada = await login(service, 'ada');
});
afterAll(closeServices);

type Answer = { readonly status: number; readonly text: string; readonly body: { code?: string; requestId?: string } };

/** Makes a call that must be refused so, and looks that it stored nothing and told nothing internal. */
async function refused(status: number, code: string, call: () => Promise<Answer>): Promise<Answer> {
  const before = await everythingUnder(service);
  const answer = await call();
  const problem = answer.body.code === code ? '' : answer.text;
  expect([answer.status, answer.body.code, problem]).toEqual([status, code, '']);
  // Its id is random and may spell any short word.
  expect(answer.text.replace(answer.body.requestId ?? '', '')).not.toMatch(
    /\bat \S+ \(|\.[tj]s\b|node_modules|\/src\/|Error:|[Rr]edis|Zod/,
  );
  for (const secret of [ADMIN_KEY, GATEWAY_KEY, REFRESH_SECRET, PASSWORD]) expect(answer.text).not.toContain(secret);
  expect(await everythingUnder(service)).toEqual(before);
  return answer;
}

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type BodyCall = {
  readonly operation: string;
  readonly path: string;
  readonly method: Method;
  readonly headers: Readonly<Record<string, string>>;
  readonly json: boolean;
  /** A body that the endpoint takes. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Fields of it, and one value of a wrong type or form each. */
  readonly wrong: readonly (readonly [field: string, value: unknown])[];
};

const LOGIN_FIELDS = { platform: 'ios', deviceId: 'd1', deviceName: 'phone', dryRun: false, evict: [] };
const WRONG_LOGIN_FIELDS = [
  ['platform', 42],
  ['platform', undefined],
  ['platform', ['ios']],
  ['platform', 'IOS!'],
  ['deviceId', {}],
  ['deviceId', ''],
  ['deviceId', undefined],
  ['deviceName', 42],
  ['dryRun', 'yes'],
  ['evict', 'token'],
  ['evict', [42]],
  ['evict', ['../../x']],
  ['evict', Array.from({ length: 101 }, () => 'a')],
] as const;

const calls: readonly BodyCall[] = [
  {
    operation: 'post /login',
    path: '/login',
    method: 'post',
    headers: {},
    json: true,
    body: { userId: 'ada', password: PASSWORD, tenant: 'default', ...LOGIN_FIELDS },
    wrong: [
      ['userId', 42],
      ['userId', null],
      ['userId', undefined],
      ['password', undefined],
      ['password', ['x']],
      ['password', 'x'.repeat(1025)],
      ['tenant', false],
      ['tenant', ''],
      ...WRONG_LOGIN_FIELDS,
    ],
  },
  {
    operation: 'post /admin/users/{userId}/tokens',
    path: '/admin/users/ada/tokens',
    method: 'post',
    headers: asAdmin,
    json: true,
    body: LOGIN_FIELDS,
    wrong: WRONG_LOGIN_FIELDS,
  },
  {
    operation: 'post /token/refresh',
    path: '/token/refresh',
    method: 'post',
    headers: {},
    json: true,
    body: { refreshToken: 'x' },
    wrong: [
      ['refreshToken', 42],
      ['refreshToken', ''],
      ['refreshToken', undefined],
      ['refreshToken', 'x'.repeat(5000)],
    ],
  },
  {
    operation: 'post /logout',
    path: '/logout',
    method: 'post',
    headers: {},
    json: true,
    body: { scope: 'this', refreshToken: 'x' },
    wrong: [
      ['scope', 'everything'],
      ['scope', 1],
      ['refreshToken', {}],
    ],
  },
  {
    operation: 'post /introspect',
    path: '/introspect',
    method: 'post',
    headers: asGateway,
    json: false,
    body: { token: 'x', tenant: 'default' },
    wrong: [
      ['token', ['x', 'y']],
      ['token', ''],
      ['token', undefined],
      ['tenant', ''],
      ['tenant', ['a', 'b']],
    ],
  },
  {
    operation: 'post /revoke',
    path: '/revoke',
    method: 'post',
    headers: asGateway,
    json: false,
    body: { token: 'x' },
    wrong: [
      ['token', ['x', 'y']],
      ['token', ''],
      ['token', undefined],
    ],
  },
  {
    operation: 'post /admin/users',
    path: '/admin/users',
    method: 'post',
    headers: asAdmin,
    json: true,
    body: { userId: 'new', password: PASSWORD },
    wrong: [
      ['userId', 42],
      ['userId', ''],
      ['userId', undefined],
      ['password', 'short'],
      ['password', 'x'.repeat(257)],
      ['password', undefined],
      ['password', { length: 20 }],
    ],
  },
  {
    operation: 'patch /admin/users/{userId}',
    path: '/admin/users/ada',
    method: 'patch',
    headers: asAdmin,
    json: true,
    body: { password: PASSWORD, blocked: { reason: 'fraud' } },
    wrong: [
      ['password', 'short'],
      ['password', null],
      ['blocked', true],
      ['blocked', 'for ever'],
      ['blocked', { until: 'tomorrow' }],
      ['blocked', { until: 4_102_444_800 }],
      ['blocked', { until: '9999-12-31T23:59:59-12:00' }],
      ['blocked', { reason: 'a\nb' }],
    ],
  },
  {
    operation: 'post /token',
    path: '/token',
    method: 'post',
    headers: {},
    json: false,
    body: { grant_type: 'refresh_token', refresh_token: 'x' },
    wrong: [
      ['grant_type', ['refresh_token', 'password']],
      ['refresh_token', ['x', 'y']],
    ],
  },
  {
    operation: 'post /presence',
    path: '/presence',
    method: 'post',
    headers: asGateway,
    json: true,
    body: { tokens: [{ userId: 'ada', tokenId: 'x' }], release: false },
    wrong: [
      ['tokens', undefined],
      ['tokens', []],
      ['tokens', [{ userId: 'ada' }]],
      ['tokens', [{ userId: 'a\u0000b', tokenId: 'x' }]],
      ['tokens', Array.from({ length: 1001 }, () => ({ userId: 'ada', tokenId: 'x' }))],
      ['release', 'yes'],
    ],
  },
  {
    operation: 'put /admin/tenants/{tenant}',
    path: '/admin/tenants/acme',
    method: 'put',
    headers: asAdmin,
    json: true,
    body: { policy: 'single-device' },
    wrong: [
      ['policy', 'no-such-policy'],
      ['policy', 42],
      ['ttl', { accessSeconds: 1 }],
      ['presence', { leaseSeconds: 60 }],
      ['war', { maxDisplacements: 0, windowSeconds: 60 }],
      ['webhook', 'https://receiver.test/'],
      ['webhook', {}],
      ['webhook', { url: 'ftp://receiver.test/' }],
      ['webhook', { url: 'receiver.test' }],
      ['webhook', { url: 'https://ada:secret@receiver.test/' }],
      ['webhook', { url: 'https://receiver.test/#part' }],
      ['webhook', { url: `https://receiver.test/${'x'.repeat(2048)}` }],
      ['webhook', { url: 'https://receiver.test/', types: [] }],
      ['webhook', { url: 'https://receiver.test/', types: ['token.nonsense'] }],
      ['webhook', { url: 'https://receiver.test/', secret: 'x' }],
    ],
  },
  {
    operation: 'put /admin/users/{userId}/policy',
    path: '/admin/users/ada/policy',
    method: 'put',
    headers: asAdmin,
    json: true,
    body: { policy: 'single-device' },
    wrong: [
      ['policy', undefined],
      ['policy', 'no-such-policy'],
      ['policy', { name: 'mine' }],
    ],
  },
  {
    operation: 'post /admin/policies/simulate',
    path: '/admin/policies/simulate',
    method: 'post',
    headers: asAdmin,
    json: true,
    body: { policy: 'single-device', tokens: [], login: { platform: 'ios', deviceId: 'd1' } },
    wrong: [
      ['policy', 'no-such-policy'],
      ['tokens', [{ tokenId: 'x' }]],
      ['login', undefined],
      ['login', { platform: 'ios' }],
    ],
  },
];

/** How the schema library would tell a fault. */
const LIBRARY_WORDS =
  /[Ii]nvalid (input|option|string)|received|[Uu]nrecognized|Too (big|small)|pattern|undefined|>=|<=/;

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';

function send({ path, method, headers, json }: BodyCall, text: string, type = json ? JSON_TYPE : FORM_TYPE) {
  return service.api[method](path).set(headers).set('content-type', type).send(text);
}

function encode(call: BodyCall, body: Readonly<Record<string, unknown>>): string {
  if (call.json) return JSON.stringify(body);
  const pairs = Object.entries(body).flatMap(([name, value]) =>
    [value as string | string[] | undefined]
      .flat()
      .flatMap((one: string | undefined) => (one === undefined ? [] : [[name, one]])),
  );
  return new URLSearchParams(pairs as [string, string][]).toString();
}

function briefly(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 40);
}

/** Than POST /presence, which takes the longest bodies. */
const MORE_THAN_ANY = 6_000_000;

const byOperation = calls.map((call) => [call.operation, call] as const);

describe('the tables of this file', () => {
  it('have every endpoint of openapi.yaml that takes a body', () => {
    const declared = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { requestBody }]) => (requestBody ? [`${method} ${path}`] : [])),
    );
    expect(calls.map(({ operation }) => operation).toSorted()).toEqual(declared.toSorted());
  });
});

describe('a body', () => {
  it.each(byOperation.filter(([, { json }]) => json))('%s: malformed JSON is 400', async (_operation, call) => {
    for (const text of ['{', '{"a":}', "{'a':1}", 'null', '42', '"text"', '{"a":1}}', '\u0000', '[1,2']) {
      await refused(400, 'invalid_request', async () => send(call, text));
    }
  });

  it.each(byOperation)('%s: a list is not a body', async (operation, call) => {
    if (!call.json || operation === 'post /logout') return;
    await refused(400, 'invalid_request', async () => send(call, '[]'));
  });

  it.each(
    calls.flatMap((call) =>
      call.wrong.map(([field, value]) => [call.operation, field, briefly(value), value, call] as const),
    ),
  )('%s: %s of %s is 400 and names the field', async (_operation, field, _briefly, value, call) => {
    const answer = await refused(400, 'invalid_request', async () =>
      send(call, encode(call, { ...call.body, [field]: value })),
    );
    expect((answer.body as { detail?: string }).detail).toContain(field);
    expect((answer.body as { detail?: string }).detail).not.toMatch(LIBRARY_WORDS);
  });

  it.each(byOperation)('%s: more than any endpoint takes is 413', async (_operation, call) => {
    const big = encode(call, { ...call.body, padding: 'x'.repeat(MORE_THAN_ANY) });
    await refused(413, 'payload_too_large', async () => send(call, big));
  });

  it.each(byOperation.filter(([, { headers }]) => headers === asAdmin || headers === asGateway))(
    '%s: without a key it is 401, and the body is not looked at',
    async (_operation, call) => {
      for (const text of ['{', 'x'.repeat(MORE_THAN_ANY)]) {
        await refused(401, 'unauthorized', async () => send({ ...call, headers: {} }, text));
      }
    },
  );

  it.each(byOperation)('%s: another media type is 415', async (_operation, call) => {
    const types = ['text/plain', 'multipart/form-data', 'application/xml', call.json ? FORM_TYPE : JSON_TYPE];
    for (const type of types) {
      await refused(415, 'unsupported_media_type', async () => send(call, encode(call, call.body), type));
    }
  });

  it.each(byOperation)('%s: an unknown encoding is 415, a broken one 400', async (_operation, call) => {
    const encoded = async (encoding: string) => send(call, encode(call, call.body)).set('content-encoding', encoding);
    await refused(415, 'unsupported_media_type', () => encoded('rot13'));
    await refused(400, 'invalid_request', () => encoded('gzip'));
  });
});

function statusOfEmpty(path: string, headers: Record<string, string>, method = 'POST'): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(service.url + path, { method, headers }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    // Without a length node would announce chunks.
    call.useChunkedEncodingByDefault = false;
    call.on('error', reject).end();
  });
}

describe('no body at all', () => {
  const json = { 'content-type': 'application/json' };
  it.each<[Record<string, string>]>([
    [{}],
    [{ 'content-length': '0' }],
    [{ 'content-length': '0', ...json }],
    [{ 'transfer-encoding': 'chunked', ...json }],
  ])('with %j is as good as {} where nothing is required, and no more', async (headers) => {
    const { body } = await issue(service, 'no-body');
    expect(await statusOfEmpty('/logout', { ...bearer(body.accessToken), ...headers })).toBe(200);
    expect(await statusOfEmpty('/login', headers)).toBe(400);
    // There {} takes back all rules.
    const rules = await service.api.put('/admin/tenants/no-body').set(asAdmin).send({ policy: 'single-device' });
    expect(await statusOfEmpty('/admin/tenants/no-body', { ...asAdmin, ...headers }, 'PUT')).toBe(400);
    expect((await service.api.get('/admin/tenants/no-body').set(asAdmin)).body.version).toBe(rules.body.version);
  });
});

/** A body that is good where the path and the query are. */
function bodyFor(method: Method, path: string): object {
  if (method === 'put') return path.includes('/policy') ? { policy: 'single-device' } : {};
  return path.includes('policies/simulate')
    ? { policy: 'single-device', tokens: [], login: { platform: 'ios', deviceId: 'd1' } }
    : { userId: 'new', password: PASSWORD, ...LOGIN_FIELDS };
}

/** All that comes back for these bytes, until the server hangs up. */
function answerTo(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    socket.on('error', reject).on('close', () => resolve(answer));
    socket.write(bytes);
  });
}

it.each([
  ['no HTTP', 400, 'nonsense\r\n\r\n'],
  ['another Expect', 417, 'GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nConnection: close\r\n\r\n'],
  ['17 KB of headers', 431, `GET /healthz HTTP/1.1\r\nHost: a\r\nX-Large: ${'x'.repeat(17_000)}\r\n\r\n`],
])('%s is answered with %i and no body', async (_what, status, bytes) => {
  const [head = '', body = ''] = (await answerTo(bytes)).split('\r\n\r\n');
  expect([head.split(' ')[1], body.replace(/^0\r\n$|^0$/, '')]).toEqual([String(status), '']);
});

const fill = (path: string) => path.replaceAll(/\{(\w+)\}/g, 'some-$1');

describe('a path', () => {
  const METHODS: readonly Method[] = ['get', 'post', 'put', 'patch', 'delete'];
  const wrongMethods = Object.entries(paths)
    .filter(([path]) => !path.startsWith('/validate'))
    .flatMap(([path, operations]) =>
      METHODS.filter((method) => operations[method] === undefined).map((method) => [method, path] as const),
    );

  it.each(wrongMethods)('%s %s is 405, and Allow says what is', async (method, path) => {
    const answer = (await refused(405, 'method_not_allowed', async () => service.api[method](fill(path)))) as Response;
    const declared = Object.keys(paths[path] ?? {}).map((name) => name.toUpperCase());
    const allowed = String(answer.headers['allow']).split(', ');
    expect(allowed.toSorted()).toEqual([...declared, ...(declared.includes('GET') ? ['HEAD'] : [])].toSorted());
  });

  it.each(['/', '/nowhere', '/login/x', '/admin', '/admin/users/ada/nothing', '/tokens/a/b', '/.env', '/validatex'])(
    '%s is 404 for every method',
    async (path) => {
      for (const method of METHODS) await refused(404, 'not_found', async () => service.api[method](path));
    },
  );

  it.each(['/admin/users/%', '/tokens/%E0%A4%A', '/validate/%ff', '/admin/users/%ED%A0%80/tokens'])(
    '%s, which is not percent-encoding of UTF-8, is 400',
    async (path) => {
      await refused(400, 'invalid_request', async () =>
        service.api.get(path).set(path.startsWith('/tokens') ? {} : asAdmin),
      );
    },
  );
});

// A lone surrogate has no percent-encoding of its own; what stands for it is not UTF-8.
const percent = (text: string) => (text.isWellFormed() ? encodeURIComponent(text) : '%ED%A0%BD');

describe('an id', () => {
  const BAD: readonly (readonly [what: string, text: string])[] = [
    ['10 000 characters', 'x'.repeat(10_000)],
    ['129 characters', 'x'.repeat(129)],
    ['129 emoji', '🦊'.repeat(129)],
    ['NUL', 'a\u0000b'],
    ['a unit separator', 'a\u001Fb'],
    ['a line break', 'a\r\nX-Injected: 1'],
    ['DEL', 'a\u007Fb'],
    ['a C1 control', 'a\u0085b'],
    ['a lone high surrogate', 'a\uD83D'],
    ['a lone low surrogate', '\uDE00a'],
  ];
  const FIELDS = ['userId', 'tenant', 'deviceId', 'deviceName'];
  const inBody = FIELDS.flatMap((field) => BAD.map(([what, text]) => [field, what, text] as const));

  it.each(inBody)('in %s of a login: %s is 400', async (field, _what, text) => {
    const call = calls[0] as BodyCall;
    await refused(400, 'invalid_request', async () => send(call, JSON.stringify({ ...call.body, [field]: text })));
  });

  /** Every call with an id in its path or query; `%` stands for the id. */
  const places = [
    'post /admin/users?tenant=%',
    'get /admin/users?tenant=%',
    'get /admin/users?after=%',
    'get /admin/users/%',
    'get /admin/users/ada?tenant=%',
    'patch /admin/users/%',
    'patch /admin/users/ada?tenant=%',
    'delete /admin/users/%',
    'delete /admin/users/ada?tenant=%',
    'post /admin/users/%/tokens',
    'post /admin/users/ada/tokens?tenant=%',
    'get /admin/users/%/tokens',
    'get /admin/users/ada/tokens?tenant=%',
    'get /admin/users/ada/tokens?platform=%',
    'get /admin/users/ada/tokens?class=%',
    'get /admin/users/ada/tokens?state=%',
    'delete /admin/users/%/tokens',
    'delete /admin/users/ada/tokens?tenant=%',
    'delete /admin/users/ada/tokens?platform=%',
    'delete /admin/users/ada/tokens?class=%',
    'delete /admin/users/ada/tokens?reason=%',
    'delete /admin/users/%/tokens/abc',
    'delete /admin/users/ada/tokens/%',
    'delete /admin/users/ada/tokens/abc?tenant=%',
    'delete /admin/users/ada/tokens/abc?reason=%',
    'get /admin/users/%/history',
    'get /admin/users/ada/history?tenant=%',
    'get /events?from=%',
    'get /events?tenant=%',
    'get /events?types=%',
    'get /events?ends=%',
    'get /admin/blocks?tenant=%',
    'get /admin/blocks?after=%',
    'put /admin/users/%/policy',
    'put /admin/users/ada/policy?tenant=%',
    'delete /admin/users/%/policy',
    'delete /admin/users/ada/policy?tenant=%',
    'delete /admin/users/%/locks',
    'delete /admin/users/ada/locks?tenant=%',
    'get /admin/tenants/%',
    'get /admin/tenants/ada?userId=%',
    'put /admin/tenants/%',
    'get /admin/tenants/%/webhook',
    'post /admin/policies/simulate?tenant=%',
    'delete /tokens/%',
    'get /validate/%',
  ];

  it('is tried in every path and query that openapi.yaml declares', () => {
    const declared = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { parameters = [] }]) =>
        parameters.flatMap(({ in: where, name }) => {
          if (where === 'header') return [];
          if (where === 'query') return `${method} ${path.replaceAll(/\{\w+\}/g, '*')}?${name}=%`;
          return `${method} ${path.replace(`{${name}}`, '%').replaceAll(/\{\w+\}/g, '*')}`;
        }),
      ),
    );
    const tried = places.map((place) => place.replace(/\/ada\b/, '/*').replace(/\/abc\b/, '/*'));
    expect(tried.toSorted()).toEqual(declared.filter((place) => !place.includes('?limit=')).toSorted());
  });

  it.each(places)('%s: every bad one is 400', async (place) => {
    const [method, path] = place.split(' ') as [Method, string];
    const headers = /^\/(admin|events)/.test(path) ? asAdmin : bearer(ada.body.accessToken);
    for (const [, text] of BAD) {
      if (!text.isWellFormed() && path.includes('?')) continue;
      await refused(400, 'invalid_request', async () => {
        const call = service.api[method](path.replace('%', percent(text))).set(headers);
        return method === 'get' || method === 'delete' ? call : call.send(bodyFor(method, path));
      });
    }
  });

  const namingTenants = places.filter(
    (place) => /\?tenant=%|\/tenants\/%/.test(place) && !place.startsWith('get /events'),
  );
  it.each(namingTenants)('%s: no tenant is named `*`, which means any', async (place) => {
    const [method, path] = place.split(' ') as [Method, string];
    const answer = await refused(400, 'invalid_request', async () => {
      const call = service.api[method](path.replace('%', '*')).set(asAdmin);
      return method === 'get' || method === 'delete' ? call : call.send(bodyFor(method, path));
    });
    expect((answer.body as { detail?: string }).detail).toContain('tenant: "*" means any tenant');
  });

  it.each([
    ['POST /login', () => login(service, 'ada', { tenant: '*' })],
    [
      'POST /presence',
      () =>
        service.api
          .post('/presence')
          .set(asGateway)
          .send({ tokens: [{ tenant: '*', userId: 'ada', tokenId: 'x' }] }),
    ],
  ])('%s: no tenant is named `*` in a body either', async (_place, call) => {
    const answer = await refused(400, 'invalid_request', async () => call());
    expect((answer.body as { detail?: string }).detail).toContain('tenant: "*" means any tenant');
  });

  it.each(['0', '101', '-1', '1.5', 'many', ''])('limit=%s is 400', async (limit) => {
    await refused(400, 'invalid_request', async () => service.api.get(`/admin/users?limit=${limit}`).set(asAdmin));
  });

  it('that comes twice in a query is 400', async () => {
    await refused(400, 'invalid_request', async () => service.api.get('/admin/users?tenant=a&tenant=b').set(asAdmin));
  });

  it.each([
    ['POST /login', () => login(service, 'ada', { platform: 'tv' })],
    ['trusted issuance', () => issue(service, 'ada', { platform: 'tv' })],
    ['the list of tokens', () => listTokens(service, 'ada', '?platform=tv')],
  ])('of an unknown platform is 400 and names the valid ones: %s', async (_what, call) => {
    const answer = await refused(400, 'invalid_request', call);
    expect((answer.body as { detail?: string }).detail).toMatch(/valid: ios, android, .*harmonyos/);
  });

  it('may be emoji and any script, and comes back as it was', async () => {
    const [userId, tenant] = ['🦊 ада/ü:{x}%41', '租户 ☃'];
    const device = { deviceId: '📱\u200D1', deviceName: '👩🏽\u200D💻 Ada’s ноутбук' };
    const { body } = await issue(service, userId, { platform: 'macos', ...device }, tenant);
    const expected = { userId, tenant, ...device };
    expect(body.token).toMatchObject(expected);
    expect((await ownTokens(service, body.accessToken)).body.tokens).toMatchObject([expected]);
    expect((await introspect(service, body.accessToken, tenant)).body).toMatchObject({
      sub: userId,
      tenant,
      device_id: device.deviceId,
    });
    const told = await service.api
      .get(`/admin/users/${encodeURIComponent(userId)}/history?tenant=${encodeURIComponent(tenant)}`)
      .set(asAdmin);
    expect(told.body.events).toMatchObject([{ userId, tenant, by: { deviceName: device.deviceName } }]);
    expect((await refresh(service, body.refreshToken)).body.token).toMatchObject(expected);
    expect((await issue(service, '🦊'.repeat(128))).status).toBe(200);
  });

  it('of `__proto__` and its like is a text like any other', async () => {
    for (const userId of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const { status, body } = await issue(service, userId, { deviceId: '__proto__', deviceName: 'constructor' });
      expect([status, body.token?.userId]).toEqual([200, userId]);
      expect((await validate(service, body.accessToken)).headers['x-auth-user']).toBe(userId);
    }
    for (const platform of ['__proto__', 'constructor', 'toString']) {
      await refused(400, 'invalid_request', () => issue(service, 'ada', { platform }));
    }
  });
});

describe('`__proto__` in a body', () => {
  it('is refused as any unknown name is', async () => {
    const text = `{"__proto__":{"userId":"ada","polluted":1,"platform":"admin"},"constructor":{"prototype":{"polluted":1}},`;
    const fields = `"platform":"web","deviceId":"d2","dryRun":true}`;
    const answer = await refused(400, 'invalid_request', async () =>
      service.api
        .post('/admin/users/ada/tokens')
        .set(asAdmin)
        .set('content-type', JSON_TYPE)
        .send(text + fields),
    );
    expect((answer.body as { detail?: string }).detail).toContain('body: unknown "__proto__", "constructor"; valid:');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    const noUser = `${text}"password":"${PASSWORD}",${fields}`;
    await refused(400, 'invalid_request', async () =>
      service.api.post('/login').set('content-type', JSON_TYPE).send(noUser),
    );
  });

  it('gives a form or a query no field', async () => {
    await refused(400, 'invalid_request', async () =>
      service.api.post('/introspect').set(asGateway).type('form').send('__proto__[token]=x&__proto__=token'),
    );
    await refused(400, 'invalid_request', async () =>
      service.api.get('/admin/users?__proto__[limit]=1&__proto__=limit').set(asAdmin),
    );
  });
});

const signed = (claims: JWTPayload, header: object) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', ...header }).sign(service.signingKeys.privateKey);
const soon = () => Math.floor(service.store.now() / 1000) + 600;

function genuine() {
  const header = { alg: 'EdDSA', typ: 'at+jwt', kid: service.signingKeys.kid };
  return { payload: decodeJwt(ada.body.accessToken), header };
}

describe('an access token that is not ours', () => {
  type Forge = (claims: JWTPayload, header: { alg: string; typ: string; kid: string }) => Promise<string>;

  const forgeries: readonly (readonly [what: string, code: string, forge: Forge])[] = [
    ['alg none', 'token_invalid', async (claims) => new UnsecuredJWT(claims).encode()],
    [
      'alg none with our header',
      'token_invalid',
      async (claims, header) =>
        [{ ...header, alg: 'none' }, claims]
          .map((part) => base64url.encode(JSON.stringify(part)))
          .join('.')
          .concat('.'),
    ],
    [
      'a foreign key under our kid',
      'token_invalid',
      async (claims, header) => {
        const { privateKey } = await generateKeyPair('EdDSA');
        return new SignJWT(claims).setProtectedHeader(header).sign(privateKey);
      },
    ],
    [
      'a foreign key under its own kid',
      'token_invalid',
      async (claims, header) => {
        const { privateKey } = await generateKeyPair('EdDSA');
        return new SignJWT(claims).setProtectedHeader({ ...header, kid: 'foreign' }).sign(privateKey);
      },
    ],
    [
      'our public key as an HMAC secret',
      'token_invalid',
      async (claims, header) => {
        const secret = base64url.decode(String(service.signingKeys.jwks.keys[0]?.x));
        return new SignJWT(claims).setProtectedHeader({ ...header, alg: 'HS256' }).sign(secret);
      },
    ],
    ['expired', 'token_expired', (claims, header) => signed({ ...claims, exp: soon() - 1200 }, header)],
    ['nbf in the future', 'token_invalid', (claims, header) => signed({ ...claims, nbf: soon() }, header)],
    ['wrong iss', 'token_invalid', (claims, header) => signed({ ...claims, iss: 'http://other.test' }, header)],
    ['wrong aud', 'token_invalid', (claims, header) => signed({ ...claims, aud: 'other' }, header)],
    ['wrong typ', 'token_invalid', (claims, header) => signed(claims, { ...header, typ: 'JWT' })],
    ['no sid', 'token_invalid', ({ sid: _sid, ...claims }, header) => signed(claims, header)],
    ['sid of another type', 'token_invalid', (claims, header) => signed({ ...claims, sid: 42 }, header)],
    ['another user’s sub', 'token_unknown', (claims, header) => signed({ ...claims, sub: 'eve' }, header)],
    ['a changed signature', 'token_invalid', async () => `${ada.body.accessToken.slice(0, -10)}AAAAAAAAAA`],
    ['a cut one', 'token_malformed', async () => ada.body.accessToken.split('.').slice(0, 2).join('.')],
    ['no JWT', 'token_malformed', async () => 'x'.repeat(40)],
    ['9 000 characters', 'token_malformed', async () => 'x'.repeat(9000)],
    ['a refresh token', 'token_malformed', async () => ada.body.refreshToken],
  ];

  it('would be good with our key and claims', async () => {
    const { payload, header } = genuine();
    expect((await validate(service, await signed(payload, header))).status).toBe(200);
  });

  it.each(forgeries)('%s is 401 %s', async (_what, code, forge) => {
    const { payload, header } = genuine();
    const token = await forge(payload, header);
    await refused(401, code, () => validate(service, token));
    await refused(401, code, () => ownTokens(service, token));
    await refused(401, code, async () => service.api.post('/logout').set(bearer(token)).send({}));
    await refused(401, code, async () => service.api.delete('/tokens/abc').set(bearer(token)));
    expect((await introspect(service, token)).body).toEqual({ active: false, reason: code });
  });

  it.each(['', 'Bearer', 'Bearer ', 'Basic eDp5', 'bearer a b', 'Token x', '\u00FF'])(
    'an Authorization header of %j is 401',
    async (authorization) => {
      for (const path of ['/validate', '/tokens']) {
        await refused(401, 'token_malformed', async () => service.api.get(path).set({ authorization }));
      }
    },
  );
});

/** Sends headers exactly as given, which clients of a higher level do not. */
function raw(method: string, path: string, authorizations: readonly string[]): Promise<Answer> {
  const { host } = new URL(service.url);
  const type = path === '/introspect' ? FORM_TYPE : JSON_TYPE;
  const headers = ['Host', host, 'Content-Type', type, ...authorizations.flatMap((value) => ['Authorization', value])];
  return new Promise((resolve, reject) => {
    const call = httpRequest(service.url + path, { method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, text, body: text === '' ? {} : (JSON.parse(text) as object) });
      });
    });
    call.on('error', reject).end();
  });
}

describe('two Authorization headers', () => {
  it.each([
    ['GET', '/validate', 401, 'token_malformed', () => bearer(ada.body.accessToken).authorization],
    ['GET', '/tokens', 400, 'invalid_request', () => bearer(ada.body.accessToken).authorization],
    ['DELETE', '/tokens/abc', 400, 'invalid_request', () => bearer(ada.body.accessToken).authorization],
    // Neither counts, and there is no refresh token in the body to give way to.
    ['POST', '/logout', 401, 'token_malformed', () => bearer(ada.body.accessToken).authorization],
    ['POST', '/introspect', 400, 'invalid_request', () => asGateway.authorization],
    ['GET', '/admin/users', 400, 'invalid_request', () => asAdmin.authorization],
    ['DELETE', '/admin/users/ada/tokens', 400, 'invalid_request', () => asAdmin.authorization],
  ])('%s %s is %i %s, whichever is the good one', async (method, path, status, code, good) => {
    for (const pair of [
      [good(), 'Bearer x'],
      ['Bearer x', good()],
      [good(), good()],
    ]) {
      await refused(status, code, () => raw(method, path, pair));
    }
  });

  it('one alone would do', async () => {
    expect((await raw('GET', '/validate', [`Bearer ${ada.body.accessToken}`])).status).toBe(200);
    expect((await raw('GET', '/admin/users', [asAdmin.authorization])).status).toBe(200);
  });
});

const locator = (parts: unknown) => base64url.encode(JSON.stringify(parts));

describe('a refresh token that is not ours', () => {
  it.each([
    ['no refresh token', 'nonsense', 'token_malformed'],
    ['an access token', 'e30.e30.e30', 'token_malformed'],
    ['a locator that is no JSON', `lkr1.${base64url.encode('{')}.AAAA`, 'token_malformed'],
    ['a locator of numbers', `lkr1.${locator([1, 2, 3, 4])}.AAAA`, 'token_malformed'],
    ['a generation of 0', `lkr1.${locator(['default', 'ada', 'x', 0])}.AAAA`, 'token_malformed'],
    ['a generation that is no number', `lkr1.${locator(['default', 'ada', 'x', '1'])}.AAAA`, 'token_malformed'],
    ['a lone surrogate', `lkr1.${base64url.encode('["default","a\\ud800","x",1]')}.AAAA`, 'token_malformed'],
    ['a token that is not on record', `lkr1.${locator(['default', 'ada', 'x', 1])}.AAAA`, 'token_unknown'],
    ['a field of the hash as tokenId', `lkr1.${locator(['default', 'ada', ':v', 1])}.AAAA`, 'token_malformed'],
    ['2 500 characters', `lkr1.${'x'.repeat(2500)}.AAAA`, 'token_malformed'],
  ])('%s is 401', async (_what, text, code) => {
    await refused(401, code, () => refresh(service, text));
    await refused(401, code, async () => service.api.post('/logout').send({ refreshToken: text }));
  });
});

describe('the history of a user', () => {
  it('has heard of none of this', async () => {
    const { body } = await history(service, 'ada');
    expect(body.events).toMatchObject([{ type: 'token.issued', tokenId: ada.body.token.tokenId }]);
  });
});
