/**
 * Owns what an access token says (RFC 9068 section 2.2, and `sid`, `tenant`, `platform` and `device_id` of our own), as a
 * schema that checks it. A signature of ours is no proof of the form: other programs may sign with the same key.
 */
import { z } from 'zod';
import { LAST_SECOND } from './last-second.ts';
import { PLATFORM_NAME, tokenIdSchema } from './messages.ts';
import { text } from './text.ts';

const id = text(1, 128);
const seconds = z.int().min(0).max(LAST_SECOND);

/** Claims that it does not name are left out. */
export const accessClaimsSchema = z.object({
  iss: z.string(),
  aud: z.union([z.string(), z.array(z.string())]),
  sub: id,
  client_id: id,
  jti: id,
  iat: seconds,
  exp: seconds,
  sid: tokenIdSchema,
  tenant: id,
  platform: z.string().regex(PLATFORM_NAME),
  device_id: id,
});

export type AccessClaims = Readonly<z.infer<typeof accessClaimsSchema>>;
