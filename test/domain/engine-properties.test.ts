/** What holds for every policy, every set of tokens and every login: properties of the resolver over random ones. */
/* oxlint-disable jest/no-conditional-expect -- a property speaks of the inputs that it is about, and of no others */
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import type { Limit, Match, Policy } from '../../src/contract/policy.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { createPlatforms, type Platform } from '../../src/domain/platform.ts';
import { allows, HARD_CAP, matches, resolve, type ResolveInput } from '../../src/domain/policies/engine.ts';
import { isActive, isLapsed, type Token } from '../../src/domain/token.ts';
import { sized } from '../helpers/sizes.ts';

const RUNS = sized(2_000, 500).count;
/** Another one at every run; give this one a number to see a run again. */
const SEED = Math.floor(Math.random() * 2 ** 31);

const NOW = 1_700_000_000_000;
const platforms = createPlatforms([{ name: 'tv', class: 'tv' }]);
/** Few of each class, so that tokens meet; one that is not known any more. */
const HELD_ON = ['ios', 'android', 'windows', 'macos', 'web', 'admin', 'old-phone'];
const CLASSES = ['mobile', 'desktop', 'web', 'tv'];
const DEVICES = ['d1', 'd2', 'd3'];

process.stderr.write(`properties of the resolver: seed ${SEED}\n`);

