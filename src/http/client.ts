/**
 * Owns what is noted of the client behind a request: address and user agent. Neither says who anyone is.
 */
import type { IncomingMessage } from 'node:http';
import proxyAddress from 'proxy-addr';

const MAX_USER_AGENT = 128;
/** Headers are Latin-1: these are all the controls that one can hold. */
// oxlint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u001F\u007F-\u009F]/g;

export type ClientReader = {
  /** The address of whoever sent the request to the first proxy that is trusted. */
  readonly ipOf: (request: IncomingMessage) => string;
  readonly userAgentOf: (request: IncomingMessage) => string;
};

/** @param trustProxy hops, or addresses, whose X-Forwarded-For is believed; false = nobody's (TRUST_PROXY) */
export function createClientReader(trustProxy: number | string[] | false): ClientReader {
  const addressOf = addressReader(trustProxy);
  return {
    ipOf: (request) => (addressOf(request) ?? '').replace(/^::ffff:/, ''),
    userAgentOf: (request) => (request.headers['user-agent'] ?? '').replaceAll(CONTROLS, '').slice(0, MAX_USER_AGENT),
  };
}

function addressReader(trustProxy: number | string[] | false): (request: IncomingMessage) => string | undefined {
  if (trustProxy === false) return (request) => request.socket.remoteAddress;
  const isTrusted =
    typeof trustProxy === 'number' ? (_: string, hop: number) => hop < trustProxy : proxyAddress.compile(trustProxy);
  return (request) => proxyAddress(request, isTrusted);
}
