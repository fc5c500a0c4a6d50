/**
 * Presence: who keeps a seat, for how long, and who never gets one back. Where this node's clock decides it is stopped
 * at the very millisecond; where Redis's own clock decides, leases are a second long and the test waits for the fact.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Policy } from '../../src/contract/policy.ts';
import type { TenantConfig } from '../../src/contract/tenant-config.ts';
import { isInGrace, isLapsed } from '../../src/domain/token.ts';
import {
  asAdmin,
  asGateway,
  everythingUnder,
  inAscii,
  issue,
  listTokens,
  logout,
  revokeAll,
  revokeToken,
  statesOf,
  tokenHash,
  validate,
  verdict,
  type LoginBody,
} from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { countRoundTrips } from '../helpers/round-trips.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

/** Longest wait for what is to come within two seconds: on a busy machine the polls themselves take long. */
const WAIT_MS = 20_000;

const LEASE_MS = 60_000;
const GRACE_MS = 120_000;
const PRESENCE = { leaseSeconds: LEASE_MS / 1000, graceSeconds: GRACE_MS / 1000 };

const setRules = (service: Service, rules: TenantConfig, tenant = 'default') =>
  service.api.put(`/admin/tenants/${tenant}`).set(asAdmin).send(rules);

type Named = { readonly userId: string; readonly tokenId: string; readonly tenant?: string };

/** What a gateway says of one connection. */
const present = (service: Service, token: Named, connectionId?: string, release = false) =>
  service.api
    .post('/presence')
    .set(asGateway)
    .send({ tokens: [{ ...token, connectionId }], release });

/** Issues a token and names it as gateways do. */
async function tokenFor(service: Service, userId: string, body: LoginBody = {}, tenant = 'default') {
  const { status, body: result } = await issue(service, userId, body, tenant);
  expect(status).toBe(200);
  const { tokenId, createdAt } = result.token;
  return {
    name: { tenant, userId, tokenId: String(tokenId) },
    accessToken: String(result.accessToken),
    createdAt: Date.parse(createdAt),
  };
}

/** The lease on record. */
async function leaseOf(service: Service, { tenant = 'default', userId, tokenId }: Named) {
  const token = await service.store.find({ tenant, userId }, tokenId);
  if (token?.lease === undefined) throw new Error('the token has no lease');
  return token.lease;
}

/** This node takes it to be `at` from now on; Redis does not. */
function stopClock(service: Service, at: number): void {
  service.clock.now = () => at;
}

async function serviceWith(policy: string, presence: TenantConfig['presence'] = PRESENCE): Promise<Service> {
  const service = await startService({ env: { LOGIN_POLICY: policy } });
  expect((await setRules(service, { ...(presence && { presence }) })).status).toBe(200);
  return service;
}

