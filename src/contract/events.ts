/**
 * Owns the form of what happened to tokens and users, as feeds and histories tell it.
 * Must not know where events are kept or how they travel.
 */
import { z } from 'zod';
import { TOKEN_REASONS } from './errors.ts';
import { EVENT_TYPES } from './event-types.ts';

/** Who ended a token or changed a user: the sentence "signed in on ios at 10:32 under single-device" in parts. */
export const actorSchema = z
  .object({
    kind: z.enum(['login', 'admin', 'user', 'system']),
    platform: z.string().optional(),
    deviceName: z.string().optional(),
    policy: z.string().optional(),
    reason: z.string().optional(),
  })
  .meta({ id: 'Actor' });

export const eventSchema = z
  .object({
    /** For deduplication: a consumer may see an event twice, always under the same id. */
    id: z.string(),
    type: z.enum(EVENT_TYPES),
    tenant: z.string(),
    userId: z.string().optional().describe('Absent of `tenant.changed`.'),
    tokenId: z.string().optional(),
    platform: z.string().optional(),
    at: z.iso.datetime().describe('When it happened, by the clock of Redis.'),
    exp: z
      .int()
      .optional()
      .describe('End of the last access token of this token, unix seconds: nobody needs the event after it.'),
    code: z.enum(TOKEN_REASONS).optional().describe('What the device of an ended token is told.'),
    by: actorSchema.optional(),
    ip: z.string().optional().describe('Address of the login (`token.issued`, `login.declined`).'),
    conflicts: z.array(z.string()).optional().describe('The tokens in the way (`login.declined`).'),
  })
  .meta({ id: 'Event' });

export type Event = z.infer<typeof eventSchema>;
