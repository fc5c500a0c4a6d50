/**
 * Owns what the delivery of webhooks asks of its store, and what the store guarantees. Must not know Redis.
 *
 * - At most one owner holds the lease of a tenant's webhook at a time, by the clock of the store.
 * - Only who holds the lease changes the state: an owner that has lost it cannot move the cursor back.
 * - `tenants` has every tenant that has a webhook; it may have some that have none any more.
 */

/** How far the delivery has come. Times in milliseconds. */
export type WebhookState = {
  /** Everything up to it has been delivered. Absent: nobody has delivered yet. */
  readonly cursor?: string;
  /** When the tenant was given a webhook. */
  readonly since?: number;
  /** Attempts in a row that failed. */
  readonly failures: number;
  readonly lastError?: string;
  readonly nextAttemptAt?: number;
  readonly lastDeliveredAt?: number;
  /** Events that the receiver refused for good. */
  readonly refused: number;
  readonly lastRefusal?: WebhookRefusal;
};

/** What the receiver said of an event; for good or not. */
export type WebhookRefusal = {
  readonly jti: string;
  /** An error code of RFC 8935 section 2.4, or the receiver's own word. */
  readonly error: string;
  readonly at: number;
};

export type WebhookProgress = {
  readonly cursor?: string;
  /** How many more were refused. */
  readonly refused?: number;
  readonly lastRefusal?: WebhookRefusal;
  readonly lastDeliveredAt?: number;
  /** null: there are no failures any more. Absent: as before. */
  readonly trouble?: WebhookTrouble | null;
};

export type WebhookTrouble = {
  readonly failures: number;
  readonly lastError: string;
  readonly nextAttemptAt: number;
};

/** Which rules the one who takes a lease has read. `url`: in normal form. */
export type WebhookRead = { readonly version: number; readonly url: string };

export type WebhookStore = {
  /** Names of tenants; those without a webhook are told by their rules. One round trip. */
  tenants(): Promise<readonly string[]>;
  /**
   * Takes the lease, or renews it for who holds it. Undefined: another owner has it, or the rules have changed since
   * they were read. A new address has no failures and no refusal yet, and goes on from the same cursor.
   */
  take(tenant: string, owner: string, read: WebhookRead): Promise<WebhookState | undefined>;
  /** Renews the lease and notes how far the delivery has come. False: the lease is lost, and nothing was noted. */
  note(tenant: string, owner: string, progress: WebhookProgress): Promise<boolean>;
  /** Gives the lease back, if the owner still has it. */
  release(tenant: string, owner: string): Promise<void>;
  state(tenant: string): Promise<WebhookState>;
  /** Takes a tenant without a webhook off the list, unless somebody is just about to give it one. */
  forget(tenant: string): Promise<void>;
};