describe(`a plan, whatever the policy, the tokens and the login (seed ${SEED})`, () => {
  it('is the same in whatever order the tokens come', () => {
    const shuffled = inputs.chain((input) =>
      fc
        .tuple(shuffle(input.tokens), shuffle(input.unreadable ?? []))
        .map(([tokens, unreadable]) => ({ input, other: { ...input, tokens, unreadable } })),
    );
    always(shuffled, ({ input, other }) => {
      expect(written(resolve(other))).toEqual(written(resolve(input)));
    });
  });

  it('has every token in one map at most, under its own platform, and none that had ended', () => {
    always(inputs, (input) => {
      const plan = resolve(input);
      const entries = [...plan.delete, ...plan.kick, ...plan.replace];
      expect(new Set(entries.map(([tokenId]) => tokenId)).size).toBe(entries.length);
      for (const [tokenId, platform] of entries) {
        const token = input.tokens.find((one) => one.tokenId === tokenId);
        expect(platform).toBe(token?.platform ?? 'unknown');
        if (token?.end !== undefined) expect(token.expiresAt).toBeLessThanOrEqual(NOW);
      }
    });
  });

  it('ends nothing when it is declined, and names active tokens that keep their seats', () => {
    always(inputs, (input) => {
      const plan = resolve(input);
      expect(plan.conflicts.length > 0).toBe(plan.declined);
      if (!plan.declined) return;
      expect([plan.delete.size, plan.kick.size, plan.replace.size, plan.grounds.size]).toEqual([0, 0, 0, 0]);
      for (const token of plan.conflicts) {
        expect([isActive(token, NOW), isLapsed(token, NOW)]).toEqual([true, false]);
        expect([token.platform, token.deviceId]).not.toEqual([input.incoming.platform, input.incoming.deviceId]);
        expect(input.incoming.evict).not.toContain(token.tokenId);
      }
    });
  });

  it('deletes all that is expired, also what cannot be read, and has a ground for exactly the active tokens that it ends', () => {
    always(inputs, (input) => {
      const plan = resolve(input);
      if (plan.declined) return;
      const gone = input.tokens.filter((token) => token.expiresAt <= NOW).map((token) => token.tokenId);
      for (const tokenId of gone) expect(plan.delete.has(tokenId)).toBe(true);
      for (const { tokenId, endsAt = Infinity } of input.unreadable ?? []) {
        expect(plan.delete.has(tokenId)).toBe(endsAt <= NOW);
      }
      const active = input.tokens.filter((token) => isActive(token, NOW)).map((token) => token.tokenId);
      const ended = [...plan.delete.keys(), ...plan.kick.keys(), ...plan.replace.keys()];
      expect([...plan.grounds.keys()].toSorted()).toEqual(ended.filter((id) => active.includes(id)).toSorted());
    });
  });

  it('leaves no kick or delete limit exceeded, and no decline limit where the login sits down', () => {
    always(inputs, (input) => {
      const plan = resolve(input);
      if (plan.declined || input.incoming.platform === 'admin') return;
      const seated = [...survivorsOf(input, plan), input.incoming];
      for (const limit of input.policy.limits) {
        for (const [key, count] of countsOf(limit, seated)) {
          // A device that comes back takes its own seat again, and leaves the leftovers of a decline limit as they are.
          const sitsDown = key === keyOf(limit, input.incoming.platform) && plan.replace.size === 0;
          const counts = limit.overflow !== 'decline' || sitsDown;
          if (counts) expect(count).toBeLessThanOrEqual(limit.max);
        }
      }
    });
  });

  it('leaves no more tokens than the hard cap, admin tokens counted apart, and kicks nobody under it before that', () => {
    always(inputs, (input) => {
      const plan = resolve(input);
      if (plan.declined) return;
      const isAdmin = ofAdmin(input.incoming);
      const peers = survivorsOf(input, plan).filter((token) => ofAdmin(token) === isAdmin);
      expect(peers.length + 1).toBeLessThanOrEqual(input.maxTokens);
      const capped = [...plan.grounds.values()].some((ground) => ground.policy === HARD_CAP);
      if (capped) expect(peers.length + 1).toBe(input.maxTokens);
    });
  });

  it('of a login on a platform of the policy ends no admin token, unless the user names it', () => {
    always(inputs, (input) => {
      const isAdmin = input.incoming.platform === 'admin';
      const plan = resolve(input);
      for (const [tokenId, ground] of plan.grounds) {
        const token = input.tokens.find((one) => one.tokenId === tokenId);
        const isOwnWish = ground.reason === 'evicted' || ground.reason === 'same_device';
        if (!isOwnWish) expect((token?.platform === 'admin') === isAdmin).toBe(true);
        if (isAdmin && !isOwnWish) expect(ground.policy).toBe(HARD_CAP);
      }
    });
  });

  it('keeps the newest: in a group of one kick limit nobody goes before an older one', () => {
    const single = inputs.map((input) => ({
      ...input,
      tokens: input.tokens.filter((one) => one.lease === undefined),
      policy: { name: 'single', limits: input.policy.limits.slice(0, 1).map(kicksOldest) },
      incoming: { ...input.incoming, deviceId: 'new', evict: [] },
      maxTokens: 100,
    }));
    always(single, (input) => {
      const plan = resolve(input);
      const [limit] = input.policy.limits;
      const kicked = input.tokens.filter((token) => plan.kick.has(token.tokenId));
      if (limit === undefined) return expect(kicked).toEqual([]);
      for (const token of survivorsOf(input, plan)) {
        const group = keyOf(limit, token.platform);
        if (group === undefined) continue;
        const younger = kicked.filter((one) => keyOf(limit, one.platform) === group && one.seq > token.seq);
        expect(younger).toEqual([]);
      }
    });
  });

  it('is what the tests above are about: most of the random inputs do something', () => {
    // Says something of the generator, not of the resolver: always the same inputs.
    const plans = fc.sample(inputs, { numRuns: RUNS, seed: 1 }).map(resolve);
    const shareOf = (test: (plan: Plan) => boolean) => plans.filter(test).length / RUNS;
    expect(shareOf((plan) => plan.declined)).toBeGreaterThan(0.02);
    expect(shareOf((plan) => plan.kick.size > 0)).toBeGreaterThan(0.2);
    expect(shareOf((plan) => plan.delete.size > 0)).toBeGreaterThan(0.2);
    expect(shareOf((plan) => plan.replace.size > 0)).toBeGreaterThan(0.02);
    expect(shareOf((plan) => [...plan.grounds.values()].some((one) => one.policy === HARD_CAP))).toBeGreaterThan(0.02);
  });
});

function always<T>(values: fc.Arbitrary<T>, check: (value: T) => void): void {
  fc.assert(fc.property(values, check), { numRuns: RUNS, seed: SEED });
}

function ofAdmin({ platform }: { platform: Platform }): boolean {
  return platform === 'admin';
}

function kicksOldest({ match, countBy, max }: Limit): Limit {
  return { match, countBy, max, overflow: 'kick' };
}

function survivorsOf(input: ResolveInput, plan: Plan): Token[] {
  return input.tokens.filter((token) => isActive(token, NOW) && !plan.grounds.has(token.tokenId));
}

/** The group of a limit that a token of this platform is counted in. */
function keyOf(limit: Limit, platform: Platform): string | undefined {
  if (!matches(limit.match, platform, platforms)) return undefined;
  return { all: 'all', class: platforms.classOf(platform), platform }[limit.countBy];
}

