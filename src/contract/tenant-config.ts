/**
 * Owns the written form of a tenant's rules. Every field is optional: what is absent follows the environment.
 * Must not know which platforms or presets exist.
 */
import { z } from 'zod';
import { EVENT_TYPES } from './event-types.ts';
import { expecting } from './faults.ts';
import { policySchema } from './policy.ts';

/** Bounds of every life, wherever it is set: settings and tenants obey the same. */
export const TTL_BOUNDS = {
  accessSeconds: { min: 10, max: 604_800 },
  refreshSeconds: { min: 60, max: 315_360_000 },
  /** 0 = off; use is noted once a minute, so less than two makes no sense. */
  idleSeconds: { min: 120, max: 315_360_000 },
  maxSeconds: { min: 60, max: 315_360_000 },
} as const;

type Bounds = { readonly min: number; readonly max: number };
const seconds = ({ min, max }: Bounds) => z.int().min(min).max(max);
const secondsOrOff = ({ min, max }: Bounds) =>
  expecting(
    `0 (off) or a whole number from ${min} to ${max}`,
    z
      .int()
      .min(0)
      .max(max)
      .refine((value) => value === 0 || value >= min),
  );

const ttlFields = {
  accessSeconds: seconds(TTL_BOUNDS.accessSeconds).optional(),
  refreshSeconds: seconds(TTL_BOUNDS.refreshSeconds).optional(),
  idleSeconds: secondsOrOff(TTL_BOUNDS.idleSeconds).optional(),
  maxSeconds: secondsOrOff(TTL_BOUNDS.maxSeconds).optional(),
};

/** A preset's name, an OpenIM number, or the policy itself. */
export const policyChoiceSchema = expecting(
  'the name of a preset, the number of an OpenIM policy as a text, or a policy: an object of name, limits',
  z.union([z.string().min(1).max(64), policySchema]),
);

const MAX_URL_LENGTH = 2048;

/** Where the events of a tenant are sent. Every node calls it, so it must say nothing that is not to be kept. */
const webhookUrl = expecting(
  `an http or https URL of at most ${MAX_URL_LENGTH} characters`,
  z
    .string()
    .max(MAX_URL_LENGTH)
    .refine((text) => ['http:', 'https:'].includes(urlOf(text)?.protocol ?? ''))
    .refine((text) => !hasUserInfo(urlOf(text)), 'must not hold a user or password')
    .refine((text) => !text.includes('#'), 'must not have a fragment')
    // Kept and signed as given: what URL readers leave out would stand in `aud`.
    .refine((text) => !/[\s\p{Cc}\p{Cs}]/u.test(text), 'must not have blanks or control characters'),
).meta({ format: 'uri' });

export const webhookSchema = z
  .strictObject({
    url: webhookUrl,
    types: z.array(z.enum(EVENT_TYPES)).min(1).max(EVENT_TYPES.length).optional().describe('Only these; absent = all.'),
  })
  .meta({ id: 'Webhook' });

// Strict, like policies: a misspelled rule must not pass for a missing one.
export const tenantConfigSchema = z
  .strictObject({
    policy: policyChoiceSchema.optional(),
    ttl: z
      .strictObject({
        ...ttlFields,
        platforms: z.record(z.string().min(1).max(32), z.strictObject(ttlFields)).optional().describe('Per platform.'),
      })
      .optional(),
    tombstones: z
      .strictObject({ maxPerUser: z.int().min(0).max(100) })
      .optional()
      .describe('How many ended tokens of a user are kept to tell their devices why; default 100.'),
    presence: z
      .strictObject({ leaseSeconds: z.int().min(1).max(86_400), graceSeconds: z.int().min(0).max(86_400) })
      .optional()
      .describe('Absent = off.'),
    war: z
      .strictObject({ maxDisplacements: z.int().min(1).max(20), windowSeconds: z.int().min(1).max(3600) })
      .optional()
      .describe('Absent = off.'),
    webhook: webhookSchema.optional().describe('Who is told of the tenant’s events. Absent = nobody.'),
  })
  .meta({ id: 'TenantConfig' });

function urlOf(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

function hasUserInfo(url: URL | undefined): boolean {
  return url !== undefined && (url.username !== '' || url.password !== '');
}

export type PolicyChoice = z.infer<typeof policyChoiceSchema>;
export type Webhook = z.infer<typeof webhookSchema>;
export type TenantConfig = z.infer<typeof tenantConfigSchema>;
export type TtlField = keyof typeof TTL_BOUNDS;
