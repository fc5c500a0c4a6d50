/**
 * Random histories of users on a real Redis, through the use cases: logins, logouts, revocations, blocks, refreshes, time
 * that passes, policies that change. What must always hold is compared after every step.
 */
/* oxlint-disable jest/no-standalone-expect -- the steps of a history are methods, each with what it expects */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { Redis } from 'ioredis';
import { LatchkeyError } from '../../src/contract/errors.ts';
import type { Event } from '../../src/contract/events.ts';
import type { Limit, Policy } from '../../src/contract/policy.ts';
import { createPasswordCredentials } from '../../src/credentials/directory.ts';
import { createPasswords } from '../../src/credentials/password.ts';
import { createPlatforms, type Platform } from '../../src/domain/platform.ts';
import { allows, matches } from '../../src/domain/policies/engine.ts';
import { presets } from '../../src/domain/policies/presets.ts';
import { expiryOf, stateOf, type Token, type TokenId, type UserKey } from '../../src/domain/token.ts';
import { createRedisClock } from '../../src/redis/clock.ts';
import { readEvent } from '../../src/redis/event-codec.ts';
import { connectRedis } from '../../src/redis/connect.ts';
import { parseRedisUrl } from '../../src/redis/redis-url.ts';
import { openStore } from '../../src/redis/open-store.ts';
import { createLogin, type LoginRequest } from '../../src/tokens/login.ts';
import { createRefreshTokens } from '../../src/tokens/refresh-token.ts';
import { createRefresh } from '../../src/tokens/refresh.ts';
import { createRuleBook, type RuleBook } from '../../src/tokens/rules.ts';
import type { ThrottleSettings, TokenStore } from '../../src/tokens/store.ts';
import { createThrottle } from '../../src/tokens/throttle.ts';
import { createSignOut, type LogoutScope, type RevokeFilter } from '../../src/tokens/sign-out.ts';
import { makeKeySet, readKeySet } from '../../src/tokens/signing-keys.ts';
import { createUsers } from '../../src/tokens/users.ts';
import { createIdentify, createJudge } from '../../src/tokens/verdict.ts';
import { signerWith } from '../helpers/signing.ts';
import { sized } from '../helpers/sizes.ts';
import { tellTime, testPrefix, testRedisUrl } from '../helpers/test-redis.ts';

/** Fewer do not come to every kind of end. */
const HISTORIES = sized(2_000, 600);
const MAX_STEPS = 8;
/** Histories that run at the same time, each of a user of its own. */
const LANES = 10;
/** Another one at every run; give this one a number to see a run again. */
const SEED = Math.floor(Math.random() * 2 ** 31);

const MINUTE = 60_000;
const TOKEN_LIFE = 60 * MINUTE;
/** Two of them outlive a token, one does not. */
const LONG_PAUSE = 35 * MINUTE;
const MAX_TOKENS = 5;
const ISSUER = 'http://latchkey.test';
const PLATFORMS = ['ios', 'android', 'macos', 'web', 'admin'];
const platforms = createPlatforms();

/** What a device's token looks like from outside at each end, and the event that tells of it. */
const EVENT_OF_STATE: Readonly<Record<string, string>> = {
  kicked: 'token.kicked',
  replaced: 'token.replaced',
  revoked: 'token.revoked',
  logged_out: 'token.logged_out',
  deleted: 'token.deleted',
};

let redis: Redis;
beforeAll(async () => {
  redis = connectRedis(parseRedisUrl(testRedisUrl())) as Redis;
  await new Promise((resolve) => redis.once('ready', resolve));
});
afterAll(() => redis.disconnect());

process.stderr.write(`random histories: seed ${SEED}\n`);

describe('R11 after any random history, the list of active tokens equals the set that validates', () => {
  it(`${HISTORIES.told} histories, and every state change is final and has one event`, async () => {
    const lanes = await Promise.all(Array.from({ length: LANES }, (_, index) => openLane(index)));
    await Promise.all(
      lanes.map((lane, index) =>
        fc.assert(
          fc.asyncProperty(history, (plot) => new History(lane, plot.policy).play(plot.steps)),
          { numRuns: HISTORIES.count / LANES, seed: SEED + index },
        ),
      ),
    );
    expect(Object.keys(tally).toSorted()).toEqual(EVERYTHING);
  });
});

