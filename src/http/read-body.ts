/**
 * Owns how the body of a request is read: media type and character set checked, size bounded, JSON or form. Must not know
 * what is in it. A plain body, of known length, is read here; any other form that HTTP allows is left to Express' reader,
 * with the same outcome.
 */
import express, { type RequestHandler } from 'express';
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LatchkeyError } from '../contract/errors.ts';
import type { Endpoint } from './endpoint.ts';
import { readJson } from './read-json.ts';
import { readParameters } from './read-parameters.ts';

/** Largest body that is read. */
const BODY_LIMIT = '16kb';
const JSON_TYPE = 'application/json';
export const FORM = 'application/x-www-form-urlencoded';

/** Resolves with what the body says; undefined when there was none. */
export type ReadBody = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;

/** Undefined for an endpoint that takes no body. */
export function bodyReader({ body, bodyType, bodyLimit }: Endpoint): ReadBody | undefined {
  if (body === undefined) return undefined;
  const type = bodyType === 'form' ? FORM : JSON_TYPE;
  const limit = bodyLimit ?? BODY_LIMIT;
  const limitBytes = Number.parseInt(limit, 10) * 1024;
  const parse = type === FORM ? readForm : readJson;
  const readAny = express.raw({ limit, type: () => true });
  return async (request, response) => {
    if (!hasBody(request)) return undefined;
    if (mediaTypeOf(request) !== type) throw unsupported(`expected ${type}`);
    if (!isUtf8Declared(request)) throw unsupported('expected charset=utf-8, or none');
    const bytes = isPlain(request, limitBytes) ? await bytesOf(request) : await run(readAny, request, response);
    // Announced and then empty is none: `{}` may mean much.
    return bytes.length === 0 ? undefined : parse(textIn(bytes));
  };
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

/** No body at all: then the schema has the word. Clients without one also say length 0. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** UTF-8 in any of its spellings; RFC 8259 knows no other, and forms are written in it (WHATWG URL section 5). */
function isUtf8Declared({ headers }: IncomingMessage): boolean {
  const [, ...parameters] = (headers['content-type'] ?? '').split(';');
  const charsets = parameters.flatMap((parameter) => /^\s*charset\s*=(.*)$/i.exec(parameter)?.[1] ?? []);
  return charsets.every((charset) => /^\s*("?)utf-?8\1\s*$/i.test(charset));
}

function isPlain({ headers }: IncomingMessage, limitBytes: number): boolean {
  const length = Number(headers['content-length'] ?? 0);
  return length > 0 && length <= limitBytes && headers['content-encoding'] === undefined;
}

function bytesOf(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const onCutOff = () => {
      if (!request.complete) reject(new LatchkeyError('invalid_request', { detail: 'the body was cut off' }));
    };
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    request.on('error', onCutOff);
    request.on('close', onCutOff);
  });
}

function readForm(text: string): unknown {
  return readParameters(text, 'body');
}

/** Express' reader leaves the bytes on the request. */
function run(reader: RequestHandler, request: IncomingMessage, response: ServerResponse): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const [req, res] = [request, response] as unknown as Parameters<RequestHandler>;
    const done = (error?: unknown) =>
      error === undefined ? resolve((req.body as Buffer | undefined) ?? Buffer.alloc(0)) : reject(error);
    void reader(req, res, done);
  });
}
