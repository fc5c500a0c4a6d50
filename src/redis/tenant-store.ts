/**
 * Owns the rules of tenants in Redis, where rules and policies stand as text. Must not know what they lead to.
 * Text that was parsed once is remembered by itself, so a login does not parse its tenant's rules again.
 */
import { LRUCache } from 'lru-cache';
import type { TenantConfig } from '../contract/tenant-config.ts';
import type { StoredTenant, TenantStore } from '../tokens/store.ts';
import type { StoredPolicy, StoredRules } from '../tokens/stored-rules.ts';
import { packDetail } from './codec.ts';
import { answerOf } from './connect.ts';
import { readPolicy, readRules } from './rules-codec.ts';
import type { UserScope } from './user-scope.ts';

const REMEMBERED_TEXTS = 1000;

const readKnownRules = remembering<StoredRules>(readRules);
const readKnownPolicy = remembering<StoredPolicy>(readPolicy);

export function readPolicyChoice(text: string | undefined): StoredPolicy | undefined {
  return text === undefined ? undefined : readKnownPolicy(text);
}

export function createTenantStore({ redis, keys, run, eventsKeptMs, keepEventsFor }: UserScope): TenantStore {
  /** Of tenants that were asked for in this turn of the loop: who asks for the same one shares the reply (decision 13). */
  const asked = new Map<string, Promise<StoredTenant | undefined>>();

  async function read(tenant: string): Promise<StoredTenant | undefined> {
    const [version, config] = await answerOf(redis.hmget(keys.tenant(tenant), 'version', 'config'));
    if (!version) return undefined;
    // Rules without the text that this version knows must not pass for none.
    const rules = typeof config === 'string' ? readKnownRules(config) : readRules(null);
    return { version: Number(version), ...rules };
  }

  return {
    find(tenant) {
      const known = asked.get(tenant);
      if (known !== undefined) return known;
      const found = read(tenant);
      asked.set(tenant, found);
      setImmediate(() => asked.delete(tenant));
      return found;
    },

    async put(tenant, config, expected): Promise<StoredTenant | undefined> {
      await keepEventsFor(longestAccessSeconds(config) * 1000);
      const hasWebhook = config.webhook !== undefined;
      // On the list before it comes into force: who delivers looks for tenants there.
      if (hasWebhook) await run(() => redis.listWebhook(keys.webhooks(), tenant));
      const reply = await run(() =>
        redis.putTenant(
          keys.tenant(tenant),
          keys.tenantEvents(tenant),
          keys.webhook(tenant),
          tenant,
          eventsKeptMs(),
          expected === undefined ? '' : String(expected),
          JSON.stringify(config),
          packDetail({ kind: 'admin' }, '', []),
          hasWebhook ? '1' : '',
        ),
      );
      return reply[0] === 'CHANGED' ? { version: reply[2], config, unreadable: [] } : undefined;
    },
  };
}

function longestAccessSeconds({ ttl }: TenantConfig): number {
  const lives = [ttl, ...Object.values(ttl?.platforms ?? {})].map((own) => own?.accessSeconds ?? 0);
  return Math.max(...lives);
}

function remembering<T extends StoredRules | StoredPolicy>(read: (text: string) => T): (text: string) => T {
  const known = new LRUCache<string, T>({ max: REMEMBERED_TEXTS });
  return (text) => {
    const value = known.get(text) ?? read(text);
    known.set(text, value);
    return value;
  };
}
