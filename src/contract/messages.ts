/**
 * Owns the bodies and parameters of the wire contract, as zod schemas that check them and that openapi.yaml is made from.
 * Must not know routes. Unknown fields of a request are ignored; a response has declared fields only.
 */
import { z } from 'zod';
import { ERRORS, TOKEN_REASONS, type ErrorCode } from './errors.ts';
import { actorSchema, eventSchema } from './events.ts';

// No control characters and no lone surrogates: what is left can stand in keys, records, headers and logs.
const text = (min: number, max: number) =>
  z
    .string()
    .regex(
      new RegExp(`^[^\\p{Cc}\\p{Cs}]{${min},${max}}$`, 'u'),
      `expected ${min}-${max} characters, no control characters`,
    );

const id = text(1, 128);

export const DEFAULT_TENANT = 'default';

export const userIdSchema = id;
export const tokenIdSchema = z.string().regex(/^[\w-]{1,64}$/, 'expected a token id');
const platformName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'expected the name of a platform');
const reason = text(1, 128);
const time = z.iso.datetime({ offset: true });

export const tenantQuery = z.object({ tenant: id.default(DEFAULT_TENANT) });

const loginOptions = {
  platform: platformName.describe(
    'Built in: ios, android, windows, macos, web, miniweb, linux, android-pad, ipad, harmonyos.',
  ),
  deviceId: id.describe('Stable for one installation: the same device logging in again replaces its own token.'),
  deviceName: text(0, 128).default('').describe('For people: shown in device lists and to displaced devices.'),
  dryRun: z.boolean().default(false).describe('Answer what the login would do, and store nothing.'),
  evict: z.array(tokenIdSchema).max(100).default([]).describe('Tokens of this user to end in the same step.'),
};

export const loginRequest = z
  .object({ tenant: id.default(DEFAULT_TENANT), userId: id, password: z.string().min(1).max(256), ...loginOptions })
  .meta({ id: 'LoginRequest' });

export const issueRequest = z.object(loginOptions).meta({ id: 'IssueRequest' });

export const refreshRequest = z.object({ refreshToken: z.string().min(1).max(4096) }).meta({ id: 'RefreshRequest' });

export const logoutRequest = z
  .object({
    scope: z.enum(['this', 'others', 'all']).default('this'),
    refreshToken: z
      .string()
      .min(1)
      .max(4096)
      .optional()
      .describe('Instead of a bearer token, when the access token is gone.'),
  })
  .meta({ id: 'LogoutRequest' });

export const introspectForm = z.object({
  token: z.string().min(1),
  tenant: id.default(DEFAULT_TENANT).describe('`*` = any.'),
});
export const revokeForm = z.object({ token: z.string().min(1) });

const newPassword = z.string().min(8, 'at least 8 characters').max(256);

export const createUserRequest = z.object({ userId: id, password: newPassword }).meta({ id: 'CreateUserRequest' });

export const changeUserRequest = z
  .object({
    password: newPassword.optional(),
    blocked: z
      .object({ until: time.optional().describe('Absent: until it is lifted.'), reason: reason.optional() })
      .nullable()
      .optional()
      .describe('null lifts the block.'),
  })
  .meta({ id: 'ChangeUserRequest' });

export const listUsersQuery = tenantQuery.extend({
  limit: z.coerce.number().int().min(1).max(100).default(50),
  after: id.optional().describe('`next` of the page before.'),
});

const STATES = ['active', 'kicked', 'replaced', 'revoked', 'logged_out', 'expired'] as const;

export const listTokensQuery = tenantQuery.extend({
  platform: platformName.optional(),
  state: z.enum(STATES).optional(),
});

export const revokeTokensQuery = tenantQuery.extend({
  platform: platformName.optional(),
  class: platformName.optional(),
  reason: reason.optional(),
});
export const revokeTokenQuery = tenantQuery.extend({ reason: reason.optional() });

const stored = z.string();

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
    accessExpiresAt: time,
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
  .object({ tokenId: stored, platform: stored, deviceName: stored, lastSeenAt: time })
  .meta({ id: 'Conflict' });

const tagged = z.object({ tokenId: stored, platform: stored }).meta({ id: 'TaggedToken' });

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
export const tokensResult = z.object({ tokens: z.array(tokenSchema) }).meta({ id: 'TokensResult' });
export const revokedResult = z.object({ revoked: z.array(tagged) }).meta({ id: 'RevokedResult' });
export const historyResult = z.object({ events: z.array(eventSchema) }).meta({ id: 'HistoryResult' });

export const userSchema = z
  .object({
    tenant: stored,
    userId: stored,
    createdAt: time,
    hasPassword: z.boolean(),
    blocked: z.object({ until: time.optional(), reason: stored.optional(), at: time }).optional(),
  })
  .meta({ id: 'User' });

export const usersResult = z
  .object({ users: z.array(userSchema), next: stored.optional() })
  .meta({ id: 'UsersResult' });
export const changeUserResult = z
  .object({ user: userSchema, revoked: z.array(tagged) })
  .meta({ id: 'ChangeUserResult' });

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
    issuer: stored,
    jwks_uri: stored,
    introspection_endpoint: stored,
    introspection_endpoint_auth_methods_supported: z.array(stored),
    revocation_endpoint: stored,
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
    retryAfterSeconds: z.int().optional(),
    endedAt: time.optional(),
    endedBy: actorSchema.optional(),
    until: time.optional(),
    reason: stored.optional(),
  })
  .meta({ id: 'Problem' });

export type LoginOptions = z.infer<typeof issueRequest>;
