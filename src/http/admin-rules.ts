/**
 * Owns the admin calls on rules: of a tenant, of one user, and what a policy would do.
 */
import { z } from 'zod';
import { LatchkeyError } from '../contract/errors.ts';
import { planSchema, policyResult, tenantResult } from '../contract/answers.ts';
import { policyRequest, simulateRequest, tenantQuery, tenantSchema, userIdSchema } from '../contract/messages.ts';
import { tenantConfigSchema } from '../contract/tenant-config.ts';
import type { RuleBook } from '../tokens/rules.ts';
import type { StoredTenant } from '../tokens/store.ts';
import type { StoredPolicy } from '../tokens/stored-rules.ts';
import type { Tenants } from '../tokens/tenants.ts';
import { planView } from '../tokens/views.ts';
import type { WebhookRule } from '../tokens/webhook-rule.ts';
import { endpoint, type Endpoint, type Reply } from './endpoint.ts';

/** 1000 tokens, each of whose device's name takes 1.5 KB where a writer escapes it. */
const SIMULATE_LIMIT = '2560kb';

const tenantParams = z.object({ tenant: tenantSchema });
const userParams = z.object({ userId: userIdSchema });

export function adminRuleEndpoints(tenants: Tenants, ruleBook: RuleBook, webhookRule: WebhookRule): Endpoint[] {
  const replyOf = (tenant: string, stored: StoredTenant, override?: StoredPolicy): Reply => {
    const { version, config } = stored;
    const unreadable = ruleBook.unreadableIn(stored);
    const effective = { ...ruleBook.effective(stored, override), ...webhookRule.effective(config) };
    return {
      status: 200,
      headers: { ETag: `"${version}"` },
      body: { tenant, version, config, ...(unreadable.length > 0 && { unreadable }), effective },
    };
  };
  return [
    endpoint({
      method: 'get',
      path: '/admin/tenants/:tenant',
      operationId: 'getTenant',
      tag: 'admin',
      summary: 'A tenant’s rules, what is in force, and where each value comes from',
      caller: 'admin',
      params: tenantParams,
      query: z.strictObject({
        userId: userIdSchema.optional().describe('With the policy of this user’s own, if there is one.'),
      }),
      responses: { 200: { description: 'ETag is the version.', body: tenantResult } },
      errors: [],
      async handle({ params: { tenant }, query: { userId } }) {
        const override = userId === undefined ? undefined : await tenants.userPolicy({ tenant, userId });
        return replyOf(tenant, await tenants.get(tenant), override);
      },
    }),
    endpoint({
      method: 'put',
      path: '/admin/tenants/:tenant',
      operationId: 'putTenant',
      tag: 'admin',
      summary: 'Replace a tenant’s rules; effective at the next login and refresh on every node',
      caller: 'admin',
      params: tenantParams,
      body: tenantConfigSchema,
      bodyRequired: true,
      headers: z.object({ 'if-match': z.string().max(64).optional().describe('The version that is to be replaced.') }),
      responses: { 200: { description: 'The rules as they are now.', body: tenantResult } },
      errors: ['version_mismatch'],
      async handle({ params: { tenant }, body, request }) {
        return replyOf(tenant, await tenants.put(tenant, body, expectedVersion(request.headers['if-match'])));
      },
    }),
    endpoint({
      method: 'put',
      path: '/admin/users/:userId/policy',
      operationId: 'putUserPolicy',
      tag: 'admin',
      summary: 'Give one user a policy of their own, before the tenant’s',
      caller: 'admin',
      params: userParams,
      query: tenantQuery,
      body: policyRequest,
      responses: { 200: { description: 'Holds from the next login on.', body: policyResult } },
      errors: [],
      async handle({ params, query, body: { policy } }) {
        await tenants.setUserPolicy({ ...query, ...params }, policy);
        return { status: 200, body: { policy } };
      },
    }),
    endpoint({
      method: 'delete',
      path: '/admin/users/:userId/policy',
      operationId: 'deleteUserPolicy',
      tag: 'admin',
      summary: 'Back to the tenant’s policy',
      caller: 'admin',
      params: userParams,
      query: tenantQuery,
      responses: { 200: { description: 'Holds from the next login on.', body: policyResult } },
      errors: [],
      async handle({ params, query }) {
        await tenants.setUserPolicy({ ...query, ...params }, null);
        return { status: 200, body: { policy: null } };
      },
    }),
    endpoint({
      method: 'post',
      path: '/admin/policies/simulate',
      operationId: 'simulatePolicy',
      tag: 'admin',
      summary: 'What a login would do under a policy, to given tokens or to those of a user; stores nothing',
      caller: 'admin',
      query: tenantQuery,
      body: simulateRequest,
      bodyLimit: SIMULATE_LIMIT,
      responses: { 200: { description: 'The plan.', body: planSchema } },
      errors: ['platform_not_allowed', 'not_found'],
      async handle({ query: { tenant }, body }) {
        const on =
          body.userId === undefined ? { tokens: body.tokens ?? [] } : { user: { tenant, userId: body.userId } };
        const { platform, deviceId, evict } = body.login;
        const { plan, now } = await tenants.simulate(body.policy, on, { platform, deviceId, ...(evict && { evict }) });
        return { status: 200, body: planView(plan, now) };
      },
    }),
  ];
}

/** RFC 9110 section 13.1.1: `"3"`; `*` and absence ask for nothing in particular. */
function expectedVersion(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
  const [, version] = /^\s*(?:W\/)?"?(\d{1,15})"?\s*$/.exec(ifMatch) ?? [];
  if (version === undefined)
    throw new LatchkeyError('version_mismatch', { detail: 'If-Match is not a version of ours' });
  return Number(version);
}
