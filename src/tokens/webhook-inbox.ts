/**
 * Owns what a webhook has heard of the feed and not yet delivered. Bounded: when it is full the feed lets it go, and it
 * comes back with its cursor. Must not know how events are delivered.
 */
import type { Event } from '../contract/events.ts';
import { passes, type EventFilter } from './event-filter.ts';
import type { FeedMessage, ResetReason } from './feed.ts';

/** So many events may wait; one message of the feed more, at most. */
const MAX_WAITING = 1_000;

/** Events to be delivered, in order; when all are, the cursor holds. A reset stands alone. */
export type Parcel = {
  readonly events: readonly Event[];
  readonly reset?: ResetReason;
  readonly cursor: string | undefined;
};

type Waiting = { readonly events: Event[]; readonly reset?: ResetReason; cursor: string | undefined };

export class Inbox {
  readonly #filter: EventFilter;
  readonly #stop: AbortSignal;
  readonly #waiting: Waiting[] = [];
  /** There is something to do: events, a reset, or a cursor that is worth keeping. */
  #isDue = false;
  #isEnded = false;
  #wake: () => void = () => {};

  constructor(filter: EventFilter, stop: AbortSignal) {
    this.#filter = filter;
    this.#stop = stop;
  }

  /** A {@link FeedListener}. */
  take(message: FeedMessage): boolean {
    if (this.#isEnded) return false;
    const { cursor } = message;
    if (message.kind === 'reset') return this.#reset(message.reason, message.cursor);
    const events = message.kind === 'events' ? message.events.filter((event) => passes(event, this.#filter)) : [];
    if (events.length > 0 && this.#count() >= MAX_WAITING) return false;
    const last = this.#tail();
    last.events.push(...events);
    last.cursor = cursor ?? last.cursor;
    // The events of others move the cursor too, but not one by one: it is kept with the next heartbeat.
    if (events.length > 0 || message.kind === 'heartbeat') this.#due();
    return true;
  }

  /** The feed has let go: nothing more comes. */
  end(): void {
    this.#isEnded = true;
    this.#due();
  }

  /** What waits, as soon as there is something. Undefined: the feed has let go, and nothing is left. */
  async next(): Promise<Parcel | undefined> {
    this.#stop.throwIfAborted();
    if (!this.#isDue) await this.#untilDue();
    this.#stop.throwIfAborted();
    const parcel = this.#waiting.shift();
    this.#isDue = this.#isEnded || this.#waiting.length > 0;
    return parcel;
  }

  #reset(reason: ResetReason, cursor: string): boolean {
    this.#waiting.push({ events: [], reset: reason, cursor });
    this.#due();
    return true;
  }

  /** The parcel that takes more events. */
  #tail(): Waiting {
    const last = this.#waiting.at(-1);
    if (last !== undefined && last.reset === undefined) return last;
    const next: Waiting = { events: [], cursor: undefined };
    this.#waiting.push(next);
    return next;
  }

  #count(): number {
    return this.#waiting.reduce((sum, { events }) => sum + events.length, 0);
  }

  #due(): void {
    this.#isDue = true;
    this.#wake();
  }

  /** Nothing is left behind on the signal: it outlives many inboxes. */
  #untilDue(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#stop.removeEventListener('abort', this.#wake);
        resolve();
      };
      this.#stop.addEventListener('abort', this.#wake);
    });
  }
}
