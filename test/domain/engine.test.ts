/**
 * The rules by which a login meets a user's tokens, as tables: a policy, the tokens held, the login, and what becomes of
 * them in one line. A token is written `platform@order`, then what is special about it.
 */
import { describe, expect, it } from '@jest/globals';
import type { Limit, Match, Policy } from '../../src/contract/policy.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { createPlatforms, type Platform } from '../../src/domain/platform.ts';
import { allows, HARD_CAP, matches, resolve, UNKNOWN_PLATFORM } from '../../src/domain/policies/engine.ts';
import { presets } from '../../src/domain/policies/presets.ts';
import { isLapsed, type Token, type Unreadable } from '../../src/domain/token.ts';
import { displacementsOf } from '../../src/tokens/war.ts';

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;
const GRACE = 120_000;

const platforms = createPlatforms([{ name: 'tv', class: 'tv' }]);
const USER_PLATFORMS = platforms.names.filter((name) => name !== 'admin');
const USER_PAIRS = USER_PLATFORMS.flatMap((first) => USER_PLATFORMS.map((second) => ({ first, second })));
const PRESETS = presets(3);
const NO_LIMITS: Policy = { name: 'no-limits', limits: [] };

describe('presets', () => {
  it.each([
    { preset: 'no-kick', held: ['ios@1', 'ios@2', 'ios@3', 'web@4'], login: 'ios', outcome: 'kick ios@1' },
    { preset: 'no-kick', held: ['ios@1', 'ios@2'], login: 'ios', outcome: 'nothing' },
    { preset: 'one-per-platform', held: ['ios@1', 'android@2'], login: 'ios', outcome: 'kick ios@1' },
    { preset: 'one-per-class', held: ['ios@1', 'web@2'], login: 'android', outcome: 'kick ios@1' },
    { preset: 'one-per-class', held: ['tv@1', 'ios@2'], login: 'tv', outcome: 'kick tv@1' },
    { preset: 'desktop-plus-one', held: ['macos@1', 'ios@2'], login: 'web', outcome: 'kick ios@2' },
    { preset: 'desktop-plus-one', held: ['macos@1', 'ios@2'], login: 'windows', outcome: 'nothing' },
    { preset: 'single-device', held: ['macos@1'], login: 'ios', outcome: 'kick macos@1' },
    { preset: 'decline-second', held: ['macos@1'], login: 'ios', outcome: 'declined by macos@1' },
    { preset: 'decline-second', held: [], login: 'ios', outcome: 'nothing' },
  ])('$preset: $held, then $login: $outcome', ({ preset, held, login, outcome }) => {
    expect(outcomeOf({ policy: presetOf(preset), held, login })).toBe(outcome);
  });
});

describe('match: which tokens a limit speaks of', () => {
  it.each<{ match: Match; all: readonly Platform[] }>([
    { match: {}, all: USER_PLATFORMS },
    { match: { platforms: ['ios', 'web'] }, all: ['ios', 'web'] },
    { match: { classes: ['mobile', 'tv'] }, all: ['ios', 'android', 'tv'] },
    { match: { notPlatforms: ['ios'] }, all: USER_PLATFORMS.filter((name) => name !== 'ios') },
    {
      match: { notClasses: ['mobile', 'desktop', 'pad'] },
      all: ['web', 'miniweb', 'harmonyos', 'tv'],
    },
    { match: { classes: ['mobile'], notPlatforms: ['ios'] }, all: ['android'] },
    { match: { platforms: ['ios', 'web'], classes: ['mobile'] }, all: ['ios'] },
    { match: { platforms: ['ios'], notClasses: ['mobile'] }, all: [] },
    { match: { platforms: ['admin'], classes: ['admin'] }, all: [] },
  ])('$match is $all', ({ match, all }) => {
    expect(platforms.names.filter((name) => matches(match, name, platforms))).toEqual(all);
  });

  it('a platform that is no longer known is matched by all but a list of others', () => {
    expect(matches({}, 'old-phone', platforms)).toBe(true);
    expect(matches({ notClasses: ['mobile'] }, 'old-phone', platforms)).toBe(true);
    expect(matches({ platforms: ['ios'] }, 'old-phone', platforms)).toBe(false);
  });
});

