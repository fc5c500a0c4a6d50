/**
 * Owns who calls: an app by the token it holds, a gateway or an admin by a key. Must not know what they ask for.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { LatchkeyError } from '../contract/errors.ts';
import { ANY_TENANT } from '../contract/messages.ts';
import type { Token } from '../domain/token.ts';
import { refusalOf, type Judge } from '../tokens/verdict.ts';
import { valuesOf } from './raw-headers.ts';

/** `bearer` hands the raw access token to the handler, which judges it itself. */
export type CallerKind = 'none' | 'app' | 'optional-app' | 'bearer' | 'gateway' | 'admin';

/** What a handler learns of its caller. */
export type Caller<C extends CallerKind> = C extends 'app'
  ? { readonly token: Token }
  : C extends 'optional-app'
    ? OptionalApp
    : C extends 'bearer'
      ? { readonly accessToken: string }
      : Readonly<Record<string, never>>;

/** Of an app that may show who it is in another way too. */
export type OptionalApp = {
  /** Of a good access token; absent without a header, or with one that is no good. */
  readonly token?: Token;
  /** What to say of a header that is no good, where there is nothing else. */
  readonly refusal?: LatchkeyError;
  /** Of an access token in time whose token time has ended: good for nothing but to end that one. */
  readonly outlived?: Token;
};

export type Authenticate = <C extends CallerKind>(kind: C, request: IncomingMessage) => Caller<C> | Promise<Caller<C>>;

/** Throws `unauthorized`, `forbidden`, or the reason why the app's token is no good. */
export function createAuthenticate(judge: Judge, adminKey: string, gatewayKey: string): Authenticate {
  const [ofAdmin, ofGateway] = [digestOf(adminKey), digestOf(gatewayKey)];

  async function tokenOf(request: IncomingMessage): Promise<Token> {
    const verdict = await judge(bearerOf(authorizationOf(request)), ANY_TENANT);
    if (!verdict.active) throw refusalOf(verdict);
    return verdict.token;
  }

  async function optionalTokenOf(request: IncomingMessage): Promise<OptionalApp> {
    const values = valuesOf(request, AUTHORIZATION);
    if (values.length === 0) return {};
    // Two are two claims of who calls: neither counts.
    const accessToken = values.length === 1 ? readBearer(values[0] as string) : undefined;
    if (accessToken === undefined) return { refusal: noBearer('token_malformed') };
    const verdict = await judge(accessToken, ANY_TENANT);
    if (verdict.active) return { token: verdict.token };
    return { refusal: refusalOf(verdict), ...(verdict.outlived && { outlived: verdict.outlived }) };
  }

  const by: Record<CallerKind, (request: IncomingMessage) => unknown> = {
    none: () => ({}),
    app: async (request) => ({ token: await tokenOf(request) }),
    'optional-app': optionalTokenOf,
    // Proxies know 401 and 403 only, so here even two headers are a token that is no good.
    bearer: (request) => {
      const values = valuesOf(request, AUTHORIZATION);
      if (values.length > 1) throw noBearer('token_malformed');
      return { accessToken: bearerOf(values[0]) };
    },
    gateway: (request) => {
      const given = digestOf(keyOf(request));
      if (!timingSafeEqual(given, ofGateway) && !timingSafeEqual(given, ofAdmin)) throw noKey('GATEWAY_API_KEY');
      return {};
    },
    admin: (request) => {
      const given = digestOf(keyOf(request));
      if (timingSafeEqual(given, ofGateway))
        throw new LatchkeyError('forbidden', { detail: 'this call needs the admin key' });
      if (!timingSafeEqual(given, ofAdmin)) throw noKey('ADMIN_API_KEY');
      return {};
    },
  };
  return (kind, request) => by[kind](request) as Caller<typeof kind>;
}

const AUTHORIZATION = 'authorization';

/** Two headers are two claims of who calls: neither counts. */
function authorizationOf(request: IncomingMessage): string | undefined {
  const values = valuesOf(request, AUTHORIZATION);
  if (values.length > 1) throw new LatchkeyError('invalid_request', { detail: 'more than one Authorization header' });
  return values[0];
}

/** RFC 6750 section 2.1. */
function bearerOf(value: string | undefined): string {
  if (value === undefined) throw noBearer('token_missing');
  const token = readBearer(value);
  if (token === undefined) throw noBearer('token_malformed');
  return token;
}

function noBearer(code: 'token_missing' | 'token_malformed'): LatchkeyError {
  return new LatchkeyError(code, { detail: 'expected one header "Authorization: Bearer <access token>"' });
}

/** The same whatever was wrong: a header that is not there, of another kind or name, or another key. */
function noKey(setting: string): LatchkeyError {
  return new LatchkeyError('unauthorized', {
    detail: `expected "Authorization: Bearer <${setting}>", or HTTP Basic with any client id and the key as secret`,
  });
}

function readBearer(value: string): string | undefined {
  const [, token] = /^Bearer +(\S+) *$/i.exec(value) ?? [];
  return token;
}

/** The key of a gateway or admin: bearer, or the secret of HTTP Basic (RFC 6749 section 2.3.1) with any client id. */
function keyOf(request: IncomingMessage): string {
  const [, scheme = '', credentials = ''] = /^(\w+) +(\S+) *$/.exec(authorizationOf(request) ?? '') ?? [];
  if (scheme.toLowerCase() === 'bearer') return credentials;
  if (scheme.toLowerCase() !== 'basic') return '';
  const pair = Buffer.from(credentials, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  // RFC 7617 section 2: without one there is no password.
  return colon < 0 ? '' : decodeFormValue(pair.slice(colon + 1));
}

function decodeFormValue(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return '';
  }
}

/** Digests have one length, so a comparison takes the same time for every guess. */
function digestOf(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
