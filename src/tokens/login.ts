/**
 * Owns the way of a login: who may, what it does to the user's other tokens, the new token. One atomic step decides.
 * Must not know HTTP, Redis, or how a password is checked.
 */
import { LatchkeyError } from '../contract/errors.ts';
import { allows } from '../domain/policies/engine.ts';
import type { Plan } from '../domain/plan.ts';
import type { Platform } from '../domain/platform.ts';
import { CAUSES, type Actor, type Cause, type TokenId, type UserKey } from '../domain/token.ts';
import type { Credentials } from './credentials.ts';
import { planLogin, secondsUntilLetIn } from './planning.ts';
import { randomText } from './random-text.ts';
import { makeSalt, type RefreshTokens } from './refresh-token.ts';
import { expiriesOf, type RuleBook, type Rules } from './rules.ts';
import type { Signer } from './signer.ts';
import { isBlocked, type Decision, type NewToken, type Snapshot, type TokenStore } from './store.ts';
import { provesDevice, type Throttle } from './throttle.ts';
import { declineView, type Displaced } from './views.ts';
import { assertNoWar, DISPLACEMENTS_REMEMBERED } from './war.ts';

const TOKEN_ID_BYTES = 16;

export type LoginRequest = UserKey & {
  readonly platform: Platform;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly evict: readonly TokenId[];
  readonly dryRun: boolean;
  /** False: nobody is at the device, it logs in by itself. */
  readonly interactive: boolean;
  /** Any refresh token that this device ever got for this user. */
  readonly deviceProof?: string | undefined;
  readonly ip: string;
  readonly userAgent: string;
};

/** `loginName`: what was typed, where the user has another name. */
type KnownRequest = LoginRequest & { readonly loginName?: string };

export type LoginResult = {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly token: NewToken;
  readonly displaced: readonly Displaced[];
};

export type LoginAnswer =
  | { readonly kind: 'signed_in'; readonly result: LoginResult }
  | { readonly kind: 'dry_run'; readonly plan: Plan; readonly now: number };

export type Login = {
  /** `invalid_credentials`, `too_many_attempts`, `user_blocked`, `platform_not_allowed`, `login_declined`, … */
  withPassword(request: LoginRequest, password: string): Promise<LoginAnswer>;
  /** Trusted issuance: the caller vouches for the user. The only way to a token of the admin platform. */
  trusted(request: LoginRequest): Promise<LoginAnswer>;
};

export type LoginDeps = {
  readonly store: TokenStore;
  readonly signer: Signer;
  readonly refreshTokens: RefreshTokens;
  readonly credentials: Credentials;
  readonly throttle: Throttle;
  readonly ruleBook: RuleBook;
};

/** Throws unless the user may log in as the state stands; called again when the state has changed. */
type Admit = (state: Snapshot) => Promise<void>;