describe('D2 a seat is kept for lease and grace, to the millisecond', () => {
  const end = LEASE_MS + GRACE_MS;
  const moments = [
    { moment: 'lease-1', after: LEASE_MS - 1, inGrace: false, retryAfter: 121 },
    { moment: 'lease', after: LEASE_MS, inGrace: false, retryAfter: 121 },
    { moment: 'lease+1', after: LEASE_MS + 1, inGrace: true, retryAfter: 120 },
    { moment: 'lease+1s', after: LEASE_MS + 1000, inGrace: true, retryAfter: 120 },
    { moment: 'grace-1', after: end - 1, inGrace: true, retryAfter: 1 },
    { moment: 'grace', after: end, inGrace: true, retryAfter: 1 },
  ];

  it.each(moments)('at $moment another device is declined: inGrace is $inGrace', async (row) => {
    const service = await serviceWith('decline-second');
    const { name, createdAt } = await tokenFor(service, 'ada', { platform: 'ios', deviceName: 'phone' });
    const before = await tokenHash(service, 'ada');
    stopClock(service, createdAt + row.after);
    const answer = await issue(service, 'ada', { platform: 'web' });
    expect([answer.status, answer.body.code]).toEqual([409, 'login_declined']);
    expect(answer.body.conflicts).toEqual([
      {
        tokenId: name.tokenId,
        platform: 'ios',
        deviceName: 'phone',
        lastSeenAt: new Date(createdAt).toISOString(),
        leaseExpiresAt: new Date(createdAt + LEASE_MS).toISOString(),
        inGrace: row.inGrace,
      },
    ]);
    expect([answer.headers['retry-after'], answer.body.retryAfterSeconds]).toEqual([
      String(row.retryAfter),
      row.retryAfter,
    ]);
    expect(await tokenHash(service, 'ada')).toEqual(before);
  });

  it('at grace+1 another device takes the seat; the lapsed token is kicked with the reason lapsed', async () => {
    const service = await serviceWith('decline-second');
    const old = await tokenFor(service, 'ada', { platform: 'ios' });
    stopClock(service, old.createdAt + end + 1);
    const answer = await issue(service, 'ada', { platform: 'web' });
    expect(answer.status).toBe(200);
    expect(answer.body.displaced).toMatchObject([{ tokenId: old.name.tokenId, platform: 'ios', state: 'kicked' }]);
    const told = await validate(service, old.accessToken);
    expect(told.body).toMatchObject({
      code: 'token_kicked',
      endedBy: { kind: 'login', platform: 'web', policy: 'decline-second', reason: 'lapsed' },
    });
  });

  it('a lapsed token is still good while nobody takes its seat', async () => {
    const service = await serviceWith('decline-second');
    const { accessToken, createdAt } = await tokenFor(service, 'ada');
    stopClock(service, createdAt + end + 1);
    expect(await verdict(service, accessToken)).toBe('good');
  });

  it.each(moments)('at $moment another device takes over under a policy that kicks', async ({ after }) => {
    const service = await serviceWith('single-device');
    const old = await tokenFor(service, 'ada', { platform: 'ios' });
    stopClock(service, old.createdAt + after);
    const answer = await issue(service, 'ada', { platform: 'web' });
    expect(answer.status).toBe(200);
    expect((await validate(service, old.accessToken)).body.endedBy).toEqual({
      kind: 'login',
      platform: 'web',
      policy: 'single-device',
    });
  });

  it.each([
    [-1, false, false],
    [0, false, false],
    [1, true, false],
    [GRACE_MS - 1, true, false],
    [GRACE_MS, true, false],
    [GRACE_MS + 1, false, true],
  ])('%d ms after the lease: in grace %s, lapsed %s', async (ms, inGrace, lapsed) => {
    const service = await serviceWith('decline-second');
    const { name } = await tokenFor(service, 'ada');
    const token = await service.store.find(name, name.tokenId);
    if (token?.lease === undefined) throw new Error('no lease');
    const now = token.lease.expiresAt + ms;
    expect([isInGrace(token, now), isLapsed(token, now)]).toEqual([inGrace, lapsed]);
  });

  it('a grace of 0 begins nothing', async () => {
    const service = await serviceWith('decline-second', { leaseSeconds: 60, graceSeconds: 0 });
    const { createdAt } = await tokenFor(service, 'ada');
    stopClock(service, createdAt + LEASE_MS);
    expect((await issue(service, 'ada')).status).toBe(409);
    stopClock(service, createdAt + LEASE_MS + 1);
    expect((await issue(service, 'ada')).status).toBe(200);
  });
});

describe('D1 a device that is killed frees its seat by its lease and grace alone', () => {
  it('counts from the last renewal', async () => {
    const service = await serviceWith('decline-second');
    const { name } = await tokenFor(service, 'ada');
    expect((await present(service, name, 'c1')).body).toEqual({ renewed: 1, refused: [] });
    const { expiresAt, graceMs } = await leaseOf(service, name);
    stopClock(service, expiresAt + graceMs);
    expect((await issue(service, 'ada')).status).toBe(409);
    stopClock(service, expiresAt + graceMs + 1);
    expect((await issue(service, 'ada')).status).toBe(200);
  });

  it('a renewal moves the end on, whoever asked first', async () => {
    const service = await serviceWith('decline-second');
    const { name } = await tokenFor(service, 'ada');
    const first = await leaseOf(service, name);
    await until('Redis is a millisecond further', async () => {
      await present(service, name, 'c1');
      return (await leaseOf(service, name)).expiresAt > first.expiresAt;
    });
  });

  it('a token that never connected holds its seat for lease and grace from its login', async () => {
    const service = await serviceWith('decline-second');
    const { name, createdAt } = await tokenFor(service, 'ada');
    expect(await leaseOf(service, name)).toEqual({ expiresAt: createdAt + LEASE_MS, graceMs: GRACE_MS });
  });

  it('a lapsed token goes before an older one that is connected', async () => {
    const service = await startService();
    const policy: Policy = { name: 'two', limits: [{ match: {}, countBy: 'all', max: 2, overflow: 'kick' }] };
    await setRules(service, { policy, presence: PRESENCE });
    const oldest = await tokenFor(service, 'ada', { platform: 'ios' });
    const lapsing = await tokenFor(service, 'ada', { platform: 'web' });
    stopClock(service, lapsing.createdAt + LEASE_MS + GRACE_MS + 1);
    // As if its gateway had just been heard: only Redis gives leases, so its end is put where this node's clock is.
    const key = service.keys.tokens(oldest.name);
    await service.redis.hset(key, `${oldest.name.tokenId}:l`, `${service.clock.now() + 1000}\u001F${GRACE_MS}\u001Fc1`);
    const { body } = await issue(service, 'ada', { platform: 'linux' });
    expect(body.displaced).toMatchObject([{ tokenId: lapsing.name.tokenId, state: 'kicked' }]);
  });
});

