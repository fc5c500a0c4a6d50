/**
 * What a login does to the user's other tokens, over HTTP: the policies, declines, takeovers, evictions, tombstones, and
 * that every way to end has its own reason.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Response } from 'supertest';
import { BUILT_IN_PLATFORMS } from '../../src/domain/platform.ts';
import {
  changeUser,
  createUser,
  deleteUser,
  eventTypes,
  everythingUnder,
  history,
  issue,
  listTokens,
  login,
  logout,
  refresh,
  revokeAll,
  revokeByToken,
  revokeToken,
  statesOf,
  tokenHash,
  validate,
  verdict,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { testPrefix } from '../helpers/test-redis.ts';

afterAll(closeServices);

const PLATFORMS = BUILT_IN_PLATFORMS.map((row) => row.name).filter((name) => name !== 'admin');
const ORDERED_PAIRS = PLATFORMS.flatMap((first) =>
  PLATFORMS.filter((second) => second !== first).map((second) => [first, second] as const),
);
/** The last characters of a key: enough to name the field of a token's renewal. */
const RENEWAL = ':r';

type Existing = { platform: number; order: number[]; state?: 'kicked' | 'expired' };
type Row = {
  id: string;
  policy: number;
  maxNumOneEnd: number;
  existing: Existing[];
  loginPlatform: number;
  expectKick: string[];
  expectDelete: string[];
  expectKeep: string[];
  expectKeepAsKicked?: string[];
  expectError?: string;
  note: string;
};

const { rows } = JSON.parse(readFileSync(new URL('../vectors/login-policies.json', import.meta.url), 'utf8')) as {
  rows: Row[];
};

describe('O1 every row of the login vectors holds over HTTP', () => {
  const prefix = testPrefix();
  const nodes = new Map<string, Promise<Service>>();
  const nodeOf = (env: Record<string, string>) => {
    const name = JSON.stringify(env);
    const node = nodes.get(name) ?? startService({ env, prefix });
    nodes.set(name, node);
    return node;
  };
  const permissive = () => nodeOf({ LOGIN_POLICY: 'no-kick', MAX_PER_PLATFORM: '100' });
  const nodeUnder = (row: Row) =>
    nodeOf({ LOGIN_POLICY: String(row.policy), MAX_PER_PLATFORM: String(row.maxNumOneEnd) });

  /** Logs the row's tokens in, in their order; the answers stand under their refs. A kick is applied by the next login. */
  async function seed(userId: string, existing: Existing[]): Promise<Map<string, Response>> {
    const service = await permissive();
    const byOrder = existing
      .flatMap(({ platform, order, state }) => order.map((place) => ({ platform, place, state })))
      .toSorted((a, b) => a.place - b.place);
    const tokens = new Map<string, Response>();
    let evict: string[] = [];
    for (const { platform, place, state } of byOrder) {
      const answer = await issue(service, userId, { platform: nameOf(platform), evict });
      expect(answer.status).toBe(200);
      tokens.set(`${platform}@${place}`, answer);
      evict = state === 'kicked' ? [answer.body.token.tokenId] : [];
      if (state === 'expired') await expire(service, userId, answer.body.token.tokenId);
    }
    expect(evict).toEqual([]);
    return tokens;
  }

  const playable = rows.filter((row) => row.expectError === undefined);

  it.each(playable.map((row) => [row.id, row.note, row] as const))('%s: %s', async (_id, _note, row) => {
    const service = await nodeUnder(row);
    await createUser(service, row.id);
    const tokens = await seed(row.id, row.existing);
    const answer = await login(service, row.id, { platform: nameOf(row.loginPlatform) });
    expect(answer.status).toBe(200);
    const idsOf = (refs: readonly string[]) =>
      refs.map((ref): string => tokens.get(ref)?.body.token.tokenId).toSorted();
    expect(answer.body.displaced.map((token: { tokenId: string }) => token.tokenId).toSorted()).toEqual(
      idsOf(row.expectKick),
    );

    const stateOf = new Map<string, [string, string]>();
    for (const ref of row.expectKeep) stateOf.set(ref, ['active', 'good']);
    for (const ref of [...row.expectKick, ...(row.expectKeepAsKicked ?? [])])
      stateOf.set(ref, ['kicked', 'token_kicked']);
    const listed = await listTokens(service, row.id);
    const expected = [...stateOf].map(([ref, [state]]) => [...idsOf([ref]), platformOf(ref), state]);
    const found = listed.body.tokens.map((token: Record<string, string>) => [
      token.tokenId,
      token.platform,
      token.state,
    ]);
    const own = [answer.body.token.tokenId, nameOf(row.loginPlatform), 'active'];
    expect(new Set(found)).toEqual(new Set([...expected, own]));
    expect(found).toHaveLength(expected.length + 1);
    for (const [ref, token] of tokens) {
      const said = stateOf.get(ref)?.[1] ?? 'token_unknown';
      expect([ref, await verdict(service, token.body.accessToken)]).toEqual([ref, said]);
    }
    expect([...stateOf.keys(), ...row.expectDelete].toSorted()).toEqual([...tokens.keys()].toSorted());
  });

  it.each(rows.filter((row) => row.expectError !== undefined).map((row) => [row.id, row] as const))(
    '%s: such settings are refused at start',
    async (_id, row) => {
      await expect(nodeUnder(row)).rejects.toThrow(/MAX_PER_PLATFORM: at least 1/);
    },
  );

  it('has played all rows', () => {
    expect(rows.length).toBeGreaterThan(25);
    expect(rows.length - playable.length).toBe(1);
  });
});

