/**
 * Owns how the body of a request is read: media type checked, size bounded, JSON or form. Must not know what is in it.
 */
import express, { type RequestHandler } from 'express';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LatchkeyError } from '../contract/errors.ts';
import type { Endpoint } from './endpoint.ts';

/** Largest body that is read. */
const BODY_LIMIT = '16kb';
const JSON_TYPE = 'application/json';
export const FORM = 'application/x-www-form-urlencoded';

/** Resolves with what the body says; undefined when there was none, or the endpoint takes none. */
export type ReadBody = (request: IncomingMessage, response: ServerResponse) => Promise<unknown>;

export function bodyReader({ body, bodyType, bodyLimit }: Endpoint): ReadBody | undefined {
  if (body === undefined) return undefined;
  const type = bodyType === 'form' ? FORM : JSON_TYPE;
  const limit = bodyLimit ?? BODY_LIMIT;
  const read = type === FORM ? express.urlencoded({ limit, extended: false, type }) : express.json({ limit, type });
  return async (request, response) => {
    if (hasBody(request) && mediaTypeOf(request) !== type) {
      throw new LatchkeyError('unsupported_media_type', { detail: `expected ${type}` });
    }
    await run(read, request, response);
    return (request as IncomingMessage & { body?: unknown }).body;
  };
}

/** Without parameters, in lower case (RFC 9110 section 8.3.1); '' when there is none. */
export function mediaTypeOf(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/** No body at all: then the schema has the word. Clients without one also say length 0. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function run(reader: RequestHandler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const [req, res] = [request, response] as unknown as Parameters<RequestHandler>;
    void reader(req, res, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
}