export function createLogin({ store, signer, refreshTokens, credentials, throttle, ruleBook }: LoginDeps): Login {
  const rulesOf = (request: LoginRequest, state: Snapshot) =>
    ruleBook.loginRulesFor(request.platform, state.tenantRules, state.policyOverride);

  /** Before the password: what a tenant shuts out is no secret, what a user's own policy does is the user's. */
  function assertAllowedToSomebody(request: LoginRequest, state: Snapshot): void {
    if (isAllowed(request, rulesOf(request, state))) return;
    assertAllowed(request, rulesOf(request, { ...state, policyOverride: undefined }));
  }

  async function login(request: KnownRequest, start: Snapshot, admit: Admit): Promise<LoginAnswer> {
    await admit(start);
    if (request.dryRun)
      return { kind: 'dry_run', plan: planLogin(request, start, rulesOf(request, start)), now: start.now };

    const token = draft(request, rulesOf(request, start), store.now());
    let accessToken: string | undefined;
    const decision = await store.update(start, request, async (state) => {
      const rules = rulesOf(request, state);
      if (state !== start) {
        assertAllowed(request, rules);
        await admit(state);
      }
      const plan = planLogin(request, state, rules);
      if (plan.declined) {
        const retryAfterSeconds = secondsUntilLetIn(plan, request, state, rules);
        return { ...decline(request, plan), now: state.now, retryAfterSeconds };
      }
      if (!request.interactive) assertNoWar(plan, state, rules);
      accessToken ??= await signer.sign(token, token.createdAt);
      const displacementsRemembered = rules.war === undefined ? 0 : DISPLACEMENTS_REMEMBERED;
      const displaced = displacedBy(plan, state);
      const { maxTombstones } = rules;
      const actor = actorOf(request);
      const { loginName } = request;
      const writes = { token, loginName, plan, actor, displacementsRemembered, maxTombstones };
      return { apply: true, ...writes, displaced } as const;
    });
    if (!decision.apply) throw declinedError(decision);
    if (accessToken === undefined) throw new Error('a login was applied without a signature');
    const refreshToken = refreshTokens.make(token);
    return { kind: 'signed_in', result: { accessToken, refreshToken, token, displaced: decision.displaced } };
  }

  return {
    async withPassword(request, password) {
      ruleBook.assertForPassword(request.platform);
      const attempt = { user: request, address: request.ip, deviceId: request.deviceId };
      const [start, waits] = await Promise.all([store.snapshot(request), throttle.begin(attempt)]);
      assertAllowedToSomebody(request, start);
      const { deviceProof } = request;
      const isKnownDevice =
        deviceProof !== undefined && (await provesDevice(deviceProof, attempt, start, { store, refreshTokens }));
      await throttle.assertFree(attempt, waits, isKnownDevice);

      const proof = await credentials.prove(request, password, start.user);
      if (proof === undefined) return throttle.refuse(attempt, isKnownDevice);
      const admit: Admit = async (state) => {
        if (!(await proof.stillGood(state.user))) throw new LatchkeyError('invalid_credentials');
        assertNotBlocked(state);
      };
      if (proof.userId === request.userId) {
        assertAllowed(request, rulesOf(request, start));
        return login(request, start, admit);
      }
      // The directory knows the user under another name: that one holds the tokens.
      const known = { ...request, userId: proof.userId, loginName: request.userId };
      const state = await store.snapshot(known);
      assertAllowed(known, rulesOf(known, state));
      return login(known, state, admit);
    },

    async trusted(request) {
      ruleBook.assertKnown(request.platform);
      const start = await store.snapshot(request);
      assertAllowed(request, rulesOf(request, start));
      return login(request, start, async (state) => assertNotBlocked(state));
    },
  };
}

function isAllowed({ platform }: LoginRequest, { policy, platforms }: Rules): boolean {
  return allows(policy, platform, platforms);
}

function assertAllowed(request: LoginRequest, rules: Rules): void {
  if (!isAllowed(request, rules)) throw new LatchkeyError('platform_not_allowed');
}

function assertNotBlocked(state: Snapshot): void {
  if (!isBlocked(state.user, state.now)) return;
  const { until, reason } = state.user?.block ?? {};
  throw new LatchkeyError('user_blocked', {
    extra: { ...(until && { until: new Date(until).toISOString() }), ...(reason && { reason }) },
  });
}

function draft(request: LoginRequest, rules: Rules, now: number): NewToken {
  const { tenant, userId, platform, deviceId, deviceName, ip, userAgent } = request;
  const { presence } = rules;
  return {
    tenant,
    userId,
    tokenId: randomText(TOKEN_ID_BYTES),
    platform,
    deviceId,
    deviceName,
    createdAt: now,
    ...expiriesOf(rules, now, now),
    generation: 1,
    rotatedAt: now,
    idleMs: rules.idleMs,
    salt: makeSalt(),
    ...(presence && { lease: { expiresAt: now + presence.leaseMs, graceMs: presence.graceMs } }),
    ip,
    userAgent,
  };
}

function actorOf({ platform, deviceName }: LoginRequest): Actor {
  return { kind: 'login', platform, ...(deviceName && { deviceName }) };
}

function displacedBy(plan: Plan, state: Snapshot): Displaced[] {
  const causeOf = (tokenId: TokenId): Cause => {
    if (plan.replace.has(tokenId)) return 'replace';
    return plan.kick.has(tokenId) ? 'kick' : 'delete';
  };
  return state.tokens.flatMap((token) => {
    const ground = plan.grounds.get(token.tokenId);
    return ground === undefined ? [] : [{ token, state: CAUSES[causeOf(token.tokenId)].state, policy: ground.policy }];
  });
}

function decline(request: LoginRequest, plan: Plan): Decision & { readonly apply: false } {
  return { apply: false, plan, actor: actorOf(request), platform: request.platform, ip: request.ip };
}

type Declined = { readonly plan: Plan; readonly now: number; readonly retryAfterSeconds: number };

function declinedError({ plan, now, retryAfterSeconds }: Declined): LatchkeyError {
  return new LatchkeyError('login_declined', {
    retryAfterSeconds,
    extra: { retryAfterSeconds, ...declineView(plan, now) },
  });
}
