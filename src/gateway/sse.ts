/**
 * Owns reading server-sent events (WHATWG HTML section 9.2.6) with a bound on what is held. Lines end in LF or CRLF.
 */

/** A line or a message that is longer is no event of ours. */
const MAX_BYTES = 1_048_576;

export type SseMessage = { readonly type: string; readonly data: string; readonly id: string | undefined };

export class SseParser {
  readonly #decoder = new TextDecoder();
  readonly #maxLength: number;
  #line = '';
  #type = '';
  #data: string[] = [];
  #length = 0;
  #id: string | undefined;

  constructor(maxLength = MAX_BYTES) {
    this.#maxLength = maxLength;
  }

  /** The messages that these bytes complete. Throws a RangeError when one is too long. */
  push(bytes: Uint8Array): SseMessage[] {
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#line = lines.pop() ?? '';
    const found: SseMessage[] = [];
    for (const line of lines) this.#take(line.endsWith('\r') ? line.slice(0, -1) : line, found);
    if (this.#line.length + this.#length > this.#maxLength) throw new RangeError('a message of the feed is too long');
    return found;
  }

  #take(line: string, found: SseMessage[]): void {
    if (line === '') return this.#dispatch(found);
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#type = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    this.#length += line.length;
    if (this.#length > this.#maxLength) throw new RangeError('a message of the feed is too long');
  }

  #dispatch(found: SseMessage[]): void {
    if (this.#data.length > 0) found.push({ type: this.#type, data: this.#data.join('\n'), id: this.#id });
    this.#type = '';
    this.#data = [];
    this.#id = undefined;
    this.#length = 0;
  }
}
