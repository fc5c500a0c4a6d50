/**
 * Late notes of "last seen" and renewed leases against what ends, renews or displaces a token, on two nodes of one
 * deployment. Each test runs many races; which side was first is never part of the expectation.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { UserKey } from '../../src/domain/token.ts';
import { asAdmin, asGateway, issue, refresh, tokenHash, validate, verdict } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { sized } from '../helpers/sizes.ts';

afterAll(closeServices);

const AT_ONCE = 25;
const PRESENCE = { leaseMs: 60_000, graceMs: 60_000 };

let a: Service;
let b: Service;

beforeAll(async () => {
  a = await startService({ env: { LOGIN_POLICY: 'decline-second' } });
  b = await startService({ env: { LOGIN_POLICY: 'decline-second' }, prefix: a.prefix });
  await a.api
    .put('/admin/tenants/default')
    .set(asAdmin)
    .send({ presence: { leaseSeconds: 60, graceSeconds: 60 } });
});

/** Runs `task` for 0 … count-1, so many at a time. */
async function races(count: number, task: (race: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < count; start += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - start) }, (_, index) => task(start + index)));
  }
}

type Issued = {
  readonly user: UserKey;
  readonly tokenId: string;
  readonly access: string;
  readonly refreshToken: string;
};

async function newToken(userId: string): Promise<Issued> {
  const { status, body } = await issue(a, userId, { platform: 'ios' });
  expect(status).toBe(200);
  const { accessToken, refreshToken, token } = body;
  return { user: { tenant: 'default', userId }, tokenId: token.tokenId, access: accessToken, refreshToken };
}

/** Makes the token look unseen for longer than a minute, so that every use is worth a note. */
async function unseen({ user, tokenId }: Issued): Promise<number> {
  const at = a.clock.now() - 61_000;
  await a.redis.hset(a.keys.tokens(user), `${tokenId}:s`, at);
  return at;
}

/** Notes are not waited for; this is, and comes after them on the same connection. */
const notesWritten = (service: Service) => service.redis.ping();

/** Every way to note that a token was seen. */
const notes: Record<string, (service: Service, token: Issued) => Promise<unknown>> = {
  async touch(service, { user, tokenId }) {
    service.store.touch(user, tokenId);
    await notesWritten(service);
  },
  async validate(service, { access }) {
    await validate(service, access);
    await notesWritten(service);
  },
  presence: (service, { user, tokenId }) =>
    service.api
      .post('/presence')
      .set(asGateway)
      .send({ tokens: [{ ...user, tokenId }] }),
};
const kinds = Object.keys(notes);
const noteOf = (race: number) => notes[kinds[race % kinds.length] ?? ''] ?? (() => Promise.resolve());

const RACES = sized(1_000);

describe('R3 a late lastSeen write undoes nothing', () => {
  it(`never a revoke: ${RACES.told} races`, async () => {
    await races(RACES.count, async (race) => {
      const token = await newToken(`revoked-${race}`);
      await unseen(token);
      const [node, other] = race % 2 === 0 ? [a, b] : [b, a];
      const [ended] = await Promise.all([
        other.store.end(token.user, { by: 'all' }, 'revoke', { kind: 'admin' }),
        noteOf(race)(node, token),
        noteOf(race + 1)(node, token),
      ]);
      expect(ended).toEqual([{ tokenId: token.tokenId, platform: 'ios' }]);
      const before = await tokenHash(a, token.user.userId);
      await noteOf(race)(node, token);
      expect(await tokenHash(a, token.user.userId)).toEqual(before);
      const record = await a.store.find(token.user, token.tokenId);
      expect([record?.end?.code, record?.lease]).toEqual(['token_revoked', undefined]);
      expect(await verdict(node, token.access)).toBe('token_revoked');
    });
  });

  it(`never a change of TTL by a refresh: ${RACES.told} races`, async () => {
    const rules = {
      presence: { leaseSeconds: 60, graceSeconds: 60 },
      ttl: { refreshSeconds: 7200, accessSeconds: 60 },
    };
    const tokens = await issueAll('renewed', RACES.count);
    await a.api.put('/admin/tenants/default').set(asAdmin).send(rules);
    const issuedFor = 2_592_000_000;
    await races(RACES.count, async (race) => {
      const token = tokens[race];
      if (token === undefined) throw new Error('no token');
      const seenBefore = await unseen(token);
      const [node, other] = race % 2 === 0 ? [a, b] : [b, a];
      const [renewed] = await Promise.all([
        refresh(other, token.refreshToken),
        noteOf(race)(node, token),
        noteOf(race + 1)(node, token),
      ]);
      expect(renewed.status).toBe(200);
      await noteOf(race)(node, token);
      const record = await a.store.find(token.user, token.tokenId);
      expect(record?.expiresAt).toBe(Date.parse(renewed.body.token.expiresAt));
      expect((record?.expiresAt ?? 0) - (record?.createdAt ?? 0)).toBeLessThan(issuedFor / 2);
      expect([record?.generation, record?.end]).toEqual([2, undefined]);
      expect(record?.lastSeenAt).toBeGreaterThan(seenBefore);
    });
    await a.api.put('/admin/tenants/default').set(asAdmin).send({ presence: rules.presence });
  });

  it.each(kinds)('never brings a record back that is gone (%s)', async (kind) => {
    const token = await newToken(`gone-${kind}`);
    const key = a.keys.tokens(token.user);
    await a.redis.del(key);
    await notes[kind]?.(a, token);
    expect(await a.redis.exists(key)).toBe(0);
  });

  it('changes no version, so that no login has to decide again', async () => {
    const token = await newToken('version');
    await unseen(token);
    const { version } = await a.store.snapshot(token.user);
    for (const kind of kinds) await notes[kind]?.(b, token);
    expect((await a.store.snapshot(token.user)).version).toBe(version);
  });
});