describe('T8 a dead gateway: its user’s other device is declined until the lease and the grace have gone by', () => {
  it('and another platform that keeps its own lease alive changes nothing', async () => {
    const service = await startService();
    const policy: Policy = {
      name: 'first-come',
      limits: [{ match: {}, countBy: 'platform', max: 1, overflow: 'decline' }],
    };
    await setRules(service, { policy, presence: { leaseSeconds: 1, graceSeconds: 1 } });
    const dead = await tokenFor(service, 'ada', { platform: 'ios' });
    const alive = await tokenFor(service, 'ada', { platform: 'web' });
    await present(service, dead.name, 'dead');
    const { expiresAt, graceMs } = await leaseOf(service, dead.name);

    let answer = await issue(service, 'ada', { platform: 'ios' });
    expect(answer.status).toBe(409);
    await until(
      'the seat is free',
      async () => {
        const waits = [Number(answer.headers['retry-after']), answer.body.retryAfterSeconds];
        expect([1, 2]).toContain(waits[0]);
        expect([waits[0], answer.body.conflicts.length]).toEqual([waits[1], 1]);
        expect(answer.body.conflicts[0].tokenId).toBe(dead.name.tokenId);
        expect((await present(service, alive.name, 'alive')).body.renewed).toBe(1);
        answer = await issue(service, 'ada', { platform: 'ios' });
        return answer.status === 200;
      },
      WAIT_MS,
    );
    expect(Date.parse(answer.body.token.createdAt)).toBeGreaterThan(expiresAt + graceMs);
    expect(answer.body.displaced).toMatchObject([{ tokenId: dead.name.tokenId, state: 'kicked' }]);
    expect(await statesOf(service, 'ada')).toEqual([
      ['ios', 'kicked'],
      ['web', 'active'],
      ['ios', 'active'],
    ]);
  });

  it('a lapsed lease comes back to life when nobody has taken the seat', async () => {
    const service = await serviceWith('decline-second', { leaseSeconds: 1, graceSeconds: 0 });
    const { name } = await tokenFor(service, 'ada', { platform: 'ios' });
    await until(
      'the lease has lapsed',
      async () => {
        const plan = await issue(service, 'ada', { platform: 'web', dryRun: true });
        return plan.body.declined === false;
      },
      WAIT_MS,
    );
    await setRules(service, { presence: PRESENCE });
    expect((await present(service, name, 'c1')).body.renewed).toBe(1);
    expect((await issue(service, 'ada', { platform: 'web' })).status).toBe(409);
  });
});

describe('T9 the same device logs in again after a crash: a takeover, never a decline', () => {
  it.each([
    ['while its lease holds', 0],
    ['in its grace', LEASE_MS + 1],
    ['when it has lapsed', LEASE_MS + GRACE_MS + 1],
  ])('%s', async (_when, after) => {
    const service = await serviceWith('decline-second');
    const old = await tokenFor(service, 'ada', { platform: 'ios', deviceId: 'phone' });
    await present(service, old.name, 'c1');
    const { expiresAt } = await leaseOf(service, old.name);
    stopClock(service, expiresAt - LEASE_MS + after);
    const answer = await issue(service, 'ada', { platform: 'ios', deviceId: 'phone' });
    expect(answer.status).toBe(200);
    expect(answer.body.displaced).toMatchObject([{ tokenId: old.name.tokenId, state: 'replaced' }]);
    expect(await verdict(service, old.accessToken)).toBe('token_replaced');
  });

  it('the gateway’s late release of the old connection does not touch the new token', async () => {
    const service = await serviceWith('decline-second');
    const old = await tokenFor(service, 'ada', { deviceId: 'phone' });
    await present(service, old.name, 'c1');
    const fresh = await tokenFor(service, 'ada', { deviceId: 'phone' });
    const before = await tokenHash(service, 'ada');
    const { body } = await present(service, old.name, 'c1', true);
    expect(body).toEqual({ renewed: 0, refused: [{ tokenId: old.name.tokenId, reason: 'token_replaced' }] });
    expect(await tokenHash(service, 'ada')).toEqual(before);
    expect(await verdict(service, fresh.accessToken)).toBe('good');
  });

  it('another platform is another device, whatever it calls itself', async () => {
    const service = await serviceWith('decline-second');
    await tokenFor(service, 'ada', { platform: 'ios', deviceId: 'same' });
    expect((await issue(service, 'ada', { platform: 'web', deviceId: 'same' })).status).toBe(409);
  });
});