describe('countBy: what max counts within', () => {
  const held = ['ios@1', 'android@2', 'windows@3', 'web@4'];
  it.each([
    { countBy: 'all', login: 'ios', outcome: 'kick ios@1, android@2, windows@3, web@4' },
    { countBy: 'class', login: 'ios', outcome: 'kick ios@1, android@2' },
    { countBy: 'platform', login: 'ios', outcome: 'kick ios@1' },
    { countBy: 'class', login: 'linux', outcome: 'kick ios@1, windows@3' },
    { countBy: 'platform', login: 'linux', outcome: 'nothing' },
  ] as const)('$countBy, login on $login: $outcome', ({ countBy, login, outcome }) => {
    expect(outcomeOf({ policy: policyOf({ countBy }), held, login })).toBe(outcome);
  });

  it('tokens of a platform that is no longer known are counted, as a class of their own', () => {
    const old = ['old-phone@1', 'old-phone@2', 'ios@3'];
    expect(outcomeOf({ policy: policyOf({ countBy: 'all', max: 2 }), held: old, login: 'web' })).toBe(
      'kick old-phone@1, old-phone@2',
    );
    expect(outcomeOf({ policy: policyOf({ countBy: 'class' }), held: old, login: 'ios' })).toBe(
      'kick old-phone@1, ios@3',
    );
    expect(outcomeOf({ policy: presetOf('decline-second'), held: ['old-phone@1'], login: 'ios' })).toBe(
      'declined by old-phone@1',
    );
  });
});

describe('max', () => {
  it('0 shuts a platform out, and only that one', () => {
    const policy = policyOf({ match: { classes: ['pad'] }, max: 0, overflow: 'decline' });
    const shut = platforms.names.filter((name) => !allows(policy, name, platforms));
    expect(shut).toEqual(['android-pad', 'ipad']);
  });

  it('0 never shuts admin out', () => {
    expect(allows(policyOf({ match: {}, max: 0 }), 'admin', platforms)).toBe(true);
  });

  it('0 ends what the shut platform still holds, at any other login', () => {
    const policy = policyOf({ match: { classes: ['pad'] }, max: 0 });
    expect(outcomeOf({ policy, held: ['ipad@1', 'ios@2'], login: 'ios' })).toBe('kick ipad@1');
  });

  it.each([
    { max: 1, outcome: 'kick ios@1, web@2, ipad@3' },
    { max: 2, outcome: 'kick ios@1, web@2' },
    { max: 3, outcome: 'kick ios@1' },
    { max: 4, outcome: 'nothing' },
    { max: 100, outcome: 'nothing' },
  ])('$max counts the login itself: $outcome', ({ max, outcome }) => {
    const policy = policyOf({ countBy: 'all', max });
    expect(outcomeOf({ policy, held: ['ios@1', 'web@2', 'ipad@3'], login: 'macos' })).toBe(outcome);
  });
});

describe('overflow', () => {
  it.each([
    { overflow: 'kick', outcome: 'kick ios@1' },
    { overflow: 'delete', outcome: 'delete ios@1' },
    { overflow: 'decline', outcome: 'declined by ios@1' },
  ] as const)('$overflow: $outcome', ({ overflow, outcome }) => {
    expect(outcomeOf({ policy: policyOf({ overflow }), held: ['ios@1', 'web@2'], login: 'ios' })).toBe(outcome);
  });

  it('delete has a ground, which tells it from a record that had expired', () => {
    const plan = planOf({ policy: policyOf({ overflow: 'delete' }), held: ['ios@1', 'ios@2 expired'], login: 'ios' });
    expect([...plan.delete.keys()]).toEqual(['ios@2', 'ios@1']);
    expect([...plan.grounds]).toEqual([['ios@1', { policy: 'test' }]]);
  });
});

