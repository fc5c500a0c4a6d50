/**
 * Owns the names of what happens to tokens and users, and which of them end a token. Must not know what else an event tells.
 * Plain data: gateways load it, and they have no schema library.
 */
import type { TokenReason } from './errors.ts';

/** Every type of event that ends the token it names, and what the token's device is told when the event has no code of its own. */
export const ENDING_EVENTS = {
  'token.kicked': 'token_kicked',
  'token.replaced': 'token_replaced',
  // Deleted without a trace: it is not on record.
  'token.deleted': 'token_unknown',
  'token.revoked': 'token_revoked',
  'token.logged_out': 'token_logged_out',
} as const satisfies Readonly<Record<`token.${string}`, TokenReason>>;

export type EndingEventType = keyof typeof ENDING_EVENTS;

export const ENDING_EVENT_TYPES = Object.keys(ENDING_EVENTS) as readonly EndingEventType[];

export const EVENT_TYPES = [
  'token.issued',
  ...ENDING_EVENT_TYPES,
  'login.declined',
  'user.blocked',
  'user.unblocked',
  'user.password_changed',
  'user.deleted',
  'tenant.changed',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

export function endsToken(type: string): type is EndingEventType {
  return Object.hasOwn(ENDING_EVENTS, type);
}
