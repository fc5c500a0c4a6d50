/**
 * Owns how the rules of tenants and the policies of single users are changed, and what a policy would do.
 * Must not know HTTP or Redis.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { PolicyChoice, TenantConfig } from '../contract/tenant-config.ts';
import { allows, type Incoming } from '../domain/policies/engine.ts';
import type { Plan } from '../domain/plan.ts';
import type { Token, UserKey } from '../domain/token.ts';
import { planLogin } from './planning.ts';
import type { RuleBook } from './rules.ts';
import type { Snapshot, StoredTenant, TenantStore, TokenStore, UserStore } from './store.ts';
import type { StoredPolicy } from './stored-rules.ts';
import type { WebhookRule } from './webhook-rule.ts';

export type SimulatedToken = Pick<Token, 'tokenId' | 'platform' | 'deviceId'>;

export type Tenants = {
  /** Version 0 with no rules of its own for a tenant that has none. */
  get(tenant: string): Promise<StoredTenant>;
  /** The policy of one user's own, if there is one. */
  userPolicy(user: UserKey): Promise<StoredPolicy | undefined>;
  /** `invalid_request` with every fault; `version_mismatch` when `expected` is not the version in force. */
  put(tenant: string, config: TenantConfig, expected: number | undefined): Promise<StoredTenant>;
  /** null removes it. */
  setUserPolicy(user: UserKey, policy: PolicyChoice | null): Promise<void>;
  /** What a login would do under a policy, to given tokens (oldest first) or to those that a user holds. Stores nothing. */
  simulate(
    policy: PolicyChoice,
    on: { readonly user: UserKey } | { readonly tokens: readonly SimulatedToken[] },
    incoming: Incoming,
  ): Promise<{ readonly plan: Plan; readonly now: number }>;
};

export type TenantsDeps = {
  readonly tenants: TenantStore;
  readonly users: UserStore;
  readonly store: TokenStore;
  readonly ruleBook: RuleBook;
  readonly webhookRule: WebhookRule;
};

export function createTenants({ tenants, users, store, ruleBook, webhookRule }: TenantsDeps): Tenants {
  function assertPolicy(choice: PolicyChoice): void {
    const faults = ruleBook.faultsOf({ policy: choice });
    if (faults.length > 0) throw new LatchkeyError('invalid_request', { detail: faults.join('; ') });
  }

  return {
    async get(tenant) {
      return (await tenants.find(tenant)) ?? { version: 0, config: {}, unreadable: [] };
    },

    async userPolicy(user) {
      return (await store.snapshot(user)).policyOverride;
    },

    async put(tenant, config, expected) {
      const faults = [...ruleBook.faultsOf(config), ...webhookRule.faultsOf(config)];
      if (faults.length > 0) throw new LatchkeyError('invalid_request', { detail: faults.join('; ') });
      const stored = await tenants.put(tenant, config, expected);
      if (stored === undefined) throw new LatchkeyError('version_mismatch');
      return stored;
    },

    async setUserPolicy(user, policy) {
      if (policy !== null) assertPolicy(policy);
      await users.setPolicy(user, policy);
    },

    async simulate(policy, on, incoming) {
      assertPolicy(policy);
      const given = 'tokens' in on ? on.tokens : [];
      ruleBook.assertKnown(incoming.platform, 'login.platform');
      given.forEach(({ platform }, index) => ruleBook.assertKnown(platform, `tokens.${index}.platform`));
      const state = 'user' in on ? await store.snapshot(on.user) : imagine(on.tokens, store.now());
      const rules = ruleBook.loginRulesFor(incoming.platform, state.tenantRules, policy);
      if (!allows(rules.policy, incoming.platform, rules.platforms)) throw new LatchkeyError('platform_not_allowed');
      return { plan: planLogin(incoming, state, rules), now: state.now };
    },
  };
}

/** A state in which nothing ends by itself. */
function imagine(tokens: readonly SimulatedToken[], now: number): Snapshot {
  return {
    version: '',
    tokens: tokens.map((token, index): Token => {
      const nobody = { tenant: '', userId: '', deviceName: '', ip: '', userAgent: '', salt: '' };
      const times = { createdAt: now, lastSeenAt: now, rotatedAt: now, expiresAt: Infinity, accessExpiresAt: Infinity };
      return { ...nobody, ...times, ...token, seq: index, generation: 1, idleMs: 0 };
    }),
    unreadable: [],
    user: undefined,
    policyOverride: undefined,
    tenantRules: undefined,
    displacements: [],
    now,
  };
}