function nameOf(openimId: number): string {
  const row = BUILT_IN_PLATFORMS.find((platform) => platform.openimId === openimId);
  if (row === undefined) throw new Error(`no platform ${openimId}`);
  return row.name;
}

function platformOf(ref: string): string {
  return nameOf(Number(ref.split('@', 1)[0]));
}

/** Moves a token's own end into the past, as time would. */
async function expire(service: Service, userId: string, tokenId: string): Promise<void> {
  const key = service.keys.tokens({ tenant: 'default', userId });
  const parts = (await service.redis.hget(key, tokenId + RENEWAL))?.split('\u001F') ?? [];
  const [expiresAt, accessExpiresAt] = [String(Date.now() - 60_000), String(Date.now() - 60_000)];
  await service.redis.hset(key, tokenId + RENEWAL, [expiresAt, accessExpiresAt, ...parts.slice(2)].join('\u001F'));
}

describe('under single-device', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
  });

  describe('O2 a kick is written under the platform of its victim', () => {
    it('leaves the iOS token kicked under ios, and only the new one under android', async () => {
      const phone = await issue(service, 'o2', { platform: 'ios' });
      const tablet = await issue(service, 'o2', { platform: 'android' });
      const idsUnder = async (platform: string) =>
        (await listTokens(service, 'o2', `?platform=${platform}`)).body.tokens.map(
          (token: { tokenId: string; state: string }) => [token.tokenId, token.state],
        );
      expect(await idsUnder('ios')).toEqual([[phone.body.token.tokenId, 'kicked']]);
      expect(await idsUnder('android')).toEqual([[tablet.body.token.tokenId, 'active']]);
      expect((await history(service, 'o2')).body.events[1]).toMatchObject({
        type: 'token.kicked',
        tokenId: phone.body.token.tokenId,
        platform: 'ios',
        by: { kind: 'login', platform: 'android', policy: 'single-device' },
      });
    });
  });

  describe('T4 kicks cross platforms in every ordered pair', () => {
    it.each(ORDERED_PAIRS)('%s is kicked by %s', async (first, second) => {
      const userId = `t4-${first}-${second}`;
      const old = await issue(service, userId, { platform: first });
      const next = await issue(service, userId, { platform: second });
      expect(next.body.displaced).toMatchObject([
        { tokenId: old.body.token.tokenId, platform: first, state: 'kicked', policy: 'single-device' },
      ]);
      expect(await statesOf(service, userId)).toEqual([
        [first, 'kicked'],
        [second, 'active'],
      ]);
      expect(await verdict(service, old.body.accessToken)).toBe('token_kicked');
      expect(await verdict(service, next.body.accessToken)).toBe('good');
    });
  });

  describe('O9 admin tokens take no part in a policy', () => {
    it('neither kicks others nor is kicked', async () => {
      const phone = await issue(service, 'o9', { platform: 'ios' });
      const operator = await issue(service, 'o9', { platform: 'admin' });
      const second = await issue(service, 'o9', { platform: 'admin' });
      expect([...operator.body.displaced, ...second.body.displaced]).toEqual([]);
      const web = await issue(service, 'o9', { platform: 'web' });
      expect(web.body.displaced).toMatchObject([{ tokenId: phone.body.token.tokenId }]);
      expect(await statesOf(service, 'o9')).toEqual([
        ['ios', 'kicked'],
        ['admin', 'active'],
        ['admin', 'active'],
        ['web', 'active'],
      ]);
      expect(await verdict(service, operator.body.accessToken)).toBe('good');
    });

    it('is issued by trusted issuance alone', async () => {
      await createUser(service, 'o9-app');
      const refused = await login(service, 'o9-app', { platform: 'admin' });
      expect([refused.status, refused.body.code]).toEqual([403, 'platform_not_allowed']);
    });
  });

  describe('T7 the reason of a kick is always the same', () => {
    it('gives 100 kicks the same code, with platform, time and policy of the login that did it', async () => {
      let previous = await issue(service, 't7', { platform: 'ios' });
      for (let round = 0; round < 100; round += 1) {
        const platform = PLATFORMS[round % PLATFORMS.length] as string;
        const next = await issue(service, 't7', { platform, deviceName: `device ${round}` });
        const { events } = (await history(service, 't7')).body;
        expect(events[0]).toMatchObject({ type: 'token.issued', tokenId: next.body.token.tokenId });
        const refused = await validate(service, previous.body.accessToken);
        expect(refused.status).toBe(401);
        expect(refused.body).toMatchObject({
          code: 'token_kicked',
          endedAt: events[0].at,
          endedBy: { kind: 'login', platform, deviceName: `device ${round}`, policy: 'single-device' },
        });
        previous = next;
      }
    });
  });

  describe('O6 a kicked device is told token_kicked as long as its token would have lived', () => {
    it('also after later logins on every platform', async () => {
      const kicked = await issue(service, 'o6', { platform: 'ios' });
      for (const platform of PLATFORMS) await issue(service, 'o6', { platform });
      expect(await verdict(service, kicked.body.accessToken)).toBe('token_kicked');
      const refused = await refresh(service, kicked.body.refreshToken);
      expect([refused.status, refused.body.code]).toEqual([401, 'token_kicked']);
      expect(refused.body.endedBy).toMatchObject({ kind: 'login', platform: PLATFORMS[0] });
    });

    it('until its expiresAt: the first login after it forgets the tombstone', async () => {
      const node = await startService({
        env: { LOGIN_POLICY: 'single-device', ACCESS_TTL_SECONDS: '60', REFRESH_TTL_SECONDS: '120' },
      });
      const kicked = await issue(node, 'o6-end', { platform: 'ios' });
      await issue(node, 'o6-end', { platform: 'web' });
      node.shiftClock(119_000);
      await issue(node, 'o6-end', { platform: 'linux' });
      expect((await refresh(node, kicked.body.refreshToken)).body.code).toBe('token_kicked');
      node.shiftClock(2_000);
      await issue(node, 'o6-end', { platform: 'macos' });
      expect((await statesOf(node, 'o6-end')).map(([platform]) => platform)).not.toContain('ios');
      expect((await refresh(node, kicked.body.refreshToken)).body.code).toBe('token_expired');
    });

    it('keeps one replaced tombstone a device, the latest', async () => {
      for (let round = 0; round < 5; round += 1) await issue(service, 'o6-device', { deviceId: 'phone' });
      const last = await issue(service, 'o6-device', { deviceId: 'phone' });
      const { tokens } = (await listTokens(service, 'o6-device')).body;
      expect(tokens.map((token: { state: string }) => token.state)).toEqual(['replaced', 'active']);
      expect(tokens[1].tokenId).toBe(last.body.token.tokenId);
    });

    it('keeps more than 100 tombstones while their access tokens may still be presented', async () => {
      const first = await issue(service, 'o6-many', { platform: 'ios' });
      for (let round = 0; round < 110; round += 1) await issue(service, 'o6-many', { platform: 'ios' });
      expect(await statesOf(service, 'o6-many')).toHaveLength(111);
      expect(await verdict(service, first.body.accessToken)).toBe('token_kicked');
    });

    it('keeps at most 100 whose access tokens have expired; the oldest go first', async () => {
      const issued: string[] = [];
      for (let round = 0; round < 110; round += 1) {
        const answer = await issue(service, 'o6-old', { platform: 'ios' });
        issued.push(answer.body.token.tokenId);
        await endAccess(service, 'o6-old', answer.body.token.tokenId);
      }
      const { tokens } = (await listTokens(service, 'o6-old')).body;
      expect(tokens.map((token: { tokenId: string }) => token.tokenId)).toEqual(issued.slice(-101));
    });
  });
});

