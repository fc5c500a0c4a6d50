/**
 * Owns the built-in directory: which passwords may be set, and when one is right. Hashes stand in the users' own records.
 * Must not know how a hash is made.
 */
import { networkOf } from '../addresses.ts';
import { LatchkeyError } from '../contract/errors.ts';
import { opaqueString } from '../contract/opaque-string.ts';
import type { Claimant, Credentials, HashPassword } from '../tokens/credentials.ts';
import type { UserStore } from '../tokens/store.ts';
import { isCommonPassword } from './common-passwords.ts';
import type { Passwords } from './password.ts';

/** `not-common` refuses those that are guessed first, `off` takes any (PASSWORD_POLICY). */
export type PasswordPolicy = 'not-common' | 'off';

/** Hashes a new password. `invalid_request` for one that the policy refuses. */
export function createHashPassword(passwords: Passwords, policy: PasswordPolicy): HashPassword {
  return async (password) => {
    const text = opaqueString(password);
    if (policy === 'not-common' && (await isCommonPassword(text)))
      throw new LatchkeyError('invalid_request', {
        detail: 'password: expected one that is not among the most common passwords, which are guessed first',
      });
    return passwords.hash(text);
  };
}

/** Checks passwords against the hash in the user's own record. */
export function createPasswordCredentials(
  passwords: Passwords,
  users: Pick<UserStore, 'renewPasswordHash'>,
): Credentials {
  /** Which spelling the hash is of. Hashes of older versions are of what was typed. An unknown user takes as long. */
  async function spellingOf(hash: string | undefined, password: string, who: Claimant): Promise<string | undefined> {
    for (const spelling of new Set([opaqueString(password), password])) {
      if (await passwords.matches(hash, spelling, linesOf(who))) return spelling;
    }
    return undefined;
  }

  async function renew(who: Claimant, from: string, password: string): Promise<string> {
    const hash = await passwords.hash(opaqueString(password), linesOf(who));
    await users.renewPasswordHash(who, from, hash);
    return hash;
  }

  return {
    async prove(who, password, record) {
      const stored = record?.passwordHash;
      const spelling = await spellingOf(stored, password, who);
      if (spelling === undefined || stored === undefined) return undefined;
      const proven = [stored];
      if (spelling !== opaqueString(password)) proven.push(await renew(who, stored, password));
      return {
        userId: who.userId,
        // A new password in the meantime has a new hash: only then the work is done again.
        async stillGood(later) {
          const hash = later?.passwordHash;
          if (hash !== undefined && proven.includes(hash)) return true;
          return (await spellingOf(hash, password, who)) !== undefined;
        },
      };
    },
  };
}

/** Work for one user, or from one network, is of one party. */
function linesOf({ tenant, userId, ip }: Claimant): readonly string[] {
  return [`user ${JSON.stringify([tenant, userId])}`, `network ${networkOf(ip)}`];
}
