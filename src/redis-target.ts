/**
 * Owns how the settings that begin with REDIS_ become one target. Reads the files that they name; must not connect.
 */
import { readText } from './read-text.ts';
import {
  parseAddressMap,
  parseRedisUrl,
  type Credentials,
  type RedisTarget,
  type TlsFiles,
} from './redis/redis-url.ts';
import type { Settings } from './settings.ts';

/** Reads one setting, and takes note of its name when that throws. */
export type Check = <T>(name: string, read: () => T) => T | undefined;

const TLS_SETTINGS = { ca: 'REDIS_TLS_CA', cert: 'REDIS_TLS_CERT', key: 'REDIS_TLS_KEY' } as const;

/** Undefined without REDIS_URL, and when something is wrong, which `check` has heard of. */
export function redisTargetOf(settings: Settings, check: Check): RedisTarget | undefined {
  const target = check('REDIS_URL', () =>
    settings.REDIS_URL === undefined ? undefined : parseRedisUrl(settings.REDIS_URL),
  );
  const tlsFiles = readTlsFiles(settings, target, check);
  const addressMap = check('REDIS_ADDRESS_MAP', () => readAddressMap(settings.REDIS_ADDRESS_MAP, target));
  const sentinelCredentials = readSentinelCredentials(settings, target, check);
  if (target === undefined || target.kind === 'socket') return target;
  return {
    ...target,
    ...(tlsFiles && { tlsFiles }),
    ...(addressMap && { addressMap }),
    ...(sentinelCredentials && { sentinelCredentials }),
  };
}

function readTlsFiles(settings: Settings, target: RedisTarget | undefined, check: Check): TlsFiles | undefined {
  const files: Partial<Record<keyof TlsFiles, string>> = {};
  for (const [part, name] of Object.entries(TLS_SETTINGS) as [keyof TlsFiles, (typeof TLS_SETTINGS)['ca']][]) {
    const path = settings[name];
    if (path === undefined) continue;
    const text = check(name, () => {
      if (!(target && 'tls' in target && target.tls)) throw new RangeError('holds for a REDIS_URL with rediss alone');
      return readText(path);
    });
    if (text !== undefined) files[part] = text;
  }
  check('REDIS_TLS_KEY', () => {
    if ((settings.REDIS_TLS_CERT === undefined) !== (settings.REDIS_TLS_KEY === undefined)) {
      throw new RangeError('a client certificate has both, REDIS_TLS_CERT and REDIS_TLS_KEY');
    }
  });
  return Object.keys(files).length === 0 ? undefined : files;
}

function readAddressMap(text: string | undefined, target: RedisTarget | undefined) {
  if (text === undefined) return undefined;
  if (target?.kind !== 'cluster' && target?.kind !== 'sentinel')
    throw new RangeError('holds for a Cluster and for Sentinels alone: others announce no addresses');
  return parseAddressMap(text);
}

function readSentinelCredentials(settings: Settings, target: RedisTarget | undefined, check: Check) {
  const { REDIS_SENTINEL_USERNAME: username, REDIS_SENTINEL_PASSWORD: password } = settings;
  if (username === undefined && password === undefined) return undefined;
  return check('REDIS_SENTINEL_PASSWORD', (): Credentials => {
    if (target?.kind !== 'sentinel') throw new RangeError('holds for a REDIS_URL with sentinel alone');
    if (password === undefined) throw new RangeError('must be given with REDIS_SENTINEL_USERNAME');
    return { password, ...(username && { username }) };
  });
}
