/**
 * Owns POST /login and trusted issuance: parse, call once, reply.
 */
import { z } from 'zod';
import { loginResult, planSchema } from '../contract/answers.ts';
import { issueRequest, loginRequest, tenantQuery, userIdSchema, type LoginOptions } from '../contract/messages.ts';
import type { UserKey } from '../domain/token.ts';
import type { Platforms } from '../domain/platform.ts';
import type { Login, LoginAnswer, LoginRequest } from '../tokens/login.ts';
import { displacedView, newTokenView, planView } from '../tokens/views.ts';
import { endpoint, type Client, type Endpoint, type Reply } from './endpoint.ts';
import { tokenPairView } from './token-pair.ts';

const responses = {
  200: {
    description:
      'Signed in; `displaced` lists every token that this login ended. With `dryRun`: the plan, nothing stored.',
    body: z.union([loginResult, planSchema]),
  },
};

const errors = [
  'reconnect_war',
  'user_blocked',
  'platform_not_allowed',
  'login_declined',
  'login_contended',
  'not_found',
] as const;

export function loginEndpoints(login: Login, platforms: Platforms): Endpoint[] {
  return [
    endpoint({
      method: 'post',
      path: '/login',
      operationId: 'login',
      tag: 'apps',
      summary: 'Sign in on a device',
      caller: 'none',
      hot: true,
      body: loginRequest,
      responses,
      errors: ['invalid_credentials', 'too_many_attempts', 'credentials_unavailable', 'overloaded', ...errors],
      async handle({ body, client }) {
        const { password, deviceProof, ...options } = body;
        return replyOf(
          await login.withPassword({ ...toRequest(body, options, client()), deviceProof }, password),
          platforms,
        );
      },
    }),
    endpoint({
      method: 'post',
      path: '/admin/users/:userId/tokens',
      operationId: 'issueToken',
      tag: 'admin',
      summary: 'Trusted issuance: sign a user in without a password; the only way to a token of the admin platform',
      caller: 'admin',
      hot: true,
      params: z.object({ userId: userIdSchema }),
      query: tenantQuery,
      body: issueRequest,
      responses,
      errors,
      async handle({ params, query, body, client }) {
        const user = { tenant: query.tenant, userId: params.userId };
        return replyOf(await login.trusted(toRequest(user, body, client())), platforms);
      },
    }),
  ];
}

function toRequest({ tenant, userId }: UserKey, options: LoginOptions, { ip, userAgent }: Client): LoginRequest {
  const { platform, deviceId, deviceName, evict, dryRun, interactive } = options;
  return { tenant, userId, platform, deviceId, deviceName, evict, dryRun, interactive, ip, userAgent };
}

function replyOf(answer: LoginAnswer, platforms: Platforms): Reply {
  if (answer.kind === 'dry_run') return { status: 200, body: planView(answer.plan, answer.now) };
  const { token, displaced } = answer.result;
  return {
    status: 200,
    body: {
      ...tokenPairView(answer.result, token, token.createdAt),
      token: newTokenView(token, platforms),
      displaced: displaced.map(displacedView),
    },
  };
}
