/**
 * Owns the settings: the only reader of the settingsSchema. Reports every fault at once; no secret has a default.
 * Must not know what a setting is used for.
 */
import { isNetworkName } from './addresses.ts';
import { sentenceOf } from './contract/faults.ts';
import type { Policy } from './contract/policy.ts';
import { checkPolicy } from './domain/policies/check.ts';
import { findPreset, unknownPreset } from './domain/policies/presets.ts';
import { createPlatforms, type Platforms } from './domain/platform.ts';
import { readText } from './read-text.ts';
import { redisTargetOf } from './redis-target.ts';
import type { RedisTarget } from './redis/redis-url.ts';
import { contradictions, missingInProduction, namesNearSettings } from './setting-faults.ts';
import { settingsSchema, type LOG_LEVELS, type PASSWORD_POLICIES, type Settings } from './settings.ts';
import { reasonOf } from './system-errors.ts';
import type { SIGNING_ALGORITHMS } from './tokens/signing-keys.ts';
import type { ThrottleSettings } from './tokens/store.ts';

export type Config = {
  readonly production: boolean;
  readonly host: string;
  readonly port: number;
  /** Processes that serve the port. */
  readonly workers: number;
  /** An idle connection is closed after so long. */
  readonly keepAliveSeconds: number;
  /** Undefined: run the embedded server. */
  readonly redis: RedisTarget | undefined;
  readonly dataDir: string;
  readonly keyPrefix: string;
  readonly shards: number;
  readonly issuer: string;
  readonly audience: string;
  readonly accessTtlSeconds: number;
  readonly refreshTtlSeconds: number;
  readonly idleTtlSeconds: number;
  readonly refreshGraceSeconds: number;
  readonly platforms: Platforms;
  readonly policy: Policy;
  readonly maxPerPlatform: number;
  /** Settings that somebody has set. */
  readonly given: ReadonlySet<string>;
  /** Variables that are no setting but nearly have the name of one, each with a sentence. */
  readonly misspelt: readonly string[];
  readonly credentials:
    | { readonly kind: 'password' }
    | { readonly kind: 'delegate'; readonly url: string; readonly secret: string };
  readonly passwordPolicy: (typeof PASSWORD_POLICIES)[number];
  readonly throttle: ThrottleSettings;
  readonly maxTokensPerUser: number;
  readonly signingKeysFile: string | undefined;
  readonly signingAlg: (typeof SIGNING_ALGORITHMS)[number];
  /** Undefined outside production: made once and kept in the data folder. */
  readonly refreshSecret: string | undefined;
  readonly adminApiKey: string | undefined;
  readonly gatewayApiKey: string | undefined;
  readonly introspectionReasons: boolean;
  /** Where a tenant's webhook may lead: into the public internet alone, or anywhere. */
  readonly webhookTargets: 'public' | 'any';
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** Hops, or networks as addresses.ts names them; false = the peer's address counts. */
  readonly trustProxy: number | string[] | false;
  readonly installRedis: boolean;
  /** Where programs are looked for. */
  readonly path: string;
};