function countsOf(limit: Limit, seated: readonly { platform: Platform }[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { platform } of seated) {
    const key = keyOf(limit, platform);
    if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** A plan with the order of its maps. */
function written({ kick, delete: deleted, replace, grounds, ...rest }: Plan) {
  return { ...rest, kick: [...kick], delete: [...deleted], replace: [...replace], grounds: [...grounds] };
}

function shuffle<T>(values: readonly T[]): fc.Arbitrary<T[]> {
  return fc.shuffledSubarray([...values], { minLength: values.length });
}

const names = (from: readonly string[]) => fc.subarray([...from], { minLength: 1 });

const match: fc.Arbitrary<Match> = fc.oneof(
  fc.constant({}),
  fc.record(
    {
      platforms: names(HELD_ON.slice(0, 5)),
      classes: names(CLASSES),
      notPlatforms: names(HELD_ON.slice(0, 5)),
      notClasses: names(CLASSES),
    },
    { requiredKeys: [] },
  ),
);

const limit: fc.Arbitrary<Limit> = fc.record(
  {
    match,
    countBy: fc.constantFrom('all' as const, 'class' as const, 'platform' as const),
    max: fc.constantFrom(0, 1, 1, 2, 2, 3),
    overflow: fc.constantFrom('kick' as const, 'delete' as const, 'decline' as const, 'decline' as const),
    victim: fc.constantFrom('oldest_login' as const, 'least_recently_seen' as const),
  },
  { requiredKeys: ['match', 'countBy', 'max', 'overflow'] },
);

const policy: fc.Arbitrary<Policy> = fc.array(limit, { maxLength: 4 }).map((limits) => ({ name: 'random', limits }));

const token: fc.Arbitrary<Token> = fc
  .record({
    platform: fc.constantFrom(...HELD_ON),
    deviceId: fc.constantFrom(...DEVICES),
    seenAgo: fc.nat({ max: 5 }),
    fate: fc.constantFrom('active', 'active', 'active', 'active', 'leased', 'lapsed', 'expired', 'ended', 'forgotten'),
  })
  .map(({ platform, deviceId, seenAgo, fate }) => ({
    tenant: 'default',
    userId: 'u1',
    tokenId: '',
    seq: 0,
    platform,
    deviceId,
    deviceName: '',
    createdAt: NOW - 1_000,
    lastSeenAt: NOW - seenAgo,
    expiresAt: fate === 'expired' || fate === 'forgotten' ? NOW - seenAgo : NOW + 1 + seenAgo,
    accessExpiresAt: NOW,
    generation: 1,
    rotatedAt: NOW - 1_000,
    idleMs: 0,
    salt: 'salt',
    ip: '',
    userAgent: '',
    ...(fate === 'leased' && { lease: { expiresAt: NOW - 10, graceMs: 10 } }),
    ...(fate === 'lapsed' && { lease: { expiresAt: NOW - 11, graceMs: 10 } }),
    ...((fate === 'ended' || fate === 'forgotten') && {
      end: { code: 'token_revoked' as const, at: NOW - 500, by: { kind: 'admin' as const } },
    }),
  }));

const numbered = fc
  .array(token, { maxLength: 10 })
  .map((tokens) => tokens.map((one, index) => ({ ...one, seq: index + 1, tokenId: `${one.platform}@${index + 1}` })));

const inputs: fc.Arbitrary<ResolveInput> = numbered
  .chain((tokens) =>
    fc.record({
      tokens: fc.constant(tokens),
      policy,
      incoming: fc.record({
        platform: fc.constantFrom(...HELD_ON.filter((name) => platforms.has(name)), 'tv'),
        deviceId: fc.constantFrom(...DEVICES, 'new', 'new'),
        evict: fc.subarray(tokens.map((one) => one.tokenId)).map((all) => all.slice(0, 2)),
      }),
      unreadable: fc.subarray([
        { tokenId: 'broken-1' },
        { tokenId: 'broken-2', endsAt: NOW },
        { tokenId: 'broken-3', endsAt: NOW + 1 },
      ]),
      maxTokens: fc.integer({ min: 1, max: 8 }),
      platforms: fc.constant(platforms),
      now: fc.constant(NOW),
    }),
  )
  .filter((input) => allows(input.policy, input.incoming.platform, platforms));
