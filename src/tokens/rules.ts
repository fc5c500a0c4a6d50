/**
 * Owns the rules that a login or a refresh goes by: the user's own, else the tenant's, else the environment's.
 * Must not know how any of them is stored.
 */
import { LatchkeyError } from '../contract/errors.ts';
import { unknownValue } from '../contract/faults.ts';
import type { Policy } from '../contract/policy.ts';
import type { PolicyChoice, TenantConfig, TtlField } from '../contract/tenant-config.ts';
import { checkPolicy } from '../domain/policies/check.ts';
import { findPreset, unknownPreset } from '../domain/policies/presets.ts';
import { ADMIN_PLATFORM, type Platform, type Platforms } from '../domain/platform.ts';
import { expiryOf, type Token } from '../domain/token.ts';
import { UNREADABLE, type StoredPolicy, type StoredRules } from './stored-rules.ts';

export type Rules = {
  /** Throws `store_unreadable` where it is stored in a form that this version does not know. */
  readonly policy: Policy;
  readonly platforms: Platforms;
  /** Life of an access token. */
  readonly accessMs: number;
  /** Life of a token without a refresh. */
  readonly refreshMs: number;
  /** Unused for longer than this a token is expired; 0 = off. */
  readonly idleMs: number;
  /** Life of a token over all its refreshes; 0 = off. */
  readonly maxMs: number;
  /** Bounds every policy. */
  readonly maxTokens: number;
  /** How long a rotated refresh token still leads to its successor. */
  readonly refreshGraceMs: number;
  /** Tombstones kept of a user. */
  readonly maxTombstones: number;
  /** Absent: seats are held until the token ends. */
  readonly presence?: { readonly leaseMs: number; readonly graceMs: number };
  /** Absent: automatic logins may displace each other without end. */
  readonly war?: { readonly maxDisplacements: number; readonly windowMs: number };
};

/** What every user has room for; a tenant may want fewer. */
const MAX_TOMBSTONES = 100;

export type RuleSource = 'default' | 'environment' | 'tenant' | 'user';

/** What the environment says: the values, and which of them somebody has set. */
export type BaseRules = {
  readonly policy: Policy;
  readonly platforms: Platforms;
  readonly maxPerPlatform: number;
  readonly maxTokens: number;
  readonly refreshGraceMs: number;
  readonly ttl: Readonly<Record<TtlField, number>>;
  readonly set: ReadonlySet<'policy' | TtlField>;
};

export type RuleBook = {
  /** Throws `store_unreadable` when this version does not understand the lives that the tenant wants. */
  rulesFor(platform: Platform, tenant: StoredRules | undefined, override: StoredPolicy | undefined): Rules;
  /** Throws `store_unreadable` when this version does not understand what the login has to go by. */
  loginRulesFor(platform: Platform, tenant: StoredRules | undefined, override: StoredPolicy | undefined): Rules;
  /** Every field's value in force and where it comes from; for one user with the policy of their own. */
  effective(
    tenant: StoredRules,
    override: StoredPolicy | undefined,
  ): Readonly<Record<string, { readonly value: unknown; readonly source: RuleSource }>>;
  /** What of a tenant's rules this version cannot read: a preset that it does not have, too. */
  unreadableIn(tenant: StoredRules): readonly string[];
  /** What is wrong with a tenant's rules or a policy, in the light of this deployment's platforms and presets. */
  faultsOf(config: TenantConfig): readonly string[];
  /** Throws `invalid_request` for a platform that this deployment does not have; the message lists the valid ones. */
  assertKnown(platform: Platform, member?: string): void;
  /** The same for a login with a password: `platform_not_allowed` for the platform of admins. */
  assertForPassword(platform: Platform): void;
  /** The policy that a choice names; throws a RangeError that lists the valid ones. */
  policyOf(choice: PolicyChoice): Policy;
};

/** What a login goes by beside its policy and the lives of its token. */
const LOGIN_MEMBERS = ['tombstones', 'presence', 'war'] as const;