/** Moves the end of a token's latest access token into the past, and nothing else. */
async function endAccess(service: Service, userId: string, tokenId: string): Promise<void> {
  const key = service.keys.tokens({ tenant: 'default', userId });
  const parts = (await service.redis.hget(key, tokenId + RENEWAL))?.split('\u001F') ?? [];
  const renewal = [parts[0], String(Date.now() - 60_000), ...parts.slice(2)].join('\u001F');
  await service.redis.hset(key, tokenId + RENEWAL, renewal);
}

const codeOf = ({ status, body }: Response) => [status, body.code];

describe('under decline-second', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ env: { LOGIN_POLICY: 'decline-second' } });
  });

  describe('T2 a declined login changes nothing and says what is in the way', () => {
    it('is 409 with conflicts and Retry-After, and leaves the tokens byte for byte as before', async () => {
      await createUser(service, 't2');
      const old = await login(service, 't2', { platform: 'ios', deviceName: 'Ada’s phone' });
      const before = await tokenHash(service, 't2');
      const declined = await login(service, 't2', { platform: 'android' });
      expect(declined.status).toBe(409);
      expect(declined.headers['retry-after']).toBe('60');
      expect(declined.body).toMatchObject({
        code: 'login_declined',
        retryAfterSeconds: 60,
        conflicts: [
          {
            tokenId: old.body.token.tokenId,
            platform: 'ios',
            deviceName: 'Ada’s phone',
            lastSeenAt: old.body.token.lastSeenAt,
          },
        ],
      });
      expect(await tokenHash(service, 't2')).toEqual(before);
      expect(await verdict(service, old.body.accessToken)).toBe('good');
      expect((await refresh(service, old.body.refreshToken)).status).toBe(200);
      expect((await history(service, 't2')).body.events[0]).toMatchObject({
        type: 'login.declined',
        platform: 'android',
        conflicts: [old.body.token.tokenId],
      });
    });

    it('is distinct from wrong password, block and outage, which come first', async () => {
      await createUser(service, 't2-codes');
      await login(service, 't2-codes');
      expect(codeOf(await login(service, 't2-codes', { password: 'wrong password' }))).toEqual([
        401,
        'invalid_credentials',
      ]);
      expect(codeOf(await login(service, 't2-codes', { platform: 'admin' }))).toEqual([403, 'platform_not_allowed']);
      expect(codeOf(await login(service, 't2-codes'))).toEqual([409, 'login_declined']);
      const cutOff = await startService({ env: { LOGIN_POLICY: 'decline-second' }, prefix: service.prefix });
      cutOff.redis.disconnect();
      expect(codeOf(await login(cutOff, 't2-codes'))).toEqual([503, 'store_unavailable']);
      await changeUser(service, 't2-codes', { blocked: {} });
      expect(codeOf(await login(service, 't2-codes'))).toEqual([403, 'user_blocked']);
    });
  });

  describe('T3 decline fires across platforms', () => {
    it.each(ORDERED_PAIRS)('%s is in the way of %s', async (first, second) => {
      const userId = `t3-${first}-${second}`;
      const old = await issue(service, userId, { platform: first });
      const declined = await issue(service, userId, { platform: second });
      expect([declined.status, declined.body.code]).toEqual([409, 'login_declined']);
      expect(declined.body.conflicts).toMatchObject([{ tokenId: old.body.token.tokenId, platform: first }]);
      expect(await statesOf(service, userId)).toEqual([[first, 'active']]);
    });
  });

  describe('T9 the same device logging in again is a takeover', () => {
    it('is never 409, and the earlier token is replaced', async () => {
      const crashed = await issue(service, 't9', { platform: 'ios', deviceId: 'phone' });
      const again = await issue(service, 't9', { platform: 'ios', deviceId: 'phone' });
      expect(again.status).toBe(200);
      expect(again.body.displaced).toMatchObject([{ tokenId: crashed.body.token.tokenId, state: 'replaced' }]);
      const refused = await validate(service, crashed.body.accessToken);
      expect(refused.body).toMatchObject({
        code: 'token_replaced',
        endedBy: { kind: 'login', platform: 'ios', policy: 'decline-second', reason: 'same_device' },
      });
      expect(await verdict(service, again.body.accessToken)).toBe('good');
    });

    it('is of one platform: the same deviceId on another is another device', async () => {
      await issue(service, 't9-other', { platform: 'ios', deviceId: 'same' });
      expect((await issue(service, 't9-other', { platform: 'web', deviceId: 'same' })).status).toBe(409);
    });
  });

  describe('D3 what is in the way can be seen and ended in the same login', () => {
    it('shows it by dryRun, storing nothing, and ends it by evict', async () => {
      await createUser(service, 'd3');
      const old = await login(service, 'd3', { platform: 'ios' });
      const before = await everythingUnder(service);
      const plan = await login(service, 'd3', { platform: 'web', dryRun: true });
      expect(plan.status).toBe(200);
      expect(plan.body).toMatchObject({
        declined: true,
        kick: [],
        delete: [],
        replace: [],
        conflicts: [{ tokenId: old.body.token.tokenId, platform: 'ios' }],
      });
      const wouldEvict = await login(service, 'd3', {
        platform: 'web',
        dryRun: true,
        evict: [old.body.token.tokenId],
      });
      expect(wouldEvict.body).toEqual({
        declined: false,
        kick: [{ tokenId: old.body.token.tokenId, platform: 'ios' }],
        delete: [],
        replace: [],
        conflicts: [],
      });
      expect(await everythingUnder(service)).toEqual(before);
      const evicting = await login(service, 'd3', { platform: 'web', evict: [old.body.token.tokenId] });
      expect(evicting.status).toBe(200);
      expect(evicting.body.displaced).toMatchObject([{ tokenId: old.body.token.tokenId, state: 'kicked' }]);
      expect((await validate(service, old.body.accessToken)).body).toMatchObject({
        code: 'token_kicked',
        endedBy: { kind: 'login', platform: 'web', reason: 'evicted' },
      });
      expect(await eventTypes(service, 'd3')).toEqual(['token.issued', 'token.kicked', 'token.issued']);
    });

    it('needs the password for a dryRun too', async () => {
      await createUser(service, 'd3-password');
      const refused = await login(service, 'd3-password', { dryRun: true, password: 'wrong password' });
      expect([refused.status, refused.body.code]).toEqual([401, 'invalid_credentials']);
    });

    it.each([
      ['unknown', () => 'no-such-token'],
      ['another user’s', (tokenId: string) => tokenId],
    ])('answers 404 to an %s token, and stores nothing', async (_what, choose) => {
      const foreign = await issue(service, `d3-foreign-${_what.length}`);
      await issue(service, `d3-own-${_what.length}`);
      const before = await everythingUnder(service);
      const answer = await issue(service, `d3-own-${_what.length}`, { evict: [choose(foreign.body.token.tokenId)] });
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
      expect(await everythingUnder(service)).toEqual(before);
    });
  });
});

