/**
 * Owns how a token gets its next access and refresh token. Must not know HTTP or Redis.
 */
import { LatchkeyError } from '../contract/errors.ts';
import { isOutlived, isOver, type Token } from '../domain/token.ts';
import type { RefreshLocator, RefreshTokens } from './refresh-token.ts';
import { accessEndOf, expiriesOf, type RuleBook } from './rules.ts';
import type { Signer } from './signer.ts';
import type { TenantStore, TokenStore } from './store.ts';
import { refusalOf, verdictOf } from './verdict.ts';

/** Redis removes a record by its own clock, which this node knows to some ms. */
const CLOCKS_APART_MS = 1000;

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
  async function tenantRulesOf(refreshToken: string) {
    const locator = refreshTokens.locate(refreshToken);
    return locator && tenants.find(locator.tenant);
  }

  return async (refreshToken) => {
    const [{ token, locator }, tenant] = await Promise.all([
      findByRefreshToken(store, refreshTokens, refreshToken),
      tenantRulesOf(refreshToken),
    ]);
    const now = store.now();
    const isBehind = locator.generation < token.generation;
    // One that is used a second time ends even a token that time has ended, if a gateway may still take it.
    if (!(isBehind && isOutlived(token, now))) assertGood(token, now);
    const rules = ruleBook.rulesFor(token.platform, tenant, undefined);
    const ends = expiriesOf(rules, now, token.createdAt);
    // Within the grace the record stays what it is, and its end is not that of the rules.
    const wanted = isBehind ? accessEndOf(rules, token, now) : ends.accessExpiresAt;
    const sign = (accessExpiresAt: number) => signer.sign({ ...token, accessExpiresAt }, now);
    const accessToken = await sign(wanted);
    const result = await store.rotate(token, {
      tokenId: token.tokenId,
      presentedGeneration: locator.generation,
      graceMs: rules.refreshGraceMs,
      expiresAt: ends.expiresAt,
      accessExpiresAt: wanted,
      idleMs: rules.idleMs,
    });
    if (result.kind === 'reused') throw new LatchkeyError('refresh_reused');
    if (result.kind === 'refused') {
      assertGood(await store.find(token, token.tokenId), store.now());
      throw new LatchkeyError('token_expired');
    }
    // An absolute life that the tenant has set since may be over already: the record says so now, and so do we.
    if (result.expiresAt <= now) throw new LatchkeyError('token_expired');
    const { kind: _, ...inForce } = result;
    const renewed = { ...token, ...inForce, lastSeenAt: now };
    return {
      // Another call was first, or its clock went otherwise: the record has an earlier end than we have signed.
      accessToken: result.accessExpiresAt < wanted ? await sign(result.accessExpiresAt) : accessToken,
      refreshToken: refreshTokens.make(renewed),
      token: renewed,
    };
  };
}

/** Throws why a refresh token is no good. How its token ended is told until nothing of it could be presented in any case. */
export function assertGood(token: Token | undefined, now: number): void {
  const verdict = verdictOf(token, now);
  if (verdict === undefined) return;
  if (token !== undefined && isOver(token, now)) throw new LatchkeyError('token_expired');
  throw refusalOf(verdict);
}

/**
 * The token that a refresh token of any generation belongs to, in whatever state. Throws the reason when it is not genuine.
 * Past its own end it is `token_expired`, whether its record is still there or has gone with the user's last token.
 */
export async function findByRefreshToken(
  store: TokenStore,
  refreshTokens: RefreshTokens,
  text: string,
): Promise<{ token: Token; locator: RefreshLocator }> {
  const locator = refreshTokens.locate(text);
  if (locator === undefined) {
    throw new LatchkeyError('token_malformed', {
      detail: 'expected a refresh token, as a login or a refresh answers it',
    });
  }
  const user = { tenant: locator.tenant, userId: locator.userId };
  const token = await store.find(user, locator.tokenId);
  if (token === undefined) {
    // The salt has gone, so the MAC proves nothing: whoever made this up learns only what they wrote.
    const { expiresAt = Infinity } = locator;
    throw new LatchkeyError(store.now() + CLOCKS_APART_MS >= expiresAt ? 'token_expired' : 'token_unknown');
  }
  if (!refreshTokens.isGenuine(text, token.salt)) throw new LatchkeyError('token_invalid');
  return { token, locator };
}
