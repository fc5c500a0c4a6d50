/**
 * How long an access token lives beside its token: never past what ends the token, and what is shown is the pair that
 * was handed out last, while gateways are told of the latest end ever signed.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { createKeys } from '../../src/redis/keys.ts';
import { asAdmin, history, issue, listTokens, ownTokens, refresh, revokeAll } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

const expOf = (accessToken: string) => Number(decodeJwt(accessToken).exp) * 1000;
const lifeOf = (accessToken: string) => {
  const { iat = 0, exp = 0 } = decodeJwt(accessToken);
  return exp - iat;
};
const user = { tenant: 'default', userId: 'ada' };

async function setRules(service: Service, ttl: object): Promise<void> {
  expect((await service.api.put('/admin/tenants/default').set(asAdmin).send({ ttl })).status).toBe(200);
}

describe('F1 an access token never ends after its token would, unused', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ env: { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '900' } });
  });

  it.each([
    ['idleSeconds', { idleSeconds: 120 }, 120],
    ['idleSeconds of its platform', { idleSeconds: 300, platforms: { ios: { idleSeconds: 130 } } }, 130],
    ['maxSeconds', { maxSeconds: 60 }, 60],
    ['nothing but its own life', { idleSeconds: 901, maxSeconds: 901 }, 900],
  ])('%s: at a login and at a refresh', async (_what, ttl, life) => {
    await setRules(service, ttl);
    const { body } = await issue(service, 'ada');
    const { body: next } = await refresh(service, body.refreshToken);
    expect(lifeOf(body.accessToken)).toBe(life);
    // Of an absolute life some has passed.
    expect(lifeOf(next.accessToken)).toBeGreaterThan(life - 30);
    for (const { accessToken, token } of [body, next]) {
      expect(lifeOf(accessToken)).toBeLessThanOrEqual(life);
      expect(expOf(accessToken)).toBeLessThanOrEqual(Date.parse(token.expiresAt));
      expect(Date.parse(token.accessExpiresAt)).toBe(expOf(accessToken));
    }
  });

  it('shows the end of the latest pair, and tells gateways the latest end ever signed', async () => {
    await setRules(service, { accessSeconds: 900 });
    const { body: long } = await issue(service, 'shown');
    await setRules(service, { accessSeconds: 60 });
    const { body: short } = await refresh(service, long.refreshToken);
    const shown = async () => (await listTokens(service, 'shown')).body.tokens[0].accessExpiresAt;
    expect(short.token.accessExpiresAt).toBe(await shown());
    expect(Date.parse(await shown())).toBe(expOf(short.accessToken));
    expect((await ownTokens(service, short.accessToken)).body.tokens[0].accessExpiresAt).toBe(await shown());
    await setRules(service, { accessSeconds: 600 });
    const { body: middle } = await refresh(service, short.refreshToken);
    expect(Date.parse(await shown())).toBe(expOf(middle.accessToken));
    await revokeAll(service, 'shown');
    const [event] = (await history(service, 'shown')).body.events;
    expect(event.exp * 1000).toBe(expOf(long.accessToken));
    await setRules(service, { accessSeconds: 1200 });
    const { body: again } = await issue(service, 'again');
    await setRules(service, { accessSeconds: 1300 });
    const { body: later } = await refresh(service, again.refreshToken);
    const [record] = await service.store.list({ tenant: 'default', userId: 'again' });
    expect([record?.accessExpiresAt, record?.pairExpiresAt]).toEqual([expOf(later.accessToken), undefined]);
  });

  it('shows no end after that of the token, whatever was signed before', async () => {
    await setRules(service, { accessSeconds: 900 });
    const { body } = await issue(service, 'shortened');
    await setRules(service, { maxSeconds: 60 });
    service.shiftClock(61_000);
    expect((await refresh(service, body.refreshToken)).body.code).toBe('token_expired');
    const [token] = (await listTokens(service, 'shortened')).body.tokens;
    service.shiftClock(-61_000);
    expect(Date.parse(token.accessExpiresAt)).toBeLessThanOrEqual(Date.parse(token.expiresAt));
    expect(Date.parse(token.expiresAt)).toBe(Date.parse(token.createdAt) + 60_000);
    // And yet it ends with whatever ends tokens, until the last access token is over.
    const key = createKeys(service.prefix, 64).tokens({ ...user, userId: 'shortened' });
    expect(Number((await service.redis.hget(key, `${token.tokenId}:r`))?.split('\u001F')[1])).toBe(
      expOf(body.accessToken),
    );
  });
});

describe('F2 a refresh that is repeated within the grace', () => {
  it('signs no access token beyond what is on record, on a node whose rules or clock say otherwise', async () => {
    const env = { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '60', REFRESH_TTL_SECONDS: '60' };
    const service = await startService({ env });
    const { body: first } = await issue(service, 'ada');
    const { body: next } = await refresh(service, first.refreshToken);
    service.shiftClock(3000);
    const { body: repeated } = await refresh(service, first.refreshToken);
    expect(repeated.refreshToken).toBe(next.refreshToken);
    expect(repeated.token.expiresAt).toBe(next.token.expiresAt);
    expect(expOf(repeated.accessToken)).toBeLessThanOrEqual(Date.parse(next.token.expiresAt));
    expect(Date.parse(repeated.token.accessExpiresAt)).toBe(expOf(repeated.accessToken));
    const [record] = await service.store.list(user);
    expect(record?.accessExpiresAt).toBeLessThanOrEqual(Number(record?.expiresAt));
  });

  it('is bound by the script, where another call was first', async () => {
    const service = await startService({ env: { IDLE_TTL_SECONDS: '120' } });
    const { body } = await issue(service, 'ada');
    const rotation = {
      tokenId: body.token.tokenId,
      presentedGeneration: 1,
      graceMs: 10_000,
      expiresAt: service.store.now() + 60_500,
      accessExpiresAt: service.store.now() + 900_000,
      idleMs: 0,
    };
    const first = await service.store.rotate(user, rotation);
    const end = Math.floor(rotation.expiresAt / 1000) * 1000;
    expect(first).toMatchObject({ kind: 'renewed', generation: 2, accessExpiresAt: end });
    const later = { ...rotation, expiresAt: service.store.now() + 900_000, idleMs: 120_000 };
    expect(await service.store.rotate(user, later)).toEqual(first);
    const idle = { ...later, presentedGeneration: 2 };
    const second = await service.store.rotate(user, idle);
    if (second.kind !== 'renewed') throw new Error(second.kind);
    expect(second.accessExpiresAt).toBeLessThanOrEqual(service.store.now() + 120_000);
    expect(second.accessExpiresAt % 1000).toBe(0);
  });

  it('hands out what it has signed again, when the record ends earlier than it has signed for', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
    const { body } = await issue(service, 'ada');
    // Two refreshes at the same time, of nodes with other rules: both have read generation 1.
    const read = await service.store.find(user, body.token.tokenId);
    await setRules(service, { refreshSeconds: 60, accessSeconds: 60 });
    await refresh(service, body.refreshToken);
    await setRules(service, { refreshSeconds: 9000, accessSeconds: 900 });
    service.store.find = async () => read;
    const { body: repeated } = await refresh(service, body.refreshToken);
    expect(expOf(repeated.accessToken)).toBeLessThanOrEqual(Date.parse(repeated.token.expiresAt));
    expect(lifeOf(repeated.accessToken)).toBeLessThanOrEqual(60);
    expect(Date.parse(repeated.token.accessExpiresAt)).toBe(expOf(repeated.accessToken));
  });
});
