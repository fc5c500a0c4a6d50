/**
 * Owns how an error leaves the process: a problem body (RFC 9457) with a stable code. Nothing internal passes here.
 */
import type { ErrorRequestHandler, Request, Response } from 'express';
import { ERRORS, LatchkeyError, TOKEN_REASONS, type ErrorCode } from '../contract/errors.ts';
import type { Logger } from '../log.ts';

export function createErrorHandler(log: Logger): ErrorRequestHandler {
  return (thrown: unknown, request, response, _next) => {
    const error = asLatchkeyError(thrown);
    const requestId: string = response.locals['requestId'];
    response.locals['code'] = error.code;
    if (error.status >= 500) log.error({ requestId, code: error.code, err: error.cause ?? error }, 'request failed');
    if (response.headersSent) {
      response.destroy();
      return;
    }
    setErrorHeaders(error, request, response);
    response
      .status(error.status)
      .type('application/problem+json')
      .send(JSON.stringify({ ...problemOf(error), ...oauthErrorOf(error, request), requestId }));
  };
}

function problemOf(error: LatchkeyError) {
  return {
    type: `urn:latchkey:error:${error.code}`,
    title: ERRORS[error.code].title,
    status: error.status,
    code: error.code,
    ...(error.detail !== undefined && { detail: error.detail }),
    ...error.extra,
  };
}

const REASONS: readonly ErrorCode[] = TOKEN_REASONS;

function setErrorHeaders(
  { code, status, retryAfterSeconds }: LatchkeyError,
  request: Request,
  response: Response,
): void {
  if (retryAfterSeconds !== undefined) response.set('Retry-After', String(Math.ceil(retryAfterSeconds)));
  if (status !== 401) return;
  const isReason = REASONS.includes(code);
  if (isReason) response.set('X-Auth-Reason', code);
  response.set('WWW-Authenticate', challengeOf(code, isReason, request.headers.authorization ?? ''));
}

/** In the scheme that the caller used (RFC 6749 section 5.2); RFC 6750 section 3.1: no error when nothing was sent. */
function challengeOf(code: ErrorCode, isReason: boolean, authorization: string): string {
  if (code === 'unauthorized' && /^basic /i.test(authorization)) return 'Basic realm="latchkey"';
  const isRefused = isReason ? code !== 'token_missing' : code === 'unauthorized' && authorization !== '';
  return isRefused ? 'Bearer error="invalid_token"' : 'Bearer realm="latchkey"';
}

/** What OAuth clients look for beside our code, on the endpoints that take their forms (RFC 6749 section 5.2). */
function oauthErrorOf({ status }: LatchkeyError, request: Request): { readonly error?: string } {
  if (!request.is('application/x-www-form-urlencoded')) return {};
  if (status === 401) return { error: 'invalid_client' };
  return status === 400 ? { error: 'invalid_request' } : {};
}

/** Errors of the body reader and the router, by the `status` and `type` that they carry; all others are ours. */
function asLatchkeyError(thrown: unknown): LatchkeyError {
  if (thrown instanceof LatchkeyError) return thrown;
  const { status, type } = (thrown ?? {}) as { status?: unknown; type?: unknown };
  if (status === 413) return new LatchkeyError('payload_too_large');
  if (status === 415) return new LatchkeyError('unsupported_media_type');
  if (type === 'entity.parse.failed')
    return new LatchkeyError('invalid_request', { detail: 'the body is not valid JSON' });
  if (typeof status === 'number' && status >= 400 && status < 500) return new LatchkeyError('invalid_request');
  return new LatchkeyError('internal', { cause: thrown });
}
