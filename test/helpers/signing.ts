/** Signing with the keys of a test, whose threads end with the test file. */
import { afterAll } from '@jest/globals';
import { createSigner, type Signer } from '../../src/tokens/signer.ts';
import { openSigning, type Signing } from '../../src/tokens/signing.ts';
import type { SigningKeys } from '../../src/tokens/signing-keys.ts';

const open = new Map<SigningKeys, Signing>();
afterAll(async () => {
  await Promise.all([...open.values()].map((signing) => signing.close()));
  open.clear();
});

export function signingWith(keys: SigningKeys): Signing {
  const signing = open.get(keys) ?? openSigning(keys);
  open.set(keys, signing);
  return signing;
}

/** Signs access tokens of an issuer that is their audience too, which is the default. */
export function signerWith(keys: SigningKeys, issuer: string): Signer {
  return createSigner(signingWith(keys), issuer, issuer);
}