async function issueAll(name: string, count: number): Promise<Issued[]> {
  const tokens: Issued[] = [];
  await races(count, async (race) => {
    tokens[race] = await newToken(`${name}-${race}`);
  });
  return tokens;
}

/** A lease that has lapsed by the clock of Redis, and by that of every node. */
async function lapse({ user, tokenId }: Issued): Promise<void> {
  const shortest = { leaseMs: 1, graceMs: 0 };
  await a.store.lease([{ ...user, tokenId, connectionId: 'c1', release: false, presence: shortest }]);
  await until('the lease has lapsed', async () => {
    const lease = (await a.store.find(user, tokenId))?.lease;
    return lease !== undefined && Math.min(a.clock.now(), b.clock.now()) > lease.expiresAt + 1;
  });
}

describe('a lease that comes back to life is a change that logins see', () => {
  it('the version changes when a lapsed lease is renewed, and only then', async () => {
    const token = await newToken('versions');
    const { user, tokenId } = token;
    const change = { ...user, tokenId, connectionId: 'c1', presence: PRESENCE };
    const version = async () => (await a.store.snapshot(user)).version;
    const first = await version();
    await b.store.lease([{ ...change, release: false }]);
    await b.store.lease([{ ...change, release: true }]);
    await b.store.lease([{ ...change, release: false }]);
    expect(await version()).toBe(first);
    await lapse(token);
    expect(await version()).toBe(first);
    await b.store.lease([{ ...change, release: true }]);
    expect(await version()).toBe(first);
    await b.store.lease([{ ...change, release: false }]);
    expect(await version()).not.toBe(first);
  });

  it('a login that was decided on the lapsed lease decides again', async () => {
    const token = await newToken('again');
    const { user, tokenId } = token;
    await lapse(token);
    const lapsed = await a.store.snapshot(user);
    await b.store.lease([{ ...user, tokenId, connectionId: 'c1', release: false, presence: PRESENCE }]);
    const seen: (number | undefined)[] = [];
    await a.store.update(lapsed, user, async (state) => {
      seen.push(state.tokens[0]?.lease?.expiresAt);
      const nothing = { delete: new Map(), kick: new Map(), replace: new Map(), grounds: new Map(), conflicts: [] };
      if (seen.length > 1) {
        const declined = { declined: true, ...nothing };
        return { apply: false, plan: declined, actor: { kind: 'login' }, platform: 'web', ip: '' } as const;
      }
      const kick = new Map([[tokenId, 'ios']]);
      const grounds = new Map([[tokenId, { policy: 'p' }]]);
      const plan = { declined: false, ...nothing, kick, grounds };
      const [old] = state.tokens;
      if (old === undefined) throw new Error('no token');
      const { lease: _lease, ...record } = old;
      const fresh = { ...record, tokenId: 'fresh', deviceId: 'other' };
      return {
        apply: true,
        token: fresh,
        plan,
        actor: { kind: 'login' },
        displacementsRemembered: 0,
        maxTombstones: 100,
      } as const;
    });
    expect(seen).toHaveLength(2);
    expect(seen[1]).toBeGreaterThan(seen[0] ?? 0);
    expect((await a.store.list(user)).map(({ tokenId: id, end }) => [id, end])).toEqual([[tokenId, undefined]]);
  });

  it('either the login takes the seat or the lease is renewed: 300 races', async () => {
    const won = { login: 0, lease: 0 };
    const outcomes = {
      login: (tokenId: string) => ({
        login: [200, undefined],
        presence: { renewed: 0, refused: [{ tokenId, reason: 'token_kicked' }] },
        states: [
          ['ios', 'token_kicked'],
          ['web', 'active'],
        ],
      }),
      lease: () => ({
        login: [409, 'login_declined'],
        presence: { renewed: 1, refused: [] },
        states: [['ios', 'active']],
      }),
    };
    const tokens = await issueAll('seat', 300);
    await races(300, async (race) => {
      const token = tokens[race];
      if (token === undefined) throw new Error('no token');
      const { user, tokenId } = token;
      await lapse(token);
      const [node, other] = race % 2 === 0 ? [a, b] : [b, a];
      const renew = async () => {
        // Sooner or later, so that both sides win at times.
        for (let turns = race % 4; turns > 0; turns -= 1) await other.redis.ping();
        return other.api
          .post('/presence')
          .set(asGateway)
          .send({ tokens: [{ ...user, tokenId, connectionId: 'c1' }] });
      };
      const [login, presence] = await Promise.all([issue(node, user.userId, { platform: 'web' }), renew()]);
      const states = (await a.store.list(user)).map(({ platform, end }) => [platform, end?.code ?? 'active']);
      const winner = login.status === 200 ? 'login' : 'lease';
      won[winner] += 1;
      const outcome = { login: [login.status, login.body.code], presence: presence.body, states };
      expect(outcome).toEqual(outcomes[winner](tokenId));
    });
    expect(won.login + won.lease).toBe(300);
  });
});
