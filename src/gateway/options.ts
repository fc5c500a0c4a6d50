/**
 * Owns which options exist, their ranges and defaults. A wrong one is refused with what is valid.
 */
import { createHttpFetch } from './http-fetch.ts';
import { MODES, type CheckerOptions, type Fetch, type Mode } from './types.ts';

export const ANY_TENANT = '*';

export type Settings = {
  readonly issuer: string;
  readonly url: string;
  readonly audience: string;
  readonly tenant: string;
  readonly gatewayKey: string;
  readonly mode: Mode;
  readonly maxStalenessMs: number;
  readonly cacheSize: number;
  readonly timeoutMs: number;
  readonly fetch: Fetch;
  readonly onError: (error: unknown) => void;
};

const NAMES = [
  'issuer',
  'url',
  'audience',
  'tenant',
  'gatewayKey',
  'mode',
  'maxStalenessMs',
  'cacheSize',
  'timeoutMs',
  'fetch',
  'onError',
] as const satisfies readonly (keyof CheckerOptions)[];

/** Throws a TypeError or RangeError that says what is valid. */
export function readOptions(options: CheckerOptions): Settings {
  refuseUnknown(options, NAMES);
  const issuer = text('issuer', options.issuer);
  return {
    issuer,
    url: baseUrl(options.url ?? issuer),
    audience: text('audience', options.audience ?? issuer),
    tenant: text('tenant', options.tenant ?? ANY_TENANT),
    gatewayKey: text('gatewayKey', options.gatewayKey),
    mode: oneOf('mode', options.mode, MODES),
    maxStalenessMs: whole('maxStalenessMs', options.maxStalenessMs ?? 30_000, 1_000, 3_600_000),
    cacheSize: whole('cacheSize', options.cacheSize ?? 50_000, 1, 10_000_000),
    timeoutMs: whole('timeoutMs', options.timeoutMs ?? 2_000, 100, 60_000),
    fetch: fn('fetch', options.fetch ?? createHttpFetch()),
    onError: careful(fn('onError', options.onError ?? (() => {}))),
  };
}

/** Refuses names that are no option: a misspelt one would otherwise go unnoticed. */
export function refuseUnknown(options: object, names: readonly string[]): void {
  const unknown = Object.keys(options).filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new TypeError(`unknown option ${unknown.join(', ')}; valid: ${names.join(', ')}`);
}

export function oneOf<T extends string>(name: string, value: unknown, valid: readonly T[]): T {
  if (valid.includes(value as T)) return value as T;
  throw new RangeError(`${name}: ${JSON.stringify(value)} is not known; valid: ${valid.join(', ')}`);
}

export function whole(name: string, value: unknown, min: number, max: number): number {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  throw new RangeError(`${name}: ${JSON.stringify(value)}; valid: a whole number from ${min} to ${max}`);
}

export function fn<T>(name: string, value: T): T {
  if (typeof value === 'function') return value;
  throw new TypeError(`${name}: valid: a function`);
}

export function text(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new TypeError(`${name}: valid: a text that is not empty`);
}

/** A listener of trouble that makes trouble must not stop what goes on without it. */
export function careful<A extends unknown[]>(listener: (...args: A) => void): (...args: A) => void {
  return (...args) => {
    try {
      listener(...args);
    } catch {
      // There is nobody left to tell.
    }
  };
}

/** Without a slash at the end. */
function baseUrl(value: unknown): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null;
  const isPlain = url !== null && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new TypeError('url (or issuer, when there is no url): valid: an http or https URL without query or password');
  }
  return url.href.replace(/\/+$/, '');
}
