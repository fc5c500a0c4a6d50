/**
 * Clients that cannot stop: one that logs in again and again, and two that sign each other out for ever.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Policy } from '../../src/contract/policy.ts';
import type { TenantConfig } from '../../src/contract/tenant-config.ts';
import { asAdmin, createUser, issue, login, statesOf, tokenHash, type LoginBody } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { sized } from '../helpers/sizes.ts';

afterAll(closeServices);

const LOGINS = sized(1_000);

describe('D7 a client in a reconnect loop', () => {
  it(`gets 429 with Retry-After in ${LOGINS.told} logins, and is let in when the window has passed`, async () => {
    const service = await startService({ env: { THROTTLE_USER_LOGINS: '10', THROTTLE_WINDOW_SECONDS: '2' } });
    await createUser(service, 'ada');
    const told = new Map<string, number>();
    const tries = () => login(service, 'ada', { deviceId: 'phone' });
    const answers: Awaited<ReturnType<typeof tries>>[] = [];
    while (answers.length < LOGINS.count) answers.push(...(await Promise.all(Array.from({ length: 50 }, tries))));
    for (const { status, headers, body } of answers) {
      const what = `${status} ${body.code ?? ''}`.trim();
      told.set(what, (told.get(what) ?? 0) + 1);
      if (status !== 429) continue;
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(2);
    }
    expect([...told.keys()].toSorted()).toEqual(['200', '429 too_many_attempts']);
    expect(told.get('200')).toBeGreaterThanOrEqual(10);
    await until('the window has passed', async () => (await tries()).status === 200);
    expect((await statesOf(service, 'ada')).filter(([, state]) => state === 'active')).toHaveLength(1);
    const next = await Promise.all(Array.from({ length: 50 }, tries));
    expect(next.map(({ status }) => status)).toContain(429);
  });

  it('exactly as many as the window allows get through, on two nodes together', async () => {
    const env = { THROTTLE_USER_LOGINS: '10', THROTTLE_WINDOW_SECONDS: '3600' };
    const a = await startService({ env });
    const b = await startService({ env, prefix: a.prefix });
    await createUser(a, 'ada');
    await createUser(a, 'bob');
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => login(index % 2 === 0 ? a : b, 'ada', { deviceId: 'phone' })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    expect(answers.filter(({ body }) => body.code === 'too_many_attempts')).toHaveLength(50);
    expect((await login(b, 'bob')).status).toBe(200);
  });

  it('of an address all users together', async () => {
    const service = await startService({ env: { THROTTLE_ADDRESS_LOGINS: '3', THROTTLE_WINDOW_SECONDS: '3600' } });
    const statuses: number[] = [];
    for (const userId of ['a', 'b', 'c', 'd']) statuses.push((await login(service, userId)).status);
    expect(statuses).toEqual([401, 401, 401, 429]);
  });

  it('a rate of 0 is no limit', async () => {
    const service = await startService();
    await createUser(service, 'ada');
    for (let tries = 0; tries < 30; tries += 1) expect((await login(service, 'ada')).status).toBe(200);
  });
});

const WAR = { maxDisplacements: 3, windowSeconds: 60 };
const deleting: Policy = { name: 'deleting', limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'delete' }] };

describe.each<[string, NonNullable<TenantConfig['policy']>]>([
  ['kicks', 'single-device'],
  ['deletes', deleting],
])('D7 two devices that sign each other out, under a policy that %s', (_what, policy) => {
  let service: Service;

  beforeAll(async () => {
    service = await startService();
    await service.api.put('/admin/tenants/default').set(asAdmin).send({ policy, war: WAR });
  });

  /** The n-th login of two devices in turn, without anybody at them. */
  const auto = (userId: string, turn: number, body: LoginBody = {}) =>
    issue(service, userId, {
      platform: turn % 2 === 0 ? 'ios' : 'web',
      deviceId: `d${turn % 2}`,
      interactive: false,
      ...body,
    });

  /** The first takes a free seat, the next three displace: what the tenant allows. */
  async function fight(userId: string): Promise<void> {
    for (let turn = 0; turn <= WAR.maxDisplacements; turn += 1) {
      expect([turn, (await auto(userId, turn)).status]).toEqual([turn, 200]);
    }
  }

  it('are stopped with reconnect_war and Retry-After; nothing is displaced, and nothing written', async () => {
    await fight('ada');
    const before = await tokenHash(service, 'ada');
    for (const turn of [4, 6]) {
      const { status, headers, body } = await auto('ada', turn);
      expect([status, body.code]).toEqual([429, 'reconnect_war']);
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(WAR.windowSeconds);
    }
    expect(await tokenHash(service, 'ada')).toEqual(before);
  });

  it('a person at the device is not stopped; the password way is the same', async () => {
    await createUser(service, 'bob');
    await fight('bob');
    expect((await login(service, 'bob', { platform: 'ios', interactive: false })).body.code).toBe('reconnect_war');
    for (const body of [{ interactive: true }, {}]) {
      expect((await login(service, 'bob', { platform: 'ios', ...body })).status).toBe(200);
    }
  });

  it('a device that takes over from itself and one that it displaces have one count', async () => {
    expect((await auto('dora', 0)).status).toBe(200);
    expect((await auto('dora', 0)).status).toBe(200);
    for (let turn = 1; turn < WAR.maxDisplacements; turn += 1) expect((await auto('dora', turn)).status).toBe(200);
    for (const turn of [0, 1]) expect((await auto('dora', turn)).body.code).toBe('reconnect_war');
  });

  it('another user has a war of their own', async () => {
    await fight('emil');
    await fight('fritz');
  });

  it('all nodes see it', async () => {
    await fight('gina');
    const other = await startService({ prefix: service.prefix });
    const answer = await issue(other, 'gina', { platform: 'ios', deviceId: 'd0', interactive: false });
    expect(answer.body.code).toBe('reconnect_war');
  });

  it('and may go on when the window has passed', async () => {
    const node = await startService({ prefix: service.prefix });
    await fight('hugo');
    const again = () => issue(node, 'hugo', { platform: 'ios', deviceId: 'd0', interactive: false });
    const stopped = await again();
    expect(stopped.status).toBe(429);
    node.shiftClock(Number(stopped.headers['retry-after']) * 1000);
    expect((await again()).status).toBe(200);
  });

  it('of racers not one too many gets through', async () => {
    const node = await startService({ prefix: service.prefix });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        issue(index % 2 === 0 ? service : node, 'ivan', { deviceId: `d${index}`, interactive: false }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(WAR.maxDisplacements + 1);
    expect(answers.filter(({ body }) => body.code === 'reconnect_war')).toHaveLength(19 - WAR.maxDisplacements);
  });
});

