/**
 * Express middleware over a token checker (`latchkey/gateway/express`). Needs Express' calling convention only, so it
 * fits Connect and plain node:http handlers too.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { bearerOf } from './bearer.ts';
import { GatewayUnavailableError } from './errors.ts';
import { refuseUnknown } from './options.ts';
import { REASON_TITLES, type Claims, type InactiveVerdict, type TokenChecker } from './types.ts';

export type RequireTokenOptions = {
  /** Platforms that may call; default: all. */
  readonly platforms?: readonly string[];
  /** Expected tenant; default: the checker's. */
  readonly tenant?: string;
};

/** Read it with authOf(). Not declared on Express' own Request, where other packages declare an `auth` of theirs. */
export type AuthedRequest = IncomingMessage & { auth?: Claims };
export type Middleware = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void;

/**
 * Lets only requests with a good access token pass, and puts its claims into `request.auth`. Otherwise answers a problem
 * (RFC 9457) with the reason as `code`: 401 with WWW-Authenticate (RFC 6750 section 3), 403 for a platform that may not
 * call, 503 with Retry-After when it cannot be known.
 */
export function requireToken(checker: Pick<TokenChecker, 'check'>, options: RequireTokenOptions = {}): Middleware {
  refuseUnknown(options, ['platforms', 'tenant']);
  const { platforms, tenant } = options;
  if (platforms?.length === 0) throw new RangeError('platforms: valid: at least one');

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const token = bearerOf(request);
    const verdict = await checker.check(token);
    if (!verdict.active) return refuse(response, verdict);
    const { claims } = verdict;
    if (tenant !== undefined && claims.tenant !== tenant) return refuse(response, WRONG_TENANT);
    if (platforms !== undefined && !platforms.includes(claims.platform)) return forbid(response);
    (request as AuthedRequest).auth = claims;
    return true;
  }

  async function run(
    request: IncomingMessage,
    response: ServerResponse,
    next: (error?: unknown) => void,
  ): Promise<void> {
    try {
      if (!(await handle(request, response))) return;
    } catch (error) {
      if (error instanceof GatewayUnavailableError) answerUnavailable(response, error);
      else next(error);
      return;
    }
    next();
  }

  return (request, response, next) => void run(request, response, next);
}

/** The claims that requireToken has put into the request. Throws when it has not: a route without the middleware. */
export function authOf(request: IncomingMessage): Claims {
  const { auth } = request as AuthedRequest;
  if (auth === undefined) throw new TypeError('authOf: requireToken has not seen this request');
  return auth;
}

const WRONG_TENANT: InactiveVerdict = { active: false, reason: 'token_invalid' };

function refuse(response: ServerResponse, { reason, endedAt, endedBy }: InactiveVerdict): false {
  // RFC 6750 section 3.1: no error attribute when no token was sent.
  const error =
    reason === 'token_missing' ? '' : ` error="invalid_token", error_description="${REASON_TITLES[reason]}"`;
  response.setHeader('WWW-Authenticate', `Bearer${error}`);
  response.setHeader('X-Auth-Reason', reason);
  return answer(response, 401, reason, REASON_TITLES[reason], { endedAt, endedBy });
}

function forbid(response: ServerResponse): false {
  response.setHeader('WWW-Authenticate', 'Bearer error="insufficient_scope"');
  return answer(response, 403, 'platform_not_allowed', 'This platform may not do this');
}

function answerUnavailable(response: ServerResponse, { retryAfterSeconds }: GatewayUnavailableError): void {
  response.setHeader('Retry-After', String(Math.ceil(retryAfterSeconds)));
  answer(response, 503, 'store_unavailable', 'It cannot be known at the moment whether the token is good');
}

function answer(response: ServerResponse, status: number, code: string, title: string, more: object = {}): false {
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/problem+json');
  response.setHeader('Cache-Control', 'no-store');
  response.end(JSON.stringify({ type: `urn:latchkey:error:${code}`, title, status, code, ...more }));
  return false;
}
