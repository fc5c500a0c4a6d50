/**
 * Owns what is noted of the client behind a request: address and user agent. Neither says who anyone is.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import proxyAddress from 'proxy-addr';

const MAX_USER_AGENT = 128;
/** Headers are Latin-1: these are all the controls that one can hold. */
// oxlint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001F\u007F-\u009F]/g;
const IPV4_MAPPED = /^::ffff:(?=[\d.]+$)/i;
/** `[address]`, `[address]:port` or `IPv4:port`: some proxies write the port too, which is another at every connection. */
const WITH_PORT = /^(?:\[(?<ipv6>[^\]]+)\](?::\d{1,5})?|(?<ipv4>[\d.]+):\d{1,5})$/;

export type ClientReader = {
  /** The address of whoever sent the request to the first proxy that is trusted. */
  readonly ipOf: (request: IncomingMessage) => string;
  readonly userAgentOf: (request: IncomingMessage) => string;
};

/** @param trustProxy hops, or addresses, whose X-Forwarded-For is believed; false = nobody's (TRUST_PROXY) */
export function createClientReader(trustProxy: number | string[] | false): ClientReader {
  const addressOf = addressReader(trustProxy);
  return {
    ipOf: (request) => (addressOf(request) ?? '').replace(IPV4_MAPPED, ''),
    userAgentOf: (request) => (request.headers['user-agent'] ?? '').replaceAll(CONTROLS, '').slice(0, MAX_USER_AGENT),
  };
}

/** What stands in X-Forwarded-For and is no address is nobody's: then it is the peer's that counts. */
function addressReader(trustProxy: number | string[] | false): (request: IncomingMessage) => string | undefined {
  if (trustProxy === false) return (request) => request.socket.remoteAddress;
  const isTrusted = typeof trustProxy === 'number' ? (_: string, hop: number) => hop < trustProxy : oneOf(trustProxy);
  return (request) => {
    const address = withoutPort(proxyAddress(request, isTrusted));
    return isAddress(address) ? address : request.socket.remoteAddress;
  };
}

function oneOf(networks: string[]): (entry: string, hop: number) => boolean {
  const isIn = proxyAddress.compile(networks);
  return (entry, hop) => isIn(withoutPort(entry), hop);
}

/** A peer that has gone has no address. */
function withoutPort(entry: string | undefined): string {
  const { ipv4, ipv6 } = WITH_PORT.exec(entry ?? '')?.groups ?? {};
  return ipv6 ?? ipv4 ?? entry ?? '';
}

/** A zone (`fe80::1%eth0`) may be of any text and length, and means something on its own host alone. */
function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes('%');
}
