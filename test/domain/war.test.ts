/** When devices that log in by themselves have signed each other out often enough: a table of moments. */
import { describe, expect, it } from '@jest/globals';
import { LatchkeyError } from '../../src/contract/errors.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { createPlatforms } from '../../src/domain/platform.ts';
import type { Rules } from '../../src/tokens/rules.ts';
import type { Snapshot } from '../../src/tokens/store.ts';
import { assertNoWar, DISPLACEMENTS_REMEMBERED } from '../../src/tokens/war.ts';

const NOW = 1_000_000;
const WINDOW_MS = 60_000;

type Wanted = {
  readonly kick?: number;
  readonly delete?: number;
  readonly replace?: number;
  readonly expired?: number;
  /** Replaced or kicked, though time had ended them before. */
  readonly outlived?: number;
};

const named = (kind: string, count = 0) =>
  Array.from({ length: count }, (_, index): [string, string] => [`${kind}-${index}`, 'ios']);

function planOf(wanted: Wanted): Plan {
  const [kick, deleted, replace] = [named('k', wanted.kick), named('d', wanted.delete), named('r', wanted.replace)];
  const [ended, before] = [[...kick, ...deleted, ...replace], named('o', wanted.outlived)];
  return {
    declined: false,
    kick: new Map([...kick, ...before]),
    // Expired records go too, but nobody is signed out by that.
    delete: new Map([...deleted, ...named('x', wanted.expired)]),
    replace: new Map(replace),
    grounds: new Map([
      ...ended.map(([tokenId]) => [tokenId, { policy: 'p' }] as const),
      ...before.map(([tokenId]) => [tokenId, { policy: 'p', reason: 'evicted', hadExpired: true }] as const),
    ]),
    conflicts: [],
  };
}

const rulesOf = (maxDisplacements: number | undefined): Rules => ({
  policy: { name: 'p', limits: [] },
  platforms: createPlatforms(),
  accessMs: 0,
  refreshMs: 0,
  idleMs: 0,
  maxMs: 0,
  maxTokens: 100,
  maxTombstones: 100,
  refreshGraceMs: 0,
  ...(maxDisplacements !== undefined && { war: { maxDisplacements, windowMs: WINDOW_MS } }),
});

/** @param ages of the displacements before, ms ago, oldest first */
function stateOf(ages: readonly number[]): Snapshot {
  return {
    version: '0-0',
    tokens: [],
    unreadable: [],
    user: undefined,
    policyOverride: undefined,
    tenantRules: undefined,
    displacements: ages.map((age) => NOW - age),
    now: NOW,
  };
}

/** Seconds to wait; undefined: free. */
function waitOf(max: number | undefined, ages: readonly number[], wanted: Wanted): number | undefined {
  try {
    assertNoWar(planOf(wanted), stateOf(ages), rulesOf(max));
    return undefined;
  } catch (error) {
    if (!(error instanceof LatchkeyError) || error.code !== 'reconnect_war' || error.status !== 429) throw error;
    return error.retryAfterSeconds;
  }
}

describe('D7 a reconnect war between devices that log in by themselves', () => {
  it.each<[string, number | undefined, number[], Wanted, number | undefined]>([
    ['is none where the tenant has no such rule', undefined, [3, 2, 1], { kick: 1 }, undefined],
    ['needs displacements: a login that takes a free seat', 1, [3, 2, 1], {}, undefined],
    ['a takeover of the same device counts like a kick', 2, [20_000, 10_000], { replace: 1 }, 40],
    ['a takeover and a kick wait for two', 2, [20_000, 10_000], { replace: 1, kick: 1 }, 50],
    ['clearing away what had expired is none', 1, [3, 2, 1], { expired: 5 }, undefined],
    ['one that time had ended is none, however it goes', 1, [3, 2, 1], { outlived: 5 }, undefined],
    ['the first one', 2, [], { kick: 1 }, undefined],
    ['the last one that is allowed', 2, [10_000], { kick: 1 }, undefined],
    ['one more than allowed waits for the oldest', 2, [20_000, 10_000], { kick: 1 }, 40],
    ['a deletion counts like a kick', 2, [20_000, 10_000], { delete: 1 }, 40],
    ['two at once wait for two', 2, [20_000, 10_000], { kick: 1, delete: 1 }, 50],
    ['two at once, one place left: waits for one', 3, [20_000, 10_000], { kick: 2 }, 40],
    ['more at once than ever allowed wait for all, and then go', 2, [20_000, 10_000], { kick: 5 }, 50],
    ['more at once than ever allowed, with none before', 2, [], { kick: 5 }, undefined],
    ['1 ms before the window has passed', 1, [WINDOW_MS - 1], { kick: 1 }, 1],
    ['when the window has just passed', 1, [WINDOW_MS], { kick: 1 }, undefined],
    ['only those within the window count', 2, [90_000, 70_000, 30_000], { kick: 1 }, undefined],
    ['a wait is rounded up to whole seconds', 1, [59_000 - 1], { kick: 1 }, 2],
  ])('%s', (_what, max, ages, wanted, wait) => {
    expect(waitOf(max, ages, wanted)).toBe(wait);
  });

  it('whoever waits as long as told is free then', () => {
    for (const [max, wanted] of [1, 2, 3, 5].flatMap((allowed) =>
      [1, 2, 7].map((count) => [allowed, count] as const),
    )) {
      const ages = [50_000, 30_000, 20_500, 10_001, 1];
      const seconds = waitOf(max, ages, { kick: wanted }) ?? 0;
      const later = ages.map((age) => age + seconds * 1000);
      expect([max, wanted, waitOf(max, later, { kick: wanted })]).toEqual([max, wanted, undefined]);
    }
  });

  it('as many are remembered as the strictest rule must see', () => {
    // A tenant may allow 20 at most (contract/tenant-config.ts): the 21st has to be stopped.
    expect(DISPLACEMENTS_REMEMBERED).toBeGreaterThan(20);
    const ages = Array.from({ length: 20 }, () => 1000);
    expect(waitOf(20, ages, { kick: 1 })).toBe(59);
  });
});