describe('T10 presence of a token that is no longer active is refused, and brings nothing back', () => {
  let service: Service;
  const endings: Record<string, (name: Named, accessToken: string) => Promise<unknown>> = {
    token_kicked: ({ userId }) => issue(service, userId, { platform: 'web' }),
    token_replaced: ({ userId }) => issue(service, userId, { deviceId: 'phone' }),
    token_revoked: ({ userId, tokenId }) => revokeToken(service, userId, tokenId),
    token_logged_out: (_name, accessToken) => logout(service, accessToken),
    user_blocked: ({ userId }) =>
      service.api
        .patch(`/admin/users/${userId}`)
        .set(asAdmin)
        .send({ blocked: { reason: 'test' } }),
    token_unknown: ({ userId, tenant = 'default' }) => service.redis.del(service.keys.tokens({ tenant, userId })),
  };

  beforeAll(async () => {
    service = await serviceWith('single-device');
  });

  it.each(Object.keys(endings))('%s', async (reason) => {
    const { name, accessToken } = await tokenFor(service, `user-${reason}`, { deviceId: 'phone' });
    await present(service, name, 'c1');
    await endings[reason]?.(name, accessToken);
    const before = await everythingUnder(service);
    for (const release of [false, true]) {
      const { body } = await present(service, name, 'c1', release);
      expect(body).toEqual({ renewed: 0, refused: [{ tokenId: name.tokenId, reason }] });
    }
    expect(await everythingUnder(service)).toEqual(before);
    expect(await verdict(service, accessToken)).toBe(reason);
  });

  it('a token that a policy deleted is unknown', async () => {
    const policy: Policy = { name: 'one', limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'delete' }] };
    await setRules(service, { policy, presence: PRESENCE }, 'deleting');
    const { name } = await tokenFor(service, 'ada', { platform: 'ios' }, 'deleting');
    await tokenFor(service, 'ada', { platform: 'web' }, 'deleting');
    const before = await tokenHash(service, 'ada', 'deleting');
    expect((await present(service, name)).body.refused).toEqual([{ tokenId: name.tokenId, reason: 'token_unknown' }]);
    expect(await tokenHash(service, 'ada', 'deleting')).toEqual(before);
  });

  it('an expired token is told so, though its record is still there', async () => {
    const other = await serviceWith('no-kick');
    const refreshMs = 2_592_000_000;
    await tokenFor(other, 'ada', { platform: 'ios' });
    // Issued by a node that lives so far in the past that its token has just ended by Redis's clock.
    other.shiftClock(-refreshMs - 1000);
    const { name } = await tokenFor(other, 'ada', { platform: 'web' });
    other.shiftClock(refreshMs + 1000);
    const before = await tokenHash(other, 'ada');
    for (const release of [false, true]) {
      const { body } = await present(other, name, 'c1', release);
      expect(body).toEqual({ renewed: 0, refused: [{ tokenId: name.tokenId, reason: 'token_expired' }] });
    }
    expect(await tokenHash(other, 'ada')).toEqual(before);
  });

  it('users and tenants that nobody has heard of leave no trace', async () => {
    const before = await everythingUnder(service);
    const nobody = { userId: 'nobody', tokenId: 'never-was', tenant: 'nowhere' };
    expect((await present(service, nobody)).body.refused).toEqual([{ tokenId: 'never-was', reason: 'token_unknown' }]);
    expect(await everythingUnder(service)).toEqual(before);
  });

  it('the same tokenId under another user or tenant is unknown', async () => {
    const { name } = await tokenFor(service, 'owner');
    for (const wrong of [{ userId: 'thief' }, { tenant: 'elsewhere' }]) {
      const { body } = await present(service, { ...name, ...wrong }, 'c1', true);
      expect(body).toEqual({ renewed: 0, refused: [{ tokenId: name.tokenId, reason: 'token_unknown' }] });
    }
  });

  it.each([
    ['as they are', (body: string) => body],
    ['escaped, as ASCII', inAscii],
  ])('takes all that it allows: 1000 tokens, every name as long as names get, %s', async (_how, written) => {
    const longest = '😀'.repeat(128);
    const token = { tenant: longest, userId: longest, tokenId: 'x'.repeat(64), connectionId: longest };
    const tokens = Array.from({ length: 1000 }, () => token);
    const text = written(JSON.stringify({ tokens, release: false }, undefined, 2));
    const { status, body } = await service.api
      .post('/presence')
      .set(asGateway)
      .set('content-type', 'application/json')
      .send(text);
    expect([status, body.renewed, body.refused?.length]).toEqual([200, 0, 1000]);
  });

  it('is a call of gateways', async () => {
    const answer = await service.api.post('/presence').send({ tokens: [{ userId: 'ada', tokenId: 'x' }] });
    expect([answer.status, answer.body.code]).toEqual([401, 'unauthorized']);
  });
});

