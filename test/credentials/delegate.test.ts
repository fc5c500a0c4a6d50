/**
 * CREDENTIALS=delegate against a real HTTP server: only its clear yes is a login, only its clear no a wrong password,
 * and the password shows up nowhere else.
 */
import { createHmac } from 'node:crypto';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { ConfigError, loadConfig } from '../../src/config.ts';
import { LatchkeyError } from '../../src/contract/errors.ts';
import { createDelegate } from '../../src/credentials/delegate.ts';
import { asAdmin, changeUser, issue, login, statesOf, verdict } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService } from '../helpers/service.ts';

const SECRET = 'secret-shared-with-the-user-service-0123456789';
const PASSWORD = 'hunter2-hunter2';
const NOW = Date.UTC(2026, 0, 1, 12);
const ADA = { tenant: 'default', userId: 'ada', ip: '198.51.100.7' };

const servers: Server[] = [];
afterAll(async () => {
  await closeServices();
  for (const server of servers) server.closeAllConnections();
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
});

async function listen(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/check`;
}

type Asked = {
  readonly method: string | undefined;
  readonly type: string | undefined;
  readonly timestamp: string;
  readonly signed: boolean;
  readonly body: { tenant: string; userId: string; password: string };
};

/** A user service that checks signatures as the README says, notes what it is asked, and answers by `reply`. */
type UserService = { url: string; asked: Asked[]; reply: (response: ServerResponse, asked: Asked) => void };

async function startUserService(reply: UserService['reply']): Promise<UserService> {
  const service: UserService = { url: '', asked: [], reply };
  service.url = await listen((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const timestamp = String(request.headers['latchkey-timestamp']);
      const expected = createHmac('sha256', SECRET).update(`${timestamp}.${body}`).digest('hex');
      const asked = {
        method: request.method,
        type: request.headers['content-type'],
        timestamp,
        signed: request.headers['latchkey-signature'] === expected,
        body: JSON.parse(body),
      };
      service.asked.push(asked);
      service.reply(response, asked);
    });
  });
  return service;
}

const answer =
  (status: number, body: string, headers: Readonly<Record<string, string>> = {}) =>
  (response: ServerResponse) =>
    response.writeHead(status, headers).end(body);
const yes = answer(200, '{}');
const no = answer(401, '{"error":"wrong"}');
const outage = answer(500, 'oops');

const delegateTo = (url: string, monotonic?: () => number) =>
  createDelegate({ url, secret: SECRET, now: () => NOW, ...(monotonic && { monotonic }) });

/** The error that a question ends with. */
async function faultOf(question: Promise<unknown>): Promise<LatchkeyError> {
  const error = await question.then(
    () => new Error('it was answered'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof LatchkeyError) return error;
  throw error;
}

/** Everything that a log could show of an error and its causes. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error ?? '');
  const own = Object.entries(error).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [error.message, error.stack, ...own, error.cause === undefined ? '' : textOf(error.cause)].join('\n');
}

let directory: UserService;
beforeEach(async () => {
  directory = await startUserService(yes);
});

describe('the question', () => {
  it('is a POST of JSON, dated and signed', async () => {
    const user = { tenant: 'green', userId: 'Zoë "x" 名' };
    await delegateTo(directory.url).prove({ ...user, ip: ADA.ip }, `${PASSWORD} ü`, undefined);
    expect(directory.asked).toEqual([
      {
        method: 'POST',
        type: 'application/json',
        timestamp: String(NOW / 1000),
        signed: true,
        body: { ...user, password: `${PASSWORD} ü` },
      },
    ]);
  });

  it('is not signed right under another secret', async () => {
    const stranger = createDelegate({ url: directory.url, secret: `${SECRET}x`, now: () => NOW });
    await stranger.prove(ADA, PASSWORD, undefined);
    expect(directory.asked[0]?.signed).toBe(false);
  });
});

describe('the answer', () => {
  it.each([
    ['200 {}', '{}', 'ada'],
    ['200 with the user’s own name', '{"userId":"u-42"}', 'u-42'],
  ])('%s is right', async (_what, body, userId) => {
    directory.reply = answer(200, body);
    const proof = await delegateTo(directory.url).prove(ADA, PASSWORD, undefined);
    expect(proof?.userId).toBe(userId);
    expect(await proof?.stillGood(undefined)).toBe(true);
  });

  it.each(['', '{"userId":"ada"}', 'x'.repeat(100_000)])('401 is wrong, whatever its body', async (body) => {
    directory.reply = answer(401, body);
    expect(await delegateTo(directory.url).prove(ADA, PASSWORD, undefined)).toBeUndefined();
  });

  /** Each repeats the password where it can, as a service in trouble might. */
  const echo = `{"userId":"${PASSWORD}"}`;
  it.each<[string, UserService['reply']]>([
    ['500', answer(500, echo)],
    ['503', answer(503, echo)],
    ['403', answer(403, echo)],
    ['404', answer(404, '{}')],
    ['429', answer(429, '{}')],
    ['201', answer(201, '{}')],
    ['204', answer(204, '')],
    ['302 to a yes', (response, asked) => answer(302, '{}', { location: `/yes?${asked.body.password}` })(response)],
    ['307 to a yes', (response, asked) => answer(307, '{}', { location: `/yes?${asked.body.password}` })(response)],
    ['an empty 200', answer(200, '')],
    ['a 200 of a web page', answer(200, `<html>${PASSWORD}</html>`)],
    ['a 200 of broken JSON', answer(200, echo.slice(0, -1))],
    ['a 200 of null', answer(200, 'null')],
    ['a 200 of a list', answer(200, '[]')],
    ['a 200 of true', answer(200, 'true')],
    ['a 200 of text', answer(200, `"${PASSWORD}"`)],
    ['a 200 with a number for a name', answer(200, '{"userId":42}')],
    ['a 200 with null for a name', answer(200, '{"userId":null}')],
    ['a 200 with an empty name', answer(200, '{"userId":""}')],
    ['a 200 with a name of control characters', answer(200, `{"userId":"${PASSWORD}\\u0000"}`)],
    ['a 200 with a name too long', answer(200, `{"userId":"${PASSWORD.repeat(20)}"}`)],
    ['a huge 200', answer(200, `{"userId":"ada","pad":"${PASSWORD.repeat(2000)}"}`)],
    ['a connection cut before the answer', (response) => response.destroy()],
    [
      'a connection cut within the answer',
      (response) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{"userId":', () => response.destroy());
      },
    ],
  ])('%s is credentials_unavailable, and tells no password', async (_what, reply) => {
    directory.reply = reply;
    const error = await faultOf(delegateTo(directory.url).prove(ADA, PASSWORD, undefined));
    expect([error.code, error.status]).toEqual(['credentials_unavailable', 503]);
    expect(directory.asked).toHaveLength(1);
    expect(textOf(error)).not.toContain(PASSWORD);
    // No part of it either: quotes of an answer are cut short.
    expect(textOf(error)).not.toContain(PASSWORD.slice(0, 5));
  });

  it('that does not come, or does not end, within 2 seconds is credentials_unavailable', async () => {
    const silent = await startUserService(() => {});
    const endless = await startUserService((response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write(' '), 100);
      response.once('close', () => clearInterval(drip));
    });
    const errors = await Promise.all(
      [silent, endless].map(({ url }) => faultOf(delegateTo(url).prove(ADA, PASSWORD, undefined))),
    );
    expect(errors.map((error) => error.code)).toEqual(['credentials_unavailable', 'credentials_unavailable']);
  });

  it('of nobody is credentials_unavailable', async () => {
    const url = await listen(() => {});
    const gone = servers.pop();
    await new Promise((resolve) => gone?.close(resolve));
    const error = await faultOf(delegateTo(url).prove(ADA, PASSWORD, undefined));
    expect([error.code, textOf(error).includes(PASSWORD)]).toEqual(['credentials_unavailable', false]);
  });
});

type Circuit = ReturnType<typeof delegateTo>;

/** As many users as it takes, each from an address of its own. */
let users = 0;
const stranger = () => {
  users += 1;
  return { tenant: 'default', userId: `user-${users}`, ip: `203.0.113.${users % 256}` };
};
const prove = (credentials: Circuit, who = stranger()) => credentials.prove(who, PASSWORD, undefined);

async function fail(credentials: Circuit, times: number, who = stranger): Promise<void> {
  directory.reply = outage;
  for (let count = 0; count < times; count += 1) await faultOf(prove(credentials, who()));
}

describe('the circuit', () => {
  let time = 0;

  it('opens after five failures in a row, of several users and addresses: nobody is asked for five seconds', async () => {
    const credentials = delegateTo(directory.url, () => time);
    await fail(credentials, 5);
    directory.reply = yes;
    time += 1_500;
    const error = await faultOf(prove(credentials));
    expect([error.code, error.retryAfterSeconds]).toEqual(['credentials_unavailable', 3.5]);
    time += 3_499;
    await faultOf(prove(credentials));
    expect(directory.asked).toHaveLength(5);
    time += 1;
    expect((await prove(credentials, ADA))?.userId).toBe('ada');
    expect(directory.asked).toHaveLength(6);
  });

  it('stays closed while a yes or a no comes between', async () => {
    const credentials = delegateTo(directory.url, () => time);
    for (const between of [yes, no]) {
      await fail(credentials, 4);
      directory.reply = between;
      await prove(credentials);
    }
    await fail(credentials, 4);
    directory.reply = yes;
    expect((await prove(credentials, ADA))?.userId).toBe('ada');
  });

  it('half open lets a few through, not one user twice: their failures open it again, an answer closes it', async () => {
    const credentials = delegateTo(directory.url, () => time);
    await fail(credentials, 5);
    time += 5_000;
    await Promise.all(Array.from({ length: 10 }, () => faultOf(prove(credentials, ADA))));
    expect(directory.asked).toHaveLength(6);
    await Promise.all(Array.from({ length: 20 }, () => faultOf(prove(credentials))));
    expect(directory.asked).toHaveLength(6 + 8);
    time += 4_999;
    await faultOf(prove(credentials));
    expect(directory.asked).toHaveLength(14);

    time += 1;
    directory.reply = no;
    expect(await prove(credentials)).toBeUndefined();
    directory.reply = yes;
    expect(await Promise.all(Array.from({ length: 20 }, () => prove(credentials)))).toHaveLength(20);
    expect(directory.asked).toHaveLength(14 + 21);
  });
});

const sameUser = () => ({ ...ADA, userId: 'odd', ip: stranger().ip });
const sameAddress = () => ({ ...stranger(), ip: '203.0.113.77' });
const sameNetwork = () => ({ ...stranger(), ip: `2001:db8:7::${users.toString(16)}` });

describe('F31 a stranger cannot keep others out', () => {
  let time = 0;
  it.each([
    ['one user, from everywhere', sameUser],
    ['one address, as anybody', sameAddress],
    ['one network of IPv6, as anybody', sameNetwork],
  ])('%s, whom the service stumbles over: all others are asked about', async (_what, who) => {
    const credentials = delegateTo(directory.url, () => time);
    await fail(credentials, 50, who);
    expect(directory.asked).toHaveLength(50);
    directory.reply = yes;
    expect((await prove(credentials, ADA))?.userId).toBe('ada');
  });

  it.each<[string, UserService['reply']]>([
    ['403', answer(403, '{}')],
    ['404', answer(404, '{}')],
    ['429', answer(429, '{}')],
    ['302', answer(302, '', { location: '/yes' })],
    ['a 200 that cannot be read', answer(200, '{"ok":false}')],
    ['a 200 that is too long', answer(200, 'x'.repeat(20_000))],
  ])('%s is an answer, not an outage, however many get it', async (_what, reply) => {
    const credentials = delegateTo(directory.url, () => time);
    directory.reply = reply;
    for (let count = 0; count < 12; count += 1) await faultOf(prove(credentials));
    expect(directory.asked).toHaveLength(12);
    directory.reply = yes;
    expect((await prove(credentials, ADA))?.userId).toBe('ada');
  });

  it('one connection that breaks is no outage; five of several are', async () => {
    const credentials = delegateTo(directory.url, () => time);
    directory.reply = (response) => response.destroy();
    for (let count = 0; count < 12; count += 1) await faultOf(prove(credentials, sameAddress()));
    expect(directory.asked.length).toBeGreaterThanOrEqual(12);
    directory.reply = yes;
    await prove(credentials);
    directory.reply = (response) => response.destroy();
    for (let count = 0; count < 5; count += 1) await faultOf(prove(credentials));
    directory.reply = yes;
    expect((await faultOf(prove(credentials, ADA))).retryAfterSeconds).toBe(5);
  });

  it('a service that nobody can connect to is out for everybody, whoever asks', async () => {
    const url = await listen(() => {});
    const gone = servers.pop();
    await new Promise((resolve) => gone?.close(resolve));
    const credentials = delegateTo(url, () => time);
    for (let count = 0; count < 5; count += 1) await faultOf(prove(credentials, ADA));
    expect((await faultOf(prove(credentials))).retryAfterSeconds).toBe(5);
  });

  it('half open, others are asked about beside one whose question hangs', async () => {
    const credentials = delegateTo(directory.url, () => time);
    await fail(credentials, 5);
    time += 5_000;
    const hanging: ServerResponse[] = [];
    directory.reply = (response) => void hanging.push(response);
    const slow = Array.from({ length: 6 }, () => faultOf(prove(credentials, sameAddress())));
    await until('the stranger is asked about', () => hanging.length === 4);
    directory.reply = yes;
    expect((await prove(credentials, ADA))?.userId).toBe('ada');
    for (const response of hanging) outage(response);
    await Promise.all(slow);
    expect((await prove(credentials, ADA))?.userId).toBe('ada');
  });

  it.each(['\ud800', 'pass\udc00word', '\udc00\ud800'])(
    'text with a lone surrogate never leaves: %j',
    async (password) => {
      const error = await faultOf(delegateTo(directory.url).prove(ADA, password, undefined));
      expect([error.status, error.code]).toEqual([400, 'invalid_request']);
      expect(error.detail).toContain('password: ');
      expect(directory.asked).toEqual([]);
    },
  );
});

describe('F32 what is no clear yes is no login', () => {
  it.each([
    '{"ok":false}',
    '{"error":"wrong password"}',
    '{"userID":"u-42"}',
    '{"user_id":"u-42"}',
    '{"userId":"u-42","active":false}',
    '{"userId":"u-42","name":"Ada"}',
    '{"userId":"u-42","__proto__":{"ok":false}}',
    '{"valid":true}',
  ])('200 %s is credentials_unavailable', async (body) => {
    directory.reply = answer(200, body);
    const error = await faultOf(delegateTo(directory.url).prove(ADA, PASSWORD, undefined));
    expect([error.status, error.code]).toEqual([503, 'credentials_unavailable']);
  });

  it('nor is a name that is not UTF-8: it would melt together with others', async () => {
    directory.reply = (response) =>
      void response
        .writeHead(200)
        .end(Buffer.concat([Buffer.from('{"userId":"u-'), Buffer.from([0xff]), Buffer.from('"}')]));
    const error = await faultOf(delegateTo(directory.url).prove(ADA, PASSWORD, undefined));
    expect(error.code).toBe('credentials_unavailable');
  });

  it('and says so to the operator, without a word of the answer', async () => {
    directory.reply = answer(200, `{"${PASSWORD}":true}`);
    const error = await faultOf(delegateTo(directory.url).prove(ADA, PASSWORD, undefined));
    expect(textOf(error)).toContain('with something else than {} or {"userId": "…"}');
    expect(textOf(error)).not.toContain(PASSWORD);
  });
});

describe('F28 an answer whose body is not read', () => {
  it.each([200, 401, 403, 500])('gives its connection back: %d', async (status) => {
    const open = new Set<ServerResponse['socket']>();
    const url = await listen((request, response) => {
      const { socket } = response;
      open.add(socket);
      socket?.once('close', () => open.delete(socket));
      request.resume();
      response.writeHead(status).write('x'.repeat(200_000));
    });
    const credentials = delegateTo(url);
    for (let count = 0; count < 6; count += 1) await prove(credentials, ADA).catch(() => {});
    // Less than what a question may take: then the connection would be cut off anyway.
    await until('they are closed', () => open.size === 0, 1_200);
  });
});

describe('F50 a connection to the user service', () => {
  it('that was kept and then broken is replaced at once', async () => {
    const credentials = delegateTo(directory.url);
    expect((await prove(credentials, ADA))?.userId).toBe('ada');
    // As when a server closes what was idle for too long: the question is on its way already.
    directory.reply = (response) => {
      directory.reply = yes;
      response.socket?.resetAndDestroy();
    };
    expect((await prove(credentials, ADA))?.userId).toBe('ada');
    expect(directory.asked).toHaveLength(3);
  });

  it('is kept for a while only, so that a service which moves is found', async () => {
    let time = 0;
    const sockets = new Set<unknown>();
    const url = await listen((request, response) => {
      sockets.add(request.socket);
      request.resume().on('end', () => yes(response));
    });
    const credentials = delegateTo(url, () => time);
    for (let count = 0; count < 5; count += 1) await prove(credentials, ADA);
    expect(sockets.size).toBe(1);
    time += 31_000;
    for (let count = 0; count < 3; count += 1) await prove(credentials, ADA);
    expect(sockets.size).toBe(2);
  });

  it('names who asks', async () => {
    let agent: string | undefined;
    const url = await listen((request, response) => {
      agent = request.headers['user-agent'];
      request.resume().on('end', () => yes(response));
    });
    await prove(delegateTo(url), ADA);
    expect(agent).toBe('Latchkey');
  });
});

const start = (env: Readonly<Record<string, string>> = {}) =>
  startService({ env, override: { credentials: delegateTo(directory.url) } });

describe('a login by an operator’s own user service', () => {
  it('needs no record of the user', async () => {
    const service = await start();
    const { status, body } = await login(service, 'ada', { tenant: 'green', password: PASSWORD });
    expect([status, body.token?.userId, body.token?.tenant]).toEqual([200, 'ada', 'green']);
    expect(directory.asked.map((asked) => asked.body)).toEqual([
      { tenant: 'green', userId: 'ada', password: PASSWORD },
    ]);
    expect(await verdict(service, body.accessToken)).toBe('good');
  });

  it('F11 hands on the password as it was typed', async () => {
    const service = await start();
    const typed = ['man\u0303ana\u00A0\u3000 x', 'mañana   x'];
    for (const password of typed) expect((await login(service, 'ada', { password })).status).toBe(200);
    expect(directory.asked.map(({ body }) => body.password)).toEqual(typed);
  });

  it('lands on the user whom the service names, under that user’s rules', async () => {
    const service = await start({ LOGIN_POLICY: 'single-device' });
    const phone = await issue(service, 'u-42', { platform: 'ios' });
    const alias = await issue(service, 'ada@mail', { platform: 'ios' });
    directory.reply = answer(200, '{"userId":"u-42"}');
    const { body } = await login(service, 'ada@mail', { platform: 'web', password: PASSWORD });
    expect(body.token.userId).toBe('u-42');
    expect(decodeJwt(body.accessToken).sub).toBe('u-42');
    expect(await statesOf(service, 'u-42')).toEqual([
      ['ios', 'kicked'],
      ['web', 'active'],
    ]);
    expect(await verdict(service, phone.body.accessToken)).toBe('token_kicked');
    // What was typed is another user.
    expect(await verdict(service, alias.body.accessToken)).toBe('good');
  });

  it('knows a device again by the name that it signed in with, and by no other name', async () => {
    const service = await start({ THROTTLE_USER_FAILURES: '3', THROTTLE_LOCK_SECONDS: '60' });
    const signIn = async (userId: string, more: object) =>
      (await login(service, userId, { platform: 'ios', deviceId: 'phone', password: PASSWORD, ...more })).status;
    directory.reply = answer(200, '{"userId":"u-42"}');
    const first = await login(service, 'ada@mail', { platform: 'ios', deviceId: 'phone', password: PASSWORD });
    const deviceProof = first.body.refreshToken;
    directory.reply = no;
    for (const name of ['ada@mail', 'eve@mail', 'u-42'])
      for (let guess = 0; guess < 3; guess += 1) expect(await signIn(name, { deviceId: 'strange' })).toBe(401);
    directory.reply = answer(200, '{"userId":"u-42"}');
    expect(await signIn('ada@mail', {})).toBe(429);
    expect(await signIn('ada@mail', { deviceProof })).toBe(200);
    expect(await signIn('ada@mail', { deviceProof, deviceId: 'strange' })).toBe(429);
    expect(await signIn('u-42', { deviceProof })).toBe(200);
    // The directory has never said that this is the same user: whoever has an account could guess for others.
    expect(await signIn('eve@mail', { deviceProof })).toBe(429);
  });

  it('keeps the name no longer than the token', async () => {
    const service = await start();
    directory.reply = answer(200, '{"userId":"u-42"}');
    // Of a device there is one token, and one tombstone that says "replaced".
    const phone = { platform: 'ios', deviceId: 'phone', password: PASSWORD };
    for (let round = 0; round < 4; round += 1) await login(service, 'ada@mail', phone);
    const names = Object.entries(
      await service.redis.hgetall(service.keys.tokens({ tenant: 'default', userId: 'u-42' })),
    );
    expect(names.flatMap(([field, value]) => (field.endsWith(':n') ? [value] : []))).toEqual(['ada@mail', 'ada@mail']);
  });

  it('is refused when that user is blocked or may not use the platform', async () => {
    const service = await start();
    directory.reply = answer(200, '{"userId":"u-42"}');
    const noWeb = {
      name: 'no-web',
      limits: [{ match: { platforms: ['web'] }, countBy: 'all', max: 0, overflow: 'kick' }],
    };
    await service.api.put('/admin/users/u-42/policy').set(asAdmin).send({ policy: noWeb });
    const onWeb = await login(service, 'ada', { platform: 'web', password: PASSWORD });
    expect([onWeb.status, onWeb.body.code]).toEqual([403, 'platform_not_allowed']);
    await changeUser(service, 'u-42', { blocked: { reason: 'spam' } });
    const blocked = await login(service, 'ada', { password: PASSWORD });
    expect([blocked.status, blocked.body.code, blocked.body.reason]).toEqual([403, 'user_blocked', 'spam']);
    expect(await statesOf(service, 'u-42')).toEqual([]);
    directory.reply = no;
    expect((await login(service, 'ada', { password: PASSWORD })).body.code).toBe('invalid_credentials');
  });

  it('with a wrong password is invalid_credentials, also for a blocked user', async () => {
    const service = await start();
    directory.reply = no;
    await changeUser(service, 'ada', { blocked: {} });
    const refused = await login(service, 'ada', { password: PASSWORD });
    expect([refused.status, refused.body.code]).toEqual([401, 'invalid_credentials']);
    expect(await statesOf(service, 'ada')).toEqual([]);
  });

  it('while the service is out is 503 with Retry-After, never a login, and no failed password', async () => {
    const service = await start({ THROTTLE_USER_FAILURES: '2', THROTTLE_ADDRESS_FAILURES: '2', TRUST_PROXY: '1' });
    directory.reply = outage;
    for (let count = 0; count < 7; count += 1) {
      const refused = await service.api
        .post('/login')
        .set('X-Forwarded-For', `203.0.113.${count}`)
        .send({ userId: `user-${count % 3}`, password: PASSWORD, platform: 'ios', deviceId: 'phone' });
      expect([refused.status, refused.body.code]).toEqual([503, 'credentials_unavailable']);
      expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(JSON.stringify(refused.body)).not.toContain(PASSWORD);
    }
    // The circuit has opened on the way.
    expect(directory.asked).toHaveLength(5);
    expect(await statesOf(service, 'user-0')).toEqual([]);
    expect(await service.redis.exists(service.keys.attempts({ tenant: 'default', userId: 'user-0' }))).toBe(0);
    // Who is signed in stays so, and the operator can still vouch.
    expect((await issue(service, 'user-0')).status).toBe(200);
  });

  it('on a platform that is shut out does not ask', async () => {
    const service = await start();
    const noIos = {
      name: 'no-ios',
      limits: [{ match: { platforms: ['ios'] }, countBy: 'all', max: 0, overflow: 'kick' }],
    };
    await service.api.put('/admin/tenants/default').set(asAdmin).send({ policy: noIos });
    expect((await login(service, 'ada', { password: PASSWORD })).body.code).toBe('platform_not_allowed');
    expect(directory.asked).toEqual([]);
  });

  it('looks without storing on a dry run', async () => {
    const service = await start();
    const { status, body } = await login(service, 'ada', { password: PASSWORD, dryRun: true });
    expect([status, body.declined]).toEqual([200, false]);
    expect(await statesOf(service, 'ada')).toEqual([]);
  });
});

describe('the settings', () => {
  const delegate = { CREDENTIALS: 'delegate', CREDENTIALS_URL: 'https://users.test/check', CREDENTIALS_SECRET: SECRET };

  it('are read', () => {
    expect(loadConfig(delegate).credentials).toEqual({
      kind: 'delegate',
      url: 'https://users.test/check',
      secret: SECRET,
    });
    expect(loadConfig({}).credentials).toEqual({ kind: 'password' });
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['an unknown kind', { CREDENTIALS: 'ldap' }, /CREDENTIALS: valid: password, delegate/],
    ['no URL', { CREDENTIALS_URL: '' }, /CREDENTIALS_URL: must be given/],
    ['no secret', { CREDENTIALS_SECRET: '' }, /CREDENTIALS_SECRET: must be given/],
    ['what is no URL', { CREDENTIALS_URL: 'users.test' }, /CREDENTIALS_URL: expected an http or https URL/],
    [
      'a URL that is not http',
      { CREDENTIALS_URL: 'ftp://users.test/' },
      /CREDENTIALS_URL: expected an http or https URL/,
    ],
    ['a short secret', { CREDENTIALS_SECRET: 'short' }, /CREDENTIALS_SECRET: at least 32/],
    ['a secret that is another key', { ADMIN_API_KEY: SECRET }, /must differ/],
  ])('with %s are refused', (_what, change, fault) => {
    const load = () => loadConfig({ ...delegate, ...change });
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(fault);
    // A fault never repeats the secret.
    expect(load).not.toThrow(new RegExp(SECRET));
  });

  it('are refused with both faults at once', () => {
    expect(() => loadConfig({ CREDENTIALS: 'delegate' })).toThrow(/CREDENTIALS_URL: .*\n.*CREDENTIALS_SECRET: /);
  });
});
