/**
 * Owns the sentence for people about the end of a token.
 */
import type { End } from './end-of-token.ts';
import { REASON_TITLES } from './types.ts';

/**
 * "signed in on ios at 10:32 UTC" for an end by a login on another device, "signed in again on this device at 10:32 UTC" for
 * a replacement, else the reason in words. Throws a RangeError for a time zone that there is not.
 *
 * @param timeZone a name of the IANA database; the sentence names it
 * @example sentenceOf(verdict, 'Europe/Berlin') // "signed in on ios at 12:32 CEST"
 */
export function sentenceOf(end: End, timeZone = 'UTC'): string {
  const [hour, minute] = ['2-digit', '2-digit'] as const;
  const clock = new Intl.DateTimeFormat('en-GB', { timeZone, hour, minute, timeZoneName: 'short' });
  const at = Date.parse(end.endedAt ?? '');
  return Number.isNaN(at) ? wordsOf(end) : `${wordsOf(end)} at ${clock.format(at)}`;
}

function wordsOf({ reason, endedBy }: End): string {
  if (endedBy?.kind !== 'login') return REASON_TITLES[reason];
  if (reason === 'token_replaced') return 'signed in again on this device';
  return `signed in on ${endedBy.platform ?? 'another device'}`;
}
