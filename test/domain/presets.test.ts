/**
 * The presets that are not OpenIM's (those are in vectors/login-policies.json): Turms' seven strategies, sa-token,
 * desktop-and-mobile; and a policy of one's own that mixes what limits can say.
 */
import { describe, expect, it } from '@jest/globals';
import type { Policy } from '../../src/contract/policy.ts';
import { checkPolicy } from '../../src/domain/policies/check.ts';
import { allows, resolve } from '../../src/domain/policies/engine.ts';
import { DEFAULT_MAX_PER_PLATFORM, findPreset } from '../../src/domain/policies/presets.ts';
import { createPlatforms } from '../../src/domain/platform.ts';
import type { Token } from '../../src/domain/token.ts';

const NOW = Date.UTC(2026, 0, 1);
const platforms = createPlatforms();
const USERS_PLATFORMS = platforms.names.filter((name) => name !== 'admin');

function preset(name: string): Policy {
  const found = findPreset(name, DEFAULT_MAX_PER_PLATFORM);
  if (found === undefined) throw new Error(`no preset ${name}`);
  return found;
}

/** Active tokens of these platforms, each on a device of its own, oldest login first: t1, t2, … */
function signedIn(...names: readonly string[]): Token[] {
  const user = { tenant: 'default', userId: 'ada' };
  const plain = { deviceName: '', ip: '', userAgent: '', salt: '', generation: 1, idleMs: 0 };
  const past = { createdAt: NOW - 1000, lastSeenAt: NOW - 1000, rotatedAt: NOW - 1000 };
  const future = { expiresAt: NOW + 60_000, accessExpiresAt: NOW + 60_000 };
  return names.map((platform, index) => {
    const own = { tokenId: `t${index + 1}`, deviceId: `d${index + 1}`, seq: index + 1 };
    return { ...user, ...plain, ...past, ...future, ...own, platform };
  });
}

const named = (ended: ReadonlyMap<string, string>) => [...ended].map(([id, platform]) => `${id} ${platform}`);

function logIn(policy: Policy, platform: string, tokens: readonly Token[]) {
  const incoming = { platform, deviceId: 'new-device' };
  const plan = resolve({ incoming, tokens, policy, platforms, maxTokens: 100, now: NOW });
  return {
    declined: plan.declined,
    kick: named(plan.kick),
    delete: named(plan.delete),
    conflicts: plan.conflicts.map(({ tokenId }) => tokenId),
  };
}

const nothing = { declined: false, kick: [], delete: [], conflicts: [] };

/** Turms' device type of each platform of ours, written down by hand; the rest are types that only meet themselves. */
const TYPE_OF: Readonly<Record<string, string>> = {
  ios: 'ios',
  android: 'android',
  web: 'browser',
  windows: 'desktop',
  macos: 'desktop',
  linux: 'desktop',
  'android-pad': 'pad',
  ipad: 'pad',
  miniweb: 'miniweb',
  harmonyos: 'harmonyos',
};

type Strategy = {
  readonly preset: string;
  /** Pairs of different types that cannot be signed in at once. A type is always in its own way. */
  readonly conflicts: readonly (readonly [string, string])[];
  readonly shutOut?: readonly string[];
  /** Everything is in the way of everything. */
  readonly oneForAll?: boolean;
};

const mobile = ['ios', 'android'] as const;
const STRATEGIES: readonly Strategy[] = [
  { preset: 'turms-one-of-each-type', conflicts: [] },
  { preset: 'turms-one-for-all-types', conflicts: [], oneForAll: true },
  { preset: 'turms-desktop-and-mobile', conflicts: [mobile], shutOut: ['browser'] },
  { preset: 'turms-desktop-or-browser-and-mobile', conflicts: [mobile, ['desktop', 'browser']] },
  { preset: 'turms-desktop-and-browser-and-mobile', conflicts: [mobile] },
  {
    preset: 'turms-desktop-or-mobile',
    conflicts: [mobile, ['desktop', 'ios'], ['desktop', 'android']],
    shutOut: ['browser'],
  },
  {
    preset: 'turms-desktop-or-browser-or-mobile',
    conflicts: [
      mobile,
      ['desktop', 'browser'],
      ['desktop', 'ios'],
      ['desktop', 'android'],
      ['browser', 'ios'],
      ['browser', 'android'],
    ],
  },
];

function inTheWay({ conflicts, oneForAll = false }: Strategy, a: string, b: string): boolean {
  const [one = '', other = ''] = [TYPE_OF[a], TYPE_OF[b]];
  const isNamed = conflicts.some((pair) => pair.includes(one) && pair.includes(other));
  return oneForAll || one === other || isNamed;
}

const pairs = USERS_PLATFORMS.flatMap((first) => USERS_PLATFORMS.map((second) => [first, second] as const));

