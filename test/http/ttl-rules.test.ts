/**
 * How long tokens live: per tenant and per platform, from a token's next login or refresh, by the clock of Redis alone.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { makeKeySet, readKeySet } from '../../src/tokens/signing-keys.ts';
import { asAdmin, asGateway, issue, listTokens, refresh, validate, verdict } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import {
  caller,
  endServers,
  issue as issueAt,
  newDeployment,
  runNode,
  temporaryFolder,
} from '../helpers/server-process.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { testPrefix } from '../helpers/test-redis.ts';

afterAll(async () => {
  await closeServices();
  await endServers();
});

const DAY = 86_400;
const root = fileURLToPath(new URL('../..', import.meta.url));

async function setRules(service: Service, tenant: string, config: object): Promise<void> {
  const answer = await service.api.put(`/admin/tenants/${tenant}`).set(asAdmin).send(config);
  expect([answer.status, answer.body]).toEqual([200, expect.anything()]);
}

const secondsBetween = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 1000;

/** An answer with a pair. */
type Fresh = {
  readonly status: number;
  readonly body: {
    readonly accessToken: string;
    readonly expiresIn: number;
    readonly refreshExpiresIn: number;
    readonly token: { readonly createdAt: string; readonly lastSeenAt: string; readonly expiresAt: string };
  };
};

/** Lives of a fresh pair, in seconds: of its access token, and of its token since the login or refresh. */
function livesOf({ status, body }: Fresh) {
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  const { iat = 0, exp = 0 } = decodeJwt(body.accessToken);
  const { lastSeenAt, expiresAt } = body.token;
  const lives = { access: exp - iat, refresh: secondsBetween(lastSeenAt, expiresAt) };
  // The answer counts from when it was written, which may be in the next second.
  expect([lives.access, lives.access - 1]).toContain(body.expiresIn);
  expect([lives.refresh, lives.refresh - 1]).toContain(body.refreshExpiresIn);
  return lives;
}

const seconds = (access: number, forRefresh: number) => ({ access, refresh: forRefresh });

describe('R5 per-tenant, per-platform TTL is part of the atomic login', () => {
  const RULES = {
    red: { accessSeconds: 60, refreshSeconds: 600, platforms: { web: { accessSeconds: 61, refreshSeconds: 601 } } },
    blue: {
      accessSeconds: 70,
      refreshSeconds: 700,
      platforms: { web: { idleSeconds: 171 }, ipad: { refreshSeconds: 702 } },
    },
  };
  /** Access, refresh and idle seconds, by hand. */
  const EXPECTED = {
    red: { ios: [60, 600, 0], web: [61, 601, 0], ipad: [60, 600, 0] },
    blue: { ios: [70, 700, 0], web: [70, 700, 171], ipad: [70, 702, 0] },
  };
  const TENANTS = ['red', 'blue'] as const;
  const PLATFORMS = ['ios', 'web', 'ipad'] as const;
  const LOGINS = 500;

  it('2 nodes, 2 tenants, 500 parallel logins each: no token at a wrong TTL', async () => {
    const prefix = testPrefix();
    const nodes = [await startService({ prefix }), await startService({ prefix })] as const;
    await Promise.all(
      TENANTS.map((tenant, index) => setRules(nodes[index] ?? nodes[0], tenant, { ttl: RULES[tenant] })),
    );

    const logins = nodes.flatMap((node) => {
      const clients = { red: caller(node.url), blue: caller(node.url) };
      return TENANTS.flatMap((tenant) =>
        Array.from({ length: LOGINS }, async (_, index) => {
          const platform = PLATFORMS[index % PLATFORMS.length] ?? 'ios';
          const answer = await issueAt(clients[tenant], `user-${index}`, { platform }, tenant);
          const [access = 0, forRefresh = 0] = EXPECTED[tenant][platform];
          return { lives: livesOf(answer as unknown as Fresh), expected: seconds(access, forRefresh) };
        }),
      );
    });
    const wrong = (await Promise.all(logins)).filter(({ lives, expected }) => {
      return JSON.stringify(lives) !== JSON.stringify(expected);
    });
    expect(logins).toHaveLength(2000);
    expect(wrong).toEqual([]);

    // The same on record, where expiry is decided.
    const users = Array.from({ length: LOGINS }, (_, index) => `user-${index}`);
    const stored = await Promise.all(
      TENANTS.flatMap((tenant) => users.map((userId) => nodes[1].store.list({ tenant, userId }))),
    );
    const records = stored.flat();
    expect(records).toHaveLength(2000);
    const off = records.filter(({ tenant, platform, createdAt, expiresAt, accessExpiresAt, idleMs }) => {
      const [access = 0, forRefresh = 0, idle = 0] = EXPECTED[tenant as 'red'][platform as 'ios'];
      const accessEnd = Math.floor(createdAt / 1000) * 1000 + access * 1000;
      return expiresAt !== createdAt + forRefresh * 1000 || accessExpiresAt !== accessEnd || idleMs !== idle * 1000;
    });
    expect(off).toEqual([]);
  });
});

