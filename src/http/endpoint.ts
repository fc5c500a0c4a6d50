/**
 * Owns how a route is declared: what comes in and goes out by zod, who may call, statuses and error codes. Routers declare;
 * carry-out.ts carries out and openapi.ts documents the same declarations. Must not know any topic.
 */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import type { ErrorCode } from '../contract/errors.ts';
import type { Caller, CallerKind } from './caller-auth.ts';
import type { Exchange, Headers } from './exchange.ts';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete' | 'any';

/** What a handler answers: a declared status, a body of its schema. */
export type Reply = {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Headers;
  /** Instead of a body: writes for as long as the client listens. Resolves when it has begun. */
  readonly stream?: (exchange: Exchange) => Promise<void>;
};

/** `stream` is the media type of an answer without an end. */
export type ResponseSpec = { readonly description: string; readonly body?: z.ZodType; readonly stream?: string };

/** Client behind a request, as far as it can be known. */
export type Client = { readonly ip: string; readonly userAgent: string };

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
  /**
   * Of what a proxy asks with the app's own query, what tools ask, and what RFCs describe: a query is not looked at, nor is a
   * body that is not declared. Everywhere else an unknown name is 400, as it may be the misspelt one of a filter.
   */
  readonly unknownInput?: 'ignored';
  /** Where no body at all would pass for an empty one, and an empty one means much. */
  readonly bodyRequired?: boolean;
  /** Where bodies are bulk by nature; 16kb otherwise. */
  readonly bodyLimit?: string;
  /** Asked so often that it does not wait for the router (fast-lane.ts). */
  readonly hot?: boolean;
  /** Answered also before this process has agreed with Redis that it may serve. */
  readonly withoutStore?: boolean;
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
    readonly request: IncomingMessage;
    readonly client: () => Client;
  }) => Promise<Reply> | Reply;
};

export type Endpoint = EndpointSpec<CallerKind, z.ZodType, z.ZodType, z.ZodType>;

/** A place where nothing is expected. */
type Nothing = z.ZodObject<Record<string, never>>;

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
