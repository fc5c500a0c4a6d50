/**
 * Owns how old what was heard of Latchkey is, and what time it is there. Must not know what was heard.
 */
import { ElapsedTime, LatchkeyClock, type Clocks } from './clock.ts';

export class Freshness {
  readonly #clocks: Clocks;
  readonly #latchkey: LatchkeyClock;
  readonly #elapsed: ElapsedTime;
  /** In elapsed time: everything that happened before has been heard. */
  #freshAt = -Infinity;
  #jumps = 0;

  /** @param onJump this machine has slept, or somebody has set its clock: what comes by an old connection may be old */
  constructor(clocks: Clocks, onJump: () => void) {
    this.#clocks = clocks;
    this.#latchkey = new LatchkeyClock(clocks);
    this.#elapsed = new ElapsedTime(clocks, () => {
      this.#jumps += 1;
      this.lose();
      onJump();
    });
  }

  /** Latchkey's time, unix ms. */
  now(): number {
    return this.#latchkey.now();
  }

  /** Ms that have passed, sleep of this machine included. */
  elapsedMs(): number {
    return this.#elapsed.now();
  }

  stalenessMs(): number {
    return this.#elapsed.now() - this.#freshAt;
  }

  /**
   * Takes in a heartbeat: it was `at` (Latchkey's ms) there, and when `isLive`, all that happened until then has been heard.
   * False when it may have lain here while this machine slept: then it says nothing.
   */
  hear(at: number, isLive: boolean): boolean {
    const jumps = this.#jumps;
    const now = this.#elapsed.now();
    if (jumps !== this.#jumps) return false;
    const lateMs = this.#latchkey.observe(at, this.#clocks.monotonic());
    if (!isLive) return true;
    this.#elapsed.settle();
    this.#freshAt = now - lateMs;
    return true;
  }

  /** Nothing is known to be fresh. */
  lose(): void {
    this.#freshAt = -Infinity;
  }
}
