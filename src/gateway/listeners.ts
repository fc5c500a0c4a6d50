/**
 * Owns who wants to hear what from a checker.
 */
import { oneOf } from './options.ts';
import type { CheckerEvents } from './types.ts';

const EVENT_NAMES = ['ended', 'gap'] as const satisfies readonly (keyof CheckerEvents)[];

type Sets = { readonly [Name in keyof CheckerEvents]: Set<CheckerEvents[Name]> };

export class Listeners {
  readonly #sets: Sets = { ended: new Set(), gap: new Set() };
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Throws a RangeError for an event that there is not. */
  add<Name extends keyof CheckerEvents>(name: Name, listener: CheckerEvents[Name]): void {
    this.#sets[oneOf('event', name, EVENT_NAMES)].add(listener as never);
  }

  delete<Name extends keyof CheckerEvents>(name: Name, listener: CheckerEvents[Name]): void {
    this.#sets[oneOf('event', name, EVENT_NAMES)].delete(listener as never);
  }

  /** A listener that throws must not keep others, or the feed, from going on. */
  tell<Name extends keyof CheckerEvents>(name: Name, ...args: Parameters<CheckerEvents[Name]>): void {
    for (const listener of this.#sets[name] as ReadonlySet<(...given: typeof args) => void>) {
      try {
        listener(...args);
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}
