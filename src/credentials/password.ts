/**
 * Owns how passwords are hashed and checked: argon2id, off the event loop, a bounded number at a time.
 * Must not know users. An unknown user costs as much time as a wrong password.
 */
import { hash, verify, type Options } from '@node-rs/argon2';
import { LatchkeyError } from '../contract/errors.ts';
import { createFairTurns } from './fair-turns.ts';

/** OWASP's second recommended setting for argon2id: 19 MiB, 2 passes, 1 lane. */
const ARGON2ID: Options = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** Of the four threads of the pool two stay free: signatures that are seen for the first time are checked there. */
const HASHING_AT_ONCE = 2;
/** Beyond it the wait would be longer than a client's patience: `overloaded`. */
const MAX_WAITING = 200;

/** Whoever gives no lines of its own: calls of admins. */
const OF_ADMINS = ['admins'];

/** `lines`: of which party the work is (fair-turns.ts). */
export type Passwords = {
  hash(password: string, lines?: readonly string[]): Promise<string>;
  /** @param stored the user's hash; undefined for a user without one: false, after the same work */
  matches(stored: string | undefined, password: string, lines?: readonly string[]): Promise<boolean>;
};

/** @param maxWaiting how many may wait; whoever has most waiting is refused first */
export function createPasswords(maxWaiting = MAX_WAITING): Passwords {
  const inTurn = createFairTurns(HASHING_AT_ONCE, maxWaiting);
  // A hash that no password leads to: what is compared when there is nothing to compare with.
  const decoy = hash(crypto.randomUUID(), ARGON2ID);
  return {
    hash: (password, lines = OF_ADMINS) => inTurn(lines, () => hash(password, ARGON2ID)),
    async matches(stored, password, lines = OF_ADMINS) {
      const against = stored ?? (await decoy);
      const right = await inTurn(lines, () => verify(against, password).catch(unreadable));
      return right && stored !== undefined;
    },
  };
}

/** A hash of a form that only a later version knows: neither right nor wrong. */
function unreadable(cause: unknown): never {
  throw new LatchkeyError('store_unreadable', { cause });
}
