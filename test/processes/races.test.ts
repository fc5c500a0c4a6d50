/**
 * Two processes on one Redis, and what must hold when they are asked at the same moment: two servers, and two workers of
 * one server. Each test runs many races and looks at what is left when both sides have ended; which side was first is
 * never part of the expectation.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  admin,
  caller,
  createUser,
  endServers,
  historyOf,
  inParallel,
  issue,
  listTokens,
  login,
  newDeployment,
  refresh,
  revokeAll,
  startServer,
  validate,
  type Answer,
  type ServerProcess,
} from '../helpers/server-process.ts';
import { sized } from '../helpers/sizes.ts';

/** Only for what hangs: how long a busy machine takes decides nothing. */
const LIMIT_MS = 240_000;
const AT_ONCE = 40;
const LOGIN_PAIRS = sized(300);
const RACES = sized(1_000);
const HEATS = sized(10);

type Nodes = readonly [ServerProcess, ServerProcess];
type Env = Readonly<Record<string, string>>;

const STARTS = {
  'two servers': (env: Env): Promise<Nodes> => Promise.all([startServer({ env }), startServer({ env })]),
  // Two clients of one port: the connections of each are dealt out to both workers.
  'two workers': async (env: Env): Promise<Nodes> => {
    const server = await startServer({ env: { ...env, WORKERS: '2' } });
    return [server, { ...server, ...caller(server.url) }];
  },
};

/** The two nodes, the other way round at every second race. */
const inTurn = ([a, b]: Nodes, number: number): Nodes => (number % 2 === 0 ? [a, b] : [b, a]);

/** A head start of 0 to 4 turns of a timer for one side or the other, so that both ways to end come up. */
async function headStart(number: number): Promise<void> {
  const ms = Math.floor(number / 2) % 5;
  if (ms > 0) {
    await new Promise((resolve) => {
      setTimeout(resolve, ms);
    });
  }
}

/** Both at the same moment, but that the second side may start later. */
function race<A, B>(number: number, first: () => Promise<A>, second: () => Promise<B>): Promise<[A, B]> {
  return Promise.all([first(), headStart(number).then(second)]);
}

const refusal = ({ status, body }: Answer) => [status, body?.code];
const revokedIn = ({ body }: Answer) => body.revoked.map(({ tokenId }) => tokenId);

/** The way a token ended, by the history; a token that ended twice fails the test. */
function endingOf(tokenId: string, history: readonly string[]): string | undefined {
  const told = history.filter((line) => line.endsWith(` ${tokenId}`) && !line.startsWith('token.issued'));
  expect(told.length).toBeLessThanOrEqual(1);
  return told[0]?.split(' ')[0];
}

const ENDING_OF_STATE: Readonly<Record<string, string>> = {
  kicked: 'token.kicked',
  replaced: 'token.replaced',
  revoked: 'token.revoked',
};

/** What the list says of every token is what the history says. */
async function expectConsistent(node: ServerProcess, userId: string): Promise<string[]> {
  const [tokens, history] = await Promise.all([listTokens(node, userId), historyOf(node, userId)]);
  for (const { tokenId, state } of tokens) {
    expect(history.filter((line) => line === `token.issued ${tokenId}`)).toHaveLength(1);
    expect(endingOf(tokenId, history)).toBe(ENDING_OF_STATE[state]);
  }
  return history;
}

/** The second in which an access token was signed. */
function secondOf({ body }: Answer): number {
  const claims = Buffer.from(body.accessToken.split('.')[1] ?? '', 'base64url').toString();
  return (JSON.parse(claims) as { iat: number }).iat;
}

