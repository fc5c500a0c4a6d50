/**
 * Owns what callers get: bodies of the wire contract, as zod schemas that check them and that openapi.yaml is made from.
 * Must not know routes. An answer has declared fields only.
 */
import { z } from 'zod';
import { ERRORS, TOKEN_REASONS, type ErrorCode } from './errors.ts';
import { actorSchema, eventSchema } from './events.ts';
import { STATES, time } from './messages.ts';
import { policyChoiceSchema, tenantConfigSchema } from './tenant-config.ts';

export const stored = z.string();
const uri = stored.meta({ format: 'uri' });

/** RFC 6749 section 5.1. */
export const oauthTokenResult = z
  .object({
    access_token: z.string(),
    token_type: z.literal('Bearer'),
    expires_in: z.int(),
    refresh_token: z.string(),
  })
  .meta({ id: 'OAuthToken' });

/** RFC 6749 section 5.2. */
export const oauthError = z
  .object({
    error: z.enum(['invalid_request', 'invalid_grant', 'unsupported_grant_type', 'invalid_client']),
    error_description: z.string().optional(),
  })
  .meta({ id: 'OAuthError' });

export const presenceResult = z
  .object({
    renewed: z.int().describe('How many were renewed or released.'),
    refused: z.array(z.object({ tokenId: z.string(), reason: z.enum(TOKEN_REASONS) })),
    unreadable: z
      .array(z.string())
      .optional()
      .describe('Neither: what is stored of these tokens, or of their tenant’s presence, this version cannot read.'),
  })
  .meta({ id: 'PresenceResult' });

export const policyResult = z.object({ policy: policyChoiceSchema.nullable() }).meta({ id: 'PolicyResult' });

export const tokenSchema = z
  .object({
    tokenId: stored,
    tenant: stored,
    userId: stored,
    platform: stored,
    class: stored,
    deviceId: stored,
    deviceName: stored,
    state: z.enum(STATES),
    createdAt: time,
    lastSeenAt: time,
    expiresAt: time,
    accessExpiresAt: time.describe('End of the latest pair’s access token; never after the token’s own end.'),
    ip: stored,
    userAgent: stored,
    endedAt: time.optional(),
    endedBy: actorSchema.optional(),
    current: z.boolean().optional().describe('Of GET /tokens: the token that asks.'),
  })
  .meta({ id: 'Token' });

export const displacedSchema = z
  .object({
    tokenId: stored,
    platform: stored,
    deviceName: stored,
    state: z.enum(['kicked', 'replaced', 'gone']).describe('`gone`: ended without a tombstone.'),
    policy: stored,
  })
  .meta({ id: 'Displaced' });

const tokenPair = {
  accessToken: stored,
  tokenType: z.literal('Bearer'),
  expiresIn: z.int().describe('Seconds.'),
  refreshToken: stored,
  refreshExpiresIn: z.int().describe('Seconds.'),
};

export const loginResult = z
  .object({ ...tokenPair, token: tokenSchema, displaced: z.array(displacedSchema) })
  .meta({ id: 'LoginResult' });

export const refreshResult = z.object({ ...tokenPair, token: tokenSchema }).meta({ id: 'RefreshResult' });

export const conflictSchema = z
  .object({
    tokenId: stored,
    platform: stored,
    deviceName: stored,
    lastSeenAt: time,
    leaseExpiresAt: time.optional().describe('Presence: the seat is kept until then, and for the grace after it.'),
    inGrace: z.boolean().optional(),
  })
  .meta({ id: 'Conflict' });

export const tagged = z.object({ tokenId: stored, platform: stored }).meta({ id: 'TaggedToken' });

export const planSchema = z
  .object({
    declined: z.boolean(),
    kick: z.array(tagged),
    delete: z.array(tagged),
    replace: z.array(tagged),
    conflicts: z.array(conflictSchema),
  })
  .meta({ id: 'Plan' });

export const countResult = z.object({ count: z.int() }).meta({ id: 'CountResult' });

export const tokensResult = z
  .object({
    tokens: z.array(tokenSchema),
    unreadable: z
      .array(stored)
      .optional()
      .describe(
        'Of admin calls: tokens whose records this version cannot read. They hold no seat; what ends all ends them.',
      ),
  })
  .meta({ id: 'TokensResult' });

export const revokedResult = z.object({ revoked: z.array(tagged) }).meta({ id: 'RevokedResult' });

