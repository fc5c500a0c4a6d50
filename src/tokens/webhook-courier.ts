/**
 * Owns how events reach a receiver: users side by side, each user's events in order, and what waits after a failure.
 * Must not know where the events come from or where progress is kept.
 */
import type { Push, PushFailure, PushOutcome } from './webhook-push.ts';
import type { SecurityEvent } from './security-event.ts';
import type { WebhookProgress, WebhookRefusal, WebhookState } from './webhook-store.ts';

/** Users whose events are under way at a time. */
export const AT_ONCE = 16;
const FIRST_WAIT_MS = 1_000;
const LONGEST_BACKOFF_MS = 5 * 60 * 1000;
/** A receiver knows best how long it is away; a slip of its pen must not silence it for days. */
const LONGEST_RETRY_AFTER_MS = 60 * 60 * 1000;
/** Part of a wait that is left to chance, so that webhooks which failed together do not come back together. */
const JITTER = 0.25;

/** `user`: what is in order among itself. `at`: unix ms. */
export type Letter = { readonly event: SecurityEvent; readonly user: string; readonly at: number };

export type CourierDeps = {
  readonly url: string;
  readonly push: Push;
  /** Signs for this receiver, dated now. */
  readonly sign: (event: SecurityEvent) => Promise<string>;
  readonly now: () => number;
  /** Unix ms from which on the feed keeps every event. */
  readonly keptSince: () => number;
  readonly wait: (ms: number, stop: AbortSignal) => Promise<void>;
  /** 0 … 1 */
  readonly random: () => number;
  readonly note: (progress: WebhookProgress) => Promise<void>;
  readonly onRefused: (refusal: WebhookRefusal) => void;
  readonly onFailed: (failure: PushFailure, waitMs: number) => void;
};

type Round = { readonly failed: Set<Letter[]>; failure: PushFailure | undefined };

export class Courier {
  readonly #deps: CourierDeps;
  readonly #stop: AbortSignal;
  #failures: number;
  #nextAttemptAt: number;
  #refused = 0;
  #lastRefusal: WebhookRefusal | undefined;
  #lastDeliveredAt: number | undefined;

  constructor(deps: CourierDeps, begun: WebhookState, stop: AbortSignal) {
    this.#deps = deps;
    this.#stop = stop;
    this.#failures = begun.failures;
    this.#nextAttemptAt = begun.nextAttemptAt ?? 0;
  }

  /** Resolves when all are delivered or refused. False: one of them has failed for longer than the feed keeps it. */
  async deliver(letters: readonly Letter[]): Promise<boolean> {
    let queues = byUser(letters);
    while (queues.length > 0) {
      await this.#pause();
      const { failed, failure } = await this.#round(queues);
      this.#stop.throwIfAborted();
      // Who failed goes last: the others do not wait for it.
      const left = queues.filter((queue) => queue.length > 0);
      queues = [...left.filter((queue) => !failed.has(queue)), ...failed];
      if (failure === undefined) continue;
      await this.#fail(failure);
      if (this.#isTooLate(queues)) return false;
    }
    return true;
  }

  /** What has come of it since the last note. */
  progress(): WebhookProgress {
    const [refused, lastRefusal] = [this.#refused, this.#lastRefusal];
    this.#refused = 0;
    this.#lastRefusal = undefined;
    return {
      refused,
      ...(lastRefusal !== undefined && { lastRefusal }),
      ...(this.#lastDeliveredAt !== undefined && { lastDeliveredAt: this.#lastDeliveredAt }),
      ...(this.#failures === 0 && { trouble: null }),
    };
  }

  async #pause(): Promise<void> {
    const ms = this.#nextAttemptAt - this.#deps.now();
    if (this.#failures > 0 && ms > 0) await this.#deps.wait(ms, this.#stop);
    this.#stop.throwIfAborted();
  }

  /** Sends until something fails; after a failure one letter alone, to see whether it is over. */
  async #round(queues: readonly Letter[][]): Promise<Round> {
    const round: Round = { failed: new Set(), failure: undefined };
    const waiting = [...queues];
    if (this.#failures > 0) {
      await this.#sendSome(waiting.slice(0, 1), 1, round);
      return round;
    }
    const lane = async () => this.#sendSome(waiting, Infinity, round);
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, lane));
    return round;
  }

  async #sendSome(waiting: Letter[][], most: number, round: Round): Promise<void> {
    let sent = 0;
    for (let queue = waiting.shift(); queue !== undefined; queue = waiting.shift()) {
      for (let [letter] = queue; letter !== undefined && sent < most; [letter] = queue) {
        if (round.failure !== undefined || this.#stop.aborted) return;
        sent += 1;
        const outcome = await this.#send(letter);
        if (outcome.kind === 'failed') {
          round.failed.add(queue);
          round.failure = outcome;
          return;
        }
        queue.shift();
      }
    }
  }

  async #send({ event }: Letter): Promise<PushOutcome> {
    const { url, push, sign, now, onRefused } = this.#deps;
    const outcome = await push(url, await sign(event), this.#stop);
    const at = now();
    if (outcome.kind !== 'delivered' && outcome.refusal !== undefined)
      this.#lastRefusal = { jti: event.jti, error: outcome.refusal, at };
    if (outcome.kind === 'failed') return outcome;
    this.#failures = 0;
    if (outcome.kind === 'delivered') this.#lastDeliveredAt = at;
    else {
      this.#refused += 1;
      onRefused({ jti: event.jti, error: outcome.refusal, at });
    }
    return outcome;
  }

  async #fail(failure: PushFailure): Promise<void> {
    const { error, retryAfterMs = 0 } = failure;
    const { now, random, note, onFailed } = this.#deps;
    this.#failures += 1;
    const waitMs = Math.max(backoffMs(this.#failures, random()), Math.min(LONGEST_RETRY_AFTER_MS, retryAfterMs));
    this.#nextAttemptAt = now() + waitMs;
    onFailed(failure, waitMs);
    const trouble = { failures: this.#failures, lastError: error, nextAttemptAt: this.#nextAttemptAt };
    await note({ ...this.progress(), trouble });
  }

  #isTooLate(queues: readonly Letter[][]): boolean {
    const since = this.#deps.keptSince();
    return queues.some(([letter]) => letter !== undefined && letter.at < since);
  }
}

function byUser(letters: readonly Letter[]): Letter[][] {
  const queues = new Map<string, Letter[]>();
  for (const letter of letters) {
    const queue = queues.get(letter.user);
    if (queue === undefined) queues.set(letter.user, [letter]);
    else queue.push(letter);
  }
  return [...queues.values()];
}

/** Doubles from a second to five minutes; `random` shortens it by a quarter at most. */
function backoffMs(failures: number, random: number): number {
  const whole = Math.min(LONGEST_BACKOFF_MS, FIRST_WAIT_MS * 2 ** Math.min(30, failures - 1));
  return Math.round(whole * (1 - random * JITTER));
}
