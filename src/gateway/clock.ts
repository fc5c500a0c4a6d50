/**
 * Owns time in a gateway: Latchkey's, learnt from heartbeats and carried by this process's monotonic clock, and how much has
 * passed here. The wall clock says what time it is before the first heartbeat only, when nothing is decided here anyway;
 * later it tells that this machine has slept.
 */
import type { TokenChecker } from './types.ts';

/** Both in ms: one that only goes on, and may stand still while the machine sleeps; one that people set. */
export type Clocks = { readonly monotonic: () => number; readonly wall: () => number };

export const SYSTEM_CLOCKS: Clocks = { monotonic: () => performance.now(), wall: () => Date.now() };

/** So many heartbeats are compared; a clock that was set back is believed after as many. */
const REMEMBERED = 8;
/** The two clocks differ by less when nothing has happened: between two heartbeats they drift apart by some ms. */
const JUMP_MS = 1_000;

export class LatchkeyClock {
  readonly #clocks: Clocks;
  readonly #offsets: number[] = [];
  #offset: number | undefined;

  constructor(clocks: Clocks = SYSTEM_CLOCKS) {
    this.#clocks = clocks;
  }

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

  now(): number {
    return this.#offset === undefined ? this.#clocks.wall() : this.#clocks.monotonic() + this.#offset;
  }
}

/**
 * Ms that have passed, those that this machine slept included. The monotonic clock stands still meanwhile and the wall clock
 * does not; a wall clock that somebody set looks the same, and is taken for sleep: that errs on the side of asking.
 */
export class ElapsedTime {
  readonly #clocks: Clocks;
  readonly #onJump: () => void;
  #slept = 0;
  /** Between the two clocks when they were last compared. */
  #difference: number;

  /** @param onJump the clocks have parted: what was known before is of unknown age */
  constructor(clocks: Clocks, onJump: () => void) {
    this.#clocks = clocks;
    this.#onJump = onJump;
    this.#difference = clocks.wall() - clocks.monotonic();
  }

  now(): number {
    const monotonic = this.#clocks.monotonic();
    const jump = this.#clocks.wall() - monotonic - this.#difference;
    if (Math.abs(jump) > JUMP_MS) {
      this.#difference += jump;
      this.#slept += Math.max(0, jump);
      this.#onJump();
    }
    return monotonic + this.#slept;
  }

  /** Forgets the drift so far: it has been heard just now that no time is missing. */
  settle(): void {
    this.#difference = this.#clocks.wall() - this.#clocks.monotonic();
  }
}

/**
 * Latchkey's time at the latest: while nothing is heard of Latchkey, it goes on by all that passes here. A wall clock that
 * somebody set is taken for sleep here too, so what it says is a reason to ask first.
 */
export class LatestTime {
  readonly #checker: Pick<TokenChecker, 'now' | 'stalenessMs' | 'maxStalenessMs'>;
  readonly #elapsed: ElapsedTime;
  /** Elapsed ms less Latchkey's ms, when it was last heard. */
  #difference = Infinity;

  constructor(checker: Pick<TokenChecker, 'now' | 'stalenessMs' | 'maxStalenessMs'>, elapsed: ElapsedTime) {
    this.#checker = checker;
    this.#elapsed = elapsed;
  }

  /** Unix ms. To be called about once a second, so that it is known how things stood before a sleep. */
  now(): number {
    const elapsed = this.#elapsed.now();
    const isFresh = this.#checker.stalenessMs() <= this.#checker.maxStalenessMs;
    const now = this.#checker.now();
    if (isFresh) this.#difference = elapsed - now;
    return Math.max(now, elapsed - this.#difference);
  }
}
