/**
 * What the calls of every day cost, counted and not timed: Redis round trips, and signatures.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  changeUser,
  createUser,
  introspect,
  issue,
  login,
  logout,
  ownTokens,
  refresh,
  revokeAll,
  revokeToken,
  validate,
} from '../helpers/calls.ts';
import { countingSigner, countRoundTrips } from '../helpers/round-trips.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

const ISSUER = 'http://latchkey.test';

/** A node that counts its signatures, its scripts known to Redis, and `ada` with a password. */
async function measured(policy: string): Promise<{ service: Service; signatures: () => number }> {
  const seed = await startService();
  const { signer, signatures } = countingSigner(seed, ISSUER);
  const service = await startService({ env: { LOGIN_POLICY: policy }, override: { signer } });
  const { body } = await issue(service, 'warm');
  await refresh(service, body.refreshToken);
  await revokeAll(service, 'warm');
  await issue(service, 'warm');
  await issue(service, 'warm', { platform: 'web' });
  await createUser(service, 'ada');
  await changeUser(service, 'warm', { blocked: {} });
  return { service, signatures };
}

describe('the cost of a call', () => {
  let service: Service;
  let signatures: () => number;
  beforeAll(async () => {
    ({ service, signatures } = await measured('single-device'));
  });

  /** Runs one call and checks that it went as expected; answers [round trips, signatures]. */
  async function costOf(status: number, call: () => Promise<{ status: number; text: string }>) {
    const before = signatures();
    const { result, roundTrips, commands } = await countRoundTrips(service, call);
    expect([result.status, result.status === status ? '' : result.text]).toEqual([status, '']);
    // A digest that Redis does not know costs a trip of its own: the scripts must be warm.
    expect(commands.flat()).not.toContain('eval');
    return [roundTrips, signatures() - before];
  }

  it('a login is exactly 2 round trips and 1 signature', async () => {
    expect(await costOf(200, () => login(service, 'ada'))).toEqual([2, 1]);
  });

  it('a login that kicks is no dearer', async () => {
    await login(service, 'ada', { platform: 'ios' });
    expect(await costOf(200, () => login(service, 'ada', { platform: 'web' }))).toEqual([2, 1]);
  });

  it('trusted issuance is exactly 2 round trips and 1 signature', async () => {
    expect(await costOf(200, () => issue(service, 'trusted'))).toEqual([2, 1]);
  });

  it('a wrong password is 1 round trip and no signature', async () => {
    expect(await costOf(401, () => login(service, 'ada', { password: 'wrong password' }))).toEqual([1, 0]);
  });

  it('an unknown user costs what a wrong password costs', async () => {
    expect(await costOf(401, () => login(service, 'nobody'))).toEqual([1, 0]);
  });

  it('a dryRun is 1 round trip and no signature', async () => {
    expect(await costOf(200, () => login(service, 'ada', { dryRun: true }))).toEqual([1, 0]);
  });

  it('a validation is exactly 1 round trip, the first time and later', async () => {
    const { body } = await issue(service, 'validated');
    expect(await costOf(200, () => validate(service, body.accessToken))).toEqual([1, 0]);
    expect(await costOf(200, () => validate(service, body.accessToken))).toEqual([1, 0]);
    expect(await costOf(200, () => introspect(service, body.accessToken))).toEqual([1, 0]);
  });

  it('a validation of a token that was kicked is 1 round trip, of one that never was ours none', async () => {
    const { body } = await issue(service, 'kicked');
    await issue(service, 'kicked');
    expect(await costOf(401, () => validate(service, body.accessToken))).toEqual([1, 0]);
    expect(await costOf(401, () => validate(service, 'not.a.jwt'))).toEqual([0, 0]);
  });

  it('a refresh is at most 2 round trips and 1 signature', async () => {
    const { body } = await issue(service, 'refreshed');
    expect(await costOf(200, () => refresh(service, body.refreshToken))).toEqual([2, 1]);
  });

  it('an admin revoke is exactly 1 round trip', async () => {
    const { body } = await issue(service, 'revoked');
    expect(await costOf(200, () => revokeToken(service, 'revoked', body.token.tokenId))).toEqual([1, 0]);
    expect(await costOf(200, () => revokeAll(service, 'revoked'))).toEqual([1, 0]);
  });

  it('a logout and a device list are 2 round trips: who asks, and what is asked', async () => {
    const { body } = await issue(service, 'left');
    expect(await costOf(200, () => ownTokens(service, body.accessToken))).toEqual([2, 0]);
    expect(await costOf(200, () => logout(service, body.accessToken))).toEqual([2, 0]);
  });

  it('does not grow with the tokens of the user', async () => {
    const { service: crowded } = await measured('no-kick');
    for (let count = 0; count < 29; count += 1) await issue(crowded, 'many');
    const { roundTrips } = await countRoundTrips(crowded, () => issue(crowded, 'many'));
    expect(roundTrips).toBe(2);
    const revoking = await countRoundTrips(crowded, () => revokeAll(crowded, 'many'));
    expect(revoking.result.body.revoked).toHaveLength(30);
    expect(revoking.roundTrips).toBe(1);
  });
});

describe('the cost of a declined login', () => {
  it('is exactly 2 round trips and no signature', async () => {
    const { service, signatures } = await measured('decline-second');
    await login(service, 'ada');
    await login(service, 'ada');
    const before = signatures();
    const { result, roundTrips } = await countRoundTrips(service, () => login(service, 'ada'));
    expect([result.status, roundTrips, signatures() - before]).toEqual([409, 2, 0]);
  });
});

describe('the cost of a conflict', () => {
  it('is 1 round trip for each process that was first, and no second signature', async () => {
    const { service } = await measured('single-device');
    const other = await startService({ env: { LOGIN_POLICY: 'single-device' }, prefix: service.prefix });
    await issue(other, 'contended');
    const snapshot = service.store.snapshot.bind(service.store);
    // Between the node's read and its write, another node logs the same user in.
    const racing: typeof snapshot = async (user) => {
      const state = await snapshot(user);
      await issue(other, 'contended');
      return state;
    };
    const counted = countingSigner(service, ISSUER);
    const node = await startService({
      env: { LOGIN_POLICY: 'single-device' },
      prefix: service.prefix,
      override: {
        stores: { ...service, store: { ...service.store, snapshot: racing } },
        signer: counted.signer,
      },
    });
    const { result, roundTrips } = await countRoundTrips(service, () => issue(node, 'contended'));
    expect([result.status, roundTrips, counted.signatures()]).toEqual([200, 3, 1]);
  });
});
