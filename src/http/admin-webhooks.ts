/**
 * Owns the admin call on a tenant's webhook: how far its delivery has come. Must not know how events are delivered.
 */
import { z } from 'zod';
import { webhookResult } from '../contract/answers.ts';
import { LatchkeyError } from '../contract/errors.ts';
import { tenantSchema } from '../contract/messages.ts';
import type { Tenants } from '../tokens/tenants.ts';
import { timeView } from '../tokens/views.ts';
import type { WebhookState, WebhookStore } from '../tokens/webhook-store.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

export function adminWebhookEndpoints(tenants: Tenants, webhooks: WebhookStore): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: '/admin/tenants/:tenant/webhook',
      operationId: 'getWebhook',
      tag: 'admin',
      summary: 'How the delivery to a tenant’s webhook is getting on',
      caller: 'admin',
      params: z.object({ tenant: tenantSchema }),
      responses: { 200: { description: 'As the node that delivers noted it last.', body: webhookResult } },
      errors: ['not_found'],
      async handle({ params: { tenant } }) {
        const [{ config, unreadable }, state] = await Promise.all([tenants.get(tenant), webhooks.state(tenant)]);
        if (unreadable.includes('webhook')) throw new LatchkeyError('store_unreadable');
        if (config.webhook === undefined) throw new LatchkeyError('not_found', { detail: 'the tenant has no webhook' });
        return { status: 200, body: { url: config.webhook.url, ...viewOf(state) } };
      },
    }),
  ];
}

function viewOf(noted: WebhookState) {
  const { cursor, failures, lastError, lastDeliveredAt, nextAttemptAt, refused, lastRefusal } = noted;
  const settled = cursor === undefined ? 'starting' : 'delivering';
  return {
    state: failures > 0 ? 'failing' : settled,
    ...(cursor !== undefined && { cursor }),
    failures,
    ...(lastError !== undefined && { lastError }),
    ...(lastDeliveredAt !== undefined && { lastDeliveredAt: timeView(lastDeliveredAt) }),
    ...(nextAttemptAt !== undefined && { nextAttemptAt: timeView(nextAttemptAt) }),
    refused,
    ...(lastRefusal !== undefined && { lastRefusal: { ...lastRefusal, at: timeView(lastRefusal.at) } }),
  };
}