/** What happened in all histories, so that none of it is forgotten by the generator. */
const tally: Record<string, number> = {};
const EVERYTHING = [
  'active tokens',
  'blocked',
  'login declined',
  'login platform_not_allowed',
  'login signed in',
  'login user_blocked',
  'refresh repeated',
  'refresh reused',
  'refresh rotated',
  'refresh refused',
  'state deleted',
  'state expired',
  'state kicked',
  'state logged_out',
  'state replaced',
  'state revoked',
].toSorted();

function count(what: string): void {
  tally[what] = (tally[what] ?? 0) + 1;
}

const NO_THROTTLE: ThrottleSettings = {
  userFailures: 0,
  addressFailures: 0,
  lockMs: 1,
  longestLockMs: 1,
  memoryMs: 1,
  userLogins: 0,
  addressLogins: 0,
  windowMs: 1,
};

/** The use cases of a node, with a clock that can be put forward, and a second node for logins that meet. */
type Lane = Awaited<ReturnType<typeof openLane>>;

async function openLane(index: number) {
  const keySet = await readKeySet(await makeKeySet('EdDSA'), 'EdDSA');
  const real = createRedisClock();
  const shift = { ms: 0 };
  const clock = { ...real, now: () => real.now() + shift.ms };
  const options = {
    keyPrefix: testPrefix(),
    shards: 64,
    accessTtlSeconds: 604_800,
    throttle: NO_THROTTLE,
    onTouchFailed: () => {},
  };
  const { store, users, tenants, attempts, keys } = openStore(redis, options, clock);
  const other = openStore(redis, options, clock);
  await tellTime(redis, clock);
  const signer = signerWith(keySet, ISSUER);
  const refreshTokens = createRefreshTokens('refresh-secret-of-the-histories-0123456789');
  const passwords = createPasswords();
  const judge = createJudge(store, keySet, ISSUER, ISSUER);
  const credentials = createPasswordCredentials(passwords, users);
  const throttle = createThrottle(attempts);
  const loginOf = (on: TokenStore, policy: Policy) =>
    createLogin({ store: on, signer, refreshTokens, credentials, throttle, ruleBook: rulesWith(policy) });
  return {
    index,
    store,
    keys,
    shift,
    judge,
    users: createUsers(users, attempts, (password) => passwords.hash(password)),
    signOut: createSignOut({ store, refreshTokens, identify: createIdentify(keySet, ISSUER, ISSUER), platforms }),
    loginUnder: (policy: Policy) => loginOf(store, policy),
    /** Within one node logins of a user queue; only those of two nodes meet in Redis. */
    loginElsewhere: (policy: Policy) => loginOf(other.store, policy),
    refresh: createRefresh({
      store,
      signer,
      refreshTokens,
      tenants,
      ruleBook: rulesWith({ name: 'none', limits: [] }),
    }),
    /** Last entry read of each shard's stream. */
    cursors: new Map<number, string>(),
    played: 0,
  };
}

function rulesWith(policy: Policy): RuleBook {
  const life = TOKEN_LIFE / 1000;
  const ttl = { accessSeconds: life, refreshSeconds: life, idleSeconds: 0, maxSeconds: 0 };
  return createRuleBook({
    policy,
    platforms,
    maxPerPlatform: 30,
    maxTokens: MAX_TOKENS,
    // No run is so slow that a grace ends in it.
    refreshGraceMs: 24 * 60 * MINUTE,
    ttl,
    set: new Set(),
  });
}

type LoginStep = { readonly platform: Platform; readonly device: string; readonly evict?: number };

/** Numbers choose among the tokens that there are, modulo how many. */
type Step =
  | ({ readonly does: 'login' } & LoginStep)
  | ({ readonly does: 'login after a long pause' } & LoginStep)
  | { readonly does: 'two logins at a time'; readonly logins: readonly [LoginStep, LoginStep] }
  | { readonly does: 'refresh'; readonly token: number; readonly backs: readonly number[] }
  | { readonly does: 'logout'; readonly token: number; readonly scope: LogoutScope }
  | { readonly does: 'end one'; readonly token: number; readonly other: number }
  | { readonly does: 'revoke'; readonly which: RevokeFilter }
  | { readonly does: 'revoke one'; readonly token: number }
  | { readonly does: 'block' }
  | { readonly does: 'unblock' }
  | { readonly does: 'change the policy'; readonly policy: Policy };

/** What the outside world knows of one token. */
type Held = {
  accessToken: string;
  readonly refreshTokens: string[];
  /** The final state that was seen first, with all that its tombstone says. */
  end?: { readonly state: string; readonly tombstone: string };
  /** Time has no event, unless a login finds that an access token is still in time: then there is a tombstone too. */
  isToldOfTime?: boolean;
  last: Token;
};

