/**
 * Owns how a route is declared and carried out: input checked by zod, output checked by zod, statuses and error codes
 * declared. Routers declare; openapi.ts reads the same declarations. Must not know any topic.
 */
import express, { Router, type Request, type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import { LatchkeyError, type ErrorCode } from '../contract/errors.ts';
import type { Authenticate, Caller, CallerKind } from './caller-auth.ts';

/** Largest body that is read. */
const BODY_LIMIT = '16kb';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete' | 'any';

/** What a handler answers: a declared status, a body of its schema. */
export type Reply = {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of a body: writes for as long as the client listens. Resolves when it has begun. */
  readonly stream?: (response: Response) => Promise<void>;
};

/** `stream` is the media type of an answer without an end. */
export type ResponseSpec = { readonly description: string; readonly body?: z.ZodType; readonly stream?: string };

/** A schema for a place where nothing is expected. */
const nothing = z.object({});
type Nothing = typeof nothing;

export type EndpointSpec<C extends CallerKind, P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> = {
  readonly method: Method;
  /** In Express' form; a list names the same endpoint at several depths, the first two are documented. */
  readonly path: string | readonly string[];
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly caller: C;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly bodyType?: 'json' | 'form';
  /** Where no body at all would pass for an empty one, and an empty one means much. */
  readonly bodyRequired?: boolean;
  /** Where bodies are bulk by nature; 16kb otherwise. */
  readonly bodyLimit?: string;
  /** Documented request headers; handlers read them from the request. */
  readonly headers?: z.ZodType;
  readonly responses: Readonly<Record<number, ResponseSpec>>;
  /** Codes of this endpoint beside those that follow from its caller and body. */
  readonly errors: readonly ErrorCode[];
  readonly handle: (input: {
    readonly params: z.output<P>;
    readonly query: z.output<Q>;
    readonly body: z.output<B>;
    readonly caller: Caller<C>;
    readonly request: Request;
  }) => Promise<Reply> | Reply;
};

export type Endpoint = EndpointSpec<CallerKind, z.ZodType, z.ZodType, z.ZodType>;

/** Gives a declaration its types; the result no longer shows them, so that endpoints of all kinds fit in one list. */
export function endpoint<
  C extends CallerKind,
  P extends z.ZodType = Nothing,
  Q extends z.ZodType = Nothing,
  B extends z.ZodType = Nothing,
>(spec: EndpointSpec<C, P, Q, B>): Endpoint {
  return spec as unknown as Endpoint;
}

/** Every documented path of an endpoint, then those it also answers on. */
export function pathsOf({ path }: Pick<Endpoint, 'path'>): readonly string[] {
  return typeof path === 'string' ? [path] : path;
}

/** Mounts the endpoints; a known path with another method is 405 with Allow. */
export function mount(endpoints: readonly Endpoint[], authenticate: Authenticate): Router {
  const router = Router();
  for (const spec of endpoints) {
    const register = spec.method === 'any' ? 'all' : spec.method;
    router[register]([...pathsOf(spec)], ...bodyReaders(spec), handlerOf(spec, authenticate));
  }
  for (const path of new Set(endpoints.flatMap(pathsOf))) {
    const methods = endpoints.filter((spec) => pathsOf(spec).includes(path)).map((spec) => spec.method.toUpperCase());
    const allow = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
    router.all(path, (_request, response) => {
      response.set('Allow', allow.join(', '));
      throw new LatchkeyError('method_not_allowed');
    });
  }
  return router;
}

function handlerOf(spec: Endpoint, authenticate: Authenticate): RequestHandler {
  return async (request, response) => {
    response.locals['route'] = pathsOf(spec)[0];
    const caller = await authenticate(spec.caller, request);
    const reply = await spec.handle({
      caller,
      request,
      params: parse(spec.params ?? nothing, request.params, ''),
      query: parse(spec.query ?? nothing, request.query, 'query '),
      body: parse(spec.body ?? nothing, request.body ?? (spec.bodyRequired ? undefined : {}), ''),
    });
    await send(spec, reply, response);
  };
}

function parse(schema: z.ZodType, value: unknown, place: string): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.flatMap((issue) => faultsOf(issue, issue.path));
  throw new LatchkeyError('invalid_request', { detail: faults.map((fault) => place + fault).join('; ') });
}

/** A union says only that nothing fits; the faults inside the option that has the right type say what. */
function faultsOf(issue: z.core.$ZodIssue, path: readonly PropertyKey[]): string[] {
  const inner = issue.code === 'invalid_union' ? issue.errors.flat().filter((one) => one.path.length > 0) : [];
  if (inner.length > 0) return inner.flatMap((one) => faultsOf(one, [...path, ...one.path]));
  return [`${path.join('.') || 'body'}: ${issue.message}`];
}

async function send(spec: Endpoint, reply: Reply, response: Response): Promise<void> {
  const declared = spec.responses[reply.status];
  if (declared === undefined)
    throw new Error(`${spec.operationId} answered ${reply.status}, which it does not declare`);
  response.status(reply.status).set(reply.headers ?? {});
  if (reply.stream !== undefined) return reply.stream(response);
  if (declared.body === undefined) response.end();
  else response.json(declared.body.parse(reply.body));
}

function bodyReaders(spec: Endpoint): RequestHandler[] {
  if (spec.body === undefined) return [];
  const form = spec.bodyType === 'form';
  const type = form ? 'application/x-www-form-urlencoded' : 'application/json';
  const limit = spec.bodyLimit ?? BODY_LIMIT;
  const read = form ? express.urlencoded({ limit, extended: false, type }) : express.json({ limit, type });
  const checkType: RequestHandler = (request, _response, next) => {
    // `is` answers null when there is no body at all: then the schema has the word. Clients without one also say length 0.
    const isEmpty = request.get('content-length') === '0';
    if (!isEmpty && request.is(type) === false)
      throw new LatchkeyError('unsupported_media_type', { detail: `expected ${type}` });
    next();
  };
  return [checkType, read];
}
