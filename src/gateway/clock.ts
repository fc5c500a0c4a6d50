/**
 * Owns Latchkey's time, learnt from heartbeats and carried by this process's monotonic clock. The wall clock takes part
 * only before the first heartbeat, when nothing is decided here anyway.
 */

/** So many heartbeats are compared; a clock that was set back is believed after as many. */
const REMEMBERED = 8;

export class LatchkeyClock {
  readonly #offsets: number[] = [];
  #offset: number | undefined;

  /**
   * Takes in that Latchkey's time was `at` before `receivedAt` (monotonic ms). Returns how much later than the quickest
   * one this heartbeat came (ms): what it says is that much older.
   */
  observe(at: number, receivedAt: number): number {
    this.#offsets.push(at - receivedAt);
    if (this.#offsets.length > REMEMBERED) this.#offsets.shift();
    this.#offset = Math.max(...this.#offsets);
    return this.#offset - (at - receivedAt);
  }

  now(monotonic = performance.now()): number {
    return this.#offset === undefined ? Date.now() : monotonic + this.#offset;
  }
}
