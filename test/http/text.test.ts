/**
 * Text comes in as well-formed UTF-8 or not at all: a decoder that replaces what it cannot read would make one password,
 * and one user, of many. And no body has two meanings.
 */
import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { targetOf } from '../../src/http/target.ts';
import { asAdmin, asGateway, createUser, PASSWORD } from '../helpers/calls.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

type Answer = { readonly status: number; readonly code: string | undefined; readonly detail: string | undefined };

let service: Service;
beforeAll(async () => {
  service = await startService();
  await createUser(service, 'ada');
});
afterAll(closeServices);

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';

type Sent = {
  readonly method?: string;
  readonly path: string;
  readonly type?: string;
  readonly body?: Buffer | string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** Sends bytes as they are; supertest would make text of them. */
function send({ method = 'POST', path, type = JSON_TYPE, body = '', headers = {} }: Sent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = { 'content-type': type, authorization: asAdmin.authorization, ...headers };
    const sent = request(service.url + path, { method, headers: all }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        const { code, detail } = (text === '' ? {} : JSON.parse(text)) as { code?: string; detail?: string };
        resolve({ status: response.statusCode ?? 0, code, detail });
      });
    });
    sent.on('error', reject).end(body);
  });
}

/** `?` stands for the broken bytes. */
const broken = (text: string, bytes: readonly number[]): Buffer => {
  const [before = '', after = ''] = text.split('?');
  return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]);
};

const BROKEN: [what: string, bytes: number[]][] = [
  ['a byte of Latin-1', [0xe9]],
  ['half a character', [0xc3]],
  ['an overlong slash', [0xc0, 0xaf]],
  ['a surrogate', [0xed, 0xa0, 0x80]],
  ['a value beyond Unicode', [0xf5, 0x80, 0x80, 0x80]],
];

const LOGIN = { userId: 'ada', password: PASSWORD, platform: 'ios', deviceId: 'd1' };