describe('T5 a kick on one platform leaves the others alone', () => {
  it('holds while the user has two other platforms active', async () => {
    const service = await startService();
    const phone = await issue(service, 't5', { platform: 'ios' });
    const others = [await issue(service, 't5', { platform: 'web' }), await issue(service, 't5', { platform: 'macos' })];
    const next = await issue(service, 't5', { platform: 'ios' });
    expect(next.body.displaced).toMatchObject([{ tokenId: phone.body.token.tokenId }]);
    expect(await verdict(service, phone.body.accessToken)).toBe('token_kicked');
    for (const other of [...others, next]) expect(await verdict(service, other.body.accessToken)).toBe('good');
  });
});

describe('under no-kick', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ env: { LOGIN_POLICY: 'no-kick', MAX_TOKENS_PER_USER: '3' } });
  });

  describe('L4 two devices on one platform are independent', () => {
    it('refreshes and ends one without touching the other', async () => {
      const [one, two] = [await issue(service, 'l4'), await issue(service, 'l4')];
      expect((await refresh(service, one.body.refreshToken)).status).toBe(200);
      expect((await refresh(service, two.body.refreshToken)).status).toBe(200);
      expect((await logout(service, one.body.accessToken)).body).toEqual({ count: 1 });
      expect(await verdict(service, one.body.accessToken)).toBe('token_logged_out');
      expect(await verdict(service, two.body.accessToken)).toBe('good');
    });
  });

  describe('L5 logins of one device leave one active token', () => {
    it('holds for 50 logins', async () => {
      await createUser(service, 'l5');
      let last = await login(service, 'l5', { deviceId: 'phone' });
      for (let round = 1; round < 50; round += 1) last = await login(service, 'l5', { deviceId: 'phone' });
      const { tokens } = (await listTokens(service, 'l5', '?state=active')).body;
      expect(tokens.map((token: { tokenId: string }) => token.tokenId)).toEqual([last.body.token.tokenId]);
    });

    it('holds for 50 logins at the same moment', async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => issue(service, 'l5-parallel', { deviceId: 'phone' })),
      );
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect((await listTokens(service, 'l5-parallel', '?state=active')).body.tokens).toHaveLength(1);
      const verdicts = await Promise.all(answers.map(({ body }) => verdict(service, body.accessToken)));
      expect(verdicts.filter((said) => said === 'good')).toHaveLength(1);
    });
  });

  it('kicks the oldest beyond MAX_TOKENS_PER_USER, whatever the policy allows', async () => {
    const issued: Response[] = [];
    for (const platform of ['ios', 'web', 'macos', 'linux', 'ipad']) {
      issued.push(await issue(service, 'cap', { platform }));
    }
    expect(issued.map(({ body }) => body.displaced.map((token: { policy: string }) => token.policy))).toEqual([
      [],
      [],
      [],
      ['hard-cap'],
      ['hard-cap'],
    ]);
    const verdicts = await Promise.all(issued.map(({ body }) => verdict(service, body.accessToken)));
    expect(verdicts).toEqual(['token_kicked', 'token_kicked', 'good', 'good', 'good']);
  });
});

