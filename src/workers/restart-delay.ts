/**
 * Owns how long the place of a dead worker stays empty. Pure.
 */

export type RestartLimits = {
  /** Whoever lived so long did not die of its start. */
  readonly soundAfterMs: number;
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
};

export const RESTART_LIMITS: RestartLimits = { soundAfterMs: 10_000, firstDelayMs: 1_000, longestDelayMs: 30_000 };

/** `earlyDeaths` in a row: the first is made good at once, each further one takes twice as long as the one before. */
export function restartDelayMs(earlyDeaths: number, { firstDelayMs, longestDelayMs }: RestartLimits): number {
  return earlyDeaths < 2 ? 0 : Math.min(longestDelayMs, firstDelayMs * 2 ** (earlyDeaths - 2));
}