describe('R6 a tenant’s TTL change is the rule for its next logins and refreshes on every node at once', () => {
  let nodes: readonly [Service, Service];
  beforeAll(async () => {
    const prefix = testPrefix();
    nodes = [await startService({ prefix }), await startService({ prefix })];
  });

  it.each([
    [
      'longer, then shorter',
      [
        [60, 600],
        [3600, 7200],
        [30, 300],
        [86_400, 86_400],
        [10, 60],
      ],
    ],
    [
      'shorter, then longer',
      [
        [1800, 3600],
        [20, 90],
        [600, 900],
      ],
    ],
  ])('%s', async (name, changes) => {
    const [a, b] = nodes;
    const tenant = name.replace(/\W+/g, '-');
    let { refreshToken } = (await issue(a, 'ada', {}, tenant)).body;
    for (const [access = 0, forRefresh = 0] of changes) {
      await setRules(a, tenant, { ttl: { accessSeconds: access, refreshSeconds: forRefresh } });
      const [login, refreshed] = await Promise.all([
        issue(b, 'bob', { deviceId: 'one' }, tenant),
        refresh(b, refreshToken),
      ]);
      expect(livesOf(login)).toEqual(seconds(access, forRefresh));
      expect(livesOf(refreshed)).toEqual(seconds(access, forRefresh));
      refreshToken = refreshed.body.refreshToken;
    }
  });

  it('by a platform’s own rule before the tenant’s, also at a refresh', async () => {
    const [a, b] = nodes;
    const web = await issue(a, 'ada', { platform: 'web' }, 'split');
    const ios = await issue(a, 'ada', { platform: 'ios' }, 'split');
    await setRules(b, 'split', { ttl: { accessSeconds: 100, platforms: { web: { accessSeconds: 50 } } } });
    expect(livesOf(await refresh(a, web.body.refreshToken)).access).toBe(50);
    expect(livesOf(await refresh(a, ios.body.refreshToken)).access).toBe(100);
  });

  it('and never a mixture of two versions', async () => {
    const versions = [seconds(60, 600), seconds(90, 900)];
    const change = async (index: number) => {
      const { access = 0, refresh: forRefresh = 0 } = versions[index % 2] ?? {};
      await setRules(nodes[0], 'torn', { ttl: { accessSeconds: access, refreshSeconds: forRefresh } });
    };
    await change(0);
    const changes = (async () => {
      for (let index = 1; index <= 30; index += 1) await change(index);
    })();
    const logins = Array.from({ length: 200 }, async (_, index) => {
      const issued = await issue(nodes[index % 2] ?? nodes[0], `user-${index}`, {}, 'torn');
      return [livesOf(issued), livesOf(await refresh(nodes[1], issued.body.refreshToken))];
    });
    const lives = (await Promise.all(logins)).flat();
    await changes;
    for (const one of lives) expect(versions).toContainEqual(one);
  });

  it('does not end an access token that was signed for longer before', async () => {
    const [a, b] = nodes;
    const before = await issue(a, 'ada', { platform: 'linux' }, 'kept');
    await setRules(a, 'kept', { ttl: { accessSeconds: 10 } });
    const after = await refresh(b, before.body.refreshToken);
    expect(livesOf(after).access).toBe(10);
    expect(await verdict(b, before.body.accessToken)).toBe('good');
    // On record is the later end: events of this token must reach those who may still hold the older JWT.
    const [record] = await b.store.list({ tenant: 'kept', userId: 'ada' });
    expect(record?.accessExpiresAt).toBe(Date.parse(before.body.token.accessExpiresAt));
  });
});

