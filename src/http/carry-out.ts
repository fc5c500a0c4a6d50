/**
 * Owns how a request is carried out once its endpoint is known: caller known and body read, input checked by zod, handled,
 * output checked by zod, answered. The same steps whichever way the endpoint was found.
 */
import type { z } from 'zod';
import { LatchkeyError } from '../contract/errors.ts';
import type { Authenticate } from './caller-auth.ts';
import type { ClientReader } from './client.ts';
import { pathsOf, type Endpoint, type Reply } from './endpoint.ts';
import { answer, type Exchange } from './exchange.ts';
import { bodyReader } from './read-body.ts';
import { readParameters } from './read-parameters.ts';

/** What the address says: parts of the path, and the query as it was written. */
export type AddressParts = { readonly params: unknown; readonly query: string };

/** Of an address without parts or query. */
export const NOTHING: Readonly<Record<string, never>> = Object.freeze({});

/** Carries out requests to one endpoint. Rejects with what is to be answered as an error. */
export type CarryOut = (exchange: Exchange, address: AddressParts) => Promise<void>;

export function createCarryOut(authenticate: Authenticate, reader: ClientReader): (spec: Endpoint) => CarryOut {
  return (spec) => {
    const readBody = bodyReader(spec);
    const paramsOf = parser(spec.params, '');
    const queryOf = parser(spec.query, 'query ');
    const bodyOf = parser(spec.body, '');
    const route = pathsOf(spec)[0];
    const isKeyed = spec.caller === 'gateway' || spec.caller === 'admin';
    return async (exchange, address) => {
      const { request, response } = exchange;
      exchange.route = route;
      // A key is in the head of the request: without one nobody has us read a body, which may be megabytes.
      const keyed = isKeyed ? authenticate(spec.caller, request) : undefined;
      const body = readBody && ((await readBody(request, response)) ?? (spec.bodyRequired ? undefined : {}));
      const known = keyed ?? authenticate(spec.caller, request);
      const caller = known instanceof Promise ? await known : known;
      const reply = await spec.handle({
        caller,
        request,
        client: () => ({ ip: reader.ipOf(request), userAgent: reader.userAgentOf(request) }),
        params: paramsOf(address.params),
        query: queryOf(spec.query && address.query ? readParameters(address.query, 'query') : NOTHING),
        body: bodyOf(body),
      });
      await send(spec, reply, exchange);
    };
  };
}

/** What nothing stands for is the same every time, and worked out once. */
function parser(schema: z.ZodType | undefined, place: string): (value: unknown) => unknown {
  if (schema === undefined) return () => NOTHING;
  const ofNothing = schema.safeParse(NOTHING);
  return (value) => {
    const parsed = value === NOTHING ? ofNothing : schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const faults = parsed.error.issues.flatMap((issue) => faultsOf(issue, issue.path));
    throw new LatchkeyError('invalid_request', { detail: faults.map((fault) => place + fault).join('; ') });
  };
}

/** A union says only that nothing fits; the faults inside the option that has the right type say what. */
function faultsOf(issue: z.core.$ZodIssue, path: readonly PropertyKey[]): string[] {
  const inner = issue.code === 'invalid_union' ? issue.errors.flat().filter((one) => one.path.length > 0) : [];
  if (inner.length > 0) return inner.flatMap((one) => faultsOf(one, [...path, ...one.path]));
  return [`${path.join('.') || 'body'}: ${issue.message}`];
}

function send(spec: Endpoint, reply: Reply, exchange: Exchange): Promise<void> | void {
  const { status, headers = {}, body, stream } = reply;
  const declared = spec.responses[status];
  if (declared === undefined) throw new Error(`${spec.operationId} answered ${status}, which it does not declare`);
  if (stream !== undefined) return stream(exchange);
  if (declared.body === undefined) return answer(exchange, status, headers);
  const text = JSON.stringify(declared.body.parse(body));
  return answer(exchange, status, { 'Content-Type': 'application/json; charset=utf-8', ...headers }, text);
}