describe.each(Object.entries(STARTS))('%s', (_name, start) => {
  const twoNodes = (policy: string): Promise<Nodes> => start(newDeployment({ LOGIN_POLICY: policy }).env);
  let nodes: Nodes;
  beforeAll(async () => {
    nodes = await twoNodes('one-per-platform');
  }, LIMIT_MS);
  afterAll(endServers, LIMIT_MS);

  describe('O3 two logins at the same moment, same user and platform', () => {
    it(
      `leave exactly one active and the other kicked, ${LOGIN_PAIRS.told} times`,
      async () => {
        await inParallel(LOGIN_PAIRS.count, AT_ONCE, async (round) => {
          const userId = `o3-${round}`;
          const [a, b] = inTurn(nodes, round);
          const pair = await Promise.all([issue(a, userId), issue(b, userId)]);
          expect(pair.map(({ status }) => status)).toEqual([200, 200]);
          const [winner, loser] = pair.toSorted(
            (one, other) => other.body.displaced.length - one.body.displaced.length,
          );
          expect(winner?.body.displaced).toMatchObject([{ tokenId: loser?.body.token.tokenId, state: 'kicked' }]);
          expect(loser?.body.displaced).toEqual([]);
          const tokens = await listTokens(a, userId);
          expect(tokens.map(({ tokenId, state }) => [tokenId, state])).toEqual([
            [loser?.body.token.tokenId, 'kicked'],
            [winner?.body.token.tokenId, 'active'],
          ]);
          expect((await validate(b, winner?.body.accessToken ?? '')).status).toBe(200);
          expect(refusal(await validate(a, loser?.body.accessToken ?? ''))).toEqual([401, 'token_kicked']);
        });
      },
      LIMIT_MS,
    );

    it('with a password leave exactly one active too', async () => {
      await createUser(nodes[0], 'o3-password');
      const answers = await Promise.all([...nodes, ...nodes].map((node) => login(node, 'o3-password')));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      const states = (await listTokens(nodes[0], 'o3-password')).map(({ state }) => state);
      expect(states).toEqual(['kicked', 'kicked', 'kicked', 'active']);
    });

    it('within one second of the clock give different tokens, also to one device', async () => {
      const device = { platform: 'ios', deviceId: 'the-same' };
      let [first, second] = [await issue(nodes[0], 'o3-second', device), await issue(nodes[0], 'o3-second', device)];
      while (secondOf(first) !== secondOf(second))
        [first, second] = [second, await issue(nodes[0], 'o3-second', device)];
      expect(second.body.accessToken).not.toBe(first.body.accessToken);
      expect(second.body.refreshToken).not.toBe(first.body.refreshToken);
      expect(second.body.token.tokenId).not.toBe(first.body.token.tokenId);
      expect(refusal(await validate(nodes[1], first.body.accessToken))).toEqual([401, 'token_replaced']);
      expect((await validate(nodes[1], second.body.accessToken)).status).toBe(200);
    });
  });

  describe('O5 a revoke that races is never undone', () => {
    it(
      `by a login: what it revoked stays so, and an active token was made after it (${RACES.told} races)`,
      async () => {
        await inParallel(RACES.count, AT_ONCE, async (number) => {
          const userId = `o5-login-${number}`;
          const [a, b] = inTurn(nodes, number);
          const old = await issue(a, userId);
          const other = await issue(b, userId, { platform: 'web' });
          // The login would kick `old`; `other` is none of its business, so only the revoke can have ended that.
          const [fresh, revoked] = await race(
            number,
            () => issue(a, userId),
            () => revokeAll(b, userId),
          );
          expect([fresh.status, revoked.status]).toEqual([200, 200]);
          const { tokenId } = fresh.body.token;
          const history = await expectConsistent(b, userId);

          for (const id of revokedIn(revoked)) expect(endingOf(id, history)).toBe('token.revoked');
          expect(endingOf(other.body.token.tokenId, history)).toBe('token.revoked');
          expect(['token.revoked', 'token.kicked']).toContain(endingOf(old.body.token.tokenId, history));
          expect(refusal(await validate(a, other.body.accessToken))).toEqual([401, 'token_revoked']);
          const verdict = await validate(b, fresh.body.accessToken);
          const isRevoked = revokedIn(revoked).includes(tokenId);
          expect(refusal(verdict)).toEqual(isRevoked ? [401, 'token_revoked'] : [200, undefined]);
          const revocation = history.findLastIndex((line) => line.startsWith('token.revoked'));
          expect(history.indexOf(`token.issued ${tokenId}`) > revocation).toBe(!isRevoked);
        });
      },
      LIMIT_MS,
    );

    it(
      `by a refresh: neither the old pair nor the new one is good (${RACES.told} races)`,
      async () => {
        await inParallel(RACES.count, AT_ONCE, async (number) => {
          const userId = `o5-refresh-${number}`;
          const [a, b] = inTurn(nodes, number);
          const { body } = await issue(a, userId);
          const path = `/users/${userId}/tokens/${body.token.tokenId}`;
          const [next, revoked] = await race(
            number,
            () => refresh(a, body.refreshToken),
            () => admin(b, 'DELETE', path),
          );
          expect(revokedIn(revoked)).toEqual([body.token.tokenId]);
          expect(['200 ', '401 token_revoked']).toContain(`${next.status} ${next.body.code ?? ''}`);
          for (const pair of next.status === 200 ? [body, next.body] : [body]) {
            expect(refusal(await validate(a, pair.accessToken))).toEqual([401, 'token_revoked']);
            expect(refusal(await refresh(b, pair.refreshToken))).toEqual([401, 'token_revoked']);
          }
          await expectConsistent(a, userId);
        });
      },
      LIMIT_MS,
    );

    it(
      `by another revoke: each token is ended once, by one of the two (${RACES.told} races)`,
      async () => {
        await inParallel(RACES.count, AT_ONCE, async (number) => {
          const userId = `o5-revoke-${number}`;
          const [a, b] = inTurn(nodes, number);
          const pair = [await issue(a, userId), await issue(b, userId, { platform: 'web' })];
          const ids = pair.map(({ body }) => body.token.tokenId);
          const answers = await race(
            number,
            () => revokeAll(a, userId, 'first'),
            () => revokeAll(b, userId, 'second'),
          );
          expect(answers.flatMap(revokedIn).toSorted()).toEqual(ids.toSorted());
          for (const { body } of pair) {
            expect(refusal(await validate(a, body.accessToken))).toEqual([401, 'token_revoked']);
          }
          await expectConsistent(b, userId);
        });
      },
      LIMIT_MS,
    );
  });

  describe('T6 200 parallel logins from 2 processes over mixed platforms', () => {
    const PLATFORMS = ['ios', 'android', 'windows', 'macos', 'web', 'linux', 'ipad', 'harmonyos'];
    const ways = {
      password: (node: ServerProcess, userId: string, platform: string) => login(node, userId, { platform }),
      'trusted issuance': (node: ServerProcess, userId: string, platform: string) => issue(node, userId, { platform }),
    };

    async function twoHundred(pair: Nodes, userId: string, way: keyof typeof ways): Promise<Answer[]> {
      expect((await createUser(pair[0], userId)).status).toBe(201);
      return inParallel(200, 200, (index) => {
        const node = pair[index % 2] ?? pair[0];
        return ways[way](node, userId, PLATFORMS[index % PLATFORMS.length] ?? 'ios');
      });
    }

    describe.each([
      // A login that meets another process' login eight times in a row is told to come back: allowed, however rare.
      {
        policy: 'single-device',
        seats: 200,
        refusals: (count: number) => (count === 0 ? [] : ['503 login_contended']),
      },
      { policy: 'decline-second', seats: 1, refusals: () => ['409 login_declined'] },
    ])('under $policy', ({ policy, seats, refusals }) => {
      let pair: Nodes;
      beforeAll(async () => {
        pair = await twoNodes(policy);
      }, LIMIT_MS);
      afterAll(() => pair?.forEach((node) => node.kill('SIGTERM')));

      it.each(['password', 'trusted issuance'] as const)(
        'with %s: one is left active',
        async (way) => {
          const userId = `t6-${way === 'password' ? 'password' : 'trusted'}`;
          const answers = await twoHundred(pair, userId, way);
          const issued = answers.filter(({ status }) => status === 200);
          const refused = answers.filter(({ status }) => status !== 200);
          expect(new Set(refused.map((answer) => refusal(answer).join(' ')))).toEqual(
            new Set(refusals(refused.length)),
          );
          expect(issued.length).toBeLessThanOrEqual(seats);
          expect(issued.length).toBeGreaterThanOrEqual(1);

          // Nobody was ended twice.
          const displaced = issued.flatMap(({ body }) => body.displaced.map(({ tokenId }) => tokenId));
          expect(displaced).toHaveLength(issued.length - 1);
          expect(new Set(displaced).size).toBe(issued.length - 1);
          // Whoever was refused has left nothing.
          const tokens = await listTokens(pair[1], userId);
          const ids = issued.map(({ body }) => body.token.tokenId);
          expect(tokens.map(({ tokenId }) => tokenId).toSorted()).toEqual(ids.toSorted());
          expect(tokens.filter(({ state }) => state === 'active')).toHaveLength(1);
          const verdicts = await inParallel(issued.length, AT_ONCE, (index) =>
            validate(pair[index % 2] ?? pair[0], issued[index]?.body.accessToken ?? ''),
          );
          expect(verdicts.filter(({ status }) => status === 200)).toHaveLength(1);
          expect(verdicts.filter(({ body }) => body?.code === 'token_kicked')).toHaveLength(issued.length - 1);
        },
        LIMIT_MS,
      );
    });
  });

  describe('D6 100 racers for one seat under decline', () => {
    it(
      `have one winner, in each of ${HEATS.told} heats`,
      async () => {
        const pair = await twoNodes('decline-second');
        for (let heat = 0; heat < HEATS.count; heat += 1) {
          const userId = `d6-${heat}`;
          const answers = await inParallel(100, 100, (index) => issue(pair[index % 2] ?? pair[0], userId));
          const [winner, ...others] = answers.toSorted((one, other) => one.status - other.status);
          expect(winner?.status).toBe(200);
          expect(others.map(refusal)).toEqual(Array.from({ length: 99 }, () => [409, 'login_declined']));
          const tokens = await listTokens(pair[0], userId);
          expect(tokens.map(({ tokenId }) => tokenId)).toEqual([winner?.body.token.tokenId]);
          // The next to come is told of the same winner, on either node.
          for (const node of pair) expect((await issue(node, userId)).status).toBe(409);
        }
        pair.forEach((node) => node.kill('SIGTERM'));
      },
      LIMIT_MS,
    );
  });

  describe('R1 an end on node A is seen by the very next validate on node B', () => {
    const USERS = 50;
    const TRIALS = sized(10_000);
    const ENDS = ['kick', 'replacement', 'revoke'] as const;
    const CODES = { kick: 'token_kicked', replacement: 'token_replaced', revoke: 'token_revoked' };

    it(
      `${TRIALS.told} trials, none stale`,
      async () => {
        const stale: string[] = [];
        await inParallel(USERS, USERS, async (user) => {
          const userId = `r1-${user}`;
          const [a, b] = inTurn(nodes, user);
          let current = await issue(a, userId, { deviceId: 'd' });
          for (let trial = 0; trial < TRIALS.count / USERS; trial += 1) {
            const end = ENDS[trial % ENDS.length] ?? 'kick';
            // Of half of the tokens B has just said that they are good: whatever it might remember of them is warm.
            const warm = trial % 2 === 0 ? await validate(b, current.body.accessToken) : undefined;
            if (warm !== undefined && warm.status !== 200) stale.push(`${end}: ${warm.status} before it`);
            const { deviceId } = current.body.token;
            let next: Answer | undefined;
            if (end === 'kick') next = await issue(a, userId, { deviceId: `${trial}` });
            if (end === 'replacement') next = await issue(a, userId, { deviceId });
            if (end === 'revoke') await revokeAll(a, userId);
            const verdict = await validate(b, current.body.accessToken);
            if (verdict.status !== 401 || verdict.body.code !== CODES[end]) stale.push(`${end}: ${verdict.status}`);
            current = next ?? (await issue(a, userId, { deviceId: 'd' }));
          }
        });
        expect(stale).toEqual([]);
      },
      LIMIT_MS,
    );
  });

  describe('L7 parallel logins of two tenants never mix', () => {
    const TENANTS = ['blue', 'red'] as const;

    it(
      '400 logins of the same user names on both nodes, each under its own tenant only',
      async () => {
        const answers = await inParallel(400, AT_ONCE, async (index) => {
          const [tenant, other] = index % 4 < 2 ? TENANTS : TENANTS.toReversed();
          const node = nodes[index % 2] ?? nodes[0];
          const userId = `l7-${Math.floor(index / 20)}`;
          const { body } = await issue(node, userId, {}, tenant);
          expect(body.token).toMatchObject({ tenant, userId });
          const foreign = await validate(node, body.accessToken, other);
          expect(refusal(foreign)).toEqual([401, 'token_invalid']);
          return { tenant: tenant ?? '', userId, tokenId: body.token.tokenId, displaced: body.displaced };
        });
        const owner = new Map(answers.map(({ tokenId, tenant, userId }) => [tokenId, `${tenant}/${userId}`]));
        for (const { tenant, userId, displaced } of answers) {
          for (const { tokenId } of displaced) expect(owner.get(tokenId)).toBe(`${tenant}/${userId}`);
        }
        for (const [tenant, userId] of TENANTS.flatMap((one) =>
          Array.from({ length: 20 }, (_, user) => [one, `l7-${user}`] as const),
        )) {
          const tokens = await listTokens(nodes[0], userId, tenant);
          const own = answers.filter((answer) => answer.tenant === tenant && answer.userId === userId);
          expect(tokens.map(({ tokenId }) => tokenId).toSorted()).toEqual(own.map(({ tokenId }) => tokenId).toSorted());
          expect(tokens.filter(({ state }) => state === 'active')).toHaveLength(1);
        }
      },
      LIMIT_MS,
    );
  });
});
