/**
 * Owns what a tenant's webhook may be in this deployment, and how it shows among the rules in force. No login goes by it.
 */
import { isPublicAddress, normalAddress } from '../addresses.ts';
import type { TenantConfig } from '../contract/tenant-config.ts';
import type { RuleSource } from './rules.ts';

export type WebhookRule = {
  /** What is wrong with the webhook of a tenant's rules, beyond its form. */
  faultsOf(config: TenantConfig): readonly string[];
  effective(config: TenantConfig): { readonly webhook: { readonly value: unknown; readonly source: RuleSource } };
};

export type WebhookLimits = {
  /** Refuse addresses that events would travel to in the clear. */
  readonly httpsOnly: boolean;
  /** Refuse addresses outside of the public internet. What a name leads to shows only when it is looked up. */
  readonly publicOnly: boolean;
};

export function createWebhookRule({ httpsOnly, publicOnly }: WebhookLimits): WebhookRule {
  return {
    faultsOf({ webhook }) {
      if (webhook === undefined) return [];
      const { protocol, hostname } = new URL(webhook.url);
      const host = hostname.replace(/^\[|\]$/g, '');
      const faults: string[] = [];
      if (httpsOnly && protocol !== 'https:') faults.push('webhook.url: must be https in production');
      if (publicOnly && isKnownPrivate(host))
        faults.push(`webhook.url: ${host} is no address of the public internet, and WEBHOOK_TARGETS allows no other`);
      return faults;
    },

    effective: ({ webhook }) => ({
      webhook: { value: webhook ?? null, source: webhook === undefined ? 'default' : 'tenant' },
    }),
  };
}

function isKnownPrivate(host: string): boolean {
  // RFC 6761 section 6.3: these names never lead elsewhere.
  if (/(^|\.)localhost\.?$/.test(host)) return true;
  return normalAddress(host) !== undefined && !isPublicAddress(host);
}
