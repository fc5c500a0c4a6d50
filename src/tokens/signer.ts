/**
 * Owns how an access token is written: header and claims of RFC 9068, and the names of our own claims.
 * Must not know whether the token is still good (verdict.ts) or where it is stored.
 */
import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Token } from '../domain/token.ts';
import type { SigningKeys } from './signing-keys.ts';

/** Media type of RFC 9068 section 2.1, in the short form of the header. */
export const ACCESS_TOKEN_TYPE = 'at+jwt';

export type Signer = {
  /** Signs an access token of `token` that ends with its `accessExpiresAt`. */
  sign(token: SignedParts, issuedAt: number): Promise<string>;
};

export type SignedParts = Pick<Token, 'tenant' | 'userId' | 'tokenId' | 'platform' | 'deviceId' | 'accessExpiresAt'>;

export function createSigner(keys: SigningKeys, issuer: string, audience: string): Signer {
  return {
    sign(token, issuedAt) {
      return new SignJWT({
        client_id: token.platform,
        sid: token.tokenId,
        tenant: token.tenant,
        platform: token.platform,
        device_id: token.deviceId,
      })
        .setProtectedHeader({ alg: keys.algorithm, typ: ACCESS_TOKEN_TYPE, kid: keys.kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(token.userId)
        .setJti(randomUUID())
        .setIssuedAt(Math.floor(issuedAt / 1000))
        .setExpirationTime(Math.floor(token.accessExpiresAt / 1000))
        .sign(keys.privateKey);
    },
  };
}
