/**
 * Owns how parameters are read: those of a query, and those of a form. Must not know which there may be.
 */
import { LatchkeyError } from '../contract/errors.ts';

/** A name that comes twice has all its values, and no schema takes more than one. */
export type Parameters = Readonly<Record<string, string | readonly string[]>>;

/**
 * Pairs as application/x-www-form-urlencoded writes them (WHATWG URL section 5.1), of percent-encoded UTF-8 alone: what
 * that reader replaces by U+FFFD would make one text of many. Throws `invalid_request`.
 *
 * @param place that an error names: `query` or `body`
 * @example readParameters('tenant=acme&class=', 'query') // { tenant: 'acme', class: '' }
 */
export function readParameters(text: string, place: string): Parameters {
  // Without a prototype: any name may come.
  const found = Object.create(null) as Record<string, string | string[]>;
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals), place);
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1), place);
    const earlier = found[name];
    if (earlier === undefined) found[name] = value;
    else if (typeof earlier === 'string') found[name] = [earlier, value];
    else earlier.push(value);
  }
  return found;
}

function decode(text: string, place: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new LatchkeyError('invalid_request', { detail: `the ${place} is not percent-encoded UTF-8` });
  }
}
