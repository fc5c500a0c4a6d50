/**
 * Owns how a request is carried out once its endpoint is known: caller known and body read, input checked by zod, handled,
 * output checked by zod, answered. The same steps whichever way the endpoint was found.
 */
import { z } from 'zod';
import { LatchkeyError } from '../contract/errors.ts';
import { checkInput, type Place } from '../contract/faults.ts';
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

/** @param hasAgreed whether this process may serve this Redis; 503 `store_unavailable` until then */
export function createCarryOut(
  authenticate: Authenticate,
  reader: ClientReader,
  hasAgreed: () => boolean,
): (spec: Endpoint) => CarryOut {
  return (spec) => {
    const readBody = bodyReader(spec);
    const paramsOf = checkerOf(spec.params, { name: 'path' });
    const queryOf = queryReader(spec);
    const bodyOf = checkerOf(spec.body, bodyPlace(spec));
    const route = pathsOf(spec)[0];
    const isKeyed = spec.caller === 'gateway' || spec.caller === 'admin';
    return async (exchange, address) => {
      const { request, response } = exchange;
      exchange.route = route;
      if (!spec.withoutStore && !hasAgreed()) throw new LatchkeyError('store_unavailable');
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
        query: queryOf(address.query),
        body: bodyOf(body),
      });
      await send(spec, reply, exchange);
    };
  };
}

/** What an endpoint takes that declares none: nothing, by name. */
const NO_QUERY = z.strictObject({});

function queryReader({ query, body, unknownInput }: Endpoint): (text: string) => unknown {
  if (unknownInput === 'ignored') return () => NOTHING;
  const check = checkerOf(query ?? NO_QUERY, { name: 'query', elsewhere: namesOf(body, 'the body') });
  return (text) => check(text === '' ? NOTHING : readParameters(text, 'query'));
}

function bodyPlace({ query, bodyType }: Endpoint): Place {
  return { name: 'body', isForm: bodyType === 'form', elsewhere: namesOf(query, 'the query') };
}

function namesOf(schema: z.ZodType | undefined, place: string): Readonly<Record<string, string>> {
  const names = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  return Object.fromEntries(names.map((name) => [name, place]));
}

/** What nothing stands for is the same every time, and worked out once. */
function checkerOf(schema: z.ZodType | undefined, place: Place): (value: unknown) => unknown {
  if (schema === undefined) return () => NOTHING;
  const ofNothing = checkInput(schema, NOTHING, place);
  return (value) => {
    const checked = value === NOTHING ? ofNothing : checkInput(schema, value, place);
    if ('data' in checked) return checked.data;
    throw new LatchkeyError('invalid_request', { detail: checked.faults.join('; ') });
  };
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
