/**
 * Owns how IP addresses are read: one normal form for all spellings, the network that counts as one client, the networks of
 * a setting, and whether an address is one of the public internet. Must not know who asks: http, redis, outbound and the
 * settings may import it.
 */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Network = readonly [Address, number];

/** RFC 6052 section 2.1, the well-known prefix of NAT64: its last 32 bits are an IPv4 address. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');
/** RFC 4291 section 2.4: all that is given out as global unicast so far. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');
/** RFC 4291 section 2.5.4: one customer has a /64 or more. */
const GROUPS_OF_A_NETWORK = 4;
const MAPPED_BITS = 96;
/** RFC 4291 section 2.2: the last two groups of IPv6 as IPv4. */
const DOTTED_TAIL = /:(\d+\.\d+\.\d+\.\d+)$/;

/** Networks that go by a name in `TRUST_PROXY`. */
const NAMED_NETWORKS: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/**
 * The one spelling of an address: IPv4 with four decimal parts, also where it stands inside of IPv6 (mapped, or NAT64 as RFC
 * 6052 has it), IPv6 as RFC 5952 writes it. Undefined: no address, or one with a zone, which means something on its own host
 * alone.
 *
 * @example normalAddress('::ffff:c633:6408') // '198.51.100.8'
 */
export function normalAddress(text: string): string | undefined {
  const address = read(text);
  return address && textOf(embedded(address));
}

/**
 * What counts as one client: an IPv4 address, the /64 of an IPv6 address. What is no address is itself.
 *
 * @example networkOf('2001:db8:1:2::9') // '2001:db8:1:2'
 */
export function networkOf(text: string): string {
  const address = read(text.replace(/%.*$/, ''));
  if (address === undefined) return text;
  const whose = embedded(address);
  if (whose.kind() === 'ipv4') return textOf(whose);
  const { parts } = whose as ipaddr.IPv6;
  return parts
    .slice(0, GROUPS_OF_A_NETWORK)
    .map((group) => group.toString(16))
    .join(':');
}

/**
 * Whether an address is a unicast address of the public internet: not private, loopback, link-local, multicast, reserved,
 * or of a transition mechanism that leads who knows where (6to4, Teredo). Of NAT64 it is the IPv4 address that counts.
 *
 * @example isPublicAddress('169.254.169.254') // false
 */
export function isPublicAddress(text: string): boolean {
  const address = read(text);
  if (address === undefined) return false;
  const target = embedded(address);
  if (target.range() !== 'unicast') return false;
  return target.kind() === 'ipv4' || target.match(GLOBAL_UNICAST);
}

/** Whether it names networks: `loopback`, `linklocal`, `uniquelocal`, an address, or `address/bits`. */
export function isNetworkName(text: string): boolean {
  return networksOf(text) !== undefined;
}

/**
 * Tells whether an address lies in one of these networks. A mapped IPv4 address is that IPv4 address; NAT64 is a network of
 * its own here, as trust goes by what is written. Throws a `RangeError` on a name that {@link isNetworkName} refuses.
 */
export function createNetworkList(names: readonly string[]): (address: string) => boolean {
  const networks = names.flatMap((name) => {
    const known = networksOf(name);
    if (known === undefined) throw new RangeError(`"${name}" is no network`);
    return known;
  });
  return (text) => {
    const given = read(text);
    if (given === undefined) return false;
    const address = unmapped(given);
    return networks.some((network) => isIn(address, network));
  };
}

function isIn(address: Address, [network, bits]: Network): boolean {
  return address.kind() === network.kind() && address.match(network, bits);
}

function networksOf(name: string): readonly Network[] | undefined {
  const named = Object.hasOwn(NAMED_NETWORKS, name) ? (NAMED_NETWORKS[name] ?? []) : [name];
  const networks = named.map(networkFrom);
  return networks.every((network) => network !== undefined) ? networks : undefined;
}

function networkFrom(text: string): Network | undefined {
  const [given = '', bitsGiven, ...rest] = text.split('/');
  const address = read(given);
  if (address === undefined || rest.length > 0) return undefined;
  const longest = address.kind() === 'ipv4' ? 32 : 128;
  const bits = Number(bitsGiven ?? longest);
  if (!/^[1-9]\d{0,2}$/.test(bitsGiven ?? String(longest)) || bits > longest) return undefined;
  const inner = unmapped(address);
  return inner === address || bits <= MAPPED_BITS ? [address, bits] : [inner, bits - MAPPED_BITS];
}

/** Node says what is an address: it takes neither octal nor short forms of IPv4, which others read in other ways. */
function read(text: string): Address | undefined {
  if (isIP(text) === 0 || text.includes('%')) return undefined;
  // ipaddr.js takes ::1.2.3.4 for a mapped address, which it is not.
  return ipaddr.parse(text.replace(DOTTED_TAIL, (_, four: string) => `:${hexOf(four)}`));
}

function hexOf(four: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.parse(four).octets;
  return [a * 256 + b, c * 256 + d].map((group) => group.toString(16)).join(':');
}

function unmapped(address: Address): Address {
  if (address.kind() === 'ipv4') return address;
  const six = address as ipaddr.IPv6;
  return six.isIPv4MappedAddress() ? six.toIPv4Address() : six;
}

/** The IPv4 address that an IPv6 address stands for, or the address itself. */
function embedded(address: Address): Address {
  const inner = unmapped(address);
  if (inner.kind() === 'ipv4' || !inner.match(NAT64)) return inner;
  return new ipaddr.IPv4(inner.toByteArray().slice(-4));
}

function textOf(address: Address): string {
  return address.kind() === 'ipv4' ? address.toString() : (address as ipaddr.IPv6).toRFC5952String();
}
