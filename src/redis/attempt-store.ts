/**
 * Owns the counters of attempts and failed passwords in Redis, shared by all processes. Must not know what a login is.
 */
import { createHash } from 'node:crypto';
import { networkOf } from '../addresses.ts';
import type { Attempt, AttemptStore, Lock, ThrottleSettings } from '../tokens/store.ts';
import type { Fields } from './codec.ts';
import { readFlatHash, readHash, type UserScope } from './user-scope.ts';

/** Kinds of failure: of strangers, of those from one network, of one known device. */
const STRANGER = 's';
const NETWORK = 'n';
const DEVICE = 'd';
const LOCK_END = 'l:';

/** Guesses may come from many networks, but nobody else's lock keeps an owner out before there have been so many more. */
const ALL_NETWORKS_FACTOR = 10;

export function createAttemptStore({ redis, keys, clock, run }: UserScope, settings: ThrottleSettings): AttemptStore {
  const { lockMs, longestLockMs, memoryMs, windowMs, userFailures, addressFailures } = settings;

  /** @param strangers kinds of lock that keep strangers out: what they refuse is not counted */
  async function count(key: string, limit: number, strangers: string[], ...kinds: string[]): Promise<number[]> {
    const all = [...strangers, ...kinds];
    return (await run(() => redis.countAttempt(key, limit, windowMs, '', strangers.length, ...all)))[2];
  }

  /** @param kinds kind, number of its failure that locks first, kind, number, …; 0 = off */
  async function fail(key: string, firstToLock: number, ...kinds: (string | number)[]): Promise<number> {
    if (firstToLock === 0) return 0;
    return (await run(() => redis.countFailure(key, lockMs, longestLockMs, memoryMs, ...kinds)))[2];
  }

  return {
    async begin({ user, address, deviceId }) {
      const network = networkOf(address);
      const strangers = [STRANGER, NETWORK + network];
      const [ofUser, ofAddress] = await Promise.all([
        count(keys.attempts(user), settings.userLogins, strangers, deviceKind(deviceId)),
        count(keys.addressAttempts(network), settings.addressLogins, [STRANGER]),
      ]);
      const [userRate = 0, userLock = 0, networkLock = 0, deviceLock = 0] = ofUser;
      const [addressRate = 0, addressLock = 0] = ofAddress;
      const wasCounted = settings.userLogins > 0 && Math.max(userRate, userLock, networkLock) === 0;
      // Who is kept out by address must not use up the rate of whomever it names.
      if (wasCounted && Math.max(addressRate, addressLock) > 0)
        await run(() => redis.uncountAttempt(keys.attempts(user)));
      const rate = Math.max(userRate, addressRate);
      return { rate, user: userLock, userHere: networkLock, address: addressLock, device: deviceLock };
    },

    async beginKnown({ user, deviceId }) {
      const whose = `:${deviceKind(deviceId)}`;
      const reply = await run(() => redis.countAttempt(keys.attempts(user), settings.userLogins, windowMs, whose, 0));
      return reply[2][0] ?? 0;
    },

    async fail({ user, address, deviceId }: Attempt, isKnownDevice) {
      const ofUser = keys.attempts(user);
      if (isKnownDevice) return fail(ofUser, userFailures, deviceKind(deviceId), userFailures);
      const network = networkOf(address);
      const ofAll = [STRANGER, userFailures * ALL_NETWORKS_FACTOR];
      const locks = await Promise.all([
        fail(ofUser, userFailures, NETWORK + network, userFailures, ...ofAll),
        fail(keys.addressAttempts(network), addressFailures, STRANGER, addressFailures),
      ]);
      return Math.max(...locks);
    },

    locks: async (user) => locksIn(await readHash(redis, keys.attempts(user)), clock.now()),

    async lift(user) {
      const [, now, counters] = await run(() => redis.liftLocks(keys.attempts(user)));
      return locksIn(readFlatHash(counters), now);
    },
  };
}

function locksIn(counters: Fields, now: number): Lock[] {
  return [...counters]
    .filter(([field, until]) => field.startsWith(LOCK_END) && Number(until) > now)
    .map(([field, until]) => {
      const kind = field.slice(LOCK_END.length);
      return { ...whoseLock(kind), until: Number(until), failures: Number(counters.get(`f:${kind}`) ?? 0) };
    });
}

function whoseLock(kind: string): Pick<Lock, 'by' | 'network'> {
  if (kind === STRANGER) return { by: 'all_networks' };
  return kind.startsWith(NETWORK) ? { by: 'network', network: kind.slice(NETWORK.length) } : { by: 'device' };
}

/** A field of bounded length for any device. */
function deviceKind(deviceId: string): string {
  return `${DEVICE}${createHash('sha256').update(deviceId).digest('base64url').slice(0, 16)}`;
}
