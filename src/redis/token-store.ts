/**
 * Owns the token store on Redis: reads are plain commands, every change is one script (scripts/*.lua).
 * Must not know policies: it carries out decisions, and asks again when another process was first.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LatchkeyError } from '../contract/errors.ts';
import { CAUSES, type Actor, type Cause, type TokenId, type UserKey } from '../domain/token.ts';
import type {
  Decision,
  FindToken,
  LeaseAnswer,
  LeaseChange,
  Selector,
  Snapshot,
  TenantStore,
  TokenStore,
} from '../tokens/store.ts';
import { unlessUnreadable } from '../tokens/stored-rules.ts';
import {
  fieldsOf,
  isUnreadable,
  loginNameField,
  packActor,
  packDetail,
  packLease,
  packRecord,
  packRenewal,
  readDisplacements,
  readEndCode,
  readToken,
  readTokens,
  readUser,
  readVersion,
  type Fields,
} from './codec.ts';
import { answerOf } from './connect.ts';
import { readHistoryEntry } from './event-codec.ts';
import { planWrites } from './plan-writes.ts';
import { readPolicyChoice } from './tenant-store.ts';
import { readEnded, readFlatHash, readHash, type UserScope } from './user-scope.ts';

/** Tries of one update before the caller is told to come back later. */
const MAX_TRIES = 8;
/** The first retry goes out at once; each later one waits a random part of this, doubled every time (ms). */
const JITTER_MS = 4;

/** When a snapshot was asked for, by the count of this process's own changes. */
const MARK = Symbol('mark');
type MarkedSnapshot = Snapshot & { readonly [MARK]: number };

