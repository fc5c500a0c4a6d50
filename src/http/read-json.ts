/**
 * Owns how the text of a JSON body is read: strictly, as two readers must never find two meanings in it. Must not know
 * what is in it.
 */
import { LatchkeyError } from '../contract/errors.ts';
import { shorten } from '../contract/faults.ts';

/** No body of ours nests as deep; what looks through a value may go down by recursion. */
const MAX_DEPTH = 32;

/** An object or a list (RFC 8259 allows any value; no endpoint here takes one). Throws `invalid_request`. */
export function readJson(text: string): unknown {
  const json = text.startsWith('\u{FEFF}') ? text.slice(1) : text;
  const value = parse(json);
  if (value === undefined) throw invalid('the body is not valid JSON');
  assertOneMeaning(json);
  // Bytes that are UTF-8 can only say half a character by an escape.
  const place = /\\u[dD][89a-fA-F]/.test(json) ? illFormedPlace(value, []) : undefined;
  if (place !== undefined) throw invalid(`${place}: holds half of a surrogate pair, which is no text`);
  return value;
}

function invalid(detail: string): LatchkeyError {
  return new LatchkeyError('invalid_request', { detail });
}

function parse(json: string): unknown {
  try {
    return /^[ \t\r\n]*[[{]/.test(json) ? (JSON.parse(json) as unknown) : undefined;
  } catch {
    return undefined; // The parser's own words are about our program.
  }
}

/**
 * RFC 8259 section 4: of a name that comes twice in an object one reader takes the first, another the last.
 *
 * @param json that a parser has taken: strings end, and brackets fit
 */
function assertOneMeaning(json: string): void {
  const open: Set<string>[] = [];
  for (let at = 0; at < json.length; at += 1) {
    const sign = json[at];
    if (sign === '{' || sign === '[') {
      if (open.push(new Set()) > MAX_DEPTH) throw invalid(`the body nests deeper than ${MAX_DEPTH} levels`);
    } else if (sign === '}' || sign === ']') open.pop();
    else if (sign === '"') {
      const end = endOfString(json, at);
      if (isFollowedByColon(json, end)) noteName(json.slice(at, end + 1), open.at(-1));
      at = end;
    }
  }
}

function noteName(quoted: string, names: Set<string> | undefined): void {
  const name = quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
  if (names?.has(name)) throw invalid(`${shorten(name)}: comes twice in one object of the body`);
  names?.add(name);
}

/** Index of the closing quote: the next one with an even number of backslashes before it. */
function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); ; end = json.indexOf('"', end + 1)) {
    let before = end - 1;
    while (json[before] === '\\') before -= 1;
    if ((end - before) % 2 === 1) return end;
  }
}

function isFollowedByColon(json: string, end: number): boolean {
  let next = end + 1;
  while (' \t\r\n'.includes(json[next] ?? ':')) next += 1;
  return json[next] === ':';
}

/** Where a text is that is not well-formed Unicode: no UTF-8 can say it, and others would read another text. */
function illFormedPlace(value: unknown, path: readonly string[]): string | undefined {
  if (typeof value === 'string') return value.isWellFormed() ? undefined : path.map(shorten).join('.');
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, part] of Object.entries(value)) {
    const place = name.isWellFormed() ? illFormedPlace(part, [...path, name]) : [...path, name].map(shorten).join('.');
    if (place !== undefined) return place;
  }
  return undefined;
}
