/**
 * Owns what callers get about users: records, blocks, and the locks of the throttle. Must not know routes.
 */
import { z } from 'zod';
import { stored, tagged } from './answers.ts';
import { time } from './messages.ts';

export const userSchema = z
  .object({
    tenant: stored,
    userId: stored,
    createdAt: time,
    hasPassword: z.boolean(),
    blocked: z.object({ until: time.optional(), reason: stored.optional(), at: time }).optional(),
  })
  .meta({ id: 'User' });

const lockSchema = z.object({
  by: z
    .enum(['all_networks', 'network', 'device'])
    .describe('Whom it keeps out: strangers wherever they are, those of one network, or one known device.'),
  network: stored.optional().describe('An IPv4 address, or the first four groups of IPv6.'),
  until: time,
  failures: z.int().describe('Failed passwords that led to it.'),
});

export const userDetailSchema = userSchema
  .extend({ locks: z.array(lockSchema).describe('Those of the throttle that hold.') })
  .meta({ id: 'UserDetail' });

export const locksResult = z
  .object({ lifted: z.array(lockSchema).describe('The locks that this ended.') })
  .meta({ id: 'LocksResult' });

export const usersResult = z
  .object({ users: z.array(userSchema), next: stored.optional() })
  .meta({ id: 'UsersResult' });
export const changeUserResult = z
  .object({ user: userSchema, revoked: z.array(tagged) })
  .meta({ id: 'ChangeUserResult' });

export const blocksResult = z
  .object({ blocks: z.array(userSchema), next: stored.optional() })
  .meta({ id: 'BlocksResult' });
