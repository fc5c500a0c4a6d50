/**
 * Records and events as the next version may write them: more parts, more fields, more words. This one takes what it
 * knows, keeps what it does not, and never takes for active what it cannot read.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  PASSWORD,
  asAdmin,
  createUser,
  history,
  introspect,
  issue,
  listTokens,
  login,
  logout,
  refresh,
  revokeAll,
  statesOf,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { recordsOf, US, type Held } from '../helpers/records.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { until } from '../helpers/processes.ts';
import { SseClient } from '../helpers/sse.ts';

afterAll(closeServices);

const MORE = [US, 'of the next', US, '{"a":1}'].join('');

let service: Service;
const { newToken, field, setField, presence } = recordsOf(() => service);

beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'decline-second' } });
});

/** Every value of the token has parts more than this version knows, and beside them is a field more. */
async function grow(held: Held): Promise<void> {
  await setField(held, ':s', String(service.clock.now() - 61_000));
  for (const suffix of ['', ':r', ':s']) await setField(held, suffix, `${await field(held, suffix)}${MORE}`);
  await setField(held, ':z', 'a field of the next version');
}

const setRules = (rules: object) => service.api.put('/admin/tenants/default').set(asAdmin).send(rules);

describe('F21 a number that is written in another way', () => {
  it('is the same number to a login that clears its token away', async () => {
    const held = await newToken();
    const [, accessExpiresAt = '', , ...rest] = ((await field(held, ':r')) ?? '').split(US);
    const past = service.store.now() - 1;
    await setField(held, ':r', [past, accessExpiresAt, '1.0', ...rest].join(US));
    await setField(held, ':s', `${past}.0`);
    const answer = await issue(service, held.userId, { platform: 'web' });
    expect([answer.status, answer.body.code]).toEqual([200, undefined]);
    expect(await verdict(service, held.accessToken)).toBe('token_kicked');
  });
});