describe('F33 bytes that are not UTF-8 are 400', () => {
  it.each(BROKEN)('%s in a JSON body, whole, in chunks or compressed', async (_what, bytes) => {
    for (const [path, text] of [
      ['/login', JSON.stringify({ ...LOGIN, password: 'pass?word' })],
      ['/admin/users', JSON.stringify({ userId: 'b?b', password: PASSWORD })],
      ['/presence', JSON.stringify({ tokens: [{ userId: '?', tokenId: 'x' }] })],
    ] as const) {
      const body = broken(text, bytes);
      const forms = [
        { body },
        { body, headers: { 'transfer-encoding': 'chunked' } },
        { body: gzipSync(body), headers: { 'content-encoding': 'gzip' } },
      ];
      for (const form of forms) {
        expect(await send({ path, ...form })).toMatchObject({ status: 400, detail: 'the body is not UTF-8' });
      }
    }
  });

  it.each(BROKEN)('%s in a form, as it is or percent-encoded', async (_what, bytes) => {
    for (const path of ['/introspect', '/revoke', '/token']) {
      for (const name of ['token=?', 'refresh_token=?', 'tenant=?', '?=x', 'x=?']) {
        const asBytes = await send({ path, type: FORM_TYPE, body: broken(`token=a&${name}`, bytes) });
        expect(asBytes).toMatchObject({ status: 400, detail: 'the body is not UTF-8' });
        const encoded = name.replace('?', bytes.map((byte) => `%${byte.toString(16)}`).join(''));
        const asText = await send({ path, type: FORM_TYPE, body: `token=a&${encoded}` });
        expect(asText).toMatchObject({ status: 400, detail: 'the body is not percent-encoded UTF-8' });
      }
    }
  });

  it.each(BROKEN)('%s in a query or a path', async (_what, bytes) => {
    const encoded = bytes.map((byte) => `%${byte.toString(16)}`).join('');
    for (const path of [
      `/admin/users?tenant=${encoded}`,
      `/admin/users?after=a${encoded}`,
      `/events?from=${encoded}`,
    ]) {
      const detail = 'the query is not percent-encoded UTF-8';
      expect(await send({ method: 'GET', path })).toMatchObject({ status: 400, code: 'invalid_request', detail });
    }
    const asked = [
      ['GET', `/admin/users/${encoded}`],
      ['GET', `/admin/tenants/a${encoded}`],
      ['POST', `/admin/users/a${encoded}/tokens`],
    ] as const;
    for (const [method, path] of asked) {
      const detail = 'the path is not percent-encoded UTF-8';
      expect(await send({ method, path, body: method === 'GET' ? '' : '{}' })).toMatchObject({
        status: 400,
        code: 'invalid_request',
        detail,
      });
    }
  });

  // Node.js refuses raw bytes since its parser llhttp 9; the older ones that Latchkey runs on hand them over as Latin-1.
  it('raw bytes in an address are the UTF-8 that they are, or 400', async () => {
    const name = 'josé';
    const misread = Buffer.from(name).toString('latin1');
    expect(targetOf(`/validate/${misread}?tenant=${misread}`)).toEqual({
      path: '/validate/jos%c3%a9',
      query: 'tenant=jos%c3%a9',
    });
    await Promise.all([name, misread].map((userId) => createUser(service, userId)));
    const ask = async (encoding: BufferEncoding) => {
      const client = await RawClient.to(service.url);
      const head = [`GET /admin/users/${name} HTTP/1.1`, 'Host: a', `Authorization: ${asAdmin.authorization}`, '', ''];
      client.socket.write(head.join('\r\n'), encoding);
      await client.untilAnswered();
      await client.close();
      return client;
    };
    expect((await ask('latin1')).statuses).toEqual([400]);
    const { statuses, received } = await ask('utf8');
    expect([200, 400]).toContain(statuses[0]);
    expect(received).not.toContain(misread);
  });

  it('and so are percent signs that stand for nothing', async () => {
    for (const query of ['tenant=50%', 'tenant=%zz', '%=a']) {
      expect(await send({ method: 'GET', path: `/admin/users?${query}` })).toMatchObject({ status: 400 });
    }
  });

  it('but what a proxy appends to /validate is no concern of ours', async () => {
    expect(await send({ method: 'GET', path: '/validate?x=%ff', type: '' })).toMatchObject({ status: 401 });
  });
});

