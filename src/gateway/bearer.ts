/**
 * Owns where the access token stands in a request: the header of RFC 6750 section 2.1, or what a browser can send.
 */
import type { IncomingMessage } from 'node:http';

/** What is no token of anybody: the checker calls it malformed. */
const NO_TOKEN = '.';

/** Undefined when none was sent. Two headers are two claims of who calls: neither counts. */
export function bearerOf(request: Pick<IncomingMessage, 'headersDistinct'>): string | undefined {
  const values = request.headersDistinct['authorization'];
  if (values === undefined) return undefined;
  const [, token] = /^Bearer +(\S+) *$/i.exec(values[0] ?? '') ?? [];
  return values.length > 1 || token === undefined ? NO_TOKEN : token;
}

/** Browsers cannot set headers: they offer `['chat', 'bearer.<token>']`, and the server picks `chat`. */
export function bearerOrOfferedOf(request: IncomingMessage): string | undefined {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return bearerOf(request) ?? offered.find((name) => name.startsWith('bearer.'))?.slice('bearer.'.length);
}
