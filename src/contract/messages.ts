/**
 * Owns what callers send: bodies and parameters of the wire contract, as zod schemas that check them and that openapi.yaml
 * is made from. Must not know routes. An unknown name is a fault: it may be the misspelt one that would have narrowed what is
 * done. The forms of RFC endpoints alone ignore it, as their RFCs say.
 */
import { z } from 'zod';
import { expecting } from './faults.ts';
import { opaqueString } from './opaque-string.ts';
import { text } from './text.ts';
import { policyChoiceSchema } from './tenant-config.ts';

/** URL clients resolve them as steps of a path (RFC 3986 section 5.2.4), so nobody could address what had them for a name. */
const DOTS = ['.', '..'];

const id = text(1, 128)
  .refine((value) => !DOTS.includes(value), '"." and ".." are steps of a path and the name of nobody')
  .meta({ not: { enum: DOTS } });

export const DEFAULT_TENANT = 'default';
/** Stands for any tenant where one is expected, so no tenant can have it for a name. */
export const ANY_TENANT = '*';

export const tenantSchema = id
  .refine((value) => value !== ANY_TENANT, '"*" means any tenant and is the name of none')
  .meta({ not: { enum: [...DOTS, ANY_TENANT] } });
/** Where a tenant is expected of somebody else's token or event. */
export const expectedTenantSchema = id;

export const userIdSchema = id;

export const TOKEN_ID = /^[A-Za-z0-9_-]{1,64}$/;
export const tokenIdSchema = expecting('a token id: 1-64 of letters, digits, "_" and "-"', z.string().regex(TOKEN_ID));

const BUILT_IN = 'built in: ios, android, windows, macos, web, miniweb, linux, android-pad, ipad, harmonyos';
export const PLATFORM_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/;

// Wider than names are: of one that is merely unknown the deployment can say which it has (tokens/rules.ts).
const platformName = expecting(`the name of a platform (${BUILT_IN})`, text(1, 32)).meta({
  pattern: PLATFORM_NAME.source,
});
const className = expecting('the name of a class of platforms, such as mobile or desktop', text(1, 32)).meta({
  pattern: PLATFORM_NAME.source,
});

const reason = text(1, 128);

/** RFC 3339. */
export const time = z.iso.datetime({ offset: true });

/** An offset can lead out of the years that RFC 3339 can write. */
const LAST_TIME = Date.parse('9999-12-31T23:59:59.999Z');
const givenTime = time.refine(
  (given) => !(Date.parse(given) > LAST_TIME),
  'expected a time before the year 10000 in UTC',
);

export const tenantQuery = z.strictObject({ tenant: tenantSchema.default(DEFAULT_TENANT) });

const loginOptions = {
  platform: platformName.describe(`${BUILT_IN.replace('b', 'B')}.`),
  deviceId: id.describe('Stable for one installation: the same device logging in again replaces its own token.'),
  deviceName: text(0, 128).default('').describe('For people: shown in device lists and to displaced devices.'),
  interactive: z
    .boolean()
    .default(true)
    .describe('false: nobody is at the device. Such logins are stopped when devices keep signing each other out.'),
  dryRun: z.boolean().default(false).describe('Answer what the login would do, and store nothing.'),
  evict: z.array(tokenIdSchema).max(100).default([]).describe('Tokens of this user to end in the same step.'),
};

/** Of a password of 256 characters, in UTF-16 units, however it is typed. */
const LONGEST_TYPED = 1024;

export const loginRequest = z
  .strictObject({
    tenant: tenantSchema.default(DEFAULT_TENANT),
    userId: id,
    password: z.string().min(1).max(LONGEST_TYPED),
    ...loginOptions,
    deviceProof: z
      .string()
      .min(1)
      .max(4096)
      .optional()
      .describe('Any refresh token that this device ever got for this user: strangers’ failures do not lock it out.'),
  })
  .meta({ id: 'LoginRequest' });

export const issueRequest = z.strictObject(loginOptions).meta({ id: 'IssueRequest' });

export const refreshRequest = z
  .strictObject({ refreshToken: z.string().min(1).max(4096) })
  .meta({ id: 'RefreshRequest' });

