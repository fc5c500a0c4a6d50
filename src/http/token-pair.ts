/**
 * Owns the access and refresh token as answers carry them.
 */
import type { Token } from '../domain/token.ts';

type Pair = { readonly accessToken: string; readonly refreshToken: string };

/** @param now when the pair was signed */
export function tokenPairView(pair: Pair, token: Pick<Token, 'expiresAt' | 'accessExpiresAt'>, now: number) {
  return {
    accessToken: pair.accessToken,
    tokenType: 'Bearer' as const,
    expiresIn: Math.round(token.accessExpiresAt / 1000) - Math.floor(now / 1000),
    refreshToken: pair.refreshToken,
    refreshExpiresIn: Math.floor((token.expiresAt - now) / 1000),
  };
}
