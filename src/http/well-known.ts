/**
 * Owns what any verifier may read: our public keys (RFC 7517) and where our endpoints are (RFC 8414).
 */
import { jwksResult, metadataResult } from '../contract/answers.ts';
import type { SigningKeys } from '../tokens/signing-keys.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

/** A new key is published before it signs, so verifiers may keep the set for a while. */
const CACHE = { 'Cache-Control': 'public, max-age=300' };
const CLIENT_AUTH = ['client_secret_basic'];

export function wellKnownEndpoints(keys: SigningKeys, issuer: string): Endpoint[] {
  const at = (path: string) => issuer.replace(/\/$/, '') + path;
  return [
    endpoint({
      method: 'get',
      path: '/.well-known/jwks.json',
      operationId: 'getJwks',
      tag: 'everybody',
      summary: 'The public keys that access tokens are verified with',
      caller: 'none',
      unknownInput: 'ignored',
      withoutStore: true,
      responses: { 200: { description: 'A JWK set.', body: jwksResult } },
      errors: [],
      handle: () => ({ status: 200, headers: CACHE, body: keys.jwks }),
    }),
    endpoint({
      method: 'get',
      // With a path in the issuer the client asks below this one (RFC 8414 section 3.1).
      path: ['/.well-known/oauth-authorization-server', '/.well-known/oauth-authorization-server/*path'],
      operationId: 'getMetadata',
      tag: 'everybody',
      summary: 'Where the endpoints are',
      caller: 'none',
      unknownInput: 'ignored',
      withoutStore: true,
      responses: { 200: { description: 'Authorization server metadata.', body: metadataResult } },
      errors: [],
      handle: () => ({
        status: 200,
        headers: CACHE,
        body: {
          issuer,
          jwks_uri: at('/.well-known/jwks.json'),
          token_endpoint: at('/token'),
          token_endpoint_auth_methods_supported: ['none'],
          introspection_endpoint: at('/introspect'),
          introspection_endpoint_auth_methods_supported: CLIENT_AUTH,
          revocation_endpoint: at('/revoke'),
          revocation_endpoint_auth_methods_supported: CLIENT_AUTH,
          response_types_supported: [],
          grant_types_supported: ['refresh_token'],
        },
      }),
    }),
  ];
}