export const logoutRequest = z
  .strictObject({
    scope: z.enum(['this', 'others', 'all']).default('this'),
    refreshToken: z.string().min(1).max(4096).optional().describe('Counts where the header has no good access token.'),
  })
  .meta({ id: 'LogoutRequest' });

// The endpoint tells what is left out as OAuth does, so the schema lets it pass; the document says that both are needed.
export const tokenForm = z
  .object({
    grant_type: z.string().optional().describe('`refresh_token`'),
    refresh_token: z.string().optional(),
  })
  .meta({ required: ['grant_type', 'refresh_token'] });

export const presenceRequest = z
  .strictObject({
    tokens: z
      .array(
        z.strictObject({
          tenant: tenantSchema.default(DEFAULT_TENANT),
          userId: id,
          tokenId: tokenIdSchema,
          connectionId: text(0, 128)
            .default('')
            .describe('Each connection has a lease of its own. A release without a name is one of all of them.'),
        }),
      )
      .min(1)
      .max(1000),
    release: z
      .boolean()
      .default(false)
      .describe('The connections have ended. With the last one of a token its grace begins.'),
  })
  .meta({ id: 'PresenceRequest' });

export const policyRequest = z.strictObject({ policy: policyChoiceSchema }).meta({ id: 'PolicyRequest' });

const simulatedLogin = z.strictObject({
  platform: platformName,
  deviceId: id,
  evict: z.array(tokenIdSchema).max(100).optional(),
});

export const simulateRequest = z
  .strictObject({
    policy: policyChoiceSchema,
    tokens: z
      .array(z.strictObject({ tokenId: tokenIdSchema, platform: platformName, deviceId: id }))
      .max(1000)
      .optional()
      .describe('Oldest first.'),
    userId: id.optional().describe('Instead of `tokens`: those that this user holds.'),
    login: simulatedLogin,
  })
  .refine((body) => (body.tokens === undefined) !== (body.userId === undefined), 'expected either tokens or userId')
  .meta({ id: 'SimulateRequest' });

export const introspectForm = z.object({
  token: z.string().min(1),
  tenant: expectedTenantSchema.default(DEFAULT_TENANT).describe('`*` = any.'),
});
export const revokeForm = z.object({ token: z.string().min(1) });

/** Counted as it is stored: one system types a letter as one character, another as up to three. */
const newPassword = expecting(
  '8-256 characters',
  z
    .string()
    .min(8, { abort: true })
    .max(LONGEST_TYPED, { abort: true })
    .refine((password) => {
      const { length } = Array.from(opaqueString(password));
      return length >= 8 && length <= 256;
    })
    .describe('8-256 characters, counted after normalisation (RFC 8265 section 4.2.2).'),
);

export const createUserRequest = z
  .strictObject({ userId: id, password: newPassword })
  .meta({ id: 'CreateUserRequest' });

export const changeUserRequest = z
  .strictObject({
    password: newPassword.optional(),
    blocked: z
      .strictObject({
        until: givenTime.optional().describe('In the future. Absent: until it is lifted.'),
        reason: reason.optional(),
      })
      .nullable()
      .optional()
      .describe('null lifts the block.'),
  })
  .refine(
    ({ password, blocked }) => password !== undefined || blocked !== undefined,
    'expected password, blocked, or both',
  )
  .meta({ id: 'ChangeUserRequest', minProperties: 1 });

export const listUsersQuery = tenantQuery.extend({
  limit: z.coerce.number().int().min(1).max(100).default(50),
  after: id.optional().describe('`next` of the page before.'),
});

/** States of a token. */
export const STATES = ['active', 'kicked', 'replaced', 'revoked', 'logged_out', 'expired'] as const;

export const listTokensQuery = tenantQuery.extend({
  platform: platformName.optional(),
  class: className.optional(),
  state: z.enum(STATES).optional(),
});

export const revokeTokensQuery = tenantQuery.extend({
  platform: platformName.optional(),
  class: className.optional(),
  reason: reason.optional(),
});
export const revokeTokenQuery = tenantQuery.extend({ reason: reason.optional() });

export type LoginOptions = z.infer<typeof issueRequest>;
