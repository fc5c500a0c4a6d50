/**
 * Owns what every request has: an id that ties answer and log together, and how its answer is written.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ErrorCode } from '../contract/errors.ts';
import { randomText } from '../tokens/random-text.ts';
import { hasAllCome, makeLast } from './last-request.ts';
import { valuesOf } from './raw-headers.ts';
import { securityHeaders } from './security-headers.ts';

const REQUEST_ID_BYTES = 16;
const GIVEN_ID = /^[\w.-]{1,64}$/;
const SECURITY_HEADERS = securityHeaders();

export type Headers = Readonly<Record<string, string>>;

/** One request and its answer. */
export type Exchange = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  /** The path as it was declared; undefined while none has been found. */
  route: string | undefined;
  /** Of the error that was answered. */
  code: ErrorCode | undefined;
  /** Its answer has been written, or begun. */
  isAnswered: boolean;
  /** Its answer has no end: only its client ends it. */
  isStream: boolean;
  /** Called then, where somebody waits for it. */
  onAnswered: (() => void) | undefined;
};

/** Notes an exchange that begins now (request-log.ts). */
export type NoteRequest = (exchange: Exchange) => void;

export type BeginExchange = (request: IncomingMessage, response: ServerResponse) => Exchange;

export function createExchanges(note: NoteRequest | undefined): BeginExchange {
  return (request, response) => {
    const [given = '', ...more] = valuesOf(request, 'x-request-id');
    const requestId = more.length === 0 && GIVEN_ID.test(given) ? given : randomText(REQUEST_ID_BYTES);
    const exchange: Exchange = {
      request,
      response,
      requestId,
      route: undefined,
      code: undefined,
      isAnswered: false,
      isStream: false,
      onAnswered: undefined,
    };
    note?.(exchange);
    return exchange;
  };
}

/** Writes a whole answer. */
export function answer(exchange: Exchange, status: number, headers: Headers, body = ''): void {
  if (hasAllCome(exchange.request)) return write(exchange, status, headers, body);
  // A body that came in one packet with its head has been read when this turn of the loop is over.
  setImmediate(write, exchange, status, headers, body);
}

function write(exchange: Exchange, status: number, headers: Headers, body: string): void {
  const list = headersOf(exchange, headers);
  // Where there is no content, there is nothing to make anything of.
  if (body !== '') list.push(...SECURITY_HEADERS);
  list.push('Content-Length', String(Buffer.byteLength(body)));
  exchange.response.writeHead(status, list).end(body);
  noteAnswer(exchange);
}

/** Also where nobody is left to write to. */
export function noteAnswer(exchange: Exchange): void {
  exchange.isAnswered = true;
  exchange.onAnswered?.();
}

/** Writes the head of an answer whose body has no end. */
export function beginStream(exchange: Exchange, status: number, headers: Headers): void {
  exchange.response.writeHead(status, [...headersOf(exchange, headers), ...SECURITY_HEADERS]).flushHeaders();
  exchange.isStream = true;
  noteAnswer(exchange);
}

/** Name, value, name, value, …: node:http writes it as it is. An answer is nobody else's, unless it says so. */
function headersOf({ request, requestId }: Exchange, own: Headers): string[] {
  const list = ['X-Request-Id', requestId];
  if (own['Cache-Control'] === undefined) list.push('Cache-Control', 'no-store');
  // What still came of the body would be read as the next request by one side and not by the other.
  if (!hasAllCome(request)) {
    makeLast(request);
    list.push('Connection', 'close');
  }
  // Reads each value by its place, where a loop over the names would look each of them up.
  for (const name in own) list.push(name, own[name] as string);
  return list;
}
