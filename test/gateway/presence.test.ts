/** How gateways keep seats, against a real service: a token may have connections at several of them. */
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { createPresenceKeeper, type PresenceKeeper } from '../../src/gateway/presence.ts';
import { asAdmin, issue } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService } from '../helpers/service.ts';
import { closeCheckers, readyChecker } from './checkers.ts';

afterEach(closeCheckers);
afterAll(closeServices);

/** Longer than the test: only what the gateways do by themselves is seen. */
const INTERVAL_MS = 3_600_000;

describe('F19 gateways that share a token', () => {
  it('each releases its own lease with its last connection, whatever the order of closing', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'decline-second' } });
    await service.api
      .put('/admin/tenants/default')
      .set(asAdmin)
      .send({ presence: { leaseSeconds: 600, graceSeconds: 0 } });
    const checker = await readyChecker(service.url);
    const troubles: unknown[] = [];
    const newKeeper = () =>
      createPresenceKeeper(checker, INTERVAL_MS, {
        onRefused: (_tokenId, reason) => troubles.push(reason),
        onError: (error) => troubles.push(error),
      });
    const { body } = await issue(service, 'ada', { platform: 'ios' });
    const { tokenId } = body.token;
    const name = { tenant: 'default', userId: 'ada', tokenId };
    const holder = (connectionId: string) => ({ ...name, connectionId });
    const lease = async () => (await service.redis.hget(service.keys.tokens(name), `${tokenId}:l`)) ?? '';
    const isHeld = async () =>
      (await issue(service, 'ada', { platform: 'web', dryRun: true })).body.declined as boolean;
    const [one, two]: [PresenceKeeper, PresenceKeeper] = [newKeeper(), newKeeper()];
    const [a1, a2, b1] = [holder('a1'), holder('a2'), holder('b1')];

    one.add(a1);
    await until('the first gateway is known', async () => (await lease()).includes('a1'));
    one.add(a2);
    two.add(b1);
    await until('the second gateway is known', async () => (await lease()).includes('b1'));
    one.remove(a1, true);
    two.remove(b1, true);
    await until('the second gateway has let go', async () => !(await lease()).includes('b1'));
    expect(await isHeld()).toBe(true);
    one.remove(a2, true);
    await until('the seat is free', async () => !(await isHeld()));

    // One that comes back in the same turn has never been away.
    one.add(a1);
    await until('the first gateway is back', isHeld);
    const before = await lease();
    one.remove(a1, true);
    one.add(a2);
    await until('it has renewed', async () => (await lease()) !== before);
    expect(await isHeld()).toBe(true);
    await Promise.all([one.close(), two.close()]);
    await until('the seat is free again', async () => !(await isHeld()));
    expect(troubles).toEqual([]);
  });
});