/** Makes a token look as if it had been used so many seconds ago, by the clock of Redis. */
async function lastUsed(service: Service, tenant: string, tokenId: string, secondsAgo: number): Promise<void> {
  const [now] = await service.redis.time();
  const key = service.keys.tokens({ tenant, userId: 'ada' });
  await service.redis.hset(key, `${tokenId}:s`, (Number(now) - secondsAgo) * 1000);
}

describe('L9 a token unused for longer than its tenant and platform allow is expired', () => {
  const RULES = { ttl: { idleSeconds: 300, platforms: { web: { idleSeconds: 120 }, ios: { idleSeconds: 0 } } } };

  it.each([
    ['web', 118, 122],
    ['android', 298, 302],
  ])('on %s it is good after %i seconds and expired after %i', async (platform, before, after) => {
    const service = await startService();
    await setRules(service, 't', RULES);
    const { accessToken, refreshToken, token } = (await issue(service, 'ada', { platform }, 't')).body;
    await lastUsed(service, 't', token.tokenId, before);
    // Asked without touching: listing a token is not using it.
    const list = async () => (await listTokens(service, 'ada', '?tenant=t')).body.tokens[0];
    expect((await list()).state).toBe('active');
    await lastUsed(service, 't', token.tokenId, after);
    expect(await list()).toMatchObject({ state: 'expired', endedBy: { kind: 'system' } });
    expect(await verdict(service, accessToken)).toBe('token_expired');
    expect((await refresh(service, refreshToken)).body.code).toBe('token_expired');
    // What has expired does not come back by being asked about.
    expect((await list()).state).toBe('expired');
  });

  it('and on a platform without the rule it stays good', async () => {
    const service = await startService();
    await setRules(service, 't', RULES);
    const { accessToken, token } = (await issue(service, 'ada', { platform: 'ios' }, 't')).body;
    await lastUsed(service, 't', token.tokenId, 10 * DAY);
    expect(await verdict(service, accessToken)).toBe('good');
  });

  it('use keeps it: a validation, a refresh, presence', async () => {
    const service = await startService();
    await setRules(service, 't', RULES);
    const { accessToken, refreshToken, token } = (await issue(service, 'ada', { platform: 'web' }, 't')).body;
    const seenLately = async () => {
      const found = await service.store.find({ tenant: 't', userId: 'ada' }, token.tokenId);
      return service.store.now() - (found?.lastSeenAt ?? 0) < 60_000;
    };
    await lastUsed(service, 't', token.tokenId, 100);
    expect((await validate(service, accessToken, 't')).status).toBe(200);
    await until('the validation is noted as use', seenLately);
    await lastUsed(service, 't', token.tokenId, 100);
    expect((await refresh(service, refreshToken)).status).toBe(200);
    expect(await seenLately()).toBe(true);
    await lastUsed(service, 't', token.tokenId, 100);
    const connected = { tokens: [{ tenant: 't', userId: 'ada', tokenId: token.tokenId }] };
    expect((await service.api.post('/presence').set(asGateway).send(connected)).body.renewed).toBe(1);
    expect(await seenLately()).toBe(true);
  });

  it('a change of the rule holds from the token’s next refresh on, on another node too', async () => {
    const prefix = testPrefix();
    const [service, other] = [await startService({ prefix }), await startService({ prefix })];
    const { accessToken, refreshToken, token } = (await issue(service, 'ada', { platform: 'web' }, 't')).body;
    await setRules(service, 't', { ttl: { idleSeconds: 120 } });
    await lastUsed(service, 't', token.tokenId, 1000);
    expect(await verdict(service, accessToken)).toBe('good');
    const next = await refresh(other, refreshToken);
    expect(next.status).toBe(200);
    await lastUsed(service, 't', token.tokenId, 1000);
    for (const node of [service, other]) expect(await verdict(node, next.body.accessToken)).toBe('token_expired');
  });

  it('an idle token gives up its seat: it is no conflict under decline', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'decline-second', IDLE_TTL_SECONDS: '120' } });
    const { token } = (await issue(service, 'ada', { platform: 'web' }, 't')).body;
    expect((await issue(service, 'ada', {}, 't')).body.code).toBe('login_declined');
    await lastUsed(service, 't', token.tokenId, 121);
    expect((await issue(service, 'ada', {}, 't')).status).toBe(200);
  });
});

