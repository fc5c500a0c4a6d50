/**
 * Owns how an event of the feed tells the end of a token. Which types do is said by the contract, and by nobody else.
 */
import { ENDING_EVENTS, EVENT_TYPES, endsToken } from '../contract/event-types.ts';
import { isActor, isReason, type EndedEvent, type InactiveVerdict, type TokenReason } from './types.ts';

/** What a device is told of an end. */
export type End = Pick<InactiveVerdict, 'reason' | 'endedAt' | 'endedBy'>;

/** False for what is said of one access token, and of no other of its token. Where no reasons are told, an expired one is invalid. */
export function saysEndOfToken({ reason }: End): boolean {
  return reason !== 'token_expired' && reason !== 'token_invalid';
}

export type EndOfToken = EndedEvent & { /** End of its last access token, unix ms. */ readonly until: number };

/**
 * What a message of the feed says: the end of a token, or nothing to a checker. The feed is asked for ends alone, so a type
 * that came later ends the token that it names; of whom it speaks cannot be known when it names none.
 */
export function readEnd(event: Readonly<Record<string, unknown>>): EndOfToken | 'nothing' | 'whose' {
  const { type, tenant, userId, tokenId, platform, at, exp, by, code } = event;
  if (typeof type !== 'string') return 'nothing';
  const isEnd = endsToken(type);
  if (!isEnd && (EVENT_TYPES as readonly string[]).includes(type)) return 'nothing';
  if (typeof tokenId !== 'string' || tokenId === '') return 'whose';
  const endedBy = isActor(by) ? by : undefined;
  return {
    tokenId,
    tenant: String(tenant),
    userId: String(userId),
    ...(typeof platform === 'string' && { platform }),
    reason: reasonOf(isEnd ? ENDING_EVENTS[type] : 'token_revoked', code, endedBy),
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
