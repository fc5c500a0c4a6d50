/**
 * Owns the written form of a policy, as it stands in settings, in files and in admin calls.
 * Must not know which platforms exist (domain/policies/check.ts does) or what a policy leads to (the engine does).
 */
import { z } from 'zod';
import { expecting } from './faults.ts';

const names = z.array(z.string().min(1).max(32)).min(1).max(64);

/** Which tokens a limit speaks of: all of the given conditions hold; `{}` is every token but those of `admin`. */
export const matchSchema = z
  .strictObject({
    platforms: names.optional(),
    classes: names.optional(),
    notPlatforms: names.optional(),
    notClasses: names.optional(),
  })
  .meta({ id: 'PolicyMatch' });

export const limitSchema = z
  .strictObject({
    match: matchSchema,
    /** What `max` counts within. */
    countBy: z.enum(['all', 'class', 'platform']),
    /** Tokens allowed at once; 0 = the platform may not log in. */
    max: z.int().min(0).max(100),
    /** What becomes of the excess: tombstone, no trace, or the login is refused. */
    overflow: z.enum(['kick', 'delete', 'decline']),
    /** Who goes first; tokens whose presence lease lapsed always go before anyone. */
    victim: z.enum(['oldest_login', 'least_recently_seen']).optional(),
  })
  .meta({ id: 'PolicyLimit' });

// Strict on purpose: an unknown key in a policy is a misspelled rule, and ignoring it would sign people out.
export const policySchema = z
  .strictObject({
    name: expecting(
      '1-64 of a-z, 0-9 and "-", which does not come first',
      z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/),
    ),
    limits: z.array(limitSchema).max(20),
  })
  .meta({ id: 'Policy' });

export type Match = z.infer<typeof matchSchema>;
export type Limit = z.infer<typeof limitSchema>;
export type Policy = z.infer<typeof policySchema>;