describe('F21 a token whose record has more parts than this version knows', () => {
  let held: Held;
  beforeEach(async () => {
    held = await newToken();
    await grow(held);
  });

  it('is good, is listed, and is refreshed; what is not known is kept', async () => {
    expect(await verdict(service, held.accessToken)).toBe('good');
    expect((await introspect(service, held.accessToken)).body.active).toBe(true);
    expect((await listTokens(service, held.userId)).body).toMatchObject({
      tokens: [{ tokenId: held.tokenId, platform: 'ios', state: 'active' }],
    });
    const renewed = await refresh(service, held.refreshToken);
    expect(renewed.status).toBe(200);
    // The same one again, within the grace.
    expect((await refresh(service, held.refreshToken)).status).toBe(200);
    for (const suffix of ['', ':r', ':s']) expect(await field(held, suffix)).toContain(MORE.slice(0, 9));
    expect((await field(held, ':r'))?.split(US)).toHaveLength(7);
    expect(await field(held, ':z')).toBe('a field of the next version');
    expect(await verdict(service, renewed.body.accessToken)).toBe('good');
  });

  it('a note of "last seen" keeps what it does not know', async () => {
    const before = Number((await field(held, ':s'))?.split(US)[0]);
    service.store.touch({ tenant: 'default', userId: held.userId }, held.tokenId);
    await service.redis.ping();
    const [seen, ...rest] = (await field(held, ':s'))?.split(US) ?? [];
    expect(Number(seen)).toBeGreaterThan(before);
    expect(US + rest.join(US)).toBe(MORE);
  });

  it('holds its seat, with a lease that has more parts too', async () => {
    await setRules({ presence: { leaseSeconds: 60, graceSeconds: 0 } });
    const now = service.clock.now();
    await setField(held, ':l', `${now + 5000}${US}0${US}c0${US}${now + 4000} 0 c9${MORE}`);
    expect((await presence(held)).body).toEqual({ renewed: 1, refused: [] });
    expect((await field(held, ':l'))?.endsWith(MORE)).toBe(true);
    expect((await field(held, ':s'))?.endsWith(MORE)).toBe(true);
    expect((await issue(service, held.userId, { platform: 'web' })).status).toBe(409);
    for (const connection of ['c1', 'c9', 'c0']) expect((await presence(held, true, connection)).body.renewed).toBe(1);
    expect((await field(held, ':l'))?.endsWith(MORE)).toBe(true);
    await setRules({});
  });

  it('a lease that cannot be read is none: the seat is held since the token was last seen', async () => {
    await setRules({ presence: { leaseSeconds: 3600, graceSeconds: 0 } });
    await setField(held, ':l', `soon${US}1`);
    const declined = await issue(service, held.userId, { platform: 'web' });
    expect([declined.status, declined.body.conflicts.length]).toEqual([409, 1]);
    expect((await presence(held)).body.renewed).toBe(1);
    await setRules({});
  });

  it('is not deleted by a login, is kicked by evict, and is replaced by its own device', async () => {
    expect((await issue(service, held.userId, { platform: 'web' })).status).toBe(409);
    expect(await verdict(service, held.accessToken)).toBe('good');
    const again = await issue(service, held.userId, { platform: 'ios', deviceId: 'phone' });
    expect(again.body.displaced).toMatchObject([{ tokenId: held.tokenId, state: 'replaced' }]);
    expect(await verdict(service, held.accessToken)).toBe('token_replaced');
    const other = { ...held, tokenId: again.body.token.tokenId };
    await grow(other);
    const evicting = await issue(service, held.userId, { platform: 'web', evict: [other.tokenId] });
    expect(evicting.body.displaced).toMatchObject([{ tokenId: other.tokenId, state: 'kicked' }]);
  });

  it('one that lapsed gives its seat up to the next login', async () => {
    await setRules({ presence: { leaseSeconds: 1, graceSeconds: 0 } });
    expect((await issue(service, held.userId, { platform: 'web' })).body.displaced).toMatchObject([
      { tokenId: held.tokenId, state: 'kicked' },
    ]);
    await setRules({});
  });

  it.each([
    ['an admin', (one: Held) => revokeAll(service, one.userId), 'token_revoked'],
    ['an admin by platform', (one: Held) => revokeAll(service, one.userId, '?platform=ios'), 'token_revoked'],
    ['its user', (one: Held) => logout(service, one.accessToken), 'token_logged_out'],
  ])('is ended by %s', async (_who, end, reason) => {
    expect((await end(held)).status).toBe(200);
    expect(await verdict(service, held.accessToken)).toBe(reason);
    expect((await history(service, held.userId)).body.events[0]).toMatchObject({ tokenId: held.tokenId });
  });
});

describe('F21 a token that has ended as only the next version knows', () => {
  const endings = [
    ['a code more', ['token_frozen', '1700000000000', 'job', '', '', '', 'cleanup']],
    ['parts more', ['token_kicked', '1700000000000', 'login', 'web', 'a browser', 'p', '', 'city', 'Rome']],
  ] as const;

  it.each(endings)('with %s has ended, for everybody', async (_what, parts) => {
    const held = await newToken();
    await setField(held, ':e', parts.join(US));
    const reason = parts[0] === 'token_kicked' ? 'token_kicked' : 'token_revoked';
    const told = await validate(service, held.accessToken);
    expect([told.status, told.body.code, told.body.endedAt]).toEqual([401, reason, '2023-11-14T22:13:20.000Z']);
    expect((await refresh(service, held.refreshToken)).body.code).toBe(reason);
    expect((await presence(held)).body.refused).toEqual([{ tokenId: held.tokenId, reason }]);
    expect(await statesOf(service, held.userId)).toEqual([['ios', reason.replace('token_', '')]]);
    expect((await revokeAll(service, held.userId)).body.revoked).toEqual([]);
    expect((await issue(service, held.userId, { platform: 'web' })).status).toBe(200);
    expect(await field(held, ':e')).toBe(parts.join(US));
  });

  it('an end that cannot be read is an end: never active, never ended anew', async () => {
    const held = await newToken();
    await setField(held, ':e', 'v2:…');
    expect(await verdict(service, held.accessToken)).toBe('token_unknown');
    expect((await refresh(service, held.refreshToken)).status).toBe(401);
    expect((await revokeAll(service, held.userId)).body.revoked).toEqual([]);
    expect((await issue(service, held.userId, { platform: 'web' })).status).toBe(200);
    expect(await field(held, ':e')).toBe('v2:…');
  });
});

