/**
 * Owns the names, bounds and defaults of all settings. Must not know what they mean together (config.ts) or who reads them.
 * No secret has a default.
 */
import { z } from 'zod';
import { TTL_BOUNDS } from './contract/tenant-config.ts';
import { DEFAULT_MAX_PER_PLATFORM, DEFAULT_POLICY_NAME } from './domain/policies/presets.ts';
import { SIGNING_ALGORITHMS } from './tokens/signing-keys.ts';

const MODES = ['development', 'test', 'production'] as const;
/** What new passwords must not be. */
export const PASSWORD_POLICIES = ['not-common', 'off'] as const;
const YES_NO = { true: true, false: false } as const;
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const whole = (min: number, max: number, byDefault: number) =>
  z
    .string()
    .regex(/^\d+$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.int().min(min, `at least ${min}`).max(max, `at most ${max}`))
    .default(byDefault);

const yesNo = (byDefault: boolean) =>
  z
    .enum(['true', 'false'], 'valid: true, false')
    .transform((text) => YES_NO[text])
    .default(byDefault);

const secret = z.string().min(32, 'at least 32 characters');

/** Sent in a header, which carries nothing else as it is. The message must not repeat the key. */
const apiKey = secret.regex(/^[!-~]*$/, 'only visible ASCII characters, no blanks: callers send it in a header');

export const settingsSchema = z.object({
  NODE_ENV: z.enum(MODES, `valid: ${MODES.join(', ')}`).optional(),
  HOST: z.string().min(1).optional(),
  PORT: whole(0, 65_535, 3000),
  WORKERS: whole(1, 64, 1),
  KEEP_ALIVE_SECONDS: whole(1, 3600, 75),
  REDIS_URL: z.string().optional(),
  REDIS_TLS_CA: z.string().min(1).optional(),
  REDIS_TLS_CERT: z.string().min(1).optional(),
  REDIS_TLS_KEY: z.string().min(1).optional(),
  REDIS_SENTINEL_USERNAME: z.string().min(1).optional(),
  REDIS_SENTINEL_PASSWORD: z.string().min(1).optional(),
  REDIS_ADDRESS_MAP: z.string().min(1).optional(),
  DATA_DIR: z.string().min(1).default('.latchkey'),
  KEY_PREFIX: z
    .string()
    .regex(/^[\w.-]{1,32}$/, '1-32 letters, digits, ".", "-" or "_"')
    .default('lk'),
  SHARDS: whole(1, 1024, 64),
  // RFC 8414 section 2.
  ISSUER: z
    .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
    .regex(/^[^?#]*$/, 'without a query and without a fragment')
    .optional(),
  AUDIENCE: z.string().min(1).max(256).optional(),
  ACCESS_TTL_SECONDS: whole(TTL_BOUNDS.accessSeconds.min, TTL_BOUNDS.accessSeconds.max, 900),
  REFRESH_TTL_SECONDS: whole(TTL_BOUNDS.refreshSeconds.min, TTL_BOUNDS.refreshSeconds.max, 2_592_000),
  IDLE_TTL_SECONDS: whole(0, TTL_BOUNDS.idleSeconds.max, 0),
  REFRESH_GRACE_SECONDS: whole(0, 300, 10),
  LOGIN_POLICY: z.string().min(1).default(DEFAULT_POLICY_NAME),
  MAX_PER_PLATFORM: whole(1, 100, DEFAULT_MAX_PER_PLATFORM),
  MAX_TOKENS_PER_USER: whole(1, 1000, 100),
  PLATFORMS: z.string().optional(),
  CREDENTIALS: z.enum(['password', 'delegate'], 'valid: password, delegate').default('password'),
  CREDENTIALS_URL: z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }).optional(),
  CREDENTIALS_SECRET: secret.optional(),
  PASSWORD_POLICY: z.enum(PASSWORD_POLICIES, `valid: ${PASSWORD_POLICIES.join(', ')}`).default('not-common'),
  THROTTLE_USER_FAILURES: whole(0, 1000, 5),
  THROTTLE_ADDRESS_FAILURES: whole(0, 100_000, 50),
  THROTTLE_LOCK_SECONDS: whole(1, 3600, 30),
  THROTTLE_MAX_LOCK_SECONDS: whole(1, 86_400, 900),
  THROTTLE_MEMORY_SECONDS: whole(60, 604_800, 3600),
  THROTTLE_USER_LOGINS: whole(0, 100_000, 60),
  THROTTLE_ADDRESS_LOGINS: whole(0, 1_000_000, 1200),
  THROTTLE_WINDOW_SECONDS: whole(1, 3600, 60),
  SIGNING_KEYS_FILE: z.string().min(1).optional(),
  SIGNING_ALG: z.enum(SIGNING_ALGORITHMS, `valid: ${SIGNING_ALGORITHMS.join(', ')}`).default('EdDSA'),
  REFRESH_SECRET: secret.optional(),
  ADMIN_API_KEY: apiKey.optional(),
  GATEWAY_API_KEY: apiKey.optional(),
  INTROSPECTION_REASONS: yesNo(true),
  WEBHOOK_TARGETS: z.enum(['public', 'any'], 'valid: public, any').optional(),
  LOG_LEVEL: z.enum(LOG_LEVELS, `valid: ${LOG_LEVELS.join(', ')}`).default('info'),
  TRUST_PROXY: z.string().optional(),
  LATCHKEY_NO_INSTALL: z.enum(['0', '1'], 'valid: 0, 1').default('0'),
});

export type Settings = z.infer<typeof settingsSchema>;

/** Names of all settings, as `.env.example` lists them. */
export const SETTINGS = Object.keys(settingsSchema.shape);
