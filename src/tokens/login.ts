/**
 * Owns the way of a login: who may, what it does to the user's other tokens, the new token. One atomic step decides.
 * Must not know HTTP, Redis, or how a password is checked.
 */
import { randomBytes } from 'node:crypto';
import { LatchkeyError } from '../contract/errors.ts';
import { allows, resolve } from '../domain/policies/engine.ts';
import type { Plan } from '../domain/plan.ts';
import { ADMIN_PLATFORM, type Platform } from '../domain/platform.ts';
import { CAUSES, type Actor, type Cause, type TokenId, type UserKey } from '../domain/token.ts';
import type { Passwords } from '../credentials/password.ts';
import { makeSalt, type RefreshTokens } from './refresh-token.ts';
import { expiriesOf, type Rules } from './rules.ts';
import type { Signer } from './signer.ts';
import { conflictView, type Displaced } from './views.ts';
import { isBlocked, type Decision, type NewToken, type Snapshot, type TokenStore } from './store.ts';

const TOKEN_ID_BYTES = 16;
/** Of `retryAfterSeconds` where no seat frees itself. */
const DECLINED_RETRY_SECONDS = 60;

export type LoginRequest = UserKey & {
  readonly platform: Platform;
  readonly deviceId: string;
  readonly deviceName: string;
  readonly evict: readonly TokenId[];
  readonly dryRun: boolean;
  readonly ip: string;
  readonly userAgent: string;
};

export type LoginResult = {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly token: NewToken;
  readonly displaced: readonly Displaced[];
};

export type LoginAnswer =
  | { readonly kind: 'signed_in'; readonly result: LoginResult }
  | { readonly kind: 'dry_run'; readonly plan: Plan };

export type Login = {
  /** `invalid_credentials`, `user_blocked`, `platform_not_allowed`, `login_declined`, `not_found` (evict), … */
  withPassword(request: LoginRequest, password: string): Promise<LoginAnswer>;
  /** Trusted issuance: the caller vouches for the user. The only way to a token of the admin platform. */
  trusted(request: LoginRequest): Promise<LoginAnswer>;
};

export type LoginDeps = {
  readonly store: TokenStore;
  readonly signer: Signer;
  readonly refreshTokens: RefreshTokens;
  readonly passwords: Passwords;
  readonly rules: Rules;
};

/** Throws unless the user may log in as the state stands; called again when the state has changed. */
type Admit = (state: Snapshot) => Promise<void>;

export function createLogin({ store, signer, refreshTokens, passwords, rules }: LoginDeps): Login {
  async function login(request: LoginRequest, admit: Admit): Promise<LoginAnswer> {
    const user = { tenant: request.tenant, userId: request.userId };
    const start = await store.snapshot(user);
    if (!allows(rules.policy, request.platform, rules.platforms)) throw new LatchkeyError('platform_not_allowed');
    await admit(start);
    if (request.dryRun) return { kind: 'dry_run', plan: planOf(request, start, rules) };

    const token = draft(request, rules, store.now());
    let accessToken: string | undefined;
    const decision = await store.update(start, user, async (state) => {
      if (state !== start) await admit(state);
      const plan = planOf(request, state, rules);
      if (plan.declined) return decline(request, plan);
      accessToken ??= await signer.sign(token, token.createdAt);
      return { apply: true, token, plan, actor: actorOf(request), displaced: displacedBy(plan, state) } as const;
    });
    if (!decision.apply || accessToken === undefined) throw declinedError(decision.plan);
    const refreshToken = refreshTokens.make(token, token.generation);
    return { kind: 'signed_in', result: { accessToken, refreshToken, token, displaced: decision.displaced } };
  }

  return {
    withPassword(request, password) {
      assertKnown(request.platform, rules);
      if (request.platform === ADMIN_PLATFORM) throw new LatchkeyError('platform_not_allowed');
      return login(request, admitByPassword(passwords, password));
    },
    trusted(request) {
      assertKnown(request.platform, rules);
      return login(request, admitUnlessBlocked);
    },
  };
}

function assertKnown(platform: Platform, { platforms }: Rules): void {
  if (platforms.has(platform)) return;
  throw new LatchkeyError('invalid_request', { detail: `unknown platform; valid: ${platforms.names.join(', ')}` });
}

/** The password is checked once for each hash that the state shows: a new password in the meantime asks again. */
function admitByPassword(passwords: Passwords, password: string): Admit {
  let proven: string | undefined;
  return async (state) => {
    const stored = state.user?.passwordHash;
    if (stored === undefined || stored !== proven) {
      if (!(await passwords.matches(stored, password))) throw new LatchkeyError('invalid_credentials');
      proven = stored;
    }
    await admitUnlessBlocked(state);
  };
}

async function admitUnlessBlocked(state: Snapshot): Promise<void> {
  if (!isBlocked(state.user, state.now)) return;
  const until = state.user?.block?.until;
  const reason = state.user?.block?.reason;
  throw new LatchkeyError('user_blocked', {
    extra: { ...(until && { until: new Date(until).toISOString() }), ...(reason && { reason }) },
  });
}

function planOf(request: LoginRequest, state: Snapshot, rules: Rules): Plan {
  const unknown = request.evict.filter((tokenId) => !state.tokens.some((token) => token.tokenId === tokenId));
  if (unknown.length > 0)
    throw new LatchkeyError('not_found', { detail: 'evict names a token that this user does not have' });
  return resolve({
    incoming: request,
    tokens: state.tokens,
    unreadable: state.unreadable,
    policy: rules.policy,
    platforms: rules.platforms,
    maxTokens: rules.maxTokens,
    now: state.now,
  });
}

function draft(request: LoginRequest, rules: Rules, now: number): NewToken {
  const { tenant, userId, platform, deviceId, deviceName, ip, userAgent } = request;
  return {
    tenant,
    userId,
    tokenId: randomBytes(TOKEN_ID_BYTES).toString('base64url'),
    platform,
    deviceId,
    deviceName,
    createdAt: now,
    ...expiriesOf(rules, now),
    generation: 1,
    rotatedAt: now,
    idleMs: rules.idleMs,
    salt: makeSalt(),
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

function declinedError(plan: Plan): LatchkeyError {
  return new LatchkeyError('login_declined', {
    retryAfterSeconds: DECLINED_RETRY_SECONDS,
    extra: { retryAfterSeconds: DECLINED_RETRY_SECONDS, conflicts: plan.conflicts.map(conflictView) },
  });
}
