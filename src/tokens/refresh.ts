/**
 * Owns how a token gets its next access and refresh token. Must not know HTTP or Redis.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { Token } from '../domain/token.ts';
import type { RefreshLocator, RefreshTokens } from './refresh-token.ts';
import { expiriesOf, type RuleBook } from './rules.ts';
import type { Signer } from './signer.ts';
import type { TenantStore, TokenStore } from './store.ts';
import { refusalOf, verdictOf } from './verdict.ts';

/** `token` ends as this pair does. */
export type RefreshResult = { readonly accessToken: string; readonly refreshToken: string; readonly token: Token };

export type RefreshDeps = {
  readonly store: TokenStore;
  readonly signer: Signer;
  readonly refreshTokens: RefreshTokens;
  readonly tenants: TenantStore;
  readonly ruleBook: RuleBook;
};

/** Throws the reason (401) when the refresh token or its token is no good. */
export type Refresh = (refreshToken: string) => Promise<RefreshResult>;

export function createRefresh({ store, signer, refreshTokens, tenants, ruleBook }: RefreshDeps): Refresh {
  /** The tenant's rules, sent for together with the token. */
  async function tenantConfigOf(refreshToken: string) {
    const locator = refreshTokens.locate(refreshToken);
    return locator && (await tenants.find(locator.tenant))?.config;
  }

  return async (refreshToken) => {
    const [{ token, locator }, tenant] = await Promise.all([
      findByRefreshToken(store, refreshTokens, refreshToken),
      tenantConfigOf(refreshToken),
    ]);
    assertGood(token, store);
    const rules = ruleBook.rulesFor(token.platform, tenant, undefined);
    const now = store.now();
    const ends = expiriesOf(rules, now, token.createdAt);
    const accessToken = await signer.sign({ ...token, accessExpiresAt: ends.accessExpiresAt }, now);
    const result = await store.rotate(token, {
      tokenId: token.tokenId,
      presentedGeneration: locator.generation,
      graceMs: rules.refreshGraceMs,
      ...ends,
      idleMs: rules.idleMs,
    });
    if (result.kind === 'reused') throw new LatchkeyError('refresh_reused');
    if (result.kind === 'refused') {
      assertGood(await store.find(token, token.tokenId), store);
      throw new LatchkeyError('token_expired');
    }
    // An absolute life that the tenant has set since may be over already: the record says so now, and so do we.
    if (result.expiresAt <= now) throw new LatchkeyError('token_expired');
    const renewed = { ...token, ...ends, expiresAt: result.expiresAt, lastSeenAt: now };
    return { accessToken, refreshToken: refreshTokens.make(token, result.generation), token: renewed };
  };
}

function assertGood(token: Token | undefined, store: TokenStore): void {
  const verdict = verdictOf(token, store.now());
  if (verdict !== undefined) throw refusalOf(verdict);
}

/** The token that a refresh token of any generation belongs to, in whatever state. Throws the reason when it is not genuine. */
export async function findByRefreshToken(
  store: TokenStore,
  refreshTokens: RefreshTokens,
  text: string,
): Promise<{ token: Token; locator: RefreshLocator }> {
  const locator = refreshTokens.locate(text);
  if (locator === undefined) throw new LatchkeyError('token_malformed');
  const user = { tenant: locator.tenant, userId: locator.userId };
  const token = await store.find(user, locator.tokenId);
  if (token === undefined) throw new LatchkeyError('token_unknown');
  if (!refreshTokens.isGenuine(text, token.salt)) throw new LatchkeyError('token_invalid');
  return { token, locator };
}