export const historyResult = z.object({ events: z.array(eventSchema) }).meta({ id: 'HistoryResult' });

export const tenantResult = z
  .object({
    tenant: stored,
    version: z.int().describe('0 = nothing is set.'),
    config: tenantConfigSchema,
    unreadable: z
      .array(stored)
      .optional()
      .describe('What else is stored, in a form that this version does not know. A PUT replaces it too.'),
    effective: z
      .record(stored, z.object({ value: z.unknown(), source: z.enum(['default', 'environment', 'tenant', 'user']) }))
      .describe('Each field in force, and where it comes from.'),
  })
  .meta({ id: 'Tenant' });

export const webhookResult = z
  .object({
    url: uri,
    state: z
      .enum(['starting', 'delivering', 'failing'])
      .describe('`starting`: no node has begun yet. `failing`: the last attempt failed and is repeated.'),
    cursor: stored.optional().describe('Everything up to it has been delivered; a cursor of GET /events.'),
    failures: z.int().describe('Attempts in a row that failed.'),
    lastError: stored
      .optional()
      .describe(
        'Of the last failure: `status_503` (or whatever the status was), `timeout`, `refused_connection`, `broken_connection`, ' +
          '`unknown_host`, `unreachable`, `bad_certificate`, `bad_tls`, `http2_only`, `private_address` (`WEBHOOK_TARGETS`), or `network` for anything else.',
      ),
    lastDeliveredAt: time.optional(),
    nextAttemptAt: time.optional(),
    refused: z.int().describe('Events that the receiver refused for good, with 400 and `{"err":"invalid_request"}`.'),
    lastRefusal: z
      .object({
        jti: stored.describe('The event.'),
        error: stored.describe('The receiver’s `err`, RFC 8935 section 2.4. `invalid_request` is for good.'),
        at: time,
      })
      .optional()
      .describe('The last answer 4xx that had an `err`; what it says of other events may be over.'),
  })
  .meta({ id: 'WebhookState' });

/** RFC 7662 section 2.2; inactive answers carry `reason` and `endedBy` unless they are switched off. */
export const introspectionResult = z
  .object({
    active: z.boolean(),
    token_type: z.literal('Bearer').optional(),
    client_id: stored.optional(),
    iss: stored.optional(),
    aud: z.union([stored, z.array(stored)]).optional(),
    sub: stored.optional(),
    jti: stored.optional(),
    iat: z.int().optional(),
    exp: z.int().optional(),
    sid: stored.optional(),
    tenant: stored.optional(),
    platform: stored.optional(),
    device_id: stored.optional(),
    reason: z.enum(TOKEN_REASONS).optional(),
    endedAt: time.optional(),
    endedBy: actorSchema.optional(),
  })
  .meta({ id: 'Introspection' });

export const jwksResult = z
  .object({
    keys: z.array(z.object({ kty: stored, kid: stored, alg: stored, use: z.literal('sig') }).catchall(stored)),
  })
  .meta({ id: 'Jwks' });

/** RFC 8414 section 2. */
export const metadataResult = z
  .object({
    issuer: uri,
    jwks_uri: uri,
    token_endpoint: uri,
    token_endpoint_auth_methods_supported: z.array(stored),
    introspection_endpoint: uri,
    introspection_endpoint_auth_methods_supported: z.array(stored),
    revocation_endpoint: uri,
    revocation_endpoint_auth_methods_supported: z.array(stored),
    response_types_supported: z.array(stored),
    grant_types_supported: z.array(stored),
  })
  .meta({ id: 'AuthorizationServerMetadata' });

export const healthResult = z.object({ status: z.enum(['ok', 'draining']) }).meta({ id: 'Health' });

/** RFC 9457 section 3; further members depend on the code. */
export const problemSchema = z
  .object({
    type: stored.describe('A URN that names the code.'),
    title: stored,
    status: z.int(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    detail: stored.optional(),
    requestId: stored,
    conflicts: z.array(conflictSchema).optional(),
    retryAfterSeconds: z
      .int()
      .optional()
      .describe('Of `login_declined`: when a seat for it frees itself, else 60, as somebody may log out.'),
    endedAt: time.optional(),
    endedBy: actorSchema.optional(),
    until: time.optional(),
    reason: stored.optional(),
    error: z
      .enum(['invalid_request', 'invalid_client'])
      .optional()
      .describe('Of the RFC endpoints: RFC 6749 section 5.2.'),
  })
  .meta({ id: 'Problem' });
