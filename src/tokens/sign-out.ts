/**
 * Owns how tokens are ended on purpose: by their own user, by an admin, by a gateway. Must not know HTTP or Redis.
 */
import { LatchkeyError } from '../contract/errors.ts';
import { unknownValue } from '../contract/faults.ts';
import type { Platform, PlatformClass, Platforms } from '../domain/platform.ts';
import { CAUSES, isOutlived, type Actor, type Token, type TokenId, type UserKey } from '../domain/token.ts';
import type { RefreshTokens } from './refresh-token.ts';
import { assertGood, findByRefreshToken } from './refresh.ts';
import type { Ended, Selector, TokenStore } from './store.ts';
import type { Identify } from './verdict.ts';

export type LogoutScope = 'this' | 'others' | 'all';

export type SignOut = {
  /** Ends the caller's own tokens; answers how many. One that time has ended may end itself, and no other. */
  logout(token: Token, scope: LogoutScope): Promise<number>;
  /**
   * The token behind a refresh token, if it is active, or time has ended it while a gateway may still take an access token
   * of it; throws the reason otherwise. One that is used again ends it.
   */
  ownerOf(refreshToken: string): Promise<Token>;
  /** Ends one of the caller's tokens; `not_found` for one that is not the user's, 0 for one that had ended. */
  endOwn(caller: Token, tokenId: TokenId): Promise<number>;
  /** Ends a user's tokens in an admin's name: one, those of a platform or class, or all. */
  revoke(user: UserKey, which: RevokeFilter, reason: string | undefined): Promise<readonly Ended[]>;
  /** RFC 7009: ends the token behind an access token, past its `exp` too, or a refresh token; one that is no good is no error. */
  revokeByToken(text: string): Promise<void>;
};

export type RevokeFilter = { readonly tokenId?: TokenId; readonly platform?: Platform; readonly class?: PlatformClass };

export type SignOutDeps = {
  readonly store: TokenStore;
  readonly refreshTokens: RefreshTokens;
  readonly identify: Identify;
  readonly platforms: Platforms;
};

export function createSignOut({ store, refreshTokens, identify, platforms }: SignOutDeps): SignOut {
  return {
    async logout(token, scope) {
      if (scope !== 'this') assertGood(token, store.now());
      return (await store.end(token, logoutSelector(token, scope), 'logout', actorOf(token))).length;
    },

    async ownerOf(refreshToken) {
      const { token, locator } = await findByRefreshToken(store, refreshTokens, refreshToken);
      const now = store.now();
      if (!isOutlived(token, now)) assertGood(token, now);
      // A device that never heard of its latest one may still sign out; nobody has a reason to hold an older one.
      if (locator.generation >= token.generation - 1) return token;
      const { code, kind } = CAUSES.refresh_reuse;
      await store.end(token, { by: 'ids', ids: [token.tokenId] }, 'refresh_reuse', { kind, reason: code });
      throw new LatchkeyError('refresh_reused');
    },

    async endOwn(caller, tokenId) {
      const ended = await store.end(caller, { by: 'ids', ids: [tokenId] }, 'logout', actorOf(caller));
      if (ended.length === 0 && (await store.find(caller, tokenId)) === undefined) throw new LatchkeyError('not_found');
      return ended.length;
    },

    revoke(user, which, reason) {
      return store.end(user, revokeSelector(which, platforms), 'revoke', { kind: 'admin', ...(reason && { reason }) });
    },

    async revokeByToken(text) {
      const owner = await whoseIs(text);
      if (owner === undefined) return;
      const actor: Actor = { kind: 'admin', reason: 'revocation_endpoint' };
      await store.end(owner, { by: 'ids', ids: [owner.tokenId] }, 'revoke', actor);
    },
  };

  async function whoseIs(text: string): Promise<(UserKey & { readonly tokenId: TokenId }) | undefined> {
    const locator = refreshTokens.locate(text);
    if (locator === undefined) {
      const claims = await identify(text);
      return claims && { tenant: claims.tenant, userId: claims.sub, tokenId: claims.sid };
    }
    const token = await store.find({ tenant: locator.tenant, userId: locator.userId }, locator.tokenId);
    return token !== undefined && refreshTokens.isGenuine(text, token.salt) ? token : undefined;
  }
}

function actorOf({ platform, deviceName }: Token): Actor {
  return { kind: 'user', platform, ...(deviceName && { deviceName }) };
}

function logoutSelector({ tokenId }: Token, scope: LogoutScope): Selector {
  if (scope === 'all') return { by: 'all' };
  return { by: scope === 'this' ? 'ids' : 'except', ids: [tokenId] };
}

function revokeSelector(which: RevokeFilter, platforms: Platforms): Selector {
  if (which.tokenId !== undefined) return { by: 'ids', ids: [which.tokenId] };
  if (which.platform === undefined && which.class === undefined) return { by: 'all' };
  return { by: 'platforms', platforms: platformsOf(which, platforms) };
}

/** The platforms that a filter names; `invalid_request` for an unknown name. */
export function platformsOf(which: RevokeFilter, platforms: Platforms): readonly Platform[] {
  const { platform, class: platformClass } = which;
  if (platform !== undefined) assertOneOf('platform', platform, platforms.names);
  if (platformClass !== undefined) assertOneOf('class', platformClass, platforms.classes);
  const inClass = platformClass === undefined ? platforms.names : platforms.inClass(platformClass);
  return platform === undefined ? inClass : inClass.filter((name) => name === platform);
}

function assertOneOf(what: 'platform' | 'class', given: string, valid: readonly string[]): void {
  if (valid.includes(given)) return;
  throw new LatchkeyError('invalid_request', { detail: `query ${what}: ${unknownValue(what, given, valid)}` });
}
