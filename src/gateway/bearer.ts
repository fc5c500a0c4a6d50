/**
 * Owns where the access token stands in a request (RFC 6750 section 2.1).
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
