/**
 * Owns whether an access token is one of Latchkey's and in time: signature and claims, not whether it was ended.
 */
import { errors, jwtVerify, type CryptoKey, type JWTPayload } from 'jose';
import { isCompactJws } from '../contract/compact-jws.ts';
import { LAST_SECOND } from '../contract/last-second.ts';
import { ALGORITHMS, type KeySet } from './key-set.ts';
import { ANY_TENANT, type Settings } from './options.ts';
import type { Claims, TokenReason } from './types.ts';

/** RFC 9068 section 2.1, in the short form of the header. */
const TYPE = 'at+jwt';
const TEXT_CLAIMS = ['iss', 'sub', 'client_id', 'jti', 'sid', 'tenant', 'platform', 'device_id'] as const;

/** @param now Latchkey's time, ms */
export type Verify = (token: string, now: number) => Promise<Claims | TokenReason>;

/** The function throws GatewayUnavailableError when the keys cannot be had. */
export function createVerify(keys: KeySet, { issuer, audience, tenant }: Settings): Verify {
  const algorithms = [...ALGORITHMS];
  const keyOf = ({ kid, alg }: { kid?: string; alg?: string }): CryptoKey | Promise<CryptoKey> => {
    const key = keys.find(kid, alg);
    return key instanceof Promise ? key.then(orThrow) : orThrow(key);
  };
  return async (token, now) => {
    if (!isCompactJws(token)) return 'token_malformed';
    try {
      const currentDate = new Date(now);
      const { payload } = await jwtVerify(token, keyOf, { issuer, audience, typ: TYPE, algorithms, currentDate });
      if (!isClaims(payload)) return 'token_invalid';
      return tenant === ANY_TENANT || tenant === payload.tenant ? payload : 'token_invalid';
    } catch (error) {
      return reasonOf(error);
    }
  };
}

function orThrow(key: CryptoKey | undefined): CryptoKey {
  if (key === undefined) throw new errors.JWKSNoMatchingKey();
  return key;
}

export function isClaims(payload: JWTPayload | Readonly<Record<string, unknown>>): payload is Claims & JWTPayload {
  return isSeconds(payload['iat']) && isSeconds(payload['exp']) && TEXT_CLAIMS.every((name) => isText(payload[name]));
}

/** Not beyond what a date and a timer can have. */
function isSeconds(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= LAST_SECOND;
}

/** One that can stand in a header and in a log. */
function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && !/[\p{Cc}\p{Cs}]/u.test(value);
}

/** Every fault of a token is a reason; anything else is trouble, and thrown on. */
function reasonOf(error: unknown): TokenReason {
  if (error instanceof errors.JWTExpired) return 'token_expired';
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return 'token_malformed';
  if (error instanceof errors.JOSEError) return 'token_invalid';
  throw error;
}
