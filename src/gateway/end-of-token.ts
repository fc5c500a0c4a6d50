/**
 * Owns how an event of the feed tells the end of a token, and the sentence for people that it makes.
 */
import { isActor, isReason } from './ask.ts';
import { REASON_TITLES, type EndedEvent, type InactiveVerdict, type TokenReason } from './types.ts';

/** The code that the token's device is told, by type of event. */
const CODES: Readonly<Record<string, TokenReason>> = {
  'token.kicked': 'token_kicked',
  'token.replaced': 'token_replaced',
  // Deleted without a trace: it is not on record.
  'token.deleted': 'token_unknown',
  'token.revoked': 'token_revoked',
  'token.logged_out': 'token_logged_out',
};

export const ENDING_TYPES = Object.keys(CODES);

/** What a device is told of an end. */
export type End = Pick<InactiveVerdict, 'reason' | 'endedAt' | 'endedBy'>;

/** False for what is said of one access token, and of no other of its token. Where no reasons are told, an expired one is invalid. */
export function saysEndOfToken({ reason }: End): boolean {
  return reason !== 'token_expired' && reason !== 'token_invalid';
}

export type EndOfToken = EndedEvent & { /** End of its last access token, unix ms. */ readonly until: number };

/** Undefined for an event that ends no token. */
export function readEnd(event: Readonly<Record<string, unknown>>): EndOfToken | undefined {
  const { type, tenant, userId, tokenId, platform, at, exp, by, code } = event;
  const byType = CODES[String(type)];
  if (byType === undefined || typeof tokenId !== 'string') return undefined;
  const endedBy = isActor(by) ? by : undefined;
  return {
    tokenId,
    tenant: String(tenant),
    userId: String(userId),
    ...(typeof platform === 'string' && { platform }),
    reason: reasonOf(byType, code, endedBy),
    endedAt: String(at),
    ...(endedBy && { endedBy }),
    until: typeof exp === 'number' ? exp * 1000 : Infinity,
  };
}

/** A revoke has several causes: the event's own code tells, or for a refresh token used twice the actor. */
function reasonOf(byType: TokenReason, code: unknown, by: EndedEvent['endedBy']): TokenReason {
  if (isReason(code)) return code;
  return by?.kind === 'system' && by.reason === 'refresh_reused' ? 'refresh_reused' : byType;
}

/** "signed in on ios at 10:32" for an end by a login, else the reason in words. */
export function sentenceOf({ reason, endedAt, endedBy }: End, timeZone = 'UTC'): string {
  if (endedAt === undefined) return REASON_TITLES[reason];
  const at = new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit' }).format(
    new Date(endedAt),
  );
  if (endedBy?.kind === 'login') return `signed in on ${endedBy.platform ?? 'another device'} at ${at}`;
  return `${REASON_TITLES[reason]} at ${at}`;
}
