/**
 * Owns how the body of a request is read: media type and character set checked, size bounded while it comes, JSON or form.
 * Must not know what is in it.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LatchkeyError } from '../contract/errors.ts';
import type { Endpoint } from './endpoint.ts';
import { hasBody } from './last-request.ts';
import { readJson } from './read-json.ts';
import { readParameters } from './read-parameters.ts';
import { unpackerFor } from './unpack.ts';

/** Largest body that is read. */
const BODY_LIMIT = '16kb';
const JSON_TYPE = 'application/json';
export const FORM = 'application/x-www-form-urlencoded';

/** Resolves with what the body says; undefined when there was none. */
export type ReadBody = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;

/** Undefined for an endpoint that does not look whether there is a body. */
export function bodyReader({ body, bodyType, bodyLimit, unknownInput }: Endpoint): ReadBody | undefined {
  if (body === undefined) return unknownInput === 'ignored' ? undefined : refuseBody;
  const type = bodyType === 'form' ? FORM : JSON_TYPE;
  const limitBytes = Number.parseInt(bodyLimit ?? BODY_LIMIT, 10) * 1024;
  const parse = type === FORM ? readForm : readJson;
  return async (request, response) => {
    if (!hasBody(request)) return undefined;
    if (mediaTypeOf(request) !== type) throw unsupported(`expected ${type}`);
    if (!isUtf8Declared(request)) throw unsupported('expected charset=utf-8, or none');
    const unpack = unpackerFor(request.headers['content-encoding']);
    if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw new LatchkeyError('payload_too_large');
    if (isInvitationAwaited(request)) response.writeContinue();
    const sent = await bytesOf(request, limitBytes);
    const bytes = unpack === undefined ? sent : await unpack(sent, limitBytes);
    // Announced and then empty is none: `{}` may mean much.
    return bytes.length === 0 ? undefined : parse(textIn(bytes));
  };
}

/** A filter in the body of a call that has its filters in the query would be passed over. Empty chunks are no body. */
async function refuseBody(request: IncomingMessage): Promise<undefined> {
  if (!hasBody(request)) return;
  const isDeclared = request.headers['content-length'] !== undefined || isInvitationAwaited(request);
  const sent = isDeclared ? undefined : await bytesOf(request, 0).catch(() => undefined);
  if (sent !== undefined) return;
  throw new LatchkeyError('invalid_request', {
    detail: 'body: none is taken here; what a call acts on stands in its path and query',
  });
}

function unsupported(detail: string): LatchkeyError {
  return new LatchkeyError('unsupported_media_type', { detail });
}

/** What a decoder would replace by U+FFFD would make one text of many: ids, and passwords. */
function textIn(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new LatchkeyError('invalid_request', { detail: 'the body is not UTF-8' });
  return bytes.toString();
}

/** Without parameters, in lower case (RFC 9110 section 8.3.1); '' when there is none. */
export function mediaTypeOf({ headers }: IncomingMessage): string {
  const type = headers['content-type'] ?? '';
  if (type === JSON_TYPE || type === FORM) return type;
  return type.split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/** UTF-8 in any of its spellings; RFC 8259 knows no other, and forms are written in it (WHATWG URL section 5). */
function isUtf8Declared({ headers }: IncomingMessage): boolean {
  const [, ...parameters] = (headers['content-type'] ?? '').split(';');
  const charsets = parameters.flatMap((parameter) => /^\s*charset\s*=(.*)$/i.exec(parameter)?.[1] ?? []);
  return charsets.every((charset) => /^\s*("?)utf-?8\1\s*$/i.test(charset));
}

/** RFC 9110 section 10.1.1. */
function isInvitationAwaited({ headers, complete, httpVersion }: IncomingMessage): boolean {
  return headers.expect !== undefined && !complete && httpVersion === '1.1';
}

/** Refuses a body as soon as more than the limit has come. */
function bytesOf(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const take = (chunk: Buffer) => {
      size += chunk.length;
      chunks.push(chunk);
      if (size <= limitBytes) return;
      request.off('data', take).pause();
      reject(new LatchkeyError('payload_too_large'));
    };
    const onCutOff = () => {
      if (!request.complete) reject(new LatchkeyError('invalid_request', { detail: 'the body was cut off' }));
    };
    request.on('data', take);
    request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    request.on('error', onCutOff);
    request.on('close', onCutOff);
  });
}

function readForm(text: string): unknown {
  return readParameters(text, 'body');
}
