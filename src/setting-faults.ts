/**
 * Owns what is wrong with settings that are right each by itself: what production lacks, what contradicts what, and names
 * that are none. Must not repeat a value that may be secret.
 */
import { nearestName } from './contract/nearest-name.ts';
import { TTL_BOUNDS } from './contract/tenant-config.ts';
import { SETTINGS, type Settings } from './settings.ts';

const MIN_IDLE_SECONDS = TTL_BOUNDS.idleSeconds.min;

export function missingInProduction(given: Readonly<Record<string, string | undefined>>): string[] {
  if (given['NODE_ENV'] !== 'production') return [];
  return ['REDIS_URL', 'ISSUER', 'SIGNING_KEYS_FILE', 'REFRESH_SECRET', 'ADMIN_API_KEY', 'GATEWAY_API_KEY']
    .filter((name) => given[name] === undefined)
    .map((name) => `${name}: must be given in production`);
}

/** Container platforms add variables of their own, so a name that is near one of ours is a hint and no fault. */
export function namesNearSettings(given: object): string[] {
  return Object.keys(given).flatMap((name) => {
    const meant = SETTINGS.includes(name) ? undefined : nearestName(name, SETTINGS);
    return meant === undefined ? [] : [`${name}: is no setting; was ${meant} meant?`];
  });
}

export function contradictions(settings: Settings): string[] {
  const faults: string[] = [];
  if (settings.ACCESS_TTL_SECONDS > settings.REFRESH_TTL_SECONDS) {
    faults.push('ACCESS_TTL_SECONDS: an access token cannot outlive its token (REFRESH_TTL_SECONDS)');
  }
  if (settings.IDLE_TTL_SECONDS > 0 && settings.IDLE_TTL_SECONDS < MIN_IDLE_SECONDS) {
    faults.push(`IDLE_TTL_SECONDS: 0 (off) or at least ${MIN_IDLE_SECONDS}, as use is noted once a minute`);
  }
  const keys = [
    settings.REFRESH_SECRET,
    settings.ADMIN_API_KEY,
    settings.GATEWAY_API_KEY,
    settings.CREDENTIALS_SECRET,
  ].filter((key) => key !== undefined);
  if (new Set(keys).size < keys.length) {
    faults.push('REFRESH_SECRET, ADMIN_API_KEY, GATEWAY_API_KEY, CREDENTIALS_SECRET: must differ from each other');
  }
  if (settings.CREDENTIALS === 'delegate') {
    if (settings.CREDENTIALS_URL === undefined)
      faults.push('CREDENTIALS_URL: must be given when CREDENTIALS is delegate');
    if (/^[^/]*\/\/[^/]*@/.test(settings.CREDENTIALS_URL ?? ''))
      faults.push('CREDENTIALS_URL: must not hold a user or password');
    if (settings.CREDENTIALS_SECRET === undefined)
      faults.push('CREDENTIALS_SECRET: must be given when CREDENTIALS is delegate');
  }
  if (settings.THROTTLE_MAX_LOCK_SECONDS < settings.THROTTLE_LOCK_SECONDS) {
    faults.push('THROTTLE_MAX_LOCK_SECONDS: the longest lock cannot be shorter than the first (THROTTLE_LOCK_SECONDS)');
  }
  return faults;
}
