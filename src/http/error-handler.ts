/**
 * Owns how an error leaves the process: a problem body (RFC 9457) with a stable code. Nothing internal passes here.
 */
import { ERRORS, LatchkeyError, TOKEN_REASONS, type ErrorCode } from '../contract/errors.ts';
import type { Logger } from '../log.ts';
import { answer, type Exchange, type Headers } from './exchange.ts';
import { FORM, mediaTypeOf } from './read-body.ts';

export type AnswerError = (exchange: Exchange, thrown: unknown) => void;

export function createErrorHandler(log: Logger): AnswerError {
  return (exchange, thrown) => {
    const error = asLatchkeyError(thrown);
    const { requestId, request, response } = exchange;
    exchange.code = error.code;
    noteTrouble(log, requestId, error);
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const isForm = mediaTypeOf(request) === FORM;
    const body = { ...problemOf(error), ...(isForm && oauthErrorOf(error)), requestId };
    const headers = headersOf(error, request.headers.authorization ?? '');
    answer(exchange, error.status, headers, JSON.stringify(body));
  };
}

/** A fault of ours with its stack; an outage, which meets every request, with its cause alone; a limit in its line only. */
function noteTrouble(log: Logger, requestId: string, error: LatchkeyError): void {
  const { code, cause } = error;
  if (code === 'internal') log.error({ requestId, code, err: cause ?? error }, 'request failed');
  else if (error.status >= 500 && cause !== undefined)
    log.error({ requestId, code, reason: reasonOf(cause) }, 'request failed');
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause;
  return cause.cause === undefined ? cause.message : `${cause.message}: ${reasonOf(cause.cause)}`;
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

function headersOf({ code, status, retryAfterSeconds }: LatchkeyError, authorization: string): Headers {
  const isReason = status === 401 && REASONS.includes(code);
  return {
    'Content-Type': 'application/problem+json; charset=utf-8',
    ...(retryAfterSeconds !== undefined && { 'Retry-After': String(Math.ceil(retryAfterSeconds)) }),
    ...(isReason && { 'X-Auth-Reason': code }),
    ...(status === 401 && { 'WWW-Authenticate': challengeOf(code, isReason, authorization) }),
  };
}

/** In the scheme that the caller used (RFC 6749 section 5.2); RFC 6750 section 3.1: no error when nothing was sent. */
function challengeOf(code: ErrorCode, isReason: boolean, authorization: string): string {
  if (code === 'unauthorized' && /^basic /i.test(authorization)) return 'Basic realm="latchkey"';
  const isRefused = isReason ? code !== 'token_missing' : code === 'unauthorized' && authorization !== '';
  return isRefused ? 'Bearer error="invalid_token"' : 'Bearer realm="latchkey"';
}

/** What OAuth clients look for beside our code, on the endpoints that take their forms (RFC 6749 section 5.2). */
function oauthErrorOf({ status }: LatchkeyError): { readonly error?: string } {
  if (status === 401) return { error: 'invalid_client' };
  return status === 400 ? { error: 'invalid_request' } : {};
}

/** Errors of the router, by the `status` that they carry; all others are ours. */
function asLatchkeyError(thrown: unknown): LatchkeyError {
  if (thrown instanceof LatchkeyError) return thrown;
  const { status } = (thrown ?? {}) as { status?: unknown };
  if (thrown instanceof URIError)
    return new LatchkeyError('invalid_request', { detail: 'the path is not percent-encoded UTF-8' });
  if (typeof status === 'number' && status >= 400 && status < 500) return new LatchkeyError('invalid_request');
  return new LatchkeyError('internal', { cause: thrown });
}