describe('victim: who leaves first', () => {
  const held = ['ios@1 seen=900', 'ios@2 seen=100', 'ios@3 seen=500'];
  it.each([
    { victim: undefined, held, outcome: 'kick ios@1, ios@2' },
    { victim: 'oldest_login', held, outcome: 'kick ios@1, ios@2' },
    { victim: 'least_recently_seen', held, outcome: 'kick ios@2, ios@3' },
    {
      victim: 'least_recently_seen',
      held: ['ios@1 seen=7', 'ios@2 seen=7', 'ios@3 seen=7'],
      outcome: 'kick ios@1, ios@2',
    },
    { victim: undefined, held: ['ios@1', 'ios@2', 'ios@3 lapsed'], outcome: 'kick ios@1, ios@3' },
    { victim: undefined, held: ['ios@1', 'ios@2 lapsed', 'ios@3 lapsed'], outcome: 'kick ios@2, ios@3' },
    { victim: 'least_recently_seen', held: [...held, 'ios@4 lapsed seen=950'], outcome: 'kick ios@2, ios@3, ios@4' },
    { victim: undefined, held: ['ios@1', 'ios@2', 'ios@3 leased'], outcome: 'kick ios@1, ios@2' },
  ] as const)('$victim, $held: $outcome', ({ victim, held: tokens, outcome }) => {
    const policy = policyOf({ max: 2, ...(victim && { victim }) });
    expect(outcomeOf({ policy, held: tokens, login: 'ios' })).toBe(outcome);
  });

  it('a lapsed token that is kicked says so', () => {
    const plan = planOf({ policy: policyOf({}), held: ['ios@1 lapsed'], login: 'ios' });
    expect(plan.grounds.get('ios@1')).toEqual({ policy: 'test', reason: 'lapsed' });
  });

  it.each([
    { at: -1, lapsed: false },
    { at: 0, lapsed: false },
    { at: 1, lapsed: true },
  ])('a lease lapses $at ms after its end and the grace: $lapsed', ({ at, lapsed }) => {
    const token = tokenOf('ios@1 leased');
    expect(isLapsed(token, (token.lease?.expiresAt ?? 0) + GRACE + at)).toBe(lapsed);
  });
});

describe('step 1: expired records are deleted', () => {
  it.each([
    { held: ['ios@1 expired', 'web@2'], login: 'ios', outcome: 'delete ios@1' },
    { held: ['ios@1 idle'], login: 'web', outcome: 'delete ios@1' },
    { held: ['ios@1 kicked expired'], login: 'web', outcome: 'delete ios@1' },
    { held: ['admin@1 expired'], login: 'web', outcome: 'delete admin@1' },
    { held: ['ios@1 kicked', 'ios@2 kicked idle'], login: 'ios', outcome: 'nothing' },
  ])('$held: $outcome', ({ held, login, outcome }) => {
    expect(outcomeOf({ policy: presetOf('one-per-platform'), held, login })).toBe(outcome);
  });

  it('lists an unreadable record that is over under a platform that none is named like', () => {
    const unreadable = [
      { tokenId: 'over', endsAt: NOW },
      { tokenId: 'later', endsAt: NOW + 1 },
      { tokenId: 'not known' },
    ];
    const plan = planOf({ policy: NO_LIMITS, held: ['ios@1'], login: 'ios', unreadable });
    expect(plan.delete).toEqual(new Map([['over', UNKNOWN_PLATFORM]]));
    expect(platforms.has(UNKNOWN_PLATFORM)).toBe(false);
    expect(plan.grounds.size).toBe(0);
  });

  it('an expired token holds no seat, and is neither replaced, evicted nor a conflict', () => {
    const held = ['ios@1 expired on=d1'];
    expect(
      outcomeOf({ policy: presetOf('decline-second'), held, login: 'ios', deviceId: 'd1', evict: ['ios@1'] }),
    ).toBe('delete ios@1');
  });

  it.each([
    { left: 1, outcome: 'kick ios@1' },
    { left: 0, outcome: 'delete ios@1' },
  ])('a token with $left ms left: $outcome', ({ left, outcome }) => {
    const tokens = [{ ...tokenOf('ios@1'), expiresAt: NOW + left }];
    expect(outcomeOf({ policy: presetOf('single-device'), tokens, login: 'web' })).toBe(outcome);
  });
});

