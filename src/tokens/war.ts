/**
 * Owns when devices that log in by themselves have signed each other out often enough. Must not know policies.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { Plan } from '../domain/plan.ts';
import type { Rules } from './rules.ts';
import type { Snapshot } from './store.ts';

/** Displacements that are remembered of a user: as many as a tenant may allow, and one more. */
export const DISPLACEMENTS_REMEMBERED = 21;

/**
 * How many tokens a login signs out. A device that takes over from itself counts too: two clients that share a cloned
 * deviceId look like one that does, and they never stop. What time had ended before signs nobody out.
 */
export function displacementsOf({ grounds }: Plan): number {
  return [...grounds.values()].filter(({ hadExpired }) => !hadExpired).length;
}

/** Throws `reconnect_war` when this automatic login would displace once more than the tenant allows within its window. */
export function assertNoWar(plan: Plan, { displacements, now }: Snapshot, { war }: Rules): void {
  const wanted = displacementsOf(plan);
  if (war === undefined || wanted === 0) return;
  const recent = displacements.filter((at) => at > now - war.windowMs);
  const excess = recent.length + wanted - war.maxDisplacements;
  if (excess <= 0) return;
  // It may go on when so many of the recent ones have left the window; alone it may always displace what it must.
  const freeing = recent[Math.min(excess, recent.length) - 1];
  if (freeing === undefined) return;
  throw new LatchkeyError('reconnect_war', {
    retryAfterSeconds: Math.max(1, Math.ceil((freeing + war.windowMs - now) / 1000)),
  });
}