class History {
  readonly #lane: Lane;
  readonly #user: UserKey;
  readonly #held = new Map<TokenId, Held>();
  readonly #events: Event[] = [];
  /** Events of this user beside those of tokens, as they must be. */
  readonly #told: string[] = [];
  /** Logins that took the seat of their own device again. */
  readonly #cameBack = new Set<LoginStep>();
  #policy: Policy;
  #isBlocked = false;

  constructor(lane: Lane, policy: Policy) {
    lane.shift.ms = 0;
    lane.played += 1;
    this.#lane = lane;
    this.#policy = policy;
    this.#user = { tenant: `tenant:${lane.played % 3}`, userId: `user ${lane.index}/${lane.played}` };
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      const goesOn = await this.#take(step);
      await this.#check();
      if (!goesOn) return;
    }
  }

  /** False where this node and Redis would no longer agree on what has expired. */
  async #take(step: Step): Promise<boolean> {
    if (step.does !== 'login after a long pause') {
      await this.#takeInTime(step);
      return true;
    }
    // Only this node's clock moves. The login deletes what has expired by it; declined, it would leave that behind.
    this.#lane.shift.ms += LONG_PAUSE;
    return this.#login(step);
  }

  async #takeInTime(step: Exclude<Step, { does: 'login after a long pause' }>): Promise<void> {
    switch (step.does) {
      case 'login':
        await this.#login(step);
        break;
      case 'two logins at a time':
        await this.#race(step.logins);
        break;
      case 'refresh':
        for (const back of step.backs) await this.#refresh(step.token, back);
        break;
      case 'logout':
        await this.#logout(step.token, step.scope);
        break;
      case 'end one':
        await this.#endOne(step.token, step.other);
        break;
      case 'revoke':
        await this.#revoke(step.which);
        break;
      case 'revoke one':
        await this.#revoke({ tokenId: this.#pick(step.token)?.last.tokenId ?? 'nobody' });
        break;
      case 'block':
        await this.#block();
        break;
      case 'unblock':
        await this.#unblock();
        break;
      case 'change the policy':
        this.#policy = step.policy;
    }
  }

  async #race(logins: readonly LoginStep[]): Promise<void> {
    const before = this.#activeTokens().map((token) => token.tokenId);
    const { loginUnder, loginElsewhere } = this.#lane;
    const nodes = [loginUnder(this.#policy), loginElsewhere(this.#policy)];
    const signedIn = await Promise.all(logins.map((one, index) => this.#signIn(one, nodes[index])));
    if (!signedIn.includes(true)) {
      expect(await this.#activeNow()).toEqual(before);
      return;
    }
    const after = await this.#lane.store.list(this.#user);
    for (const [index, step] of logins.entries()) if (signedIn[index]) this.#checkCaps(step, after);
  }

  /** A login, and before it a dry run, which must tell what the login then does. */
  async #login(step: LoginStep): Promise<boolean> {
    const login = this.#lane.loginUnder(this.#policy);
    const dryRun = await login.trusted({ ...this.#request(step), dryRun: true }).catch(codeOf);
    const signedIn = await this.#signIn(step);
    if (typeof dryRun === 'string' || dryRun.kind !== 'dry_run') {
      expect([dryRun, signedIn]).toEqual([expect.stringMatching(/^(user_blocked|platform_not_allowed)$/), false]);
      return false;
    }
    const { plan } = dryRun;
    const inMaps = [...plan.delete, ...plan.kick, ...plan.replace].map(([tokenId]) => tokenId);
    expect(new Set(inMaps).size).toBe(inMaps.length);
    expect(plan.declined).toBe(!signedIn);
    if (!signedIn) return false;
    const after = await this.#lane.store.list(this.#user);
    for (const tokenId of plan.kick.keys()) expect(stateIn(after, tokenId)).toBe('kicked');
    for (const tokenId of plan.replace.keys()) expect(stateIn(after, tokenId)).toBe('replaced');
    // Without a ground time had ended it, and it keeps a tombstone until nothing of it can be presented any more.
    for (const tokenId of plan.delete.keys()) {
      expect(plan.grounds.has(tokenId) ? ['gone'] : ['gone', 'expired']).toContain(stateIn(after, tokenId));
    }
    this.#checkCaps(step, after);
    return true;
  }

  async #signIn(step: LoginStep, login = this.#lane.loginUnder(this.#policy)): Promise<boolean> {
    const answer = await login.trusted(this.#request(step)).catch(codeOf);
    if (typeof answer === 'string') {
      count(`login ${answer.replace('login_', '')}`);
      expect(answer).toBe(this.#refusalOf(step.platform) ?? 'login_declined');
      if (answer === 'login_declined') this.#told.push('login.declined');
      return false;
    }
    if (answer.kind !== 'signed_in') throw new Error('a login answered with a plan');
    count('login signed in');
    const { token, accessToken, refreshToken } = answer.result;
    if (answer.result.displaced.some(({ state }) => state === 'replaced')) this.#cameBack.add(step);
    const last = { ...token, seq: 0, lastSeenAt: token.createdAt };
    this.#held.set(token.tokenId, { accessToken, refreshTokens: [refreshToken], last });
    return true;
  }

  #refusalOf(platform: Platform): string | undefined {
    if (!allows(this.#policy, platform, platforms)) return 'platform_not_allowed';
    return this.#isBlocked ? 'user_blocked' : undefined;
  }

  #request({ platform, device, evict }: LoginStep): LoginRequest {
    const known = [...this.#held.values()].filter((held) => held.end?.state === undefined);
    const evicted = evict === undefined ? undefined : known[evict % known.length];
    return {
      ...this.#user,
      platform,
      deviceId: device,
      deviceName: '',
      evict: evicted === undefined ? [] : [evicted.last.tokenId],
      dryRun: false,
      interactive: true,
      ip: '::1',
      userAgent: '',
    };
  }

  /** @param back how many generations before the latest refresh token */
  async #refresh(token: number, back: number): Promise<void> {
    const held = this.#pick(token);
    if (held === undefined) return;
    const index = Math.max(0, held.refreshTokens.length - 1 - back);
    const age = held.refreshTokens.length - 1 - index;
    const wasActive = held.end === undefined;
    const result = await this.#lane.refresh(held.refreshTokens[index] ?? '').catch(codeOf);
    if (!wasActive || age > 1) {
      count(wasActive ? 'refresh reused' : 'refresh refused');
      expect(typeof result).toBe('string');
      if (wasActive) expect(result).toBe('refresh_reused');
      return;
    }
    if (typeof result === 'string') throw new Error(`a good refresh token was refused: ${result}`);
    count(age === 0 ? 'refresh rotated' : 'refresh repeated');
    expect(result.token.tokenId).toBe(held.last.tokenId);
    held.accessToken = result.accessToken;
    if (age === 0) held.refreshTokens.push(result.refreshToken);
    else expect(result.refreshToken).toBe(held.refreshTokens.at(-1));
  }

  async #logout(token: number, scope: LogoutScope): Promise<void> {
    const caller = await this.#callerOf(token);
    if (caller === undefined) return;
    const active = this.#activeTokens().length;
    const expected = { this: 1, others: active - 1, all: active }[scope];
    expect(await this.#lane.signOut.logout(caller, scope)).toBe(expected);
  }

  async #endOne(token: number, other: number): Promise<void> {
    const caller = await this.#callerOf(token);
    const target = this.#pick(other);
    if (caller === undefined || target === undefined) return;
    const answer = await this.#lane.signOut.endOwn(caller, target.last.tokenId).catch(codeOf);
    const isGone = target.end?.tombstone === 'none';
    expect(answer).toBe(isGone ? 'not_found' : Number(target.end === undefined));
  }

  async #revoke(which: RevokeFilter): Promise<void> {
    const ended = await this.#lane.signOut.revoke(this.#user, which, undefined);
    const meant = this.#activeTokens().filter(({ tokenId, platform }) => {
      if (which.tokenId !== undefined) return tokenId === which.tokenId;
      if (which.platform !== undefined) return platform === which.platform;
      return which.class === undefined || platforms.classOf(platform) === which.class;
    });
    expect(ended.map((one) => `${one.platform} ${one.tokenId}`).toSorted()).toEqual(
      meant.map((one) => `${one.platform} ${one.tokenId}`).toSorted(),
    );
  }

  async #block(): Promise<void> {
    const { ended } = await this.#lane.users.change(this.#user, { block: { reason: 'spam' } });
    count('blocked');
    expect(ended).toHaveLength(this.#activeTokens().length);
    // The same block again is no change.
    if (!this.#isBlocked) this.#told.push('user.blocked');
    this.#isBlocked = true;
  }

  async #unblock(): Promise<void> {
    const answer = await this.#lane.users.change(this.#user, { block: null }).catch(codeOf);
    // Without a record, which a block would have made.
    if (answer === 'not_found') expect(this.#isBlocked).toBe(false);
    if (this.#isBlocked) this.#told.push('user.unblocked');
    this.#isBlocked = false;
  }

  #pick(index: number): Held | undefined {
    const all = [...this.#held.values()];
    return all[index % all.length];
  }

  async #callerOf(index: number): Promise<Token | undefined> {
    const held = this.#pick(index);
    if (held === undefined) return undefined;
    const verdict = await this.#lane.judge(held.accessToken, this.#user.tenant);
    return verdict.active ? verdict.token : undefined;
  }

  /** As they were after the last step. */
  #activeTokens(): Token[] {
    return [...this.#held.values()].filter((held) => held.end === undefined).map((held) => held.last);
  }

  async #activeNow(): Promise<TokenId[]> {
    return activeIds(await this.#lane.store.list(this.#user), this.#lane.store.now());
  }

  async #check(): Promise<void> {
    const { store, judge } = this.#lane;
    const [tokens, verdicts] = await Promise.all([
      store.list(this.#user),
      Promise.all(
        [...this.#held].map(async ([tokenId, { accessToken }]) => ({
          tokenId,
          isGood: (await judge(accessToken, this.#user.tenant)).active,
        })),
      ),
      this.#readEvents(),
    ]);
    const active = activeIds(tokens, store.now());
    const accepted = verdicts.filter((verdict) => verdict.isGood).map((verdict) => verdict.tokenId);
    expect(accepted.toSorted()).toEqual(active.toSorted());
    if (active.length > 0) count('active tokens');
    for (const token of tokens) expect(this.#held.has(token.tokenId)).toBe(true);
    for (const [tokenId, held] of this.#held)
      this.#noteEnd(
        held,
        tokens.find((token) => token.tokenId === tokenId),
      );
    this.#checkEvents();
  }

  /** What has ended stays as it ended first; its record may go. */
  #noteEnd(held: Held, token: Token | undefined): void {
    const now = this.#lane.store.now();
    const hasExpired = now >= expiryOf(token ?? held.last);
    const absent = hasExpired ? 'expired' : 'deleted';
    const state = token === undefined ? absent : stateOf(token, now);
    const tombstone = token === undefined ? 'none' : JSON.stringify(token.end ?? 'time');
    if (held.end === undefined && state !== 'active') count(`state ${state}`);
    if (token?.end?.code === 'token_expired') held.isToldOfTime = true;
    if (held.end !== undefined && token !== undefined) {
      expect({ state, tombstone }).toEqual(held.end);
    }
    if (state !== 'active') held.end = { state: held.end?.state ?? state, tombstone };
    if (token !== undefined) held.last = token;
  }

  /** Each login, each decline, each end by somebody, each block: one event each, and no other. */
  #checkEvents(): void {
    const expected = [...this.#told];
    for (const [tokenId, { end, isToldOfTime }] of this.#held) {
      expected.push(`token.issued ${tokenId}`);
      const event = isToldOfTime ? 'token.revoked' : EVENT_OF_STATE[end?.state ?? ''];
      if (event !== undefined) expected.push(`${event} ${tokenId}`);
    }
    const told = this.#events.map(({ type, tokenId }) => (tokenId === undefined ? type : `${type} ${tokenId}`));
    expect(told.toSorted()).toEqual(expected.toSorted());
    for (const [index, { type, tokenId }] of this.#events.entries()) {
      if (tokenId === undefined || type === 'token.issued') continue;
      expect(told.indexOf(`token.issued ${tokenId}`)).toBeLessThan(index);
    }
  }

  async #readEvents(): Promise<void> {
    const { keys, cursors } = this.#lane;
    const shard = keys.shardOf(this.#user);
    const entries = await redis.xrange(keys.events(shard), `(${cursors.get(shard) ?? '0-0'}`, '+');
    for (const [entryId, [, packed = '']] of entries) {
      const event = readEvent(shard, entryId, packed);
      if (event === undefined) throw new Error(`an event cannot be read: ${packed}`);
      if (event.tenant === this.#user.tenant && event.userId === this.#user.userId) this.#events.push(event);
      cursors.set(shard, entryId);
    }
  }

  #checkCaps(step: LoginStep, tokens: readonly Token[]): void {
    const joined = step.platform;
    const seated = tokens.filter((token) => stateOf(token, this.#lane.store.now()) === 'active');
    const admins = seated.filter((token) => token.platform === 'admin').length;
    expect(Math.max(admins, seated.length - admins)).toBeLessThanOrEqual(MAX_TOKENS);
    if (joined === 'admin') return;
    for (const limit of this.#policy.limits) {
      for (const platform of PLATFORMS) {
        const group = groupOf(limit, platform);
        // A device that comes back takes its own seat again, and leaves the leftovers of a decline limit as they are.
        const sitsDown = group === groupOf(limit, joined) && !this.#cameBack.has(step);
        const applies = limit.overflow !== 'decline' || sitsDown;
        if (group === undefined || !applies) continue;
        const inGroup = seated.filter((token) => groupOf(limit, token.platform) === group);
        expect(inGroup.length).toBeLessThanOrEqual(limit.max);
      }
    }
  }
}

/** The group of a limit that tokens of a platform are counted in. */
function groupOf(limit: Limit, platform: Platform): string | undefined {
  if (!matches(limit.match, platform, platforms)) return undefined;
  return { all: 'all', class: platforms.classOf(platform), platform }[limit.countBy];
}

function activeIds(tokens: readonly Token[], now: number): TokenId[] {
  return tokens.filter((token) => stateOf(token, now) === 'active').map((token) => token.tokenId);
}

function stateIn(tokens: readonly Token[], tokenId: TokenId): string {
  const token = tokens.find((one) => one.tokenId === tokenId);
  return token === undefined ? 'gone' : stateOf(token, token.createdAt);
}

function codeOf(error: unknown): string {
  if (error instanceof LatchkeyError) return error.code;
  throw error;
}

const limit: fc.Arbitrary<Limit> = fc.record({
  match: fc.constantFrom<Limit['match'][]>(
    {},
    { classes: ['mobile'] },
    { notClasses: ['desktop'] },
    { platforms: ['web'] },
  ),
  countBy: fc.constantFrom('all' as const, 'class' as const, 'platform' as const),
  max: fc.constantFrom(0, 1, 1, 2, 2, 3),
  overflow: fc.constantFrom('kick' as const, 'delete' as const, 'delete' as const, 'decline' as const),
  victim: fc.constantFrom('oldest_login' as const, 'least_recently_seen' as const),
});

const policy: fc.Arbitrary<Policy> = fc.oneof(
  fc.constantFrom(...presets(2)),
  fc.array(limit, { minLength: 1, maxLength: 3 }).map((limits) => ({ name: 'random', limits })),
);

const loginStep = {
  platform: fc.constantFrom(...PLATFORMS),
  device: fc.constantFrom('d1', 'd2', 'd3'),
  evict: fc.option(fc.nat(), { freq: 6, nil: undefined }),
};
const logins = fc.record(loginStep).map(withoutUndefined);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: logins.map((login) => ({ does: 'login' as const, ...login })) },
  { weight: 4, arbitrary: logins.map((login) => ({ does: 'login after a long pause' as const, ...login })) },
  {
    weight: 2,
    // On two devices: of one device's two, the first would be replaced and its tombstone superseded before we looked.
    // Without evict: what one names, the other may have deleted, which is 404.
    arbitrary: fc.tuple(loginStep.platform, loginStep.device, loginStep.platform).map(([first, device, second]) => ({
      does: 'two logins at a time' as const,
      logins: [
        { platform: first, device },
        { platform: second, device: 'd4' },
      ] as const,
    })),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      does: fc.constant('refresh' as const),
      token: fc.nat({ max: 3 }),
      backs: fc.constantFrom([0], [0, 1], [1], [0, 0, 1], [0, 0, 2]),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant('logout' as const),
      token: fc.nat(),
      scope: fc.constantFrom('this' as const, 'others' as const, 'all' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('end one' as const), token: fc.nat(), other: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      does: fc.constant('revoke' as const),
      which: fc.constantFrom<RevokeFilter[]>({}, { platform: 'ios' }, { class: 'mobile' }, { platform: 'admin' }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('revoke one' as const), token: fc.nat() }) },
  { weight: 1, arbitrary: fc.constant({ does: 'block' as const }) },
  { weight: 1, arbitrary: fc.constant({ does: 'unblock' as const }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('change the policy' as const), policy }) },
);

const history = fc.record({ policy, steps: fc.array(step, { minLength: 3, maxLength: MAX_STEPS, size: 'max' }) });

function withoutUndefined({
  evict,
  ...login
}: {
  platform: Platform;
  device: string;
  evict: number | undefined;
}): LoginStep {
  return { ...login, ...(evict !== undefined && { evict }) };
}