describe('F1 an expired token whose access token outlives it', () => {
  const twoInAll = policyOf({ countBy: 'all', max: 2 });

  it.each([
    { how: 'evicted', policy: NO_LIMITS, held: ['ios@1 outlived'], evict: ['ios@1'] },
    { how: 'same_device', policy: NO_LIMITS, held: ['ios@1 outlived on=d1'], deviceId: 'd1' },
    { how: 'expired', policy: presetOf('single-device'), held: ['ios@1 outlived'] },
  ])('ends on a ground that says so: $how', ({ how, ...given }) => {
    const { grounds } = planOf({ ...given, login: 'ios' });
    expect(grounds.get('ios@1')).toMatchObject({ reason: how, hadExpired: true });
    const active = { ...given, held: given.held.map((token) => token.replace(' outlived', '')) };
    expect(planOf({ ...active, login: 'ios' }).grounds.get('ios@1')).not.toHaveProperty('hadExpired');
  });

  it.each([
    { policy: presetOf('single-device'), held: ['ios@1 outlived'], outcome: 'kick ios@1' },
    { policy: policyOf({ countBy: 'all', overflow: 'delete' }), held: ['ios@1 outlived'], outcome: 'delete ios@1' },
    // It holds no seat, but it is the first to leave where one is wanted; nobody leaves because of it.
    { policy: twoInAll, held: ['ios@1', 'web@2 outlived'], outcome: 'kick web@2' },
    { policy: twoInAll, held: ['ios@1', 'web@2', 'ipad@3 outlived'], outcome: 'kick ios@1, ipad@3' },
    { policy: twoInAll, held: ['ios@1 lapsed', 'web@2 outlived'], outcome: 'kick web@2' },
    // Where there is room the store tells the gateways that time has ended it.
    { policy: twoInAll, held: ['ios@1 outlived'], outcome: 'delete ios@1' },
    { policy: NO_LIMITS, held: ['ios@1 outlived'], outcome: 'delete ios@1' },
    { policy: NO_LIMITS, held: ['ios@1 outlived', 'web@2'], evict: ['ios@1'], outcome: 'kick ios@1' },
    { policy: NO_LIMITS, held: ['tv@1 outlived on=d1'], deviceId: 'd1', outcome: 'replace tv@1' },
    // No conflict, and no seat to come back to.
    { policy: presetOf('decline-second'), held: ['ios@1 outlived'], outcome: 'kick ios@1' },
    { policy: presetOf('decline-second'), held: ['ios@1', 'web@2 outlived'], outcome: 'declined by ios@1' },
    {
      policy: presetOf('decline-second'),
      held: ['ios@1', 'tv@2 outlived on=d1'],
      deviceId: 'd1',
      outcome: 'declined by ios@1',
    },
    // Its tombstone stays as long as the gateways remember.
    { policy: NO_LIMITS, held: ['ios@1 outlived kicked'], outcome: 'nothing' },
  ])('$policy.name: $held, then tv: $outcome', ({ outcome, ...plot }) => {
    expect(outcomeOf({ ...plot, login: 'tv' })).toBe(outcome);
  });

  it('goes before others beyond the hard cap', () => {
    const held = ['ios@1', 'web@2', 'ipad@3 outlived'];
    const plan = planOf({ policy: NO_LIMITS, held, login: 'tv', maxTokens: 3 });
    expect(written(plan)).toBe('kick ipad@3');
    expect(plan.grounds).toEqual(new Map([['ipad@3', { policy: HARD_CAP, reason: 'expired', hadExpired: true }]]));
  });

  it('is kicked as expired, and counts as no displacement', () => {
    const plan = planOf({ policy: presetOf('single-device'), held: ['ios@1 outlived', 'web@2'], login: 'tv' });
    expect(plan.grounds.get('ios@1')).toEqual({ policy: 'single-device', reason: 'expired', hadExpired: true });
    expect(displacementsOf(plan)).toBe(1);
  });
});

