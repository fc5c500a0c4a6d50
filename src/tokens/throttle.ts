/**
 * Owns who may try a password now. Failures of strangers lock the user and the address for them, the user from their own
 * network first. A device that proves it belongs to the user has counters of its own, so nobody can lock the owner out.
 * Must not know how counters are kept.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { RefreshTokens } from './refresh-token.ts';
import type { Attempt, AttemptStore, AttemptWaits, Snapshot, TokenStore } from './store.ts';

export type Throttle = {
  /** Counts the attempt; sent together with the reads of the login. */
  begin(attempt: Attempt): Promise<AttemptWaits>;
  /** Throws `too_many_attempts` while the caller has to wait. */
  assertFree(attempt: Attempt, waits: AttemptWaits, isKnownDevice: boolean): Promise<void>;
  /** Counts a failed password, then throws `invalid_credentials`: the lock that it may have led to shows at the next attempt. */
  refuse(attempt: Attempt, isKnownDevice: boolean): Promise<never>;
};

export function createThrottle(attempts: AttemptStore): Throttle {
  return {
    begin: (attempt) => attempts.begin(attempt),

    async assertFree(attempt, { rate, user, userHere, address, device }, isKnownDevice) {
      const ofStrangers = Math.max(rate, user, userHere, address);
      // A known device goes by its own rate where a stranger would have to wait, a round trip more.
      const ofRate = isKnownDevice && ofStrangers > 0 ? await attempts.beginKnown(attempt) : 0;
      const waitMs = isKnownDevice ? Math.max(ofRate, device) : ofStrangers;
      if (waitMs > 0) throw tooManyAttempts(waitMs);
    },

    async refuse(attempt, isKnownDevice) {
      await attempts.fail(attempt, isKnownDevice);
      throw new LatchkeyError('invalid_credentials');
    },
  };
}

function tooManyAttempts(waitMs: number): LatchkeyError {
  return new LatchkeyError('too_many_attempts', { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) });
}

/**
 * Whether a refresh token that this very device got for this very user lies behind the proof; of any generation. Where it was
 * got by a name that the user's directory knows another by, it counts for that name too; a round trip more, only then.
 */
export async function provesDevice(
  proof: string,
  { user, deviceId }: Attempt,
  state: Snapshot,
  { store, refreshTokens }: { readonly store: TokenStore; readonly refreshTokens: RefreshTokens },
): Promise<boolean> {
  const locator = refreshTokens.locate(proof);
  if (locator === undefined || locator.tenant !== user.tenant) return false;
  const token =
    locator.userId === user.userId
      ? state.tokens.find(({ tokenId }) => tokenId === locator.tokenId)
      : await store.findByLoginName(locator, locator.tokenId, user.userId);
  return token !== undefined && token.deviceId === deviceId && refreshTokens.isGenuine(proof, token.salt);
}
