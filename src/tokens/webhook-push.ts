/**
 * Owns what the delivery of webhooks asks of the network: one attempt, one outcome. Must not know HTTP clients.
 */

export type PushOutcome =
  | { readonly kind: 'delivered' }
  /** For good: this event will never be taken. */
  | { readonly kind: 'refused'; readonly error: string }
  /** `error`: a short word that stays the same, as `timeout` or `status_503`. `retryAfterMs`: as asked for, unbounded. */
  | { readonly kind: 'failed'; readonly error: string; readonly retryAfterMs?: number };

/** Sends a Security Event Token to an address. Never rejects: trouble is an outcome, and so is being stopped. */
export type Push = (url: string, set: string, stop: AbortSignal) => Promise<PushOutcome>;
