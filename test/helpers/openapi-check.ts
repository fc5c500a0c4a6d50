/**
 * Stands between a test and the app, and compares every answer with openapi.yaml: path, status, media type, body.
 * A difference replaces the answer by a 599 that says what it is, so that no test can pass over it.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { parse } from 'yaml';

type Media = Record<string, { schema: unknown }>;
type Operation = { responses: Record<string, { content?: Media }> };
type Document = { paths: Record<string, Record<string, Operation>>; components: { schemas: unknown } };

const document = parse(readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8')) as Document;
const ajv = new Ajv2020({ strict: false, allErrors: true, unicodeRegExp: true });
formats.default(ajv);
ajv.addSchema({ $id: 'https://latchkey.test/openapi', components: document.components });

const validators = new Map<string, ValidateFunction>();
const routes = Object.entries(document.paths).map(([path, operations]) => ({
  path,
  operations,
  pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}${path === '/validate/{tenant}' ? '(/.*)?' : ''}$`),
}));

/** Wraps an app so that answers which openapi.yaml does not declare become 599. */
export function checkAgainstOpenapi(app: RequestListener): RequestListener {
  return (request, response) => {
    const chunks: Buffer[] = [];
    const write = response.write.bind(response);
    const end = response.end.bind(response);
    const writeHead = response.writeHead.bind(response);
    // Held back until the answer is known: what has gone out can no longer be replaced.
    response.writeHead = (status: number, headers?: unknown) => {
      if (!Array.isArray(headers)) return writeHead(status);
      response.statusCode = status;
      for (let at = 0; at < headers.length; at += 2) response.setHeader(String(headers[at]), String(headers[at + 1]));
      return response;
    };
    const isStream = () => String(response.getHeader('content-type')).startsWith('text/event-stream');
    response.write = ((chunk: Uint8Array | string) => {
      if (isStream()) return write(chunk);
      chunks.push(Buffer.from(chunk));
      return true;
    }) as typeof response.write;
    response.end = ((chunk?: unknown) => {
      if (isStream()) return end(chunk);
      if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
      const body = Buffer.concat(chunks);
      const fault = faultOf(request, response, body.toString('utf8'));
      if (fault === undefined) {
        if (body.length > 0 && request.method !== 'HEAD') write(body);
        return end();
      }
      for (const name of response.getHeaderNames()) response.removeHeader(name);
      response.statusCode = 599;
      return end(fault);
    }) as typeof response.end;
    app(request, response);
  };
}

function faultOf(request: IncomingMessage, response: ServerResponse, body: string): string | undefined {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const method = (request.method ?? '').toLowerCase();
  const route = routes.find(
    ({ pattern, operations }) => pattern.test(path) && (operations[method] ?? operations['get']),
  );
  const place = `${method.toUpperCase()} ${route?.path ?? path} ${response.statusCode}`;
  const mediaType = String(response.getHeader('content-type') ?? '').split(';', 1)[0] ?? '';
  const operation = route?.operations[method] ?? (path.startsWith('/validate') ? route?.operations['get'] : undefined);
  if (operation === undefined || [404, 405].includes(response.statusCode)) {
    return checkBody(place, problem, 'application/problem+json', mediaType, body);
  }
  const declared = operation.responses[response.statusCode];
  if (declared === undefined) return `${place} is not declared in openapi.yaml: ${body}`;
  const types = Object.keys(declared.content ?? {});
  const declaredType = types.includes(mediaType) ? mediaType : types[0];
  if (declaredType === undefined) return body === '' ? undefined : `${place} declares no body, but has one: ${body}`;
  if (method === 'head') return undefined;
  return checkBody(place, declared.content?.[declaredType]?.schema, declaredType, mediaType, body);
}

const problem = { $ref: '#/components/schemas/Problem' };

function checkBody(
  place: string,
  schema: unknown,
  declaredType: string,
  mediaType: string,
  body: string,
): string | undefined {
  if (mediaType !== declaredType) return `${place} is ${mediaType || 'without a type'}, not ${declaredType}`;
  const validator = validatorOf(schema);
  if (validator(JSON.parse(body))) return undefined;
  return `${place} does not fit openapi.yaml: ${ajv.errorsText(validator.errors)}\n${body}`;
}

function validatorOf(schema: unknown): ValidateFunction {
  const text = JSON.stringify(schema).replaceAll('"#/components/', '"https://latchkey.test/openapi#/components/');
  const validator = validators.get(text) ?? ajv.compile(JSON.parse(text) as object);
  validators.set(text, validator);
  return validator;
}
