/**
 * Owns which tokens have ended a short while ago: a check that began before may still say that one of them is good.
 */
import type { EndedEvent } from './types.ts';

/** No check takes as long. */
const REMEMBERED_MS = 60_000;

export class RecentEnds {
  readonly #byToken = new Map<string, { readonly event: EndedEvent; readonly at: number }>();

  add(event: EndedEvent): void {
    this.#byToken.delete(event.tokenId);
    this.#byToken.set(event.tokenId, { event, at: performance.now() });
  }

  find(tokenId: string): EndedEvent | undefined {
    return this.#byToken.get(tokenId)?.event;
  }

  sweep(): void {
    const forgetBefore = performance.now() - REMEMBERED_MS;
    for (const [tokenId, { at }] of this.#byToken) {
      if (at >= forgetBefore) return; // The rest is younger.
      this.#byToken.delete(tokenId);
    }
  }
}
