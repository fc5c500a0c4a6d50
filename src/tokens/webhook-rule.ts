/**
 * Owns what a tenant's webhook may be in this deployment, and how it shows among the rules in force. No login goes by it.
 */
import type { TenantConfig } from '../contract/tenant-config.ts';
import type { RuleSource } from './rules.ts';

export type WebhookRule = {
  /** What is wrong with the webhook of a tenant's rules, beyond its form. */
  faultsOf(config: TenantConfig): readonly string[];
  effective(config: TenantConfig): { readonly webhook: { readonly value: unknown; readonly source: RuleSource } };
};

/** @param httpsOnly refuse addresses that events would travel to in the clear */
export function createWebhookRule(httpsOnly: boolean): WebhookRule {
  return {
    faultsOf({ webhook }) {
      const isClear = webhook !== undefined && new URL(webhook.url).protocol !== 'https:';
      return httpsOnly && isClear ? ['webhook.url: must be https in production'] : [];
    },

    effective: ({ webhook }) => ({
      webhook: { value: webhook ?? null, source: webhook === undefined ? 'default' : 'tenant' },
    }),
  };
}
