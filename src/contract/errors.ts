/**
 * Owns every error code that leaves this process, with its HTTP status and its sentence for people.
 * Must not know who throws them. A code is stable for ever; a sentence may change.
 */

type ErrorRow = { readonly status: number; readonly title: string; readonly retryAfterSeconds?: number };

/**
 * One row a code. `retryAfterSeconds` is the default of Retry-After for codes that carry one (every 429 and 503).
 * RFC 9457 section 3.1: `title` is the same for every occurrence of a code; `detail` is what differs.
 */
export const ERRORS = {
  token_missing: { status: 401, title: 'No access token was sent' },
  token_malformed: { status: 401, title: 'The token is not one of ours in form' },
  token_invalid: { status: 401, title: 'The token failed verification' },
  token_expired: { status: 401, title: 'The token has expired' },
  token_kicked: { status: 401, title: 'Signed out by a login on another device' },
  token_replaced: { status: 401, title: 'Replaced by a newer login of the same device' },
  token_revoked: { status: 401, title: 'The token was revoked' },
  token_logged_out: { status: 401, title: 'The user signed this device out' },
  token_unknown: { status: 401, title: 'The token is not on record' },
  refresh_reused: { status: 401, title: 'A refresh token was used twice, so its device was signed out' },
  user_blocked: { status: 403, title: 'The user is blocked' },
  invalid_request: { status: 400, title: 'The request is not valid' },
  invalid_credentials: { status: 401, title: 'Unknown user or wrong password' },
  platform_not_allowed: { status: 403, title: 'The policy does not allow this platform' },
  login_declined: { status: 409, title: 'The seats are taken and the policy declines further logins' },
  too_many_attempts: { status: 429, title: 'Too many attempts', retryAfterSeconds: 1 },
  reconnect_war: { status: 429, title: 'Two devices keep signing each other out', retryAfterSeconds: 1 },
  login_contended: { status: 503, title: 'Too many logins of this user at this moment', retryAfterSeconds: 1 },
  credentials_unavailable: {
    status: 503,
    title: 'The user service cannot say whether the password is right',
    retryAfterSeconds: 1,
  },
  overloaded: { status: 503, title: 'The service is at its limit', retryAfterSeconds: 1 },
  unauthorized: { status: 401, title: 'The caller is not authenticated' },
  forbidden: { status: 403, title: 'The caller may not do this' },
  not_found: { status: 404, title: 'Not found' },
  method_not_allowed: { status: 405, title: 'The path does not take this method' },
  version_mismatch: { status: 412, title: 'It has been changed in the meantime' },
  already_exists: { status: 409, title: 'It exists already' },
  payload_too_large: { status: 413, title: 'The body is larger than allowed' },
  unsupported_media_type: { status: 415, title: 'The media type is not supported' },
  store_unavailable: { status: 503, title: 'The token store cannot be reached', retryAfterSeconds: 1 },
  store_unreadable: {
    status: 503,
    title: 'What is stored is in a form that this version cannot read',
    retryAfterSeconds: 5,
  },
  internal: { status: 500, title: 'Something went wrong on our side' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** The codes that a verdict can give as the reason why a token is not good. Always 401 where a token was presented. */
export const TOKEN_REASONS = [
  'token_missing',
  'token_malformed',
  'token_invalid',
  'token_expired',
  'token_kicked',
  'token_replaced',
  'token_revoked',
  'token_logged_out',
  'token_unknown',
  'refresh_reused',
  'user_blocked',
] as const satisfies readonly ErrorCode[];

export type TokenReason = (typeof TOKEN_REASONS)[number];

/** What a thrower may add to a code. */
export type ErrorParts = {
  /** For people; public. Must not carry secrets, raw tokens or anything internal. */
  readonly detail?: string;
  /** Further public members of the problem body (RFC 9457 section 3.2). */
  readonly extra?: Readonly<Record<string, unknown>>;
  /** Seconds until a retry makes sense; becomes Retry-After. */
  readonly retryAfterSeconds?: number;
  /** Overrides the table where a code has two: a token reason is 401, `user_blocked` at a login 403. */
  readonly status?: number;
  /** Private: goes to the log only. */
  readonly cause?: unknown;
};

/** The one error type whose content may be shown to a caller. Everything else becomes `internal`. */
export class LatchkeyError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: string | undefined;
  readonly extra: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, parts: ErrorParts = {}) {
    super(parts.detail ?? ERRORS[code].title, { cause: parts.cause });
    this.name = 'LatchkeyError';
    const row: ErrorRow = ERRORS[code];
    this.code = code;
    this.status = parts.status ?? row.status;
    this.detail = parts.detail;
    this.extra = parts.extra ?? {};
    this.retryAfterSeconds = parts.retryAfterSeconds ?? row.retryAfterSeconds;
  }
}