export function createTokenStore(
  scope: UserScope,
  tenants: TenantStore,
  onTouchFailed: (error: unknown) => void,
): TokenStore {
  const { redis, keys, clock, turns, keysOf, contextOf, run } = scope;
  function toSnapshot(
    user: UserKey,
    tokenFields: Fields,
    userFields: Fields,
    more: Pick<Snapshot, 'tenantRules'>,
    mark: number,
  ) {
    const state: MarkedSnapshot = {
      [MARK]: mark,
      version: readVersion(tokenFields, userFields),
      ...readTokens(user, tokenFields),
      user: readUser(user, userFields),
      policyOverride: readPolicyChoice(userFields.get('policy')),
      tenantRules: more.tenantRules,
      displacements: readDisplacements(tokenFields),
      now: clock.now(),
    };
    return state;
  }

  async function snapshot(user: UserKey): Promise<Snapshot> {
    const mark = turns.mark();
    // Not one transaction: a change between the two reads shows in the version, which is made of both.
    const [tokenFields, userFields, tenant] = await Promise.all([
      readHash(redis, keys.tokens(user)),
      readHash(redis, keys.user(user)),
      tenants.find(user.tenant),
    ]);
    return toSnapshot(user, tokenFields, userFields, { tenantRules: tenant }, mark);
  }

  /** The fresh snapshot when another process was first, undefined when the decision stands. */
  async function apply(user: UserKey, state: Snapshot, decision: Decision): Promise<Snapshot | undefined> {
    if (!decision.apply) {
      const detail = packDetail(
        decision.actor,
        decision.ip,
        decision.plan.conflicts.map((token) => token.tokenId),
      );
      await run(() => redis.declineLogin(...keysOf(user), ...contextOf(user), decision.platform, detail));
      return undefined;
    }
    const { token } = decision;
    const mark = turns.mark();
    const { displaced, writes } = planWrites(decision, state.tokens);
    const reply = await run(() =>
      redis.applyLogin(
        ...keysOf(user),
        ...contextOf(user),
        state.version,
        token.tokenId,
        packRecord(token),
        packRenewal(token),
        token.expiresAt,
        packDetail(decision.actor, token.ip, []),
        packLease(token),
        displaced,
        decision.displacementsRemembered,
        decision.maxTombstones,
        decision.loginName ?? '',
        ...writes,
      ),
    );
    if (reply[0] === 'CONFLICT') return toSnapshot(user, readFlatHash(reply[2]), readFlatHash(reply[3]), state, mark);
    turns.changed(keys.member(user));
    return undefined;
  }

  async function update<D extends Decision>(
    from: Snapshot,
    user: UserKey,
    decide: (state: Snapshot) => Promise<D>,
  ): Promise<D> {
    const stale = turns.changedSince(keys.member(user), (from as MarkedSnapshot)[MARK]);
    let state = stale ? await snapshot(user) : from;
    for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
      if (tries > 2) {
        await sleep(Math.random() * JITTER_MS * 2 ** (tries - 2));
        // What CONFLICT told is old by now: tried as it is, it would lose again while another process is busy.
        state = await snapshot(user);
      }
      const decision = await decide(state);
      const fresh = await apply(user, state, decision);
      if (fresh === undefined) return decision;
      state = fresh;
    }
    throw new LatchkeyError('login_contended');
  }

  function finderOf(user: UserKey, tokenId: TokenId): FindToken {
    const [key, fields] = [keys.tokens(user), fieldsOf(tokenId)];
    return async () => {
      const values = await answerOf(redis.hmget(key, ...fields));
      const token = readToken(user, tokenId, values);
      // No verdict: another node may know what it says.
      if (token === undefined && isUnreadable(values)) throw new LatchkeyError('store_unreadable');
      return token;
    };
  }

  async function renewLease(change: LeaseChange): Promise<LeaseAnswer> {
    const { tokenId, release, presence, connectionId } = change;
    const mode = release ? 'release' : 'renew';
    const { leaseMs, graceMs } = presence ?? { leaseMs: 0, graceMs: 0 };
    const [word, , ended] = await run(() =>
      redis.renewLease(...keysOf(change), ...contextOf(change), tokenId, mode, leaseMs, graceMs, connectionId),
    );
    if (word === 'RENEWED' || word === 'KEPT') return { renewed: word === 'RENEWED' };
    if (word === 'UNREADABLE') return { renewed: false, unreadable: true };
    if (word === 'ENDED') return { renewed: false, refused: readEndCode(ended ?? '') };
    return { renewed: false, refused: word === 'EXPIRED' ? 'token_expired' : 'token_unknown' };
  }

  return {
    now: () => clock.now(),
    snapshot,
    update: (from, user, decide) => turns.take(keys.member(user), () => update(from, user, decide)),

    async list(user) {
      return readTokens(user, await readHash(redis, keys.tokens(user))).tokens;
    },

    find: (user, tokenId) => finderOf(user, tokenId)(),

    async findByLoginName(user, tokenId, loginName) {
      const name = answerOf(redis.hget(keys.tokens(user), loginNameField(tokenId)));
      const record = answerOf(redis.hmget(keys.tokens(user), ...fieldsOf(tokenId)));
      const [values, known] = await Promise.all([record, name]);
      return known === loginName ? readToken(user, tokenId, values) : undefined;
    },

    finderOf,

    async end(user: UserKey, selector: Selector, cause: Cause, actor: Actor) {
      const { code, event } = CAUSES[cause];
      const reply = await run(() =>
        redis.endTokens(
          ...keysOf(user),
          ...contextOf(user),
          code,
          event,
          packActor(actor),
          selector.by,
          ...namedBy(selector),
        ),
      );
      const ended = readEnded(reply[2]);
      if (ended.length > 0) turns.changed(keys.member(user));
      return ended;
    },

    async rotate(user, rotation) {
      const { code, event, kind } = CAUSES.refresh_reuse;
      const reply = await run(() =>
        redis.rotateRefresh(
          ...keysOf(user),
          ...contextOf(user),
          rotation.tokenId,
          rotation.presentedGeneration,
          rotation.graceMs,
          rotation.expiresAt,
          rotation.accessExpiresAt,
          rotation.idleMs,
          code,
          event,
          packActor({ kind, reason: 'refresh_reused' }),
        ),
      );
      if (reply[0] === 'ROTATED' || reply[0] === 'REPEATED') {
        const [, , generation, expiresAt, idleMs, accessExpiresAt] = reply;
        return { kind: 'renewed', generation, expiresAt, idleMs, accessExpiresAt };
      }
      if (reply[0] !== 'REUSED') return { kind: 'refused' };
      turns.changed(keys.member(user));
      return { kind: 'reused' };
    },

    lease: (changes) =>
      // What cannot be read of one token is no fault of the others.
      Promise.all(changes.map((change) => unlessUnreadable(renewLease(change), { renewed: false, unreadable: true }))),

    touch(user, tokenId) {
      run(() => redis.touchToken(...keysOf(user), ...contextOf(user), tokenId)).catch(onTouchFailed);
    },

    async history(user) {
      const entries = await answerOf(redis.lrange(keys.history(user), 0, -1));
      const shard = keys.shardOf(user);
      return entries.map((entry) => readHistoryEntry(shard, entry)).filter((event) => event !== undefined);
    },
  };
}

function namedBy(selector: Selector): readonly string[] {
  if (selector.by === 'all') return [];
  return selector.by === 'platforms' ? selector.platforms : selector.ids;
}