/** All that is wrong with the settings, a line each. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[], options?: ErrorOptions) {
    super(`the settings are not usable:\n${faults.map((fault) => `  ${fault}`).join('\n')}`, options);
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

/** Reads the settings; an empty value counts as not given. Throws a {@link ConfigError} that names every fault. */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = settingsSchema.safeParse(given, { error: (issue) => sentenceOf(issue) });
  const wrong = parsed.error?.issues.map((fault) => ({ name: fault.path.join('.'), message: fault.message })) ?? [];
  // What is wrong counts as not given from here on, so that the faults of all other settings show too.
  const settings =
    parsed.data ??
    settingsSchema.parse({ ...given, ...Object.fromEntries(wrong.map(({ name }) => [name, undefined])) });
  const faults: string[] = [...wrong.map(({ name, message }) => `${name}: ${message}`), ...missingInProduction(given)];
  const check = <T>(name: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      faults.push(`${name}: ${reasonOf(error)}`);
      return undefined;
    }
  };
  const platforms = check('PLATFORMS', () => readPlatforms(settings.PLATFORMS));
  const policy = check('LOGIN_POLICY', () =>
    readPolicy(settings.LOGIN_POLICY, settings.MAX_PER_PLATFORM, platforms ?? createPlatforms()),
  );
  const redis = redisTargetOf(settings, check);
  const trustProxy = check('TRUST_PROXY', () => readTrustProxy(settings.TRUST_PROXY));
  faults.push(...contradictions(settings));
  const misspelt = namesNearSettings(given);
  if (faults.length > 0) faults.push(...misspelt);
  if (faults.length > 0 || platforms === undefined || policy === undefined || trustProxy === undefined) {
    throw new ConfigError(faults);
  }
  const production = settings.NODE_ENV === 'production';
  const host = settings.HOST ?? (production ? '0.0.0.0' : '127.0.0.1');
  const issuer = settings.ISSUER ?? `http://${host.includes(':') ? `[${host}]` : host}:${settings.PORT}`;
  return {
    production,
    host,
    port: settings.PORT,
    workers: settings.WORKERS,
    keepAliveSeconds: settings.KEEP_ALIVE_SECONDS,
    redis,
    dataDir: settings.DATA_DIR,
    keyPrefix: settings.KEY_PREFIX,
    shards: settings.SHARDS,
    issuer,
    audience: settings.AUDIENCE ?? issuer,
    accessTtlSeconds: settings.ACCESS_TTL_SECONDS,
    refreshTtlSeconds: settings.REFRESH_TTL_SECONDS,
    idleTtlSeconds: settings.IDLE_TTL_SECONDS,
    refreshGraceSeconds: settings.REFRESH_GRACE_SECONDS,
    platforms,
    policy,
    maxPerPlatform: settings.MAX_PER_PLATFORM,
    given: new Set(Object.keys(given)),
    misspelt,
    credentials: credentialsOf(settings),
    passwordPolicy: settings.PASSWORD_POLICY,
    throttle: throttleOf(settings),
    maxTokensPerUser: settings.MAX_TOKENS_PER_USER,
    signingKeysFile: settings.SIGNING_KEYS_FILE,
    signingAlg: settings.SIGNING_ALG,
    refreshSecret: settings.REFRESH_SECRET,
    adminApiKey: settings.ADMIN_API_KEY,
    gatewayApiKey: settings.GATEWAY_API_KEY,
    introspectionReasons: settings.INTROSPECTION_REASONS,
    webhookTargets: settings.WEBHOOK_TARGETS ?? (production ? 'public' : 'any'),
    logLevel: settings.LOG_LEVEL,
    trustProxy,
    installRedis: settings.LATCHKEY_NO_INSTALL === '0',
    path: env['PATH'] ?? '',
  };
}

function credentialsOf({ CREDENTIALS, CREDENTIALS_URL, CREDENTIALS_SECRET }: Settings): Config['credentials'] {
  if (CREDENTIALS !== 'delegate' || CREDENTIALS_URL === undefined || CREDENTIALS_SECRET === undefined)
    return { kind: 'password' };
  return { kind: 'delegate', url: CREDENTIALS_URL, secret: CREDENTIALS_SECRET };
}

function throttleOf(settings: Settings): ThrottleSettings {
  return {
    userFailures: settings.THROTTLE_USER_FAILURES,
    addressFailures: settings.THROTTLE_ADDRESS_FAILURES,
    lockMs: settings.THROTTLE_LOCK_SECONDS * 1000,
    longestLockMs: settings.THROTTLE_MAX_LOCK_SECONDS * 1000,
    memoryMs: settings.THROTTLE_MEMORY_SECONDS * 1000,
    userLogins: settings.THROTTLE_USER_LOGINS,
    addressLogins: settings.THROTTLE_ADDRESS_LOGINS,
    windowMs: settings.THROTTLE_WINDOW_SECONDS * 1000,
  };
}

/** `tv:tv,watch:wearable`: the deployment's own platforms, each with its class. */
function readPlatforms(text: string | undefined): Platforms {
  const rows = (text?.split(',') ?? []).map((row) => {
    const [, name, platformClass] = /^\s*([a-z0-9][a-z0-9-]{0,31}):([a-z0-9][a-z0-9-]{0,31})\s*$/.exec(row) ?? [];
    if (name === undefined || platformClass === undefined) throw new RangeError('expected name:class,name:class');
    return { name, class: platformClass };
  });
  return createPlatforms(rows);
}

function readPolicy(text: string, maxPerPlatform: number, platforms: Platforms): Policy {
  const preset = findPreset(text, maxPerPlatform);
  if (preset !== undefined) return preset;
  if (!text.endsWith('.json')) throw new RangeError(unknownPreset(text, 'the path of a .json file'));
  const checked = checkPolicy(readJson(text), platforms);
  if ('faults' in checked) throw new RangeError(checked.faults.join('; '));
  return checked.policy;
}

function readJson(file: string): unknown {
  const text = readText(file);
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message would quote the content, and the wrong file may hold a secret.
    throw new RangeError(`${file} is not valid JSON`);
  }
}

function readTrustProxy(text: string | undefined): number | string[] | false {
  if (text === undefined || text === 'false' || text === '0') return false;
  if (/^\d{1,2}$/.test(text)) return Number(text);
  const names = text.split(',').map((name) => name.trim());
  if (names.every(isNetworkName)) return names;
  throw new RangeError('valid: false, the number of proxies in front, or their addresses (loopback, 10.0.0.0/8, …)');
}
