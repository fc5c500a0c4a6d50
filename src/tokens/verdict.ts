/**
 * Owns the answer to "is this access token good?": its signature and claims, then the state on record.
 * A verdict is data; an outage is thrown and is never a verdict. Must not know HTTP or who asks.
 */
import { hash } from 'node:crypto';
import { createLocalJWKSet, errors, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { accessClaimsSchema, type AccessClaims } from '../contract/access-claims.ts';
import { isCompactJws } from '../contract/compact-jws.ts';
import { LatchkeyError, type TokenReason } from '../contract/errors.ts';
import { ANY_TENANT } from '../contract/messages.ts';
import { CAUSES, isActive, isOutlived, type Token, type TokenEnd } from '../domain/token.ts';
import { ACCESS_TOKEN_TYPE } from './signer.ts';
import type { SigningKeys } from './signing-keys.ts';
import type { FindToken, TokenStore } from './store.ts';

/** Signatures that were verified and are remembered; about 2 KB each. */
const REMEMBERED_SIGNATURES = 20_000;
/** The least time between two notes of "last seen" of one token. */
const TOUCH_EVERY_MS = 60_000;
/** Longer is not ours: no claim of ours is longer than 128 characters. */
const MAX_LENGTH = 8192;

export type Verdict =
  | { readonly active: true; readonly claims: AccessClaims; readonly token: Token }
  | {
      readonly active: false;
      readonly reason: TokenReason;
      readonly end?: TokenEnd;
      /** Where time has ended the token while this access token of it may still be presented: it can be ended for good. */
      readonly outlived?: Token;
    };

/** @param expected tenant; ANY_TENANT = any */
export type Judge = (accessToken: string, expected: string) => Promise<Verdict>;

/** Costs one round trip for a token that is good or was once, none for one that never was. */
export function createJudge(store: TokenStore, keys: SigningKeys, issuer: string, audience: string): Judge {
  const verify = createVerifier(store, keys, issuer, audience);
  return async (accessToken, expected) => {
    const read = verify(accessToken, store.now());
    const genuine = read instanceof Promise ? await read : read;
    if (typeof genuine === 'string') return { active: false, reason: genuine };
    const { claims, find } = genuine;
    if (expected !== ANY_TENANT && expected !== claims.tenant) return { active: false, reason: 'token_invalid' };
    const token = await find();
    const now = store.now();
    const verdict = verdictOf(token, now);
    if (verdict !== undefined) return verdict;
    touchIfDue(store, token as Token, now);
    return { active: true, claims, token: token as Token };
  };
}

/** Why a token on record is not good, or undefined when it is active. */
export function verdictOf(token: Token | undefined, now: number): (Verdict & { active: false }) | undefined {
  if (token === undefined) return { active: false, reason: 'token_unknown' };
  const { end } = token;
  // What time has ended names nobody, also when a login has written it down since.
  if (end !== undefined && end.code !== CAUSES.expire.code) return { active: false, reason: end.code, end };
  if (isActive(token, now)) return undefined;
  return { active: false, reason: 'token_expired', ...(isOutlived(token, now) && { outlived: token }) };
}

/** A verdict as the error that an app is told: 401 with the reason, and who ended the token when somebody did. */
export function refusalOf({ reason, end }: Verdict & { active: false }): LatchkeyError {
  const extra = end && { endedAt: new Date(end.at).toISOString(), endedBy: end.by };
  return new LatchkeyError(reason, { status: 401, ...(extra && { extra }) });
}

function touchIfDue(store: TokenStore, token: Token, now: number): void {
  if (now - token.lastSeenAt >= TOUCH_EVERY_MS) store.touch(token, token.tokenId);
}

/** Whose access token it is, by the signature alone: undefined when it is not one of ours. Past its `exp` it still is. */
export type Identify = (accessToken: string) => Promise<AccessClaims | undefined>;

export function createIdentify(keys: SigningKeys, issuer: string, audience: string): Identify {
  const read = createReader(keys, issuer, audience);
  return async (accessToken) => {
    // As it was in 1970: every token of ours ends later.
    const claims = accessToken.length > MAX_LENGTH ? undefined : await read(accessToken, 0);
    return typeof claims === 'object' ? claims : undefined;
  };
}

/** What a genuine access token says, and how to find what is on record of it. */
type Genuine = { readonly claims: AccessClaims; readonly find: FindToken };

type Verify = (accessToken: string, now: number) => Genuine | TokenReason | Promise<Genuine | TokenReason>;

/** Reads the claims of an access token that is genuine and not past its `exp`; otherwise the reason. */
function createReader(keys: SigningKeys, issuer: string, audience: string) {
  const keySet = createLocalJWKSet({ keys: [...keys.jwks.keys] });
  const algorithms = [...new Set(keys.jwks.keys.map((key) => key.alg))];
  return async (accessToken: string, now: number): Promise<AccessClaims | TokenReason> => {
    // jose reads a last character in sixteen ways, and passes over white space and padding.
    if (!isCompactJws(accessToken)) return 'token_malformed';
    try {
      const { payload } = await jwtVerify(accessToken, keySet, {
        algorithms,
        typ: ACCESS_TOKEN_TYPE,
        issuer,
        audience,
        currentDate: new Date(now),
      });
      return accessClaimsSchema.safeParse(payload).data ?? 'token_invalid';
    } catch (error) {
      return reasonOf(error);
    }
  };
}

/** A verified signature is remembered by the digest of the token, never past its `exp`. */
function createVerifier(store: TokenStore, keys: SigningKeys, issuer: string, audience: string): Verify {
  const read = createReader(keys, issuer, audience);
  const verified = new LRUCache<string, Genuine>({ max: REMEMBERED_SIGNATURES });

  async function verify(accessToken: string, digest: string, now: number): Promise<Genuine | TokenReason> {
    const claims = await read(accessToken, now);
    if (typeof claims === 'string') return claims;
    const user = { tenant: claims.tenant, userId: claims.sub };
    const genuine = { claims, find: store.finderOf(user, claims.sid) };
    verified.set(digest, genuine);
    return genuine;
  }

  return (accessToken, now) => {
    if (accessToken.length > MAX_LENGTH) return 'token_malformed';
    const digest = hash('sha256', accessToken, 'base64');
    const known = verified.get(digest);
    if (known === undefined) return verify(accessToken, digest, now);
    return now < known.claims.exp * 1000 ? known : 'token_expired';
  };
}

/** Every fault of a token is a reason; anything else is ours and thrown on. */
function reasonOf(error: unknown): TokenReason {
  if (error instanceof errors.JWTExpired) return 'token_expired';
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return 'token_malformed';
  if (error instanceof errors.JOSEError) return 'token_invalid';
  throw error;
}
