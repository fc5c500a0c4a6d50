/**
 * Owns how one header is read as it was sent, as often as it was sent. `request.headers` keeps the first of some, joins
 * others, and makes an object of all to tell of one.
 */
import type { IncomingMessage } from 'node:http';

/** @param name in lower case */
export function valuesOf({ rawHeaders }: IncomingMessage, name: string): readonly string[] {
  const values: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const found = rawHeaders[at] ?? '';
    if (found.length === name.length && found.toLowerCase() === name) values.push(rawHeaders[at + 1] ?? '');
  }
  return values;
}
