/** Passwords over HTTP: the same one however it is typed, those that are refused, and hashing that is divided fairly. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createPasswords, type Passwords } from '../../src/credentials/password.ts';
import { asAdmin, changeUser, eventTypes, issue, login, verdict } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

const real = createPasswords();
let checks = 0;
const counted: Passwords = {
  ...real,
  matches: (...check) => {
    checks += 1;
    return real.matches(...check);
  },
};

let service: Service;
beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'no-kick' }, override: { passwords: counted } });
});

let users = 0;
const newName = () => `user-${(users += 1)}`;

const create = (userId: string, password: string, on = service) =>
  on.api.post('/admin/users').set(asAdmin).send({ userId, password });

async function userWith(password: string): Promise<string> {
  const userId = newName();
  expect((await create(userId, password)).status).toBe(201);
  return userId;
}

const statusOf = async (userId: string, password: string) => (await login(service, userId, { password })).status;

const COMPOSED = 'mañana mañana'.normalize('NFC');
const DECOMPOSED = COMPOSED.normalize('NFD');

const sendText = (request: ReturnType<Service['api']['post']>, body: string) =>
  request.set({ ...asAdmin, 'Content-Type': 'application/json' }).send(body);

describe('F11 the length of a password', () => {
  const composed = '각'.repeat(90);

  it('is that of its normal form, however it is typed', async () => {
    const typed = composed.normalize('NFD');
    expect(typed).toHaveLength(270);
    expect((await create('hangul', typed)).status).toBe(201);
    for (const password of [composed, typed]) expect((await login(service, 'hangul', { password })).status).toBe(200);
    expect((await create('hangul-short', '각각'.normalize('NFD').repeat(2))).status).toBe(400);
    expect((await create('emoji', '🐎'.repeat(256))).status).toBe(201);
    expect((await create('too-long', '🐎'.repeat(257))).status).toBe(400);
  });
});

describe('F11 a password is the same however it is typed', () => {
  it.each([
    ['composed, then decomposed', COMPOSED, DECOMPOSED],
    ['decomposed, then composed', DECOMPOSED, COMPOSED],
    ['with a no-break space', 'two words or more', 'two\u00A0words\u202For\u3000more'],
    ['set with an ideographic space', 'two\u3000words', 'two words'],
    ['with emoji', '😀 👩‍👩‍👧 🎉 ok ok', '😀 👩‍👩‍👧 🎉 ok ok'],
    ['with Hangul', '한국어 비밀번호', '한국어 비밀번호'.normalize('NFD')],
  ])('%s', async (_what, set, typed) => {
    const userId = await userWith(set);
    expect(await statusOf(userId, typed)).toBe(200);
    expect(await statusOf(userId, set)).toBe(200);
  });

  it.each([
    ['case', 'Mañana mañana'],
    ['width', 'ｍañana mañana'],
    ['a missing accent', 'manana mañana'],
    ['a space more', 'mañana  mañana'],
    ['a blank at its end', 'mañana mañana '],
  ])('but %s counts', async (_what, typed) => {
    expect(await statusOf(await userWith(COMPOSED), typed)).toBe(401);
  });

  it('half of a surrogate pair is no text: 400, wherever a password is sent', async () => {
    const half = '{"userId":"x","password":"12345678\\ud800","platform":"ios","deviceId":"d"}';
    expect((await sendText(service.api.post('/login'), half)).status).toBe(400);
    expect(
      (await sendText(service.api.post('/admin/users'), '{"userId":"x","password":"12345678\\udc00"}')).status,
    ).toBe(400);
    expect((await sendText(service.api.patch('/admin/users/x'), '{"password":"\\ud83d 12345678"}')).status).toBe(400);
  });

  it('characters are counted as they are stored, and one of two units is one', async () => {
    const answers = ['ñañañañ', 'ñañañañ'.normalize('NFD'), '😀😀😀😀'].map((password) => create(newName(), password));
    for (const { status, body } of await Promise.all(answers))
      expect([status, body.detail]).toEqual([400, 'password: expected 8-256 characters']);
    expect((await create(newName(), '😀😀😀😀😀😀😀😀')).status).toBe(201);
  });

  it('a hash of what was typed stays right, is renewed once, and ends and tells nothing', async () => {
    const user = { tenant: 'default', userId: newName() };
    const old = await real.hash(DECOMPOSED);
    await service.users.create(user, old);
    const token = await issue(service, user.userId);
    const stored = async () => (await service.users.find(user))?.passwordHash;
    expect(await statusOf(user.userId, COMPOSED)).toBe(401);
    expect(await stored()).toBe(old);
    expect(await statusOf(user.userId, DECOMPOSED)).toBe(200);
    const renewed = await stored();
    expect(renewed).not.toBe(old);
    expect(await statusOf(user.userId, COMPOSED)).toBe(200);
    expect(await statusOf(user.userId, DECOMPOSED)).toBe(200);
    expect(await stored()).toBe(renewed);
    expect(await verdict(service, token.body.accessToken)).toBe('good');
    expect(new Set(await eventTypes(service, user.userId))).toEqual(new Set(['token.issued']));
  });

  it('a hash is renewed only in place of the one that was right', async () => {
    const user = { tenant: 'default', userId: await userWith('first password') };
    const before = await service.users.find(user);
    await service.users.renewPasswordHash(user, 'another hash', '$argon2id$stolen');
    expect(await service.users.find(user)).toEqual(before);
  });

  it('an unknown user takes as many checks as a wrong password, whichever way it is typed', async () => {
    const userId = await userWith('first password');
    for (const password of [COMPOSED, DECOMPOSED]) {
      const counts: number[] = [];
      for (const name of [userId, 'nobody at all']) {
        const before = checks;
        expect(await statusOf(name, password)).toBe(401);
        counts.push(checks - before);
      }
      expect(counts[0]).toBe(counts[1]);
    }
  });
});

describe('F38 passwords that are guessed first are refused', () => {
  const REFUSED = 'password: expected one that is not among the most common passwords, which are guessed first';

  it.each(['password', '12345678', 'qwertyuiop', 'iloveyou', 'Password1', 'PASSWORD', 'TrustNo1', '11111111'])(
    '%s',
    async (password) => {
      const made = await create(newName(), password);
      expect([made.status, made.body.code, made.body.detail]).toEqual([400, 'invalid_request', REFUSED]);
      const userId = await userWith('a good password');
      const changed = await changeUser(service, userId, { password });
      expect([changed.status, changed.body.detail]).toEqual([400, REFUSED]);
    },
  );

  it.each(['password password', 'my iloveyou', 'pássword', 'passwordx9', 'xpassword-12345678'])(
    'only whole ones: %s is taken',
    async (password) => void (await userWith(password)),
  );

  it('the examples of the README are taken', async () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const examples = new Set([...readme.matchAll(/"password":"([^"…]+)"/g)].map(([, password = '']) => password));
    expect(examples.size).toBeGreaterThan(0);
    for (const password of examples) await userWith(password);
  });

  it('whoever has such a password already still gets in', async () => {
    const user = { tenant: 'default', userId: newName() };
    await service.users.create(user, await real.hash('password'));
    expect(await statusOf(user.userId, 'password')).toBe(200);
  });

  it('PASSWORD_POLICY=off takes them', async () => {
    const lenient = await startService({ env: { PASSWORD_POLICY: 'off' } });
    expect((await create('ada', 'password', lenient)).status).toBe(201);
  });
});

describe('F36 a burst from one network, or at one user, does not answer others with 503', () => {
  it.each([
    ['one network', () => '192.0.2.66', (count: number) => `victim-${count}`],
    ['one user', (count: number) => `198.51.${count}.1`, () => 'victim'],
  ])('%s', async (_what, from, userId) => {
    const busy = await startService({ env: { TRUST_PROXY: '1' }, override: { passwords: createPasswords(10) } });
    await create('owner', 'the owner’s password', busy);
    const send = (address: string, name: string, password: string) =>
      busy.api
        .post('/login')
        .set('X-Forwarded-For', address)
        .send({ userId: name, password, platform: 'ios', deviceId: 'd' })
        .then(({ status }) => status);
    const burst = Array.from({ length: 30 }, (_, count) => send(from(count), userId(count), 'wrong password'));
    const others = Array.from({ length: 5 }, (_, count) =>
      send(`203.0.113.${count}`, count === 0 ? 'owner' : `other-${count}`, 'the owner’s password'),
    );
    expect(await Promise.all(others)).toEqual([200, 401, 401, 401, 401]);
    const counts = await Promise.all(burst);
    expect(counts).toContain(503);
    expect(counts).toContain(401);
  });
});
