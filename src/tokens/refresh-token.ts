/**
 * Owns the form of a refresh token, `lkr1.<locator>=<end>.<MAC>`: a locator that says which record to look at, when its
 * token ends if it is not refreshed (unix ms), and a MAC over both that proves we made it.
 * Nothing secret is stored: the MAC is under the deployment's REFRESH_SECRET and a salt in the token's record, so the
 * same generation always has the same text. Must not know the store or which generation is in force.
 */
import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import { TOKEN_ID } from '../contract/messages.ts';
import type { Token, TokenId, UserKey } from '../domain/token.ts';
import { randomText } from './random-text.ts';

const PREFIX = 'lkr1';
const SALT_BYTES = 12;
/** Unix ms, up to what a Date can show (ECMA-262, time values). */
const END = /^[1-9]\d{0,15}$/;
/** Longer is not ours: three ids of 128 characters in UTF-8, base64url, and the MAC. */
const MAX_LENGTH = 2048;

/** What a refresh token says of itself, before the MAC is checked. */
export type RefreshLocator = UserKey & {
  readonly tokenId: TokenId;
  readonly generation: number;
  /** When the token ends that it was made for; refresh tokens of before do not say it. */
  readonly expiresAt?: number;
};

export type RefreshTokens = {
  /** The refresh token of one generation of a token; the same text every time. */
  make(token: Pick<Token, 'tenant' | 'userId' | 'tokenId' | 'salt' | 'generation' | 'expiresAt'>): string;
  /** Undefined when it has not the form of a refresh token. */
  locate(text: string): RefreshLocator | undefined;
  /** Whether we made this text for the token of this salt. Constant in time. */
  isGenuine(text: string, salt: string): boolean;
};

export function makeSalt(): string {
  return randomText(SALT_BYTES);
}

export function createRefreshTokens(secret: string): RefreshTokens {
  const key = createSecretKey(secret, 'utf8');
  const macOf = (locator: string, salt: string) =>
    createHmac('sha256', key).update(`${salt}.${locator}`).digest('base64url');
  return {
    make(token) {
      const parts = [token.tenant, token.userId, token.tokenId, token.generation];
      // Nodes of before read what is in front of the `=`, and check the MAC over all of it.
      const locator = `${Buffer.from(JSON.stringify(parts)).toString('base64url')}=${token.expiresAt}`;
      return `${PREFIX}.${locator}.${macOf(locator, token.salt)}`;
    },

    locate(text) {
      const [prefix, locator, mac, ...rest] = text.split('.');
      if (text.length > MAX_LENGTH || prefix !== PREFIX || !locator || !mac || rest.length > 0) return undefined;
      const [encoded = '', end, ...more] = locator.split('=');
      if (more.length > 0 || (end !== undefined && !END.test(end))) return undefined;
      const parts = parseLocator(encoded);
      if (!Array.isArray(parts) || parts.length !== 4) return undefined;
      const [tenant, userId, tokenId, generation] = parts as unknown[];
      const texts = [tenant, userId, tokenId].every((part) => typeof part === 'string' && part.isWellFormed());
      // Before the MAC is checked nothing but a token is looked up by what a text says of itself.
      if (!texts || !TOKEN_ID.test(String(tokenId))) return undefined;
      if (!Number.isSafeInteger(generation) || Number(generation) < 1) return undefined;
      return { tenant, userId, tokenId, generation, ...(end && { expiresAt: Number(end) }) } as RefreshLocator;
    },

    isGenuine(text, salt) {
      const [, locator = '', mac = ''] = text.split('.');
      // As texts: the last character of a MAC has bits to spare, and only one way to write it is ours.
      const [given, made] = [Buffer.from(mac), Buffer.from(macOf(locator, salt))];
      return given.length === made.length && timingSafeEqual(given, made);
    },
  };
}

function parseLocator(encoded: string): unknown {
  try {
    return JSON.parse(Buffer.from(encoded, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