const TTL_FIELDS: readonly TtlField[] = ['accessSeconds', 'refreshSeconds', 'idleSeconds', 'maxSeconds'];

export function createRuleBook(base: BaseRules): RuleBook {
  const { platforms } = base;

  function policyOf(choice: PolicyChoice): Policy {
    if (typeof choice === 'string') {
      const preset = findPreset(choice, base.maxPerPlatform);
      if (preset !== undefined) return preset;
      throw new RangeError(unknownPreset(choice));
    }
    const checked = checkPolicy(choice, platforms);
    if ('faults' in checked) throw new RangeError(checked.faults.join('; '));
    return checked.policy;
  }

  /** What was checked when it was set. A platform that it names may have left the deployment since: it matches nobody. */
  function storedPolicy(choice: StoredPolicy): Policy {
    const policy = typeof choice === 'string' ? findPreset(choice, base.maxPerPlatform) : choice;
    if (policy === undefined || policy === UNREADABLE) throw unreadable('policy');
    return policy;
  }

  function rulesFor(platform: Platform, tenant: StoredRules | undefined, override: StoredPolicy | undefined): Rules {
    assertUnderstood(tenant, ['ttl']);
    const choice = override ?? tenantPolicy(tenant);
    const config = tenant?.config;
    const ms = (field: TtlField) => ttlOf(field, platform, config) * 1000;
    const { presence, war } = config ?? {};
    return {
      // Whoever asks for it goes by it: a refresh does not.
      get policy() {
        return choice === undefined ? base.policy : storedPolicy(choice);
      },
      platforms,
      accessMs: ms('accessSeconds'),
      refreshMs: ms('refreshSeconds'),
      idleMs: ms('idleSeconds'),
      maxMs: ms('maxSeconds'),
      maxTokens: base.maxTokens,
      refreshGraceMs: base.refreshGraceMs,
      maxTombstones: config?.tombstones?.maxPerUser ?? MAX_TOMBSTONES,
      ...(presence && { presence: { leaseMs: presence.leaseSeconds * 1000, graceMs: presence.graceSeconds * 1000 } }),
      ...(war && { war: { maxDisplacements: war.maxDisplacements, windowMs: war.windowSeconds * 1000 } }),
    };
  }

  function ttlOf(field: TtlField, platform: Platform | undefined, tenant: TenantConfig | undefined): number {
    const own = platform === undefined ? undefined : tenant?.ttl?.platforms?.[platform]?.[field];
    return own ?? tenant?.ttl?.[field] ?? base.ttl[field];
  }

  return {
    policyOf,

    assertKnown: (platform, member = 'platform') => assertAmong(platforms.names, platform, member),

    assertForPassword(platform) {
      const others = platforms.names.filter((name) => name !== ADMIN_PLATFORM);
      if (platform !== ADMIN_PLATFORM) return assertAmong(others, platform, 'platform');
      throw new LatchkeyError('platform_not_allowed', { detail: 'only an admin can issue a token of this platform' });
    },

    rulesFor,

    loginRulesFor(platform, tenant, override) {
      assertUnderstood(tenant, LOGIN_MEMBERS);
      // The policy too is read by now, once for all who go by it.
      return { ...rulesFor(platform, tenant, override) };
    },

    unreadableIn({ config, unreadable: names }) {
      const { policy } = config;
      const isUnknown = typeof policy === 'string' && findPreset(policy, base.maxPerPlatform) === undefined;
      return isUnknown ? [...names, 'policy'] : names;
    },

    effective(stored, override) {
      const tenant = stored.config;
      const policy = tenantPolicy(stored);
      const field = (value: unknown, own: unknown, name: 'policy' | TtlField) => {
        const above: RuleSource = base.set.has(name) ? 'environment' : 'default';
        return { value, source: own === undefined ? above : ('tenant' as const) };
      };
      return {
        policy:
          override === undefined
            ? field(shown(policy ?? base.policy.name), policy, 'policy')
            : { value: shown(override), source: 'user' },
        ...Object.fromEntries(
          TTL_FIELDS.map((name) => [`ttl.${name}`, field(ttlOf(name, undefined, tenant), tenant?.ttl?.[name], name)]),
        ),
        ...Object.fromEntries(
          Object.entries(tenant?.ttl?.platforms ?? {}).flatMap(([platform, own]) =>
            Object.entries(own).map(([name, value]) => [
              `ttl.platforms.${platform}.${name}`,
              { value, source: 'tenant' as const },
            ]),
          ),
        ),
        'tombstones.maxPerUser': {
          value: tenant?.tombstones?.maxPerUser ?? MAX_TOMBSTONES,
          source: tenant?.tombstones === undefined ? 'default' : 'tenant',
        },
        presence: offUnlessSet(tenant?.presence),
        war: offUnlessSet(tenant?.war),
      };
    },

    faultsOf(config) {
      const faults: string[] = [];
      try {
        if (config.policy !== undefined) policyOf(config.policy);
      } catch (error) {
        faults.push(`policy: ${error instanceof Error ? error.message : ''}`);
      }
      for (const name of Object.keys(config.ttl?.platforms ?? {})) {
        if (!platforms.has(name)) faults.push(`ttl.platforms: ${unknownValue('platform', name, platforms.names)}`);
      }
      for (const platform of [undefined, ...Object.keys(config.ttl?.platforms ?? {})]) {
        if (ttlOf('accessSeconds', platform, config) > ttlOf('refreshSeconds', platform, config)) {
          const place = platform === undefined ? 'ttl' : `ttl.platforms.${platform}`;
          faults.push(`${place}.accessSeconds: an access token cannot outlive its token (refreshSeconds)`);
        }
      }
      return faults;
    },
  };
}

