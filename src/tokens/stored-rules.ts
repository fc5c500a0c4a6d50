/**
 * Owns what rules and policies are once they are stored: understood, or known to be there; and what stands for what cannot
 * be read. Must not know how anything is read.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { PolicyChoice, TenantConfig } from '../contract/tenant-config.ts';

/** Stands for a policy of a form that this version does not know. No login may pass it over. */
export const UNREADABLE: unique symbol = Symbol('unreadable');

export type StoredPolicy = PolicyChoice | typeof UNREADABLE;

/** Rules as far as this version understands them. */
export type StoredRules = {
  readonly config: TenantConfig;
  /**
   * What else is stored. `policy`, `ttl` and the like: a member that is known, with a value that is not understood, so
   * nobody may act as if it was absent. Other names: parts that only a later version knows.
   */
  readonly unreadable: readonly string[];
};

/** What stands for an answer where what is stored cannot be read; any other trouble is thrown on. */
export function unlessUnreadable<T, U>(answer: Promise<T>, otherwise: U): Promise<T | U> {
  return answer.catch((error: unknown) => {
    if (error instanceof LatchkeyError && error.code === 'store_unreadable') return otherwise;
    throw error;
  });
}
