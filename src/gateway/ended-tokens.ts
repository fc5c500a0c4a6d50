/**
 * Owns which tokens have ended, and why, for as long as an access token of theirs may still be presented.
 * None leaves before its `exp`: its access token would be good again. 1000 a second that end, with access tokens of
 * 15 minutes, are 900 000 entries of about 400 bytes.
 */
import type { EndedEvent, InactiveVerdict } from './types.ts';

/** How often entries that are past their end are looked for (ms). */
const SWEEP_MS = 30_000;

type Entry = { readonly verdict: Promise<InactiveVerdict>; readonly until: number };

export class EndedTokens {
  readonly #entries = new Map<string, Entry>();
  #sweptAt = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** @param until end of the token's last access token; `now`: both Latchkey's time, ms */
  add({ tokenId, reason, endedAt, endedBy }: EndedEvent, until: number, now: number): void {
    if (now - this.#sweptAt >= SWEEP_MS) this.#sweep(now);
    if (until <= now) return;
    const verdict: InactiveVerdict = Object.freeze({ active: false, reason, endedAt, ...(endedBy && { endedBy }) });
    this.#entries.set(tokenId, { verdict: Promise.resolve(verdict), until });
  }

  find(tokenId: string): Promise<InactiveVerdict> | undefined {
    return this.#entries.get(tokenId)?.verdict;
  }

  clear(): void {
    this.#entries.clear();
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [tokenId, { until }] of this.#entries) if (until <= now) this.#entries.delete(tokenId);
  }
}
