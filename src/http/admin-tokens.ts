/**
 * Owns what admins do with a user's tokens: list, revoke, and read why each of them ended.
 */
import { z } from 'zod';
import { historyResult, revokedResult, tokensResult } from '../contract/answers.ts';
import {
  listTokensQuery,
  revokeTokenQuery,
  revokeTokensQuery,
  tenantQuery,
  tokenIdSchema,
  userIdSchema,
} from '../contract/messages.ts';
import type { Platforms } from '../domain/platform.ts';
import { platformsOf, type SignOut } from '../tokens/sign-out.ts';
import type { TokenStore } from '../tokens/store.ts';
import { tokenView } from '../tokens/views.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

const userParams = z.object({ userId: userIdSchema });
const tokens = '/admin/users/:userId/tokens';

export function adminTokenEndpoints(store: TokenStore, signOut: SignOut, platforms: Platforms): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: tokens,
      operationId: 'listTokens',
      tag: 'admin',
      summary: 'A user’s tokens in every state, oldest login first',
      caller: 'admin',
      params: userParams,
      query: listTokensQuery,
      responses: { 200: { description: 'Read fresh; never a secret.', body: tokensResult } },
      errors: [],
      async handle({ params, query }) {
        const { platform, class: platformClass } = query;
        const wanted = platformsOf(
          { ...(platform && { platform }), ...(platformClass && { class: platformClass }) },
          platforms,
        );
        const { tokens: all, unreadable } = await store.snapshot({ tenant: query.tenant, userId: params.userId });
        const views = all.map((token) => tokenView(token, platforms, store.now()));
        // A token of a platform that has left the deployment is in every list that names none.
        const isWanted = (name: string) => (platform ?? platformClass) === undefined || wanted.includes(name);
        const chosen = views.filter(
          (token) => isWanted(token.platform) && (query.state === undefined || token.state === query.state),
        );
        const unread = unreadable.map(({ tokenId }) => tokenId);
        return { status: 200, body: { tokens: chosen, ...(unread.length > 0 && { unreadable: unread }) } };
      },
    }),
    endpoint({
      method: 'delete',
      path: tokens,
      operationId: 'revokeTokens',
      tag: 'admin',
      summary: 'Revoke a user’s tokens: all, those of a platform, or those of a class',
      caller: 'admin',
      params: userParams,
      query: revokeTokensQuery,
      responses: { 200: { description: 'What this call ended.', body: revokedResult } },
      errors: [],
      async handle({ params, query }) {
        const { tenant, platform, class: platformClass, reason } = query;
        const filter = { ...(platform && { platform }), ...(platformClass && { class: platformClass }) };
        return {
          status: 200,
          body: { revoked: await signOut.revoke({ tenant, userId: params.userId }, filter, reason) },
        };
      },
    }),
    endpoint({
      method: 'delete',
      path: `${tokens}/:tokenId`,
      operationId: 'revokeToken',
      tag: 'admin',
      summary: 'Revoke one token; repeatable',
      caller: 'admin',
      params: userParams.extend({ tokenId: tokenIdSchema }),
      query: revokeTokenQuery,
      responses: { 200: { description: 'What this call ended: nothing the second time.', body: revokedResult } },
      errors: [],
      async handle({ params: { userId, tokenId }, query: { tenant, reason } }) {
        return { status: 200, body: { revoked: await signOut.revoke({ tenant, userId }, { tokenId }, reason) } };
      },
    }),
    endpoint({
      method: 'get',
      path: '/admin/users/:userId/history',
      operationId: 'getHistory',
      tag: 'admin',
      summary: 'What happened to this user’s tokens, newest first (the last 50)',
      caller: 'admin',
      params: userParams,
      query: tenantQuery,
      responses: { 200: { description: 'Events, newest first.', body: historyResult } },
      errors: [],
      async handle({ params, query }) {
        return { status: 200, body: { events: await store.history({ tenant: query.tenant, userId: params.userId }) } };
      },
    }),
  ];
}
