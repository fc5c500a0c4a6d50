/**
 * Owns whose turn it is where only a few can be served at once: whoever has much waiting waits for itself, not everybody for
 * it. Must not know what is done in a turn.
 */
import { LatchkeyError } from '../contract/errors.ts';

/**
 * Does a task when it is its turn. Tasks with a line in common are of one party, in the order they came.
 * Throws `overloaded` for what comes last when too much waits: that is whoever has most waiting, which may have come before.
 */
export type FairTurns = <T>(lines: readonly string[], task: () => Promise<T>) => Promise<T>;

type Waiting = {
  readonly lines: readonly string[];
  /** Counts up along each line from the turn that is served now (start-time fair queueing): the smallest is next. */
  readonly turn: number;
  readonly go: () => void;
  readonly refuse: (reason: LatchkeyError) => void;
};

export function createFairTurns(atOnce: number, maxWaiting: number): FairTurns {
  let running = 0;
  let turnNow = 0;
  // Few enough to be looked through each time.
  const waiting: Waiting[] = [];

  function turnFor(lines: readonly string[]): number {
    const own = waiting.filter((one) => one.lines.some((line) => lines.includes(line)));
    return 1 + own.reduce((latest, { turn }) => Math.max(latest, turn), turnNow);
  }

  /** Whoever's turn is last gives way to one that comes before. */
  function makeRoom(turn: number): void {
    const last = waiting.toSorted((one, other) => one.turn - other.turn).at(-1);
    if (last === undefined || last.turn <= turn) throw new LatchkeyError('overloaded');
    waiting.splice(waiting.indexOf(last), 1);
    last.refuse(new LatchkeyError('overloaded'));
  }

  async function wait(lines: readonly string[]): Promise<void> {
    const turn = turnFor(lines);
    if (waiting.length >= maxWaiting) makeRoom(turn);
    await new Promise<void>((go, refuse) => {
      waiting.push({ lines, turn, go, refuse });
    });
  }

  /** The place passes straight to the next, so that nobody slips in between. */
  function leave(): void {
    const next = waiting.toSorted((one, other) => one.turn - other.turn)[0];
    if (next === undefined) {
      running -= 1;
      return;
    }
    waiting.splice(waiting.indexOf(next), 1);
    turnNow = next.turn;
    next.go();
  }

  return async (lines, task) => {
    if (running >= atOnce) await wait(lines);
    else running += 1;
    try {
      return await task();
    } finally {
      leave();
    }
  };
}
