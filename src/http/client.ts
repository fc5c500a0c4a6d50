/**
 * Owns what is noted of the client behind a request: address and user agent. Neither says who anyone is.
 */
import type { IncomingMessage } from 'node:http';
import { LRUCache } from 'lru-cache';
import proxyAddress from 'proxy-addr';
import { createNetworkList, normalAddress } from '../addresses.ts';

const MAX_USER_AGENT = 128;
/** Every request has an address, for the log at least, and most are of clients that were here before. */
const REMEMBERED_ADDRESSES = 1000;
/** Headers are Latin-1: these are all the controls that one can hold. */
// oxlint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001F\u007F-\u009F]/g;
/** `[address]`, `[address]:port` or `IPv4:port`: some proxies write the port too, which is another at every connection. */
const WITH_PORT = /^(?:\[(?<ipv6>[^\]]+)\](?::\d{1,5})?|(?<ipv4>[\d.]+):\d{1,5})$/;
const ZONE = /%.*$/;

export type ClientReader = {
  /** The address of whoever sent the request to the first proxy that is trusted, in its one spelling. */
  readonly ipOf: (request: IncomingMessage) => string;
  readonly userAgentOf: (request: IncomingMessage) => string;
};

/** @param trustProxy hops, or networks, whose X-Forwarded-For is believed; false = nobody's (TRUST_PROXY) */
export function createClientReader(trustProxy: number | string[] | false): ClientReader {
  const known = new LRUCache<string, string>({ max: REMEMBERED_ADDRESSES });
  const peerOf = ({ socket }: IncomingMessage) => {
    // A peer that has gone has no address.
    const given = socket.remoteAddress ?? '';
    const before = known.get(given);
    if (before !== undefined) return before;
    const ip = normalAddress(given.replace(ZONE, '')) ?? '';
    known.set(given, ip);
    return ip;
  };
  return {
    ipOf: trustProxy === false ? peerOf : forwardedReader(trustProxy, peerOf),
    userAgentOf: (request) => (request.headers['user-agent'] ?? '').replaceAll(CONTROLS, '').slice(0, MAX_USER_AGENT),
  };
}

/** What stands in X-Forwarded-For and is no address is nobody's: then it is the peer's that counts. */
function forwardedReader(
  trustProxy: number | string[],
  peerOf: (request: IncomingMessage) => string,
): (request: IncomingMessage) => string {
  const isTrusted = typeof trustProxy === 'number' ? (_: string, hop: number) => hop < trustProxy : oneOf(trustProxy);
  return (request) => {
    return normalAddress(withoutPort(proxyAddress(request, isTrusted))) ?? peerOf(request);
  };
}

function oneOf(networks: string[]): (entry: string, hop: number) => boolean {
  const isIn = createNetworkList(networks);
  // First comes the peer itself, which alone may have a zone.
  return (entry, hop) => isIn(hop === 0 ? entry.replace(ZONE, '') : withoutPort(entry));
}

/** A peer that has gone has no address. */
function withoutPort(entry: string | undefined): string {
  const { ipv4, ipv6 } = WITH_PORT.exec(entry ?? '')?.groups ?? {};
  return ipv6 ?? ipv4 ?? entry ?? '';
}
