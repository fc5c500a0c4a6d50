/**
 * Owns what the delivery of webhooks asks of the network: one attempt, one outcome. Must not know HTTP clients.
 */

export type PushOutcome =
  | { readonly kind: 'delivered' }
  /** For good: the receiver says that this event will never be taken, and in which word. */
  | { readonly kind: 'refused'; readonly refusal: string }
  | PushFailure;

export type PushFailure = {
  readonly kind: 'failed';
  /** A short word that stays the same, as `timeout` or `status_503`. */
  readonly error: string;
  /** What the receiver calls it, where it says so: an error code of RFC 8935 section 2.4, as `invalid_key`. */
  readonly refusal?: string;
  /** As asked for, unbounded. */
  readonly retryAfterMs?: number;
};

/** Sends a Security Event Token to an address. Never rejects: trouble is an outcome, and so is being stopped. */
export type Push = (url: string, set: string, stop: AbortSignal) => Promise<PushOutcome>;