describe('step 2: the same platform and deviceId is a takeover', () => {
  it.each(PRESETS.flatMap((policy) => ['', ' lapsed', ' leased'].map((how) => ({ policy, how }))))(
    '$policy.name replaces the earlier token$how',
    ({ policy, how }) => {
      const plan = planOf({ policy, held: [`ios@1 on=d1${how}`], login: 'ios', deviceId: 'd1' });
      expect(written(plan)).toBe('replace ios@1');
      expect(plan.grounds.get('ios@1')).toEqual({ policy: policy.name, reason: 'same_device' });
    },
  );

  it('takes over every earlier token of the device', () => {
    const held = ['ios@1 on=d1', 'ios@2 on=d1', 'ios@3'];
    expect(outcomeOf({ policy: NO_LIMITS, held, login: 'ios', deviceId: 'd1' })).toBe('replace ios@1, ios@2');
  });

  it.each([
    { held: 'android@1 on=d1', why: 'the same deviceId on another platform is another device' },
    { held: 'ios@1 on=D1', why: 'a deviceId is compared as it is' },
    { held: 'ios@1 on=d1 kicked', why: 'what has ended stays as it ended' },
  ])('$held: $why', ({ held }) => {
    expect(outcomeOf({ policy: NO_LIMITS, held: [held], login: 'ios', deviceId: 'd1' })).toBe('nothing');
  });

  it('frees the seat that the login then takes', () => {
    const held = ['ios@1 on=d1', 'ios@2'];
    expect(outcomeOf({ policy: policyOf({ max: 2 }), held, login: 'ios', deviceId: 'd1' })).toBe('replace ios@1');
  });

  it('comes before evict', () => {
    const outcome = { policy: NO_LIMITS, held: ['ios@1 on=d1'], login: 'ios', deviceId: 'd1', evict: ['ios@1'] };
    expect(outcomeOf(outcome)).toBe('replace ios@1');
  });
});

describe('step 3: tokens named in evict are kicked', () => {
  it('whatever the policy allows', () => {
    const plan = planOf({ policy: NO_LIMITS, held: ['ios@1', 'web@2'], login: 'ios', evict: ['web@2'] });
    expect(written(plan)).toBe('kick web@2');
    expect(plan.grounds.get('web@2')).toEqual({ policy: 'no-limits', reason: 'evicted' });
  });

  it('frees the seat that would have declined the login', () => {
    const held = ['ios@1'];
    expect(outcomeOf({ policy: presetOf('decline-second'), held, login: 'web', evict: ['ios@1'] })).toBe('kick ios@1');
  });

  it('ends nothing when the login is declined all the same', () => {
    const held = ['ios@1', 'ipad@2'];
    expect(outcomeOf({ policy: presetOf('decline-second'), held, login: 'web', evict: ['ios@1'] })).toBe(
      'declined by ipad@2',
    );
  });

  it('comes before the limits, which find the seat free', () => {
    const policy = policyOf({ max: 2 });
    expect(outcomeOf({ policy, held: ['ios@1', 'ios@2'], login: 'ios', evict: ['ios@2'] })).toBe('kick ios@2');
  });

  it('leaves alone what has ended, and what nobody has', () => {
    const evict = ['ios@1', 'nobody'];
    expect(outcomeOf({ policy: NO_LIMITS, held: ['ios@1 kicked'], login: 'web', evict })).toBe('nothing');
  });
});

