/** Which written policies are taken, and what is said of the others: every fault, with the valid names. */
import { describe, expect, it } from '@jest/globals';
import { createPlatforms } from '../../src/domain/platform.ts';
import { checkPolicy } from '../../src/domain/policies/check.ts';
import { presets } from '../../src/domain/policies/presets.ts';

const platforms = createPlatforms([{ name: 'tv', class: 'living-room' }]);
const PLATFORM_NAMES = 'ios, android, windows, macos, web, miniweb, linux, android-pad, ipad, harmonyos, tv';
const CLASS_NAMES = 'mobile, desktop, web, miniweb, pad, harmonyos, living-room';

const LIMIT = { match: {}, countBy: 'all', max: 1, overflow: 'kick' };
const policyOf = (limit: object) => ({ name: 'ours', limits: [{ ...LIMIT, ...limit }] });
const manyLimits = (count: number) => ({ name: 'ours', limits: Array.from({ length: count }, () => LIMIT) });

describe('a policy that makes sense is taken as it is', () => {
  it.each(presets(30))('$name', (policy) => {
    expect(checkPolicy(policy, platforms)).toEqual({ policy });
  });

  it.each([
    { what: 'no limits at all', policy: { name: 'free', limits: [] } },
    { what: 'every form of match', policy: policyOf({ match: { platforms: ['tv'], notClasses: ['pad'] } }) },
    { what: 'a platform shut out', policy: policyOf({ match: { platforms: ['web'] }, max: 0 }) },
    { what: 'max 100', policy: policyOf({ max: 100 }) },
    { what: '20 limits', policy: manyLimits(20) },
    { what: 'a victim', policy: policyOf({ victim: 'least_recently_seen' }) },
  ])('$what', ({ policy }) => {
    expect(checkPolicy(policy, platforms)).toEqual({ policy });
  });
});

describe('a policy that makes no sense is refused', () => {
  it.each([
    {
      what: 'an unknown platform',
      policy: policyOf({ match: { platforms: ['ios', 'iphone'] } }),
      faults: [`limits.0.match: unknown platform "iphone"; valid: ${PLATFORM_NAMES}`],
    },
    {
      what: 'an unknown platform that is left out',
      policy: policyOf({ match: { notPlatforms: ['iphone'] } }),
      faults: [`limits.0.match: unknown platform "iphone"; valid: ${PLATFORM_NAMES}`],
    },
    {
      what: 'an unknown class',
      policy: policyOf({ match: { classes: ['phones'] } }),
      faults: [`limits.0.match: unknown class "phones"; valid: ${CLASS_NAMES}`],
    },
    {
      what: 'an unknown class that is left out',
      policy: policyOf({ match: { notClasses: ['phones'] } }),
      faults: [`limits.0.match: unknown class "phones"; valid: ${CLASS_NAMES}`],
    },
    {
      what: 'admin, which takes part in no policy',
      policy: policyOf({ match: { platforms: ['admin'], notClasses: ['admin'] } }),
      faults: [
        `limits.0.match: unknown platform "admin"; valid: ${PLATFORM_NAMES}`,
        `limits.0.match: unknown class "admin"; valid: ${CLASS_NAMES}`,
      ],
    },
    {
      what: 'no platform left that may log in',
      policy: policyOf({ max: 0 }),
      faults: ['limits: no platform is left that may log in'],
    },
    {
      what: 'no platform left, by several limits',
      policy: {
        name: 'ours',
        limits: [
          { ...LIMIT, match: { classes: ['mobile'] }, max: 0 },
          { ...LIMIT, match: { notClasses: ['mobile'] }, max: 0 },
        ],
      },
      faults: ['limits: no platform is left that may log in'],
    },
  ])('$what', ({ policy, faults }) => {
    expect(checkPolicy(policy, platforms)).toEqual({ faults });
  });

  it.each([
    { what: 'a misspelled key of a limit', policy: policyOf({ overFlow: 'kick' }), says: /^limits\.0: .*"overFlow"/ },
    { what: 'a misspelled key of a match', policy: policyOf({ match: { platform: ['ios'] } }), says: /"platform"/ },
    { what: 'a misspelled key of the policy', policy: { ...policyOf({}), limit: [] }, says: /^policy: .*"limit"/ },
    { what: 'max below 0', policy: policyOf({ max: -1 }), says: /^limits\.0\.max: .*0/ },
    { what: 'max above 100', policy: policyOf({ max: 101 }), says: /^limits\.0\.max: .*100/ },
    { what: 'max with a fraction', policy: policyOf({ max: 1.5 }), says: /^limits\.0\.max: .*whole number/ },
    { what: 'max as text', policy: policyOf({ max: '1' }), says: /^limits\.0\.max: / },
    { what: 'no max', policy: policyOf({ max: undefined }), says: /^limits\.0\.max: / },
    { what: '21 limits', policy: manyLimits(21), says: /^limits: .*20/ },
    { what: 'an unknown countBy', policy: policyOf({ countBy: 'user' }), says: /one of all, class, platform$/ },
    { what: 'an unknown overflow', policy: policyOf({ overflow: 'drop' }), says: /one of kick, delete, decline$/ },
    {
      what: 'an unknown victim',
      policy: policyOf({ victim: 'newest' }),
      says: /one of oldest_login, least_recently_seen$/,
    },
    { what: 'an empty list of platforms', policy: policyOf({ match: { platforms: [] } }), says: /match\.platforms: / },
    { what: 'a name that no list can show', policy: { ...policyOf({}), name: 'Our Policy' }, says: /^name: / },
    { what: 'no name', policy: { limits: [] }, says: /^name: / },
    { what: 'no limits', policy: { name: 'ours' }, says: /^limits: / },
    { what: 'a list', policy: [], says: /^policy: / },
    { what: 'null', policy: null, says: /^policy: / },
    { what: 'the name of a preset', policy: 'no-kick', says: /^policy: / },
  ])('$what', ({ policy, says }) => {
    expect(checkPolicy(policy, platforms)).toEqual({ faults: [expect.stringMatching(says)] });
  });

  it('with every fault at once', () => {
    const policy = {
      name: '',
      limits: [
        { ...LIMIT, max: 101, overflow: 'drop' },
        { ...LIMIT, countBy: 'user' },
      ],
    };
    const checked = checkPolicy(policy, platforms);
    const places = 'faults' in checked ? checked.faults.map((fault) => fault.split(':')[0]) : [];
    expect(places).toEqual(['name', 'limits.0.max', 'limits.0.overflow', 'limits.1.countBy']);
  });
});
