/**
 * Owns what the feed promises: every event to every listener, in order per user, at least once, from wherever a listener
 * left off. feed-hub.ts keeps the promise. Must not know HTTP or Redis.
 */
import type { Event } from '../contract/events.ts';

/** Where a listener begins: at a cursor, now, with all that is kept, or at a time (unix ms). */
export type FeedStart = { readonly cursor: string } | 'now' | 'start' | { readonly ms: number };

export type FeedMessage =
  | { readonly kind: 'events'; readonly events: readonly Event[]; readonly cursor: string | undefined }
  /** `live`: everything that happened until `now` has been sent. False while the listener is still catching up. */
  | { readonly kind: 'heartbeat'; readonly now: number; readonly live: boolean; readonly cursor: string }
  /** What came before is lost to the listener: it must forget what it knows, and goes on from here. */
  | { readonly kind: 'reset'; readonly reason: ResetReason; readonly cursor: string };

export type ResetReason = 'epoch_changed' | 'cursor_expired' | 'cursor_invalid' | 'cursor_in_future';

/** Takes a message; false = it can take no more and is let go (it may come back with its cursor). */
export type FeedListener = (message: FeedMessage) => boolean;

export type Feed = {
  /** Resolves when the listener is served; the function stops it. Throws `store_unavailable`. */
  listen(start: FeedStart, listener: FeedListener, onEnd: () => void): Promise<() => void>;
  /** Lets every listener go. */
  close(): void;
};