describe('a release begins the grace, and counts only for its own connection', () => {
  it('another device is in the grace at once, and free after it', async () => {
    const service = await serviceWith('decline-second');
    const { name, createdAt } = await tokenFor(service, 'ada');
    await present(service, name, 'c1');
    expect((await present(service, name, 'c1', true)).body).toEqual({ renewed: 1, refused: [] });
    const { expiresAt, graceMs } = await leaseOf(service, name);
    expect(expiresAt).toBeLessThan(createdAt + LEASE_MS);
    stopClock(service, expiresAt + 1);
    const declined = await issue(service, 'ada');
    expect([declined.status, declined.body.conflicts[0].inGrace]).toEqual([409, true]);
    stopClock(service, expiresAt + graceMs + 1);
    expect((await issue(service, 'ada')).status).toBe(200);
  });

  it('a connection that never renewed frees nothing of a login', async () => {
    const service = await serviceWith('decline-second');
    const { name } = await tokenFor(service, 'ada');
    const before = await tokenHash(service, 'ada');
    expect((await present(service, name, 'c1', true)).body.renewed).toBe(0);
    expect(await tokenHash(service, 'ada')).toEqual(before);
  });

  it('a second release does not begin the grace anew', async () => {
    const service = await serviceWith('decline-second');
    const { name } = await tokenFor(service, 'ada');
    await present(service, name, 'c1');
    await present(service, name, 'c1', true);
    const released = await leaseOf(service, name);
    await until('Redis is a millisecond further', async () => {
      const [seconds = '0', micros = '0'] = (await service.redis.time()).map(String);
      return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) > released.expiresAt;
    });
    await present(service, name, 'c1', true);
    expect(await leaseOf(service, name)).toEqual(released);
  });

  it('a connection that comes back renews', async () => {
    const service = await serviceWith('decline-second');
    const { name, createdAt } = await tokenFor(service, 'ada');
    await present(service, name, 'c1');
    await present(service, name, 'c1', true);
    await present(service, name, 'c2');
    expect((await leaseOf(service, name)).expiresAt).toBeGreaterThanOrEqual(createdAt + LEASE_MS);
  });
});