describe('F33 half of a surrogate pair is no text', () => {
  const HALVES = [String.raw`\ud83d`, String.raw`\uDE00`, String.raw`\uD83D\uD83D`, String.raw`\ude00\ud83d`];
  const places: [place: string, sent: Omit<Sent, 'body'>, json: string][] = [
    ['userId', { path: '/login' }, JSON.stringify({ ...LOGIN, userId: 'a?' })],
    ['password', { path: '/login' }, JSON.stringify({ ...LOGIN, password: '?a' })],
    ['deviceProof', { path: '/login' }, JSON.stringify({ ...LOGIN, deviceProof: '?' })],
    ['password', { path: '/admin/users' }, JSON.stringify({ userId: 'bob', password: `${PASSWORD}?` })],
    ['refreshToken', { path: '/token/refresh' }, JSON.stringify({ refreshToken: 'a?' })],
    ['refreshToken', { path: '/logout', headers: {} }, JSON.stringify({ refreshToken: '?' })],
    ['tokens.0.connectionId', { path: '/presence' }, '{"tokens":[{"userId":"a","tokenId":"x","connectionId":"?"}]}'],
    ['policy', { path: '/admin/tenants/acme', method: 'PUT' }, '{"policy":"?"}'],
    ['webhook.url', { path: '/admin/tenants/acme', method: 'PUT' }, '{"webhook":{"url":"https://a.test/?"}}'],
    [
      'policy.limits.0.match.platforms.0',
      { path: '/admin/users/ada/policy', method: 'PUT' },
      '{"policy":{"name":"a","limits":[{"match":{"platforms":["?"]}}]}}',
    ],
    ['blocked.reason', { path: '/admin/users/ada', method: 'PATCH' }, '{"blocked":{"reason":"?"}}'],
  ];

  it.each(places)('in %s of %j', async (place, sent, json) => {
    for (const half of HALVES) {
      const answer = await send({ ...sent, body: json.replace('?', half) });
      const detail = `${place}: holds half of a surrogate pair, which is no text`;
      expect(answer).toEqual({ status: 400, code: 'invalid_request', detail });
    }
  });

  it('in the name of a member', async () => {
    const answer = await send({ path: '/login', body: String.raw`{"user\ud800Id":"ada"}` });
    expect(answer).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  it('but a whole pair is a character, and an escaped backslash is none', async () => {
    for (const text of [String.raw`\ud83d\ude00`, String.raw`\\ud83d`]) {
      const body = JSON.stringify({ ...LOGIN, userId: '?' }).replace('?', text);
      expect(await send({ path: '/login', body })).toMatchObject({ status: 401, code: 'invalid_credentials' });
    }
  });
});

describe('F12 the character set', () => {
  const SPELLINGS = ['utf-8', 'UTF-8', 'utf8', 'UTF8', '"utf-8"', '"utf8"'];

  it.each(SPELLINGS)('charset=%s is UTF-8, on JSON and on forms', async (charset) => {
    for (const type of [`; charset=${charset}`, `;charset=${charset}`, ` ; Charset=${charset} ; x=y`]) {
      const json = await send({
        path: '/login',
        type: JSON_TYPE + type,
        body: JSON.stringify({ ...LOGIN, userId: 'é' }),
      });
      expect(json).toMatchObject({ status: 401, code: 'invalid_credentials' });
      const form = await send({ path: '/introspect', type: FORM_TYPE + type, body: 'token=%C3%A9' });
      expect(form.status).toBe(200);
    }
  });

  it.each(['iso-8859-1', 'utf-16', 'utf-7', 'us-ascii', 'x', ''])(
    'charset=%s is 415, which says what is',
    async (charset) => {
      for (const [path, type] of [
        ['/login', JSON_TYPE],
        ['/introspect', FORM_TYPE],
      ] as const) {
        const answer = await send({ path, type: `${type}; charset=${charset}`, body: '{}' });
        expect(answer).toMatchObject({ status: 415, detail: 'expected charset=utf-8, or none' });
      }
    },
  );
});

describe('F5 a body has one meaning', () => {
  it.each([
    ['dryRun', `{"dryRun":true,"userId":"ada","dryRun":false}`],
    ['userId', `{"userId":"ada", "x":[{"userId":"bob"}],\n"userId" : "eve"}`],
    ['userId', String.raw`{"userId":"ada","user\u0049d":"eve"}`],
    ['a"b', String.raw`{"a\"b":{},"a\"b":{"a\"b":1}}`],
    ['\\', String.raw`{"\\":"\\\"","\\":1}`],
    ['', `{"":1,"":2}`],
  ])('%j that comes twice is 400 and is named', async (name, body) => {
    const answer = await send({ path: '/login', body });
    const detail = `${name}: comes twice in one object of the body`;
    expect(answer).toEqual({ status: 400, code: 'invalid_request', detail });
  });

  it('the same name in two objects is none twice, nor is one in a text', async () => {
    const tokens = [0, 1].map((index) => ({ userId: 'ada', tokenId: `x${index}`, connectionId: '{"a":1,"a":' }));
    const answer = await send({ path: '/presence', body: JSON.stringify({ tokens }), headers: asGateway });
    expect(answer.status).toBe(200);
  });

  it('and nests no deeper than any could', async () => {
    for (const depth of [100, 8000]) {
      const answer = await send({ path: '/login', body: `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}` });
      expect(answer).toMatchObject({ status: 400, detail: 'the body nests deeper than 32 levels' });
    }
  });
});
