/**
 * Owns the question that a login asks of whoever keeps the passwords. Must not know who that is.
 */
import type { UserKey } from '../domain/token.ts';
import type { UserRecord } from './store.ts';

/** Proof of a password. It stands for the record that it was checked against. */
export type Proof = {
  /** The user's name in the directory, where it has one of its own for what was typed. */
  readonly userId: string;
  /** Whether the password is still right by a record that has changed since. */
  readonly stillGood: (record: UserRecord | undefined) => Promise<boolean>;
};

/** Who asks for whom. */
export type Claimant = UserKey & {
  /** Of the client. */
  readonly ip: string;
};

export type Credentials = {
  /** Undefined: unknown user or wrong password, one is as good as the other. An outage is thrown. */
  readonly prove: (who: Claimant, password: string, record: UserRecord | undefined) => Promise<Proof | undefined>;
};

/** Makes what is stored of a password. */
export type HashPassword = (password: string) => Promise<string>;