describe('presence that is off changes nothing', () => {
  it('tokens have no lease, and seats are held until somebody logs out', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'decline-second' } });
    const { name, createdAt } = await tokenFor(service, 'ada');
    const before = await tokenHash(service, 'ada');
    for (const release of [false, true]) {
      expect((await present(service, name, '', release)).body).toEqual({ renewed: 1, refused: [] });
    }
    expect(await tokenHash(service, 'ada')).toEqual(before);
    stopClock(service, createdAt + 24 * 60 * 60 * 1000);
    const { status, headers, body } = await issue(service, 'ada');
    expect([status, headers['retry-after'], body.retryAfterSeconds]).toEqual([409, '60', 60]);
    expect(Object.keys(body.conflicts[0]).toSorted()).toEqual(['deviceName', 'lastSeenAt', 'platform', 'tokenId']);
  });

  it('leases that were given before it was switched off no longer count', async () => {
    const service = await serviceWith('decline-second');
    const { createdAt } = await tokenFor(service, 'ada');
    await setRules(service, {});
    stopClock(service, createdAt + LEASE_MS + GRACE_MS + 1);
    expect((await issue(service, 'ada')).status).toBe(409);
  });

  it('a connected device does not lose its seat when it is switched on again', async () => {
    const service = await serviceWith('decline-second');
    const { name } = await tokenFor(service, 'ada');
    await setRules(service, {});
    // The lease of the past, and a minute in which nobody noted that the token is in use.
    const [lease, seen] = [`${name.tokenId}:l`, `${name.tokenId}:s`];
    const now = service.clock.now();
    const key = service.keys.tokens(name);
    await service.redis.hset(key, lease, `${now - GRACE_MS - 1000}\u001F${GRACE_MS}\u001Fc1`, seen, now - 60_000);
    await present(service, name, 'c1');
    await setRules(service, { presence: PRESENCE });
    expect((await issue(service, 'ada')).status).toBe(409);
  });

  it('"last seen" is noted at most once a minute', async () => {
    const service = await startService();
    const { name } = await tokenFor(service, 'ada');
    const key = service.keys.tokens(name);
    const field = `${name.tokenId}:s`;
    await present(service, name);
    expect(await service.redis.hget(key, field)).toBeNull();
    const longAgo = service.clock.now() - 60_000;
    await service.redis.hset(key, field, longAgo);
    await present(service, name);
    expect(Number(await service.redis.hget(key, field))).toBeGreaterThan(longAgo);
  });
});

describe('a token from before presence was switched on', () => {
  it('has held its seat since it was last seen', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'decline-second' } });
    const { createdAt } = await tokenFor(service, 'ada');
    await setRules(service, { presence: PRESENCE });
    stopClock(service, createdAt + LEASE_MS + GRACE_MS);
    const declined = await issue(service, 'ada');
    expect(declined.body.conflicts).toMatchObject([
      { leaseExpiresAt: new Date(createdAt + LEASE_MS).toISOString(), inGrace: true },
    ]);
    stopClock(service, createdAt + LEASE_MS + GRACE_MS + 1);
    expect((await issue(service, 'ada')).status).toBe(200);
  });

  it('gets a lease of its own from its gateway', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'decline-second' } });
    const { name, createdAt } = await tokenFor(service, 'ada');
    await setRules(service, { presence: PRESENCE });
    await present(service, name, 'c1');
    const { expiresAt } = await leaseOf(service, name);
    expect(expiresAt).toBeGreaterThanOrEqual(createdAt + LEASE_MS);
  });
});

describe('presence in bulk', () => {
  it('renews 1 000 tokens of two tenants in one call, in two round trips', async () => {
    const service = await startService();
    await setRules(service, { presence: PRESENCE });
    const tenants = ['default', 'other'];
    const tokens: Named[] = [];
    for (let batch = 0; batch < 20; batch += 1) {
      const users = Array.from({ length: 50 }, (_, index) => `user-${batch}-${index}`);
      const issued = await Promise.all(
        users.map((userId, index) => tokenFor(service, userId, {}, tenants[index % 2] ?? '')),
      );
      tokens.push(...issued.map(({ name }) => name));
    }
    const [first] = tokens;
    if (first === undefined) throw new Error('no token');
    await revokeAll(service, first.userId);
    const renewAll = () =>
      countRoundTrips(service, () => service.api.post('/presence').set(asGateway).send({ tokens }));
    let { result, roundTrips } = await renewAll();
    // A machine that is too busy for a Redis reply in time is an outage: 503, and the gateway asks again.
    while (result.status === 503) ({ result, roundTrips } = await renewAll());
    expect(result.body).toEqual({ renewed: 999, refused: [{ tokenId: first.tokenId, reason: 'token_revoked' }] });
    expect(roundTrips).toBeLessThanOrEqual(2);
    // Rules are those of each token's own tenant.
    expect((await listTokens(service, 'user-0-1', '?tenant=other')).body.tokens).toHaveLength(1);
    const other = await service.store.find({ tenant: 'other', userId: 'user-0-1' }, tokens[1]?.tokenId ?? '');
    expect(other?.lease).toBeUndefined();
  });

  it('takes 1 to 1 000 at a time', async () => {
    const service = await startService();
    const many = Array.from({ length: 1001 }, () => ({ userId: 'ada', tokenId: 'x' }));
    for (const tokens of [[], many]) {
      expect((await service.api.post('/presence').set(asGateway).send({ tokens })).status).toBe(400);
    }
  });
});
