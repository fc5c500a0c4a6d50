/**
 * Owns POST /token, the refresh for OAuth libraries: form in, names and errors of RFC 6749 out.
 */
import { LatchkeyError, TOKEN_REASONS, type ErrorCode } from '../contract/errors.ts';
import { oauthError, oauthTokenResult } from '../contract/answers.ts';
import { tokenForm } from '../contract/messages.ts';
import type { Refresh } from '../tokens/refresh.ts';
import { endpoint, type Endpoint, type Reply } from './endpoint.ts';
import { tokenPairView } from './token-pair.ts';

const REASONS: readonly ErrorCode[] = TOKEN_REASONS;

/** @param now time by which `expires_in` is counted */
export function oauthTokenEndpoints(refresh: Refresh, now: () => number): Endpoint[] {
  return [
    endpoint({
      method: 'post',
      path: '/token',
      operationId: 'oauthToken',
      tag: 'apps',
      summary: 'The same as POST /token/refresh, for OAuth libraries (RFC 6749 section 6)',
      caller: 'none',
      hot: true,
      body: tokenForm,
      bodyType: 'form',
      unknownInput: 'ignored',
      responses: {
        200: { description: 'The next pair.', body: oauthTokenResult },
        400: { description: 'RFC 6749 section 5.2; `error_description` is the reason.', body: oauthError },
      },
      errors: [],
      async handle({ body }) {
        // RFC 6749 section 3.2: a parameter without a value is one that was left out.
        if (!body.grant_type) return failure('invalid_request', 'grant_type is missing');
        if (body.grant_type !== 'refresh_token')
          return failure('unsupported_grant_type', 'only refresh_token is supported');
        if (!body.refresh_token) return failure('invalid_request', 'refresh_token is missing');
        try {
          const result = await refresh(body.refresh_token);
          const pair = tokenPairView(result, result.token, now());
          return {
            status: 200,
            // RFC 6749 section 5.1, beside the Cache-Control of every answer.
            headers: { Pragma: 'no-cache' },
            body: {
              access_token: pair.accessToken,
              token_type: pair.tokenType,
              expires_in: pair.expiresIn,
              refresh_token: pair.refreshToken,
            },
          };
        } catch (error) {
          if (error instanceof LatchkeyError && REASONS.includes(error.code))
            return failure('invalid_grant', error.code);
          throw error;
        }
      },
    }),
  ];
}

function failure(error: string, description: string): Reply {
  return { status: 400, body: { error, error_description: description } };
}
