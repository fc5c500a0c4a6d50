/**
 * A token that time had ended, or loosened, when a login read it, and that is in use again when the login is carried out:
 * while the password is checked, another node renews it. Neither a refresh nor a use is a new version.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Credentials } from '../../src/tokens/credentials.ts';
import { asAdmin, history, issue, login, refresh, statesOf, verdict } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

/** What happens while a password is checked. */
let meanwhile: () => Promise<void>;
const credentials: Credentials = {
  async prove({ userId }) {
    await meanwhile();
    return { userId, stillGood: async () => true };
  },
};

let a: Service;
let b: Service;
beforeAll(async () => {
  a = await startService();
  b = await startService({ prefix: a.prefix, override: { credentials } });
});

const setRules = async (rules: object) => {
  expect((await a.api.put('/admin/tenants/default').set(asAdmin).send(rules)).status).toBe(200);
};

/** Signed in on a phone, which was last seen ten minutes ago and has no lease. */
async function unseenPhone(userId: string) {
  const { body } = await issue(a, userId, { platform: 'ios' });
  const user = { tenant: 'default', userId };
  await a.redis.hset(a.keys.tokens(user), `${body.token.tokenId}:s`, a.store.now() - 600_000);
  return { ...body, user };
}

describe('a seat that was free because nobody had seen its token', () => {
  const DECLINE = { policy: 'decline-second', presence: { leaseSeconds: 60, graceSeconds: 0 } };

  it('is taken when nobody has seen it still', async () => {
    await setRules({ policy: 'no-kick' });
    await unseenPhone('unseen');
    await setRules(DECLINE);
    meanwhile = async () => {};
    expect((await login(b, 'unseen', { platform: 'web' })).status).toBe(200);
    expect(await statesOf(a, 'unseen')).toEqual([
      ['ios', 'kicked'],
      ['web', 'active'],
    ]);
  });

  type Phone = { readonly accessToken: string; readonly refreshToken: string };
  it.each<[string, (phone: Phone) => Promise<unknown>, unknown]>([
    ['used', ({ accessToken }) => verdict(a, accessToken), 'good'],
    ['refreshed', async ({ refreshToken }) => (await refresh(a, refreshToken)).status, 200],
  ])('is not taken once the token is %s', async (how, use, outcome) => {
    await setRules({ policy: 'no-kick' });
    const phone = await unseenPhone(how);
    await setRules(DECLINE);
    meanwhile = async () => {
      expect(await use(phone)).toBe(outcome);
      // What was seen is noted without being waited for, before this on the same connection.
      await a.redis.ping();
    };
    const second = await login(b, how, { platform: 'web' });
    expect([second.status, second.body.code]).toEqual([409, 'login_declined']);
    expect(await statesOf(a, how)).toEqual([['ios', 'active']]);
  });
});

it('a token that had expired and was refreshed in time is not deleted, not even without a trace', async () => {
  await setRules({ policy: 'no-kick', ttl: { accessSeconds: 300, refreshSeconds: 600 } });
  const { body } = await issue(a, 'expired', { platform: 'ios' });
  await setRules({ policy: 'no-kick', ttl: { refreshSeconds: 7200 } });
  // The other node reads late: by its clock the token has expired.
  b.shiftClock(700_000);
  meanwhile = async () => {
    expect((await refresh(a, body.refreshToken)).status).toBe(200);
  };
  expect((await login(b, 'expired', { platform: 'web' })).status).toBe(200);
  b.shiftClock(-700_000);
  expect(await statesOf(a, 'expired')).toEqual([
    ['ios', 'active'],
    ['web', 'active'],
  ]);
  const types = (await history(a, 'expired')).body.events.map(({ type }: { type: string }) => type);
  expect(types).toEqual(['token.issued', 'token.issued']);
});
