/**
 * Owns /validate, the question that reverse proxies ask of every request: 200 with who it is, 401 with why not.
 */
import { z } from 'zod';
import type { AccessClaims } from '../contract/access-claims.ts';
import { DEFAULT_TENANT, expectedTenantSchema } from '../contract/messages.ts';
import { refusalOf, type Judge } from '../tokens/verdict.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

export function validateEndpoints(judge: Judge): Endpoint[] {
  return [
    endpoint({
      method: 'any',
      // Proxies append the path that was asked for: everything below the tenant is theirs.
      path: ['/validate', '/validate/', '/validate/:tenant', '/validate/:tenant/{*rest}'],
      operationId: 'validate',
      tag: 'gateways',
      summary: 'Is this access token good? For auth_request, forwardAuth and ext_authz; any method',
      caller: 'bearer',
      hot: true,
      unknownInput: 'ignored',
      params: z.object({
        tenant: expectedTenantSchema.default(DEFAULT_TENANT).describe('Expected tenant; `*` = any.'),
      }),
      responses: {
        200: { description: 'Good: X-Auth-User, -Tenant, -Platform, -Token-Id, -Expires say whose it is.' },
      },
      errors: [],
      async handle({ caller, params }) {
        const verdict = await judge(caller.accessToken, params.tenant);
        if (!verdict.active) throw refusalOf(verdict);
        return { status: 200, headers: authHeaders(verdict.claims) };
      },
    }),
  ];
}

/** Ids are percent-encoded: they may hold any character. Expiry in unix seconds. */
function authHeaders({ sub, tenant, platform, sid, exp }: AccessClaims): Record<string, string> {
  return {
    'X-Auth-User': encodeURIComponent(sub),
    'X-Auth-Tenant': encodeURIComponent(tenant),
    'X-Auth-Platform': platform,
    'X-Auth-Token-Id': sid,
    'X-Auth-Expires': String(exp),
  };
}
