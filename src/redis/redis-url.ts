/**
 * Owns the forms of an address of Redis: one server, a Cluster, Sentinels, a socket. Must not connect, and never repeats an
 * address in what it complains of, as it may hold a password.
 */

export type HostPort = { readonly host: string; readonly port: number };
export type Credentials = { readonly username?: string; readonly password?: string };

/** PEM texts, as `node:tls` takes them; without `ca` the authorities that Node trusts hold. */
export type TlsFiles = { readonly ca?: string; readonly cert?: string; readonly key?: string };

/** Announced address -> the one by which it is reached from here, both as `host:port`. */
export type AddressMap = Readonly<Record<string, HostPort>>;

type Encrypted = { readonly tls: boolean; readonly tlsFiles?: TlsFiles };
type Announced = { readonly addressMap?: AddressMap };

export type RedisTarget =
  | ({ readonly kind: 'server'; readonly db: number } & Encrypted & HostPort & Credentials)
  | ({ readonly kind: 'cluster'; readonly nodes: readonly HostPort[] } & Encrypted & Announced & Credentials)
  | ({
      readonly kind: 'sentinel';
      readonly nodes: readonly HostPort[];
      readonly name: string;
      readonly db: number;
      /** For the Sentinels themselves; `username` and `password` are for the Redis that they name. */
      readonly sentinelCredentials?: Credentials;
    } & Encrypted &
      Announced &
      Credentials)
  | ({ readonly kind: 'socket'; readonly path: string; readonly db: number } & Credentials);

const FORMS = 'redis://host:port/db, redis+cluster://h:p,h:p, redis+sentinel://h:p,h:p/name/db or unix:///path?db=0';
const SCHEMES = `expected ${FORMS}, with rediss in place of redis for TLS`;
const SCHEME = /^([a-z+]+):\/\/(.*)$/is;
const SERVERS = /^redis(s?)(?:\+(cluster|sentinel))?$/;
const REST = /^(?:([^@/?#]*)@)?([^@/?#]*)((?:\/[^@?#]*)?)$/;

/**
 * Reads `redis://`, `redis+cluster://h:p,h:p`, `redis+sentinel://h:p,h:p/name/db`, each with `rediss` for TLS and with
 * `user:password@` (percent-encoded, RFC 3986 section 2.1) before the hosts, and `unix://user:password@/path?db=0`. Schemes
 * count without regard to case. Throws a RangeError with a sentence that says what is expected.
 *
 * @example parseRedisUrl('rediss://app:s%40fe@redis.internal:6380/2').kind // 'server'
 */
export function parseRedisUrl(url: string): RedisTarget {
  const [, scheme = '', rest = ''] = SCHEME.exec(url) ?? [];
  if (scheme.toLowerCase() === 'unix') return parseSocket(rest);
  const [, secure, shape] = SERVERS.exec(scheme.toLowerCase()) ?? [];
  if (secure === undefined) throw new RangeError(SCHEMES);
  const [, userInfo, hosts, path] = REST.exec(rest) ?? [];
  if (hosts === undefined || path === undefined) throw new RangeError(unreadable(rest));
  const login = parseCredentials(userInfo);
  const tls = secure === 's';
  const nodes = parseHosts(hosts, shape === 'sentinel' ? 26_379 : 6379);
  const [first, ...more] = nodes;
  const steps = path.split('/').slice(1).map(decode);
  if (shape === 'cluster') {
    if (steps.join('') !== '') throw new RangeError('a Cluster has no databases: nothing may follow the hosts');
    return { kind: 'cluster', tls, nodes, ...login };
  }
  if (shape === 'sentinel') {
    const [name = '', db, ...beyond] = steps;
    if (name === '') throw new RangeError('the name of the master is missing: redis+sentinel://h:p,h:p/name');
    return { kind: 'sentinel', tls, nodes, name, db: parseDatabase(db, beyond), ...login };
  }
  if (more.length > 0) throw new RangeError('several hosts need redis+cluster:// or redis+sentinel://');
  const [db, ...beyond] = steps;
  return { kind: 'server', tls, db: parseDatabase(db, beyond), ...first, ...login };
}

function parseSocket(rest: string): RedisTarget {
  const [, userInfo, path = '', db] = /^(?:([^@/?#]*)@)?(\/[^?#]*)(?:\?db=(\d+))?$/.exec(rest) ?? [];
  if (path === '') throw new RangeError('expected unix:///path, unix://user:password@/path or unix:///path?db=0');
  return { kind: 'socket', path: decode(path), db: parseDatabase(db, []), ...parseCredentials(userInfo) };
}

/** What is most likely wrong with an address that has a known scheme. */
function unreadable(rest: string): string {
  const hasPassword = rest.includes('@');
  if (hasPassword) return 'percent-encode user and password: @ / ? # and % of theirs are %40 %2F %3F %23 and %25';
  return `expected ${FORMS}, without a query or a fragment`;
}

function parseDatabase(db: string | undefined, beyond: readonly string[]): number {
  if (beyond.length === 0 && (db === undefined || db === '')) return 0;
  if (beyond.length > 0 || !/^\d{1,9}$/.test(db ?? '')) throw new RangeError('a database is a number');
  return Number(db);
}

function parseHosts(hosts: string, defaultPort: number): [HostPort, ...HostPort[]] {
  const [first = '', ...more] = hosts.split(',');
  return [parseHost(first, defaultPort), ...more.map((text) => parseHost(text, defaultPort))];
}

/** `host`, `host:port`, `[::1]:port`. */
function parseHost(text: string, defaultPort: number): HostPort {
  const [, host, port] = /^(\[[0-9a-f:]+\]|[^:?#\s[\]]+)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  if (host === undefined || Number(port ?? 0) > 65_535) throw new RangeError('a host is host or host:port');
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port ?? defaultPort) };
}

function parseCredentials(userInfo: string | undefined): Credentials {
  if (!userInfo) return {};
  const cut = userInfo.indexOf(':');
  const username = decode(cut < 0 ? userInfo : userInfo.slice(0, cut));
  const password = cut < 0 ? '' : decode(userInfo.slice(cut + 1));
  return { ...(username && { username }), ...(password && { password }) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RangeError('percent-encode user, password and path: a % that stands for itself is %25');
  }
}

/**
 * Reads `announced=reachable,…`, each a `host:port`: for a Cluster or Sentinels that announce addresses which are not those
 * by which they are reached, as behind NAT. Throws a RangeError.
 *
 * @example parseAddressMap('10.0.0.1:6379=localhost:7001')
 */
export function parseAddressMap(text: string): AddressMap {
  return Object.fromEntries(
    text.split(',').map((pair) => {
      const [announced = '', reachable = '', ...beyond] = pair.trim().split('=');
      const hasPorts = [announced, reachable].every((side) => /:\d{1,5}$/.test(side));
      if (!hasPorts || beyond.length > 0) throw new RangeError('expected announced-host:port=reachable-host:port,…');
      const { host, port } = parseHost(announced, 0);
      return [`${host}:${port}`, parseHost(reachable, 0)];
    }),
  );
}
