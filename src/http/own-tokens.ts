/**
 * Owns what an app does with the token it holds: refresh, log out, see and end the user's devices.
 */
import { z } from 'zod';
import { LatchkeyError, TOKEN_REASONS } from '../contract/errors.ts';
import { countResult, refreshResult, tokensResult } from '../contract/answers.ts';
import { logoutRequest, refreshRequest, tokenIdSchema } from '../contract/messages.ts';
import type { Platforms } from '../domain/platform.ts';
import { isActive, type Token } from '../domain/token.ts';
import type { Refresh } from '../tokens/refresh.ts';
import type { SignOut } from '../tokens/sign-out.ts';
import type { TokenStore } from '../tokens/store.ts';
import { tokenView } from '../tokens/views.ts';
import { endpoint, type Endpoint } from './endpoint.ts';
import { tokenPairView } from './token-pair.ts';

/** A refresh token in the body is always there, good or not. */
const REFUSALS = TOKEN_REASONS.filter((reason) => reason !== 'token_missing');

const NOTHING_TO_SIGN_OUT = 'expected "Authorization: Bearer <access token>", or refreshToken in the body';

export function ownTokenEndpoints(
  refresh: Refresh,
  signOut: SignOut,
  store: TokenStore,
  platforms: Platforms,
): Endpoint[] {
  /** A header's token that time has ended is as good as a body that has none. A reuse has ended its token already. */
  async function ownerOf(refreshToken: string, outlived: Token | undefined): Promise<Token> {
    try {
      return await signOut.ownerOf(refreshToken);
    } catch (error) {
      const code = error instanceof LatchkeyError ? error.code : undefined;
      const isNoGood = code !== 'refresh_reused' && TOKEN_REASONS.some((reason) => reason === code);
      if (outlived === undefined || !isNoGood) throw error;
      return outlived;
    }
  }

  return [
    endpoint({
      method: 'post',
      path: '/token/refresh',
      operationId: 'refreshToken',
      tag: 'apps',
      summary: 'Exchange a refresh token for a new access and refresh token of the same tokenId',
      caller: 'none',
      hot: true,
      body: refreshRequest,
      responses: { 200: { description: 'The next pair.', body: refreshResult } },
      errors: REFUSALS,
      async handle({ body }) {
        const result = await refresh(body.refreshToken);
        const now = store.now();
        const pair = tokenPairView(result, result.token, now);
        return { status: 200, body: { ...pair, token: tokenView(result.token, platforms, now) } };
      },
    }),
    endpoint({
      method: 'post',
      path: '/logout',
      operationId: 'logout',
      tag: 'apps',
      summary: 'Sign out this device, all others, or all',
      caller: 'optional-app',
      body: logoutRequest,
      responses: { 200: { description: 'How many tokens this call ended.', body: countResult } },
      errors: ['token_missing'],
      async handle({ caller, body }) {
        const { refreshToken, scope } = body;
        const { token, outlived, refusal } = caller;
        const owner = token ?? (refreshToken === undefined ? outlived : await ownerOf(refreshToken, outlived));
        if (!owner) throw refusal ?? new LatchkeyError('token_missing', { detail: NOTHING_TO_SIGN_OUT });
        return { status: 200, body: { count: await signOut.logout(owner, scope) } };
      },
    }),
    endpoint({
      method: 'get',
      path: '/tokens',
      operationId: 'listOwnTokens',
      tag: 'apps',
      summary: 'The devices this user is signed in on',
      caller: 'app',
      responses: {
        200: { description: 'Active tokens, oldest login first, exactly one of them current.', body: tokensResult },
      },
      errors: [],
      async handle({ caller }) {
        const tokens = await store.list(caller.token);
        const now = store.now();
        const active = tokens.filter((token) => isActive(token, now));
        const current = (tokenId: string) => tokenId === caller.token.tokenId;
        return {
          status: 200,
          body: {
            tokens: active.map((token) => ({ ...tokenView(token, platforms, now), current: current(token.tokenId) })),
          },
        };
      },
    }),
    endpoint({
      method: 'delete',
      path: '/tokens/:tokenId',
      operationId: 'endOwnToken',
      tag: 'apps',
      summary: 'Sign out one of this user’s devices',
      caller: 'app',
      params: z.object({ tokenId: tokenIdSchema }),
      responses: { 200: { description: '1, or 0 when it had ended before.', body: countResult } },
      errors: ['not_found'],
      async handle({ caller, params }) {
        return { status: 200, body: { count: await signOut.endOwn(caller.token, params.tokenId) } };
      },
    }),
  ];
}
