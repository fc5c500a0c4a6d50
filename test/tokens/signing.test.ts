/** Signatures from a thread: right for every algorithm, each with its own claims, never lost, never behind slow work. */
import { generateKeyPairSync, pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { openSigning } from '../../src/tokens/signing.ts';
import { makeKeySet, readKeySet, SIGNING_ALGORITHMS, type SigningKeys } from '../../src/tokens/signing-keys.ts';
import { signingWith } from '../helpers/signing.ts';

const TYPE = 'test+jwt';
const POOL_THREADS = 4;

const keysFor = async (algorithm: SigningKeys['algorithm']) => readKeySet(await makeKeySet(algorithm), algorithm);

/** Keys that nothing can be signed with: those of a key agreement. */
function keysThatCannotSign(): SigningKeys {
  const { privateKey } = generateKeyPairSync('x25519');
  return { algorithm: 'EdDSA', kid: 'k', privateKey, jwks: { keys: [] } };
}

describe.each(SIGNING_ALGORITHMS)('a JWT signed with %s', (algorithm) => {
  it('is what RFC 7515 says, for a library that is not ours', async () => {
    const keys = await keysFor(algorithm);
    const token = await signingWith(keys).forType(TYPE)({ sub: 'Zoë 🎈', aud: ['a', 'b'] });
    const { protectedHeader, payload } = await jwtVerify(token, createLocalJWKSet({ keys: [...keys.jwks.keys] }));
    expect(protectedHeader).toEqual({ alg: algorithm, typ: TYPE, kid: keys.kid });
    expect(payload).toEqual({ sub: 'Zoë 🎈', aud: ['a', 'b'] });
  });

  it('has its own claims when many are asked for at once, and when more come in between', async () => {
    const keys = await keysFor(algorithm);
    const sign = signingWith(keys).forType(TYPE);
    const asked = Array.from({ length: 45 }, (_, index) => ({ sub: `user-${index}` }));
    const first = asked.slice(0, 30).map(sign);
    await first[0];
    const tokens = await Promise.all([...first, ...asked.slice(30).map(sign)]);
    const jwks = createLocalJWKSet({ keys: [...keys.jwks.keys] });
    const payloads = await Promise.all(tokens.map(async (token) => (await jwtVerify(token, jwks)).payload));
    expect(payloads).toEqual(asked);
  });
});

describe('a signature', () => {
  it('does not wait for the pool, where passwords are hashed', async () => {
    const sign = signingWith(await keysFor('EdDSA')).forType(TYPE);
    await sign({});
    const ended: string[] = [];
    const slow = Array.from({ length: POOL_THREADS }, () =>
      promisify(pbkdf2)('password', 'salt', 500_000, 32, 'sha256').then(() => ended.push('hash')),
    );
    await Promise.all(Array.from({ length: 20 }, () => sign({}))).then(() => ended.push('signatures'));
    await Promise.all(slow);
    expect(ended[0]).toBe('signatures');
  });

  it('that cannot be made is rejected with the reason, every time, and takes nobody down', async () => {
    const sign = signingWith(keysThatCannotSign()).forType(TYPE);
    for (const _ of ['the first thread', 'its successor']) {
      const results = await Promise.allSettled([sign({}), sign({})]);
      for (const result of results) {
        expect(result).toMatchObject({
          status: 'rejected',
          reason: {
            message: 'the signing thread has ended',
            cause: { message: expect.stringContaining('not supported') },
          },
        });
      }
    }
  });

  it('that is asked for when the threads are closed, or later, is rejected, not left open', async () => {
    const signing = openSigning(await keysFor('EdDSA'));
    const sign = signing.forType(TYPE);
    const results = Promise.allSettled([sign({}), sign({}), sign({})]);
    await signing.close();
    expect((await results).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await expect(sign({})).rejects.toThrow('the signing thread has ended');
  });
});