describe('step 4: kick and delete limits, in their order, over the whole set', () => {
  it('reduces leftovers of an older policy to the newest, also where the login takes no seat', () => {
    const held = ['ios@1', 'android@2', 'web@3', 'macos@4'];
    expect(outcomeOf({ policy: presetOf('desktop-plus-one'), held, login: 'windows' })).toBe('kick ios@1, android@2');
    expect(outcomeOf({ policy: presetOf('one-per-class'), held, login: 'ipad' })).toBe('kick ios@1');
  });

  it('gives each later limit what the earlier ones left', () => {
    const policy = limitsOf(
      { match: { classes: ['mobile'] }, countBy: 'class', max: 1, overflow: 'delete' },
      { match: {}, countBy: 'all', max: 2, overflow: 'kick' },
    );
    const held = ['web@1', 'ios@2', 'macos@3'];
    expect(outcomeOf({ policy, held, login: 'android' })).toBe('kick web@1; delete ios@2');
    expect(outcomeOf({ policy: { ...policy, limits: policy.limits.toReversed() }, held, login: 'android' })).toBe(
      'kick web@1, ios@2',
    );
  });

  it('comes before decline limits, wherever those stand', () => {
    const decline: Limit = { match: {}, countBy: 'all', max: 2, overflow: 'decline' };
    const kick: Limit = { match: { classes: ['mobile'] }, countBy: 'all', max: 1, overflow: 'kick' };
    for (const policy of [limitsOf(decline, kick), limitsOf(kick, decline)]) {
      expect(outcomeOf({ policy, held: ['ios@1', 'web@2'], login: 'android' })).toBe('kick ios@1');
      expect(outcomeOf({ policy, held: ['ios@1', 'web@2', 'macos@3'], login: 'android' })).toBe(
        'declined by web@2, macos@3',
      );
    }
  });
});

describe('step 5: decline limits, in the group that the login joins', () => {
  const perClass = policyOf({ countBy: 'class', overflow: 'decline' });

  it.each([
    { held: ['ios@1', 'web@2'], login: 'android', outcome: 'declined by ios@1' },
    { held: ['ios@1', 'web@2'], login: 'macos', outcome: 'nothing' },
    { held: ['ios@1', 'android@2', 'web@3'], login: 'macos', outcome: 'nothing' },
    { held: ['ios@1', 'android@2'], login: 'ios', outcome: 'declined by ios@1, android@2' },
    { held: ['ios@1 lapsed', 'web@2 lapsed'], login: 'android', outcome: 'kick ios@1' },
    { held: ['ios@1 lapsed', 'android@2'], login: 'android', outcome: 'declined by android@2' },
    { held: ['ios@1 lapsed', 'android@2 lapsed'], login: 'android', outcome: 'kick ios@1, android@2' },
    { held: ['ios@1 leased'], login: 'android', outcome: 'declined by ios@1' },
    { held: ['ios@1 kicked', 'android@2 expired'], login: 'ios', outcome: 'delete android@2' },
  ])('$held, then $login: $outcome', ({ held, login, outcome }) => {
    expect(outcomeOf({ policy: perClass, held, login })).toBe(outcome);
  });

  it('a lapsed token gives up its seat only where the seat is needed', () => {
    const policy = policyOf({ countBy: 'all', max: 2, overflow: 'decline' });
    expect(outcomeOf({ policy, held: ['ios@1 lapsed'], login: 'web' })).toBe('nothing');
    expect(outcomeOf({ policy, held: ['ios@1 lapsed', 'ipad@2 lapsed'], login: 'web' })).toBe('kick ios@1');
  });

  it('one limit that declines is enough, and undoes what the others decided', () => {
    const policy = limitsOf(
      { match: { platforms: ['ios'] }, countBy: 'all', max: 1, overflow: 'decline' },
      { match: {}, countBy: 'all', max: 1, overflow: 'decline' },
    );
    const plan = planOf({
      policy,
      held: ['ios@1 lapsed', 'web@2', 'tv@3 expired'],
      login: 'ios',
      unreadable: [{ tokenId: 'x', endsAt: NOW }],
    });
    expect(written(plan)).toBe('declined by web@2');
    expect([plan.kick.size, plan.delete.size, plan.replace.size, plan.grounds.size]).toEqual([0, 0, 0, 0]);
  });
});

