/**
 * Owns how passwords are hashed and checked: argon2id, off the event loop, a bounded number at a time.
 * Must not know users. An unknown user costs as much time as a wrong password.
 */
import { hash, verify, type Options } from '@node-rs/argon2';
import { LatchkeyError } from '../contract/errors.ts';
import type { UserRecord } from '../tokens/store.ts';
import type { Credentials } from '../tokens/credentials.ts';

/** OWASP's second recommended setting for argon2id: 19 MiB, 2 passes, 1 lane. */
const ARGON2ID: Options = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** Of the four threads of the pool two stay free: signatures that are seen for the first time are checked there. */
const HASHING_AT_ONCE = 2;
/** Beyond it the wait would be longer than a client's patience: `overloaded`. */
const MAX_WAITING = 200;

export type Passwords = {
  hash(password: string): Promise<string>;
  /** @param stored the user's hash; undefined for a user without one: false, after the same work */
  matches(stored: string | undefined, password: string): Promise<boolean>;
};

export function createPasswords(): Passwords {
  const inTurn = limitConcurrency(HASHING_AT_ONCE, MAX_WAITING);
  // A hash that no password leads to: what is compared when there is nothing to compare with.
  const decoy = hash(crypto.randomUUID(), ARGON2ID);
  return {
    hash: (password) => inTurn(() => hash(password, ARGON2ID)),
    async matches(stored, password) {
      const against = stored ?? (await decoy);
      const right = await inTurn(() => verify(against, password));
      return right && stored !== undefined;
    },
  };
}

/** The built-in directory: the hash in the user's own record. */
export function createPasswordCredentials(passwords: Passwords): Credentials {
  return {
    async prove(user, password, record) {
      if (!(await passwords.matches(record?.passwordHash, password))) return undefined;
      const proven = record?.passwordHash;
      // A new password in the meantime has a new hash: only then the work is done again.
      const stillGood = async (later: UserRecord | undefined) =>
        later?.passwordHash === proven || passwords.matches(later?.passwordHash, password);
      return { userId: user.userId, stillGood };
    },
  };
}

function limitConcurrency(atOnce: number, maxWaiting: number): <T>(task: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (running >= atOnce) {
      if (waiting.length >= maxWaiting) throw new LatchkeyError('overloaded');
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
      });
    } else {
      running += 1;
    }
    try {
      return await task();
    } finally {
      // The place passes straight to the next in line, so that nobody slips in between.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