describe('F21 a user as the next version writes it', () => {
  it('keeps fields that this version does not know, and a block whose end it cannot read holds', async () => {
    await createUser(service, 'grown');
    const key = service.keys.user({ tenant: 'default', userId: 'grown' });
    await service.redis.hset(key, 'mfa', 'x', 'blockedUntil', 'appeal', 'blockedAt', 'then');
    const refused = await login(service, 'grown');
    expect([refused.status, refused.body.code, refused.body.until]).toEqual([403, 'user_blocked', undefined]);
    expect((await service.api.get('/admin/blocks').set(asAdmin)).status).toBe(200);
    const shown = await service.api.get('/admin/users/grown').set(asAdmin);
    expect([shown.status, Object.keys(shown.body.blocked)]).toEqual([200, ['at']]);
    const lifted = await service.api.patch('/admin/users/grown').set(asAdmin).send({ blocked: null });
    expect(lifted.status).toBe(200);
    expect((await login(service, 'grown')).status).toBe(200);
    expect(await service.redis.hget(key, 'mfa')).toBe('x');
  });

  it('a password that only the next version can check is neither right nor wrong', async () => {
    await createUser(service, 'hashed');
    const key = service.keys.user({ tenant: 'default', userId: 'hashed' });
    await service.redis.hset(key, 'password', '$scrypt$ln=17,r=8,p=1$c2FsdA$aGFzaA');
    const answer = await login(service, 'hashed');
    expect([answer.status, answer.body.code]).toEqual([503, 'store_unreadable']);
    const changed = await service.api.patch('/admin/users/hashed').set(asAdmin).send({ password: PASSWORD });
    expect(changed.status).toBe(200);
    expect((await login(service, 'hashed')).status).toBe(200);
  });
});

describe('F21 events of the next version', () => {
  it('are told as far as they are known; an unknown end of a token is an end', async () => {
    const user = { tenant: 'default', userId: 'eventful' };
    const stream = service.keys.events(service.keys.shardOf(user));
    const at = String(Math.floor(service.clock.now()));
    const exp = String(Math.floor(service.clock.now() / 1000) + 600);
    const packed = (type: string, code: string, kind = 'login') =>
      [type, 'default', 'eventful', 'token-1', 'ios', at, exp, kind, 'web', '', 'p', '', '', '', code].join(US);
    const entries: (readonly string[])[] = [
      ['e', packed('token.kicked', 'token_kicked') + MORE],
      ['v', '2', 'e', packed('token.revoked', 'token_frozen', 'job')],
      ['e', packed('token.frozen', 'token_frozen'), 'w', 'x'],
      ['e', packed('token.moved', '')],
      ['e', packed('user.renamed', '')],
      ['v', '3'],
    ];
    for (const entry of entries) await service.redis.xadd(stream, '*', ...entry);
    await service.redis.lpush(
      service.keys.history(user),
      ...entries.slice(0, 5).map((entry) => `1-1${US}${entry[entry.indexOf('e') + 1]}`),
    );
    const expected = [
      { type: 'token.kicked', code: 'token_kicked', by: { kind: 'login' } },
      { type: 'token.revoked', code: 'token_revoked', by: { kind: 'system' } },
      { type: 'token.revoked', code: 'token_revoked', by: { kind: 'login' } },
    ];
    const consumer = new SseClient(service.url);
    await consumer.connect('?from=start');
    const isLive = () => consumer.messages.some(({ type, data }) => type === 'heartbeat' && data.live === true);
    await until('all is told', isLive);
    consumer.cut();
    const told = consumer.events.map(({ data }) => data).filter(({ userId }) => userId === 'eventful');
    expect(told).toHaveLength(expected.length);
    expect(told).toMatchObject(expected);
    expect((await history(service, 'eventful')).body.events.toReversed()).toMatchObject(expected);
  });
});