describe('hard cap: bounds every policy', () => {
  it('kicks the oldest beyond it, under its own name', () => {
    const plan = planOf({ policy: NO_LIMITS, held: ['ios@1', 'web@2', 'ios@3'], login: 'tv', maxTokens: 2 });
    expect(written(plan)).toBe('kick ios@1, web@2');
    expect([...plan.grounds.values()]).toEqual([{ policy: HARD_CAP }, { policy: HARD_CAP }]);
  });

  it.each([
    { held: ['ios@1', 'web@2'], login: 'tv', outcome: 'nothing' },
    { held: ['ios@1', 'web@2', 'ipad@3 kicked', 'ipad@4 expired'], login: 'tv', outcome: 'delete ipad@4' },
    { held: ['admin@1', 'ios@2', 'web@3'], login: 'tv', outcome: 'nothing' },
    { held: ['admin@1', 'ios@2', 'web@3', 'tv@4'], login: 'tv', outcome: 'kick ios@2' },
    { held: ['ios@1', 'admin@2', 'admin@3', 'admin@4'], login: 'admin', outcome: 'kick admin@2' },
    { held: ['ios@1', 'web@2', 'tv@3', 'admin@4'], login: 'admin', outcome: 'nothing' },
  ])('of 3: $held, then $login: $outcome', ({ held, login, outcome }) => {
    expect(outcomeOf({ policy: NO_LIMITS, held, login, maxTokens: 3 })).toBe(outcome);
  });

  it('does not decline: a login that is declined ends nothing', () => {
    const policy = policyOf({ countBy: 'all', overflow: 'decline' });
    expect(outcomeOf({ policy, held: ['ios@1', 'web@2'], login: 'tv', maxTokens: 1 })).toBe('declined by ios@1, web@2');
  });
});

describe("O9 admin-platform tokens take no part in a user's policy", () => {
  it.each(PRESETS)('$name: a login leaves them, and they take no seat', (policy) => {
    const held = ['admin@1', 'admin@2', 'admin@3', 'admin@4'];
    expect(outcomeOf({ policy, held, login: 'ios' })).toBe('nothing');
  });

  it.each(PRESETS)('$name: a login on admin ends nothing, not even leftovers', (policy) => {
    const held = ['ios@1', 'ios@2', 'ios@3', 'ios@4', 'android@5', 'admin@6', 'admin@7'];
    expect(outcomeOf({ policy, held, login: 'admin' })).toBe('nothing');
  });

  it('a limit that names admin speaks of nobody', () => {
    const policy = policyOf({ match: { platforms: ['admin'] } });
    expect(outcomeOf({ policy, held: ['admin@1', 'ios@2'], login: 'ios' })).toBe('nothing');
  });

  it('the same device and evict are no policy: they end admin tokens too', () => {
    const held = ['admin@1 on=d1', 'admin@2'];
    const login = { policy: NO_LIMITS, held, login: 'admin', deviceId: 'd1', evict: ['admin@2'] };
    expect(outcomeOf(login)).toBe('kick admin@2; replace admin@1');
  });
});

describe('T3 decline fires across platforms too', () => {
  it.each(USER_PAIRS)('$first holds the seat, $second is declined', ({ first, second }) => {
    const policy = presetOf('decline-second');
    expect(outcomeOf({ policy, held: [`${first}@1`], login: second })).toBe(`declined by ${first}@1`);
  });
});

describe('T4 kick across platforms, in every ordered pair', () => {
  it.each(USER_PAIRS)('$second kicks $first, under its own platform', ({ first, second }) => {
    const plan = planOf({ policy: presetOf('single-device'), held: [`${first}@1`], login: second });
    expect(plan.kick).toEqual(new Map([[`${first}@1`, first]]));
    expect([plan.delete.size, plan.replace.size, plan.declined]).toEqual([0, 0, false]);
  });
});

describe('T5 kick on one platform works while the user has two other platforms active', () => {
  it.each(USER_PLATFORMS)('%s', (platform) => {
    const [other, another] = USER_PLATFORMS.filter((name) => name !== platform);
    const held = [`${other}@1`, `${platform}@2`, `${another}@3`];
    expect(outcomeOf({ policy: presetOf('one-per-platform'), held, login: platform })).toBe(`kick ${platform}@2`);
  });
});

type Case = {
  readonly policy: Policy;
  readonly held?: readonly string[];
  readonly tokens?: readonly Token[];
  readonly login: Platform;
  readonly deviceId?: string;
  readonly evict?: readonly string[];
  readonly unreadable?: readonly Unreadable[];
  readonly maxTokens?: number;
};