const isEnd = (type: string) => type.startsWith('token.') && type !== 'token.issued';

describe('L11 every way to end has its own reason', () => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-policy-'));
  const deleting = join(folder, 'delete.json');
  const prefix = testPrefix();
  let permissive: Service;
  const under = (policy: string, env: Record<string, string> = {}) =>
    startService({ env: { LOGIN_POLICY: policy, ...env }, prefix });

  beforeAll(async () => {
    const limit = { match: {}, countBy: 'all', max: 1, overflow: 'delete' };
    writeFileSync(deleting, JSON.stringify({ name: 'delete-others', limits: [limit] }));
    permissive = await under('no-kick');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  type Ending = {
    readonly cause: string;
    /** Ends the token of `victim`. */
    readonly end: (userId: string, victim: Response) => Promise<unknown>;
    readonly state: string;
    readonly code: string;
    readonly events: readonly string[];
    readonly by: Readonly<Record<string, string>>;
  };

  const byLogin = { state: 'kicked', code: 'token_kicked', events: ['token.issued', 'token.kicked'] };
  const revoked = { state: 'revoked', code: 'token_revoked', events: ['token.revoked'] };
  const loggedOut = {
    state: 'logged_out',
    code: 'token_logged_out',
    events: ['token.logged_out'],
    by: { kind: 'user' },
  };

  const endings: readonly Ending[] = [
    {
      cause: 'policy kick',
      end: async (userId) => issue(await under('single-device'), userId, { platform: 'web' }),
      ...byLogin,
      by: { kind: 'login', platform: 'web', policy: 'single-device' },
    },
    {
      cause: 'evict',
      end: (userId, victim) => issue(permissive, userId, { platform: 'web', evict: [victim.body.token.tokenId] }),
      ...byLogin,
      by: { kind: 'login', platform: 'web', policy: 'no-kick', reason: 'evicted' },
    },
    {
      cause: 'hard-cap',
      end: async (userId) => issue(await under('no-kick', { MAX_TOKENS_PER_USER: '1' }), userId, { platform: 'web' }),
      ...byLogin,
      by: { kind: 'login', platform: 'web', policy: 'hard-cap' },
    },
    {
      cause: 'same device logs in again',
      end: (userId, victim) => issue(permissive, userId, { deviceId: victim.body.token.deviceId }),
      state: 'replaced',
      code: 'token_replaced',
      events: ['token.issued', 'token.replaced'],
      by: { kind: 'login', platform: 'ios', policy: 'no-kick', reason: 'same_device' },
    },
    {
      cause: 'policy delete',
      end: async (userId) => issue(await under(deleting), userId, { platform: 'web' }),
      state: 'gone',
      code: 'token_unknown',
      events: ['token.issued', 'token.deleted'],
      by: { kind: 'login', platform: 'web', policy: 'delete-others' },
    },
    {
      cause: 'admin revoke',
      end: (userId, victim) => revokeToken(permissive, userId, victim.body.token.tokenId, '?reason=lost%20phone'),
      ...revoked,
      by: { kind: 'admin', reason: 'lost phone' },
    },
    {
      cause: 'RFC 7009',
      end: (_userId, victim) => revokeByToken(permissive, victim.body.accessToken),
      ...revoked,
      by: { kind: 'admin' },
    },
    {
      cause: 'new password',
      end: (userId) => changeUser(permissive, userId, { password: 'another good password' }),
      ...revoked,
      events: ['user.password_changed', 'token.revoked'],
      by: { kind: 'admin', reason: 'password_changed' },
    },
    {
      cause: 'user deleted',
      end: (userId) => deleteUser(permissive, userId),
      ...revoked,
      events: ['user.deleted', 'token.revoked'],
      by: { kind: 'admin', reason: 'user_deleted' },
    },
    {
      cause: 'block',
      end: (userId) => changeUser(permissive, userId, { blocked: { reason: 'fraud' } }),
      state: 'revoked',
      code: 'user_blocked',
      events: ['user.blocked', 'token.revoked'],
      by: { kind: 'admin', reason: 'fraud' },
    },
    {
      cause: 'refresh reuse',
      end: async (_userId, victim) => {
        const second = await refresh(permissive, victim.body.refreshToken);
        await refresh(permissive, second.body.refreshToken);
        await refresh(permissive, victim.body.refreshToken);
      },
      state: 'revoked',
      code: 'refresh_reused',
      events: ['token.revoked'],
      by: { kind: 'system' },
    },
    { cause: 'logout this', end: (_userId, victim) => logout(permissive, victim.body.accessToken), ...loggedOut },
    {
      cause: 'logout others',
      end: async (userId) => {
        const other = await issue(permissive, userId, { platform: 'web' });
        await logout(permissive, other.body.accessToken, { scope: 'others' });
      },
      ...loggedOut,
      events: ['token.logged_out', 'token.issued'],
    },
    {
      cause: 'logout all',
      end: (_userId, victim) => logout(permissive, victim.body.accessToken, { scope: 'all' }),
      ...loggedOut,
    },
  ];

  it.each(endings.map((ending) => [ending.cause, ending] as const))('%s', async (cause, ending) => {
    const userId = `l11 ${cause}`;
    const { state, code, events, by } = ending;
    const victim = await issue(permissive, userId, { platform: 'ios' });
    await ending.end(userId, victim);

    const refused = await validate(permissive, victim.body.accessToken);
    expect([refused.status, refused.body.code, refused.headers['x-auth-reason']]).toEqual([401, code, code]);
    const told = (await history(permissive, userId)).body.events;
    expect(told.map((event: { type: string }) => event.type)).toEqual([...events, 'token.issued']);
    const ended = told.find((event: { tokenId?: string; type: string }) => event.type === events.findLast(isEnd));
    expect(ended).toMatchObject({ tokenId: victim.body.token.tokenId, platform: 'ios', by });

    const { tokens } = (await listTokens(permissive, userId)).body;
    const listed = tokens.find((token: { tokenId: string }) => token.tokenId === victim.body.token.tokenId);
    // A token that is gone left no tombstone: there is nobody to name.
    const known = state === 'gone' ? {} : { endedBy: by, endedAt: ended.at };
    expect(listed === undefined).toBe(state === 'gone');
    expect(listed ?? {}).toMatchObject(state === 'gone' ? {} : { state, ...known });
    expect(refused.body).toMatchObject(known);
    expect(refused.body.endedBy === undefined).toBe(state === 'gone');
  });

  it.each([
    ['its absolute end', { REFRESH_TTL_SECONDS: '300', ACCESS_TTL_SECONDS: '300' }, 301],
    ['idleness', { IDLE_TTL_SECONDS: '120', ACCESS_TTL_SECONDS: '900' }, 121],
  ])('time: %s', async (what, env, seconds) => {
    const service = await startService({ env });
    const victim = await issue(service, what);
    service.shiftClock(seconds * 1000);
    const refused = await validate(service, victim.body.accessToken);
    expect([refused.status, refused.body.code]).toEqual([401, 'token_expired']);
    expect(refused.body.endedBy).toBeUndefined();
    expect(await statesOf(service, what)).toEqual([['ios', 'expired']]);
    expect(await eventTypes(service, what)).toEqual(['token.issued']);
  });

  it('ends nothing twice: the first reason stays', async () => {
    const victim = await issue(permissive, 'l11 first');
    await logout(permissive, victim.body.accessToken);
    const before = await tokenHash(permissive, 'l11 first');
    expect((await revokeAll(permissive, 'l11 first')).body).toEqual({ revoked: [] });
    expect(await tokenHash(permissive, 'l11 first')).toEqual(before);
    expect(await verdict(permissive, victim.body.accessToken)).toBe('token_logged_out');
  });
});

describe('O7 an unknown platform is 400 and names the valid ones', () => {
  it.each(['/login', '/admin/users/o7/tokens'])('%s', async (path) => {
    const service = await startService();
    const answer =
      path === '/login'
        ? await login(service, 'o7', { platform: 'tv' })
        : await issue(service, 'o7', { platform: 'tv' });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    for (const name of PLATFORMS) expect(answer.body.detail).toContain(name);
  });
});
