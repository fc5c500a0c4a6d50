/**
 * Owns the keys that access tokens are signed and checked with. Must not know where they are stored.
 * The first key of the set signs; all of them verify, so a new key can be published before it signs.
 */
import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JSONWebKeySet, type JWK } from 'jose';

export const SIGNING_ALGORITHMS = ['EdDSA', 'ES256', 'RS256'] as const;
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

const MIN_RSA_BITS = 2048;

export type SigningKeys = {
  readonly algorithm: SigningAlgorithm;
  readonly kid: string;
  readonly privateKey: KeyObject;
  /** Public parts of all keys, as published (RFC 7517 section 5). */
  readonly jwks: { readonly keys: readonly PublicJwk[] };
};

export type PublicJwk = JWK & { readonly kid: string; readonly alg: SigningAlgorithm };

/** A new private key as a JWK set with one member; its kid is the thumbprint (RFC 7638). */
export async function makeKeySet(algorithm: SigningAlgorithm): Promise<JSONWebKeySet> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { keys: [{ ...jwk, alg: algorithm, use: 'sig', kid: await calculateJwkThumbprint(jwk) }] };
}

/** Reads a private JWK set. Throws an Error that says what is wrong and never quotes the key. */
export async function readKeySet(data: unknown, algorithm: SigningAlgorithm): Promise<SigningKeys> {
  const list = (data as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(list) || list.length === 0) throw new Error('is not a JWK set with at least one key');
  const keys = await Promise.all(list.map((jwk: unknown, index) => readKey(jwk, index, algorithm)));
  const [first] = keys as [ReadKey];
  if (first.privateKey === undefined) throw new Error('the first key must be private: it signs');
  if (first.publicJwk.alg !== algorithm) {
    throw new Error(`the first key is for ${first.publicJwk.alg}, but SIGNING_ALG is ${algorithm}`);
  }
  const kids = keys.map((key) => key.publicJwk.kid);
  if (new Set(kids).size < kids.length) throw new Error('two keys have the same kid');
  return {
    algorithm,
    kid: first.publicJwk.kid,
    privateKey: first.privateKey,
    jwks: { keys: keys.map((key) => key.publicJwk) },
  };
}

type ReadKey = { readonly publicJwk: PublicJwk; readonly privateKey: KeyObject | undefined };

async function readKey(data: unknown, index: number, fallback: SigningAlgorithm): Promise<ReadKey> {
  const place = `key ${index + 1}`;
  if (typeof data !== 'object' || data === null) throw new Error(`${place} is not an object`);
  const jwk = data as JWK;
  const alg = jwk.alg ?? fallback;
  if (!SIGNING_ALGORITHMS.includes(alg as SigningAlgorithm)) {
    throw new Error(`${place} is for ${alg}; valid: ${SIGNING_ALGORITHMS.join(', ')}`);
  }
  if (jwk.kty === 'RSA' && Buffer.from(jwk.n ?? '', 'base64url').length * 8 < MIN_RSA_BITS) {
    throw new Error(`${place} has less than ${MIN_RSA_BITS} bits`);
  }
  const { kty, crv, x, y, n, e } = jwk;
  const parts = Object.fromEntries(Object.entries({ kty, crv, x, y, n, e }).filter(([, part]) => part !== undefined));
  try {
    const publicJwk = { ...parts, alg, use: 'sig', kid: jwk.kid ?? (await calculateJwkThumbprint(parts)) };
    // jose tells whether a key is one for the algorithm.
    await importJWK(jwk, alg);
    await importJWK(publicJwk as JWK, alg);
    const isPrivate = jwk.d !== undefined;
    const privateKey = isPrivate ? createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' }) : undefined;
    return { publicJwk: publicJwk as PublicJwk, privateKey };
  } catch (error) {
    throw new Error(`${place} cannot be read as a key for ${alg}`, { cause: error });
  }
}