function outcomeOf(one: Case): string {
  return written(planOf(one));
}

function planOf({ policy, held = [], tokens, login, deviceId = 'new device', evict = [], ...more }: Case): Plan {
  return resolve({
    incoming: { platform: login, deviceId, evict },
    tokens: tokens ?? held.map(tokenOf),
    policy,
    platforms,
    maxTokens: 100,
    now: NOW,
    ...more,
  });
}

/** `kick ios@1, web@2; delete tv@3; replace …`, `declined by …` or `nothing`, each list oldest first. */
function written(plan: Plan): string {
  if (plan.declined) return `declined by ${plan.conflicts.map((token) => token.tokenId).join(', ')}`;
  const parts = (['kick', 'delete', 'replace'] as const).flatMap((how) => {
    const tokenIds = [...plan[how].keys()].toSorted((a, b) => seqOf(a) - seqOf(b));
    for (const tokenId of tokenIds) expect([tokenId, plan[how].get(tokenId)]).toEqual([tokenId, tokenId.split('@')[0]]);
    return tokenIds.length > 0 ? [`${how} ${tokenIds.join(', ')}`] : [];
  });
  return parts.join('; ') || 'nothing';
}

function seqOf(tokenId: string): number {
  return Number(tokenId.split('@')[1]);
}

/**
 * `ios@1`, then any of: `on=<deviceId>` `seen=<time>` `expired` `idle` `outlived` (expired, but not its access token)
 * `kicked` `leased` `lapsed`.
 */
function tokenOf(text: string): Token {
  const [tokenId = '', ...words] = text.split(' ');
  const valueOf = (name: string) => words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const createdAt = NOW - HOUR + seqOf(tokenId);
  const leaseEnd = words.includes('lapsed') ? NOW - GRACE - 1 : NOW - GRACE;
  return {
    tenant: 'default',
    userId: 'u1',
    tokenId,
    platform: tokenId.split('@')[0] ?? '',
    deviceId: valueOf('on') ?? `device of ${tokenId}`,
    deviceName: '',
    seq: seqOf(tokenId),
    createdAt,
    lastSeenAt: Number(valueOf('seen') ?? createdAt),
    expiresAt: words.includes('expired') || words.includes('outlived') ? NOW - 1 : NOW + HOUR,
    accessExpiresAt: words.includes('outlived') ? NOW + 1 : NOW,
    generation: 1,
    rotatedAt: createdAt,
    idleMs: words.includes('idle') ? 1 : 0,
    salt: 'salt',
    ip: '',
    userAgent: '',
    ...(words.includes('kicked') && { end: { code: 'token_kicked', at: createdAt, by: { kind: 'login' } } }),
    ...((words.includes('lapsed') || words.includes('leased')) && {
      lease: { expiresAt: leaseEnd, graceMs: GRACE },
    }),
  };
}

function presetOf(name: string): Policy {
  const policy = PRESETS.find((preset) => preset.name === name);
  if (policy === undefined) throw new Error(`no preset "${name}"`);
  return policy;
}

function limitsOf(...limits: Limit[]): Policy {
  return { name: 'test', limits };
}

/** A policy of one limit: one token a platform, kicked, unless told otherwise. */
function policyOf(limit: Partial<Limit>): Policy {
  return limitsOf({ match: {}, countBy: 'platform', max: 1, overflow: 'kick', ...limit });
}

describe('T9 a device that logs in again is never declined', () => {
  it.each([
    { login: 'ios', deviceId: 'd1', outcome: 'replace ios@1' },
    { login: 'web', deviceId: 'd2', outcome: 'replace web@2' },
    { login: 'web', deviceId: 'd1', outcome: 'declined by ios@1, web@2' },
  ])('of two that an older policy let in, $deviceId on $login: $outcome', ({ login, deviceId, outcome }) => {
    const held = ['ios@1 on=d1', 'web@2 on=d2'];
    expect(outcomeOf({ policy: presetOf('decline-second'), held, login, deviceId })).toBe(outcome);
  });
});
