/**
 * Owns how an access token is written: header and claims of RFC 9068, and the names of our own claims.
 * Must not know whether the token is still good (verdict.ts) or where it is stored.
 */
import { randomUUID } from 'node:crypto';
import type { AccessClaims } from '../contract/access-claims.ts';
import type { Token } from '../domain/token.ts';
import type { Signing } from './signing.ts';

/** Media type of RFC 9068 section 2.1, in the short form of the header. */
export const ACCESS_TOKEN_TYPE = 'at+jwt';

export type Signer = {
  /** Signs an access token of `token` that ends with its `accessExpiresAt`. */
  sign(token: SignedParts, issuedAt: number): Promise<string>;
};

export type SignedParts = Pick<Token, 'tenant' | 'userId' | 'tokenId' | 'platform' | 'deviceId' | 'accessExpiresAt'>;

export function createSigner(signing: Signing, issuer: string, audience: string): Signer {
  const signClaims = signing.forType(ACCESS_TOKEN_TYPE);
  return {
    sign(token, issuedAt) {
      const claims: AccessClaims = {
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
      };
      return signClaims(claims);
    },
  };
}