const lifeOf = ({ body }: Fresh) => secondsBetween(body.token.createdAt, body.token.expiresAt);

describe('maxSeconds, the absolute life of a token', () => {
  const RULES = { ttl: { accessSeconds: 600, refreshSeconds: 1000, maxSeconds: 1500 } };

  it('is never passed, however often the token is refreshed', async () => {
    const service = await startService();
    await setRules(service, 't', RULES);
    const first = await issue(service, 'ada', {}, 't');
    expect(lifeOf(first)).toBe(1000);
    service.shiftClock(400_000);
    const second = await refresh(service, first.body.refreshToken);
    expect(lifeOf(second)).toBeGreaterThanOrEqual(1400);
    expect(lifeOf(second)).toBeLessThan(1410);
    service.shiftClock(600_000);
    const third = await refresh(service, second.body.refreshToken);
    expect(lifeOf(third)).toBe(1500);
    // An access token never outlives its token.
    expect(third.body.token.accessExpiresAt <= third.body.token.expiresAt).toBe(true);
    const { iat = 0, exp = 0 } = decodeJwt(third.body.accessToken);
    expect(exp - iat).toBeLessThanOrEqual(500);
    service.shiftClock(490_000);
    const last = await refresh(service, third.body.refreshToken);
    expect([last.status, lifeOf(last)]).toEqual([200, 1500]);
    service.shiftClock(12_000);
    expect((await refresh(service, last.body.refreshToken)).body.code).toBe('token_expired');
    expect(await verdict(service, last.body.accessToken)).toBe('token_expired');
  });

  it('ends a token at its next refresh that was older already when the rule came', async () => {
    const service = await startService();
    const { refreshToken, accessToken } = (await issue(service, 'ada', {}, 't')).body;
    service.shiftClock(500_000);
    await setRules(service, 't', { ttl: { maxSeconds: 300 } });
    expect(await verdict(service, accessToken)).toBe('good');
    const answer = await refresh(service, refreshToken);
    expect([answer.status, answer.body.code]).toEqual([401, 'token_expired']);
    expect(await verdict(service, accessToken)).toBe('token_expired');
  });
});

/** A module that sets the wall clock of its process wrong by so many ms, and says so. */
const clockOffBy = (ms: number) =>
  `data:text/javascript,${encodeURIComponent(`
    const Real = Date;
    const now = () => Real.now() + ${ms};
    globalThis.Date = class Date extends Real {
      constructor(...args) { if (args.length === 0) super(now()); else super(...args); }
      static now() { return now(); }
    };
    process.stdout.write('clock ' + (Date.now() - Real.now()) + String.fromCharCode(10));`)}`;