function tenantPolicy(tenant: StoredRules | undefined): StoredPolicy | undefined {
  return tenant?.unreadable.includes('policy') ? UNREADABLE : tenant?.config.policy;
}

/** Rules that are there and not understood must not pass for absent ones. */
function assertUnderstood(tenant: StoredRules | undefined, members: readonly (keyof TenantConfig)[]): void {
  const unread = members.find((member) => tenant?.unreadable.includes(member));
  if (unread !== undefined) throw unreadable(unread);
}

function unreadable(member: keyof TenantConfig): LatchkeyError {
  return new LatchkeyError('store_unreadable', {
    detail: `${member}: stored in a form that this version does not know`,
  });
}

function shown(policy: StoredPolicy): PolicyChoice | null {
  return policy === UNREADABLE ? null : policy;
}

function assertAmong(valid: readonly Platform[], platform: Platform, member: string): void {
  if (valid.includes(platform)) return;
  throw new LatchkeyError('invalid_request', { detail: `${member}: ${unknownValue('platform', platform, valid)}` });
}

function offUnlessSet(own: unknown): { readonly value: unknown; readonly source: RuleSource } {
  return { value: own ?? null, source: own === undefined ? 'default' : 'tenant' };
}

/**
 * Ends of a token signed now. The access token never ends after the token, nor after the moment at which the token is
 * expired if it is not used from now on; the token never after its absolute life.
 */
export function expiriesOf(rules: Rules, now: number, createdAt: number): Pick<Token, 'expiresAt' | 'accessExpiresAt'> {
  const wanted = now + rules.refreshMs;
  const expiresAt = rules.maxMs > 0 ? Math.min(wanted, createdAt + rules.maxMs) : wanted;
  return { expiresAt, accessExpiresAt: accessEndOf(rules, { expiresAt, idleMs: rules.idleMs }, now) };
}

/** End of an access token signed now for a token that ends so: on a full second, as `exp` has no smaller unit. */
export function accessEndOf(rules: Rules, token: Pick<Token, 'expiresAt' | 'idleMs'>, now: number): number {
  return Math.min(toSecond(now) + rules.accessMs, toSecond(expiryOf({ ...token, lastSeenAt: now })));
}

function toSecond(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}
