/**
 * Owns the counters of attempts and failed passwords in Redis, shared by all processes. Must not know what a login is.
 */
import { createHash } from 'node:crypto';
import { networkOf } from '../addresses.ts';
import type { Attempt, AttemptStore, ThrottleSettings } from '../tokens/store.ts';
import type { UserScope } from './user-scope.ts';

const STRANGER = 's';

export function createAttemptStore({ redis, keys, run }: UserScope, settings: ThrottleSettings): AttemptStore {
  const { lockMs, longestLockMs, memoryMs, windowMs } = settings;

  async function fail(key: string, kind: string, firstToLock: number): Promise<number> {
    if (firstToLock === 0) return 0;
    return (await run(() => redis.countFailure(key, kind, firstToLock, lockMs, longestLockMs, memoryMs)))[2];
  }

  return {
    async begin({ user, address, deviceId }) {
      const [ofUser, ofAddress] = await Promise.all([
        run(() =>
          redis.countAttempt(keys.attempts(user), settings.userLogins, windowMs, '', STRANGER, deviceKind(deviceId)),
        ),
        run(() =>
          redis.countAttempt(keys.addressAttempts(networkOf(address)), settings.addressLogins, windowMs, '', STRANGER),
        ),
      ]);
      const [userRate = 0, userLock = 0, deviceLock = 0] = ofUser[2];
      const [addressRate = 0, addressLock = 0] = ofAddress[2];
      return { rate: Math.max(userRate, addressRate), user: userLock, address: addressLock, device: deviceLock };
    },

    async beginKnown({ user, deviceId }) {
      const whose = `:${deviceKind(deviceId)}`;
      const reply = await run(() => redis.countAttempt(keys.attempts(user), settings.userLogins, windowMs, whose));
      return reply[2][0] ?? 0;
    },

    async fail({ user, address, deviceId }: Attempt, isKnownDevice) {
      if (isKnownDevice) return fail(keys.attempts(user), deviceKind(deviceId), settings.userFailures);
      const locks = await Promise.all([
        fail(keys.attempts(user), STRANGER, settings.userFailures),
        fail(keys.addressAttempts(networkOf(address)), STRANGER, settings.addressFailures),
      ]);
      return Math.max(...locks);
    },
  };
}

/** A field of bounded length for any device. */
function deviceKind(deviceId: string): string {
  return `d${createHash('sha256').update(deviceId).digest('base64url').slice(0, 16)}`;
}
