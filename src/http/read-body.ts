/**
 * Owns how the body of a request is read: media type checked, size bounded, JSON or form. Must not know what is in it.
 * A plain body, of known length and in UTF-8, is read here; any other form that HTTP allows is left to Express' readers,
 * with the same outcome.
 */
import express, { type RequestHandler } from 'express';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse as parseForm } from 'qs';
import { LatchkeyError } from '../contract/errors.ts';
import type { Endpoint } from './endpoint.ts';

/** Largest body that is read. */
const BODY_LIMIT = '16kb';
/** More parts than this no form has. */
const MAX_PARTS = 1000;
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
  const verify = noteWhenEmpty;
  const [parse, readAny] =
    type === FORM
      ? [readForm, express.urlencoded({ limit, extended: false, type, parameterLimit: MAX_PARTS, verify })]
      : [readJson, express.json({ limit, type, verify })];
  return async (request, response) => {
    if (!hasBody(request)) return undefined;
    if (mediaTypeOf(request) !== type) {
      throw new LatchkeyError('unsupported_media_type', { detail: `expected ${type}` });
    }
    if (isPlain(request, limitBytes)) return parse(await textOf(request));
    await run(readAny, request, response);
    return EMPTY.has(request) ? undefined : (request as IncomingMessage & { body?: unknown }).body;
  };
}

/** Requests that announced a body and sent none: Express' readers take that for `{}`, which may mean much. */
const EMPTY = new WeakSet<IncomingMessage>();

function noteWhenEmpty(request: IncomingMessage, _response: ServerResponse, bytes: Buffer): void {
  if (bytes.length === 0) EMPTY.add(request);
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

function isPlain({ headers }: IncomingMessage, limitBytes: number): boolean {
  const length = Number(headers['content-length'] ?? 0);
  if (length === 0 || length > limitBytes || headers['content-encoding'] !== undefined) return false;
  return /^[\w/-]+(; ?charset=utf-8)?$/i.test(headers['content-type'] ?? '');
}

function textOf(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const onCutOff = () => {
      if (!request.complete) reject(new LatchkeyError('invalid_request', { detail: 'the body was cut off' }));
    };
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => resolve((chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)).toString()));
    request.on('error', onCutOff);
    request.on('close', onCutOff);
  });
}

/** An object or a list (RFC 8259 allows any value; no endpoint here takes one). */
function readJson(text: string): unknown {
  const json = text.startsWith('\u{FEFF}') ? text.slice(1) : text;
  try {
    if (/^[ \t\r\n]*[[{]/.test(json)) return JSON.parse(json) as unknown;
  } catch {
    // Below: the parser's own words are about our program.
  }
  throw new LatchkeyError('invalid_request', { detail: 'the body is not valid JSON' });
}

function readForm(text: string): unknown {
  const parts = text.split('&').length;
  if (parts > MAX_PARTS) throw new LatchkeyError('payload_too_large');
  return parseForm(text, { allowPrototypes: true, arrayLimit: parts, depth: 0, parameterLimit: MAX_PARTS });
}

function run(reader: RequestHandler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const [req, res] = [request, response] as unknown as Parameters<RequestHandler>;
    void reader(req, res, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
}