describe('F17 two clients with one cloned deviceId that log in by themselves', () => {
  it.each(['no-kick', 'single-device', 'decline-second'])('stop signing each other out (%s)', async (policy) => {
    const service = await startService();
    await service.api.put('/admin/tenants/default').set(asAdmin).send({ policy, war: WAR });
    const again = (body: LoginBody = {}) =>
      issue(service, 'ada', { platform: 'ios', deviceId: 'cloned', interactive: false, ...body });
    for (let turn = 0; turn <= WAR.maxDisplacements; turn += 1)
      expect([turn, (await again()).status]).toEqual([turn, 200]);
    const before = await tokenHash(service, 'ada');
    const { status, headers, body } = await again();
    expect([status, body.code]).toEqual([429, 'reconnect_war']);
    expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(WAR.windowSeconds);
    expect(await tokenHash(service, 'ada')).toEqual(before);
    expect((await again({ interactive: true })).status).toBe(200);
    expect(
      (await again({ platform: 'web', deviceId: 'free', ...(policy !== 'no-kick' && { interactive: true }) })).status,
    ).toBe(policy === 'decline-second' ? 409 : 200);
  });
});

describe('D7 without a rule for wars', () => {
  it('devices may displace each other without end, and nothing is remembered of it', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    for (let turn = 0; turn < 30; turn += 1) {
      const answer = await issue(service, 'ada', {
        deviceId: `d${turn % 2}`,
        platform: turn % 2 ? 'ios' : 'web',
        interactive: false,
      });
      expect(answer.status).toBe(200);
    }
    expect(await service.redis.hexists(service.keys.tokens({ tenant: 'default', userId: 'ada' }), ':d')).toBe(0);
  });

  it('no more is remembered of a war than the strictest rule must see', async () => {
    const service = await startService();
    const rules = { policy: 'single-device', war: { maxDisplacements: 20, windowSeconds: 60 } };
    await service.api.put('/admin/tenants/default').set(asAdmin).send(rules);
    for (let turn = 0; turn < 30; turn += 1) await issue(service, 'ada', { platform: turn % 2 ? 'ios' : 'web' });
    const { displacements } = await service.store.snapshot({ tenant: 'default', userId: 'ada' });
    expect(displacements).toHaveLength(21);
    expect(displacements).toEqual(displacements.toSorted((a, b) => a - b));
    expect((await issue(service, 'ada', { platform: 'web', interactive: false })).body.code).toBe('reconnect_war');
  });
});
