/**
 * Owns what is said between Latchkey and an operator's user service (`CREDENTIALS=delegate`). Must not know how it is asked.
 */
import { z } from 'zod';
import { userIdSchema } from './messages.ts';

/**
 * All that a yes (200) may say. Strict: `{"ok": false}` or a misspelt member is no yes.
 *
 * @example userServiceAnswer.safeParse({ userId: 'u-42' }).success // true
 */
export const userServiceAnswer = z.strictObject({
  userId: userIdSchema.optional().describe('The user’s own name, where a login name was typed.'),
});