describe('T1 Turms’ seven strategies are presets with a symmetric matrix', () => {
  it('has a device type for every platform that takes part', () => {
    expect(Object.keys(TYPE_OF).toSorted()).toEqual(USERS_PLATFORMS.toSorted());
    expect(new Set(STRATEGIES.map((strategy) => strategy.preset)).size).toBe(7);
  });

  describe.each(STRATEGIES)('$preset', (strategy) => {
    const policy = preset(strategy.preset);
    const isShutOut = (platform: string) => strategy.shutOut?.includes(TYPE_OF[platform] ?? '') ?? false;
    const open = pairs.filter(([first, second]) => !isShutOut(first) && !isShutOut(second));

    it('can be written as a policy of one’s own', () => {
      expect(checkPolicy(policy, platforms)).toEqual({ policy });
    });

    it.each(USERS_PLATFORMS.map((platform) => [platform, !isShutOut(platform)] as const))(
      'may log in on %s: %s',
      (platform, allowed) => {
        expect(allows(policy, platform, platforms)).toBe(allowed);
      },
    );

    it.each(open)('%s, then %s', (first, second) => {
      const conflict = inTheWay(strategy, first, second);
      expect(logIn(policy, second, signedIn(first))).toEqual({ ...nothing, kick: conflict ? [`t1 ${first}`] : [] });
      // Symmetric: the matrix does not care who came first.
      expect(logIn(policy, first, signedIn(second)).kick).toHaveLength(conflict ? 1 : 0);
    });

    it('leaves admin alone', () => {
      expect(logIn(policy, 'ios', signedIn('admin'))).toEqual(nothing);
      expect(logIn(policy, 'admin', signedIn(...USERS_PLATFORMS))).toMatchObject({ declined: false });
    });
  });

  it('ends tokens of a platform that a strategy has come to shut out', () => {
    expect(logIn(preset('turms-desktop-and-mobile'), 'windows', signedIn('web', 'ios'))).toEqual({
      ...nothing,
      kick: ['t1 web'],
    });
  });
});

const mixed = (count: number) =>
  signedIn(...Array.from({ length: count }, (_, index) => USERS_PLATFORMS[index % USERS_PLATFORMS.length] ?? 'ios'));

describe('sa-token', () => {
  const policy = preset('sa-token');

  it('lets twelve in, whatever they run on', () => {
    expect(logIn(policy, 'web', mixed(11))).toEqual(nothing);
  });

  it('deletes the oldest for a thirteenth, and leaves no tombstone', () => {
    expect(logIn(policy, 'web', mixed(12))).toEqual({ ...nothing, delete: ['t1 ios'] });
    expect(logIn(policy, 'web', mixed(14))).toEqual({ ...nothing, delete: ['t1 ios', 't2 android', 't3 windows'] });
  });
});

describe('desktop-and-mobile', () => {
  const policy = preset('desktop-and-mobile');

  it.each([
    ['windows', ['macos', 'ios'], ['t1 macos']],
    ['android', ['linux', 'ios'], ['t2 ios']],
    ['ios', ['linux', 'web', 'ipad', 'miniweb'], []],
    ['web', ['windows', 'ios', 'web'], []],
  ] as const)('a login on %s, with %j signed in, kicks %j', (platform, held, kick) => {
    expect(logIn(policy, platform, signedIn(...held))).toEqual({ ...nothing, kick });
  });
});

describe('a policy of one’s own', () => {
  /** Two desktops, one phone of each kind, at most three phones and pads, never a second browser. */
  const policy: Policy = {
    name: 'house-rules',
    limits: [
      { match: { classes: ['desktop'] }, countBy: 'class', max: 2, overflow: 'kick' },
      { match: { classes: ['mobile'] }, countBy: 'platform', max: 1, overflow: 'kick' },
      { match: { classes: ['mobile', 'pad'] }, countBy: 'all', max: 3, overflow: 'delete' },
      { match: { platforms: ['web'] }, countBy: 'platform', max: 1, overflow: 'decline' },
      { match: { platforms: ['miniweb'] }, countBy: 'all', max: 0, overflow: 'kick' },
    ],
  };

  it('is sound', () => expect(checkPolicy(policy, platforms)).toEqual({ policy }));

  it.each([
    ['a second desktop', 'macos', ['windows'], nothing],
    ['a third desktop', 'linux', ['windows', 'macos'], { ...nothing, kick: ['t1 windows'] }],
    ['a second ios', 'ios', ['ios', 'android'], { ...nothing, kick: ['t1 ios'] }],
    ['a pad among three', 'ipad', ['ios', 'android', 'android-pad'], { ...nothing, delete: ['t1 ios'] }],
    // The kick per platform comes first and makes the room that the limit over all asks for.
    ['a phone among three', 'android', ['ios', 'android', 'ipad'], { ...nothing, kick: ['t2 android'] }],
    ['a second browser', 'web', ['ios', 'web'], { ...nothing, declined: true, conflicts: ['t2'] }],
    // A decline leaves everything as it is, also what another limit would have ended.
    [
      'a browser among too many',
      'web',
      ['windows', 'macos', 'linux', 'web'],
      {
        ...nothing,
        declined: true,
        conflicts: ['t4'],
      },
    ],
    ['leftovers', 'ios', ['windows', 'macos', 'linux', 'web', 'web'], { ...nothing, kick: ['t1 windows'] }],
  ])('%s', (_what, platform, held, plan) => {
    expect(logIn(policy, platform, signedIn(...held))).toEqual(plan);
  });

  it('shuts out what has no seat', () => {
    expect(USERS_PLATFORMS.filter((platform) => !allows(policy, platform, platforms))).toEqual(['miniweb']);
  });
});
