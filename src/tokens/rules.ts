/**
 * Owns the rules that a login or a refresh goes by: the user's own, else the tenant's, else the environment's.
 * Must not know how any of them is stored.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { Policy } from '../contract/policy.ts';
import type { PolicyChoice, TenantConfig, TtlField } from '../contract/tenant-config.ts';
import { checkPolicy } from '../domain/policies/check.ts';
import { findPreset, presets } from '../domain/policies/presets.ts';
import type { Platform, Platforms } from '../domain/platform.ts';
import { expiryOf, type Token } from '../domain/token.ts';

export type Rules = {
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
  rulesFor(platform: Platform, tenant: TenantConfig | undefined, override: PolicyChoice | undefined): Rules;
  /** Every field's value in force and where it comes from; for one user with the policy of their own. */
  effective(
    tenant: TenantConfig | undefined,
    override: PolicyChoice | undefined,
  ): Readonly<Record<string, { readonly value: unknown; readonly source: RuleSource }>>;
  /** What is wrong with a tenant's rules or a policy, in the light of this deployment's platforms and presets. */
  faultsOf(config: TenantConfig): readonly string[];
  /** Throws `invalid_request` for a platform that this deployment does not have. */
  assertKnown(platform: Platform): void;
  /** The policy that a choice names; throws a RangeError that lists the valid ones. */
  policyOf(choice: PolicyChoice): Policy;
};

const TTL_FIELDS: readonly TtlField[] = ['accessSeconds', 'refreshSeconds', 'idleSeconds', 'maxSeconds'];

export function createRuleBook(base: BaseRules): RuleBook {
  const { platforms } = base;

  function policyOf(choice: PolicyChoice): Policy {
    if (typeof choice === 'string') {
      const preset = findPreset(choice, base.maxPerPlatform);
      if (preset !== undefined) return preset;
      throw new RangeError(
        `unknown policy "${choice}"; valid: ${presets(base.maxPerPlatform)
          .map(({ name }) => name)
          .join(', ')}`,
      );
    }
    const checked = checkPolicy(choice, platforms);
    if ('faults' in checked) throw new RangeError(checked.faults.join('; '));
    return checked.policy;
  }

  /** What was checked when it was set. A platform that it names may have left the deployment since: it matches nobody. */
  function storedPolicy(choice: PolicyChoice): Policy {
    return typeof choice === 'string' ? policyOf(choice) : choice;
  }

  function ttlOf(field: TtlField, platform: Platform | undefined, tenant: TenantConfig | undefined): number {
    const own = platform === undefined ? undefined : tenant?.ttl?.platforms?.[platform]?.[field];
    return own ?? tenant?.ttl?.[field] ?? base.ttl[field];
  }

  return {
    policyOf,

    assertKnown(platform) {
      if (platforms.has(platform)) return;
      throw new LatchkeyError('invalid_request', { detail: `unknown platform; valid: ${platforms.names.join(', ')}` });
    },

    rulesFor(platform, tenant, override) {
      const choice = override ?? tenant?.policy;
      const ms = (field: TtlField) => ttlOf(field, platform, tenant) * 1000;
      const { presence, war } = tenant ?? {};
      return {
        policy: choice === undefined ? base.policy : storedPolicy(choice),
        platforms,
        accessMs: ms('accessSeconds'),
        refreshMs: ms('refreshSeconds'),
        idleMs: ms('idleSeconds'),
        maxMs: ms('maxSeconds'),
        maxTokens: base.maxTokens,
        refreshGraceMs: base.refreshGraceMs,
        maxTombstones: tenant?.tombstones?.maxPerUser ?? MAX_TOMBSTONES,
        ...(presence && { presence: { leaseMs: presence.leaseSeconds * 1000, graceMs: presence.graceSeconds * 1000 } }),
        ...(war && { war: { maxDisplacements: war.maxDisplacements, windowMs: war.windowSeconds * 1000 } }),
      };
    },

    effective(tenant, override) {
      const field = (value: unknown, own: unknown, name: 'policy' | TtlField) => {
        const above: RuleSource = base.set.has(name) ? 'environment' : 'default';
        return { value, source: own === undefined ? above : ('tenant' as const) };
      };
      return {
        policy:
          override === undefined
            ? field(tenant?.policy ?? base.policy.name, tenant?.policy, 'policy')
            : { value: override, source: 'user' },
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
        if (!platforms.has(name))
          faults.push(`ttl.platforms: unknown platform "${name}"; valid: ${platforms.names.join(', ')}`);
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