describe('R9 only Redis time decides: a node whose clock is 10 minutes off changes nothing', () => {
  it.each([
    ['ahead', 600_000],
    ['behind', -600_000],
  ])('%s', async (_where, off) => {
    const keySet = await makeKeySet('EdDSA');
    const keysFile = join(temporaryFolder(), 'keys.json');
    writeFileSync(keysFile, JSON.stringify(keySet));
    const lives = { ACCESS_TTL_SECONDS: '60', REFRESH_TTL_SECONDS: '120' };
    const { env, prefix } = newDeployment({ ...lives, SIGNING_KEYS_FILE: keysFile });
    const settings = { PORT: '0', LOG_LEVEL: 'info', ...env };
    const start = async (...imports: string[]) => {
      const flags = ['tsx', ...imports].flatMap((name) => ['--import', name]);
      const running = runNode([...flags, `${root}src/main.ts`], settings);
      const port = () => /"port":(\d+).*"msg":"listening"/.exec(running.stdout())?.[1];
      await until('the node listens', () => port() !== undefined || running.exit() !== undefined);
      if (port() === undefined) throw new Error(running.stdout() + running.stderr());
      return { node: caller(`http://127.0.0.1:${port()}`), output: running.stdout() };
    };
    const right = await start();
    const wrong = await start(clockOffBy(off));
    // It reads two clocks one after the other: some ms may lie between.
    const [, measured] = /clock (-?\d+)/.exec(wrong.output) ?? [];
    expect(Math.abs(Number(measured) - off)).toBeLessThan(5000);
    // The test's own node tells Redis time and reads records.
    const service = await startService({ prefix, keys: await readKeySet(keySet, 'EdDSA') });
    const presence = { leaseSeconds: 60, graceSeconds: 0 };
    await setRules(service, 'default', { presence });

    for (const [signer, reader] of [
      [wrong.node, right.node],
      [right.node, wrong.node],
    ] as const) {
      const before = service.store.now();
      const issued = await issueAt(signer, 'ada', { platform: 'web' });
      const after = service.store.now();
      const bearer = { authorization: `Bearer ${issued.body.accessToken}` };
      const { iat = 0, exp = 0 } = decodeJwt(issued.body.accessToken);
      // Two clocks that follow one Redis are apart by some ms; 10 minutes is what would show.
      expect(iat * 1000).toBeGreaterThan(before - 5000);
      expect(iat * 1000).toBeLessThan(after + 5000);
      expect(exp - iat).toBe(60);
      for (const node of [signer, reader]) {
        expect((await node.call('GET', '/validate', { headers: bearer })).status).toBe(200);
      }
      const { tokenId } = issued.body.token;
      const connected = { tokens: [{ userId: 'ada', tokenId }] };
      const kept = await reader.call('POST', '/presence', { headers: asGateway, json: connected });
      expect(kept.body).toEqual({ renewed: 1, refused: [] });
      const [record] = (await service.store.list({ tenant: 'default', userId: 'ada' })).filter(
        (token) => token.tokenId === tokenId,
      );
      for (const [end, life] of [
        [record?.expiresAt, 120_000],
        [record?.lease?.expiresAt, 60_000],
      ] as const) {
        expect(end).toBeGreaterThan(before + life - 5000);
        expect(end).toBeLessThan(service.store.now() + life + 5000);
      }
      const refreshed = await reader.call('POST', '/token/refresh', {
        json: { refreshToken: issued.body.refreshToken },
      });
      expect(refreshed.status).toBe(200);
      expect(decodeJwt(refreshed.body.accessToken).exp).toBeLessThanOrEqual(service.store.now() / 1000 + 65);
      // Expired by the clock of Redis is expired on both, whatever their own clocks say.
      await service.redis.hset(
        service.keys.tokens({ tenant: 'default', userId: 'ada' }),
        `${tokenId}:r`,
        [service.store.now() - 1, service.store.now() - 1, 2, before, 0].join('\u001F'),
      );
      for (const node of [signer, reader]) {
        const refused = await node.call('GET', '/validate', { headers: bearer });
        expect([refused.status, refused.body.code]).toEqual([401, 'token_expired']);
      }
    }
  });
});
