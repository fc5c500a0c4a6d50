/**
 * How passwords are hashed and checked: the format, that an unknown user takes part in the same work as a known one, and
 * that the work waiting is bounded.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createPasswords } from '../../src/credentials/password.ts';

/** As in password.ts: two hash at a time, and 200 may wait. */
const PLACES = 202;

describe('a hash', () => {
  it('is argon2id with OWASP’s parameters, salted anew every time', async () => {
    const passwords = createPasswords();
    const [one, two] = await Promise.all([passwords.hash('same password'), passwords.hash('same password')]);
    for (const text of [one, two]) expect(text).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[^$]{22,}\$[^$]{43}$/);
    expect(one).not.toBe(two);
  });
});

describe('a check', () => {
  it.each([
    ['the right password', 'correct horse', true],
    ['a wrong one', 'wrong horse', false],
    ['one that begins alike', 'correct horse ', false],
    ['another case', 'Correct horse', false],
    ['none', '', false],
  ])('of %s', async (_what, password, right) => {
    const passwords = createPasswords();
    expect(await passwords.matches(await passwords.hash('correct horse'), password)).toBe(right);
  });

  it('takes any Unicode, to the last character', async () => {
    const passwords = createPasswords();
    const long = `🔑${'ä'.repeat(200)}`;
    const stored = await passwords.hash(long);
    expect(await passwords.matches(stored, long)).toBe(true);
    expect(await passwords.matches(stored, `${long.slice(0, -1)}a`)).toBe(false);
  });

  it('of a user without a hash is false, whatever the password', async () => {
    const passwords = createPasswords();
    for (const password of ['', 'undefined', 'correct horse']) {
      expect(await passwords.matches(undefined, password)).toBe(false);
    }
  });
});

const kinds = (stored: string) =>
  [
    ['a right password', stored, 'correct horse'],
    ['a wrong password', stored, 'wrong horse'],
    ['an unknown user', undefined, 'correct horse'],
  ] as const;

describe('the work of an unknown user', () => {
  it('takes one place in the same queue: as many of each kind find room, and not one more', async () => {
    const stored = await createPasswords().hash('correct horse');
    for (const [what, against, password] of kinds(stored)) {
      const passwords = createPasswords();
      await passwords.matches(undefined, 'ready');
      const results = await Promise.allSettled(
        Array.from({ length: PLACES + 3 }, () => passwords.matches(against, password)),
      );
      const refused = results.filter((result) => result.status === 'rejected');
      expect([what, refused.length]).toEqual([what, 3]);
      for (const { reason } of refused) expect(reason).toMatchObject({ code: 'overloaded', status: 503 });
    }
  });

  it('shares its queue with hashing and with known users', async () => {
    const passwords = createPasswords();
    const stored = await passwords.hash('correct horse');
    await passwords.matches(undefined, 'ready');
    const busy = [
      ...Array.from({ length: PLACES - 2 }, () => passwords.matches(undefined, 'anything')),
      passwords.matches(stored, 'correct horse'),
      passwords.hash('another'),
    ];
    await turn();
    await expect(passwords.hash('one too many')).rejects.toMatchObject({ code: 'overloaded', retryAfterSeconds: 1 });
    await expect(passwords.matches(stored, 'correct horse')).rejects.toMatchObject({ code: 'overloaded' });
    await Promise.all(busy);
    expect(await passwords.matches(stored, 'correct horse')).toBe(true);
  });
});
