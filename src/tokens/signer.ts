/**
 * Owns how an access token is written: header and claims of RFC 9068, and the names of our own claims.
 * Must not know whether the token is still good (verdict.ts) or where it is stored.
 */
import { randomUUID } from 'node:crypto';
import { CompactSign } from 'jose';
import type { Token } from '../domain/token.ts';
import type { SigningKeys } from './signing-keys.ts';

/** Media type of RFC 9068 section 2.1, in the short form of the header. */
export const ACCESS_TOKEN_TYPE = 'at+jwt';

/** Claims of an access token: RFC 9068 section 2.2, and `sid`, `tenant`, `platform`, `device_id` of our own. */
export type AccessClaims = {
  readonly iss: string;
  readonly aud: string | string[];
  readonly sub: string;
  readonly client_id: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly sid: string;
  readonly tenant: string;
  readonly platform: string;
  readonly device_id: string;
};

export type Signer = {
  /** Signs an access token of `token` that ends with its `accessExpiresAt`. */
  sign(token: SignedParts, issuedAt: number): Promise<string>;
};

export type SignedParts = Pick<Token, 'tenant' | 'userId' | 'tokenId' | 'platform' | 'deviceId' | 'accessExpiresAt'>;

export function createSigner(keys: SigningKeys, issuer: string, audience: string): Signer {
  return {
    sign(token, issuedAt) {
      const claims = {
        iss: issuer,
        aud: audience,
        sub: token.userId,
        client_id: token.platform,
        jti: randomUUID(),
        iat: Math.floor(issuedAt / 1000),
        exp: Math.floor(token.accessExpiresAt / 1000),
        sid: token.tokenId,
        tenant: token.tenant,
        platform: token.platform,
        device_id: token.deviceId,
      } satisfies AccessClaims;
      // RFC 7519 section 7.1: a JWT is its claims as JSON, in a JWS.
      return new CompactSign(Buffer.from(JSON.stringify(claims)))
        .setProtectedHeader({ alg: keys.algorithm, typ: ACCESS_TOKEN_TYPE, kid: keys.kid })
        .sign(keys.privateKey);
    },
  };
}
