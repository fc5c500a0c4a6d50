/**
 * Owns the state of webhooks in Redis: who delivers, and how far it has come. Must not know what is delivered.
 */
import type { WebhookProgress, WebhookRefusal, WebhookState, WebhookStore } from '../tokens/webhook-store.ts';
import type { Fields } from './codec.ts';
import { answerOf } from './connect.ts';
import { readFlatHash, readHash, type UserScope } from './user-scope.ts';

/** How long a node that has died keeps others from delivering in its place. */
const WEBHOOK_LEASE_MS = 10_000;
/** How long whoever sets a webhook may take from the list to the rules. */
const WRITER_MS = 60_000;

export function createWebhookStore({ redis, keys, run }: UserScope): WebhookStore {
  return {
    tenants: () => answerOf(redis.zrange(keys.webhooks(), 0, '-1')),

    async take(tenant, owner, { version, url }) {
      const [state, rules] = [keys.webhook(tenant), keys.tenant(tenant)];
      const reply = await run(() => redis.takeWebhook(state, rules, owner, WEBHOOK_LEASE_MS, version, url));
      return reply[0] === 'TAKEN' ? readState(readFlatHash(reply[2])) : undefined;
    },

    async note(tenant, owner, progress) {
      const { refused = 0 } = progress;
      const state = keys.webhook(tenant);
      const reply = await run(() =>
        redis.noteWebhook(state, owner, WEBHOOK_LEASE_MS, refused, ...fieldsOf(progress).flat()),
      );
      return reply[0] === 'NOTED';
    },

    async release(tenant, owner) {
      await run(() => redis.releaseWebhook(keys.webhook(tenant), owner));
    },

    state: async (tenant) => readState(await readHash(redis, keys.webhook(tenant))),

    async forget(tenant) {
      await run(() => redis.forgetWebhook(keys.webhooks(), tenant, WRITER_MS));
    },
  };
}

/** Field and value; '' removes the field. */
function fieldsOf({ cursor, lastDeliveredAt, lastRefusal, trouble }: WebhookProgress): [string, string][] {
  const fields: [string, string][] = [];
  if (lastRefusal !== undefined) fields.push(['lastRefusal', JSON.stringify(lastRefusal)]);
  if (cursor !== undefined) fields.push(['cursor', cursor]);
  if (lastDeliveredAt !== undefined) fields.push(['lastDeliveredAt', String(lastDeliveredAt)]);
  if (trouble === undefined) return fields;
  fields.push(['failures', String(trouble?.failures ?? '')]);
  fields.push(['lastError', trouble?.lastError ?? '']);
  fields.push(['nextAttemptAt', String(trouble?.nextAttemptAt ?? '')]);
  return fields;
}

function readState(fields: Fields): WebhookState {
  const noted = Object.fromEntries(fields);
  const { cursor, since, lastError, nextAttemptAt, lastDeliveredAt, failures, refused } = noted;
  const lastRefusal = refusalIn(noted['lastRefusal']);
  return {
    failures: numberIn(failures) ?? 0,
    refused: numberIn(refused) ?? 0,
    ...(cursor && { cursor }),
    ...(numberIn(since) && { since: Number(since) }),
    ...(lastError && { lastError }),
    ...(numberIn(nextAttemptAt) && { nextAttemptAt: Number(nextAttemptAt) }),
    ...(numberIn(lastDeliveredAt) && { lastDeliveredAt: Number(lastDeliveredAt) }),
    ...(lastRefusal && { lastRefusal }),
  };
}

/** Undefined for what is not there, and for what a later version has written in another form. */
function numberIn(text: string | undefined): number | undefined {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Likewise. */
function refusalIn(text = ''): WebhookRefusal | undefined {
  try {
    const { jti, error, at } = JSON.parse(text) as Record<string, unknown>;
    const isKnown = typeof jti === 'string' && typeof error === 'string' && Number.isSafeInteger(at);
    return isKnown ? { jti, error, at: at as number } : undefined;
  } catch {
    return undefined;
  }
}
