/**
 * Owns the policies that come with Latchkey, one row each. A new one is a row here and rows in its test table.
 * Must not know the engine.
 */
import { unknownValue } from '../../contract/faults.ts';
import type { Limit, Policy } from '../../contract/policy.ts';

/** Default of MAX_PER_PLATFORM. */
export const DEFAULT_MAX_PER_PLATFORM = 30;

export const DEFAULT_POLICY_NAME = 'one-per-platform';

/** @param maxPerPlatform seats of each platform under `no-kick`, 1-100 (MAX_PER_PLATFORM) */
export function presets(maxPerPlatform: number): readonly Policy[] {
  return [
    { name: 'no-kick', limits: [{ match: {}, countBy: 'platform', max: maxPerPlatform, overflow: 'kick' }] },
    { name: 'one-per-platform', limits: [{ match: {}, countBy: 'platform', max: 1, overflow: 'kick' }] },
    { name: 'one-per-class', limits: [{ match: {}, countBy: 'class', max: 1, overflow: 'kick' }] },
    {
      name: 'desktop-plus-one',
      limits: [{ match: { notClasses: ['desktop'] }, countBy: 'all', max: 1, overflow: 'kick' }],
    },
    { name: 'single-device', limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'kick' }] },
    { name: 'decline-second', limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'decline' }] },
    {
      name: 'desktop-and-mobile',
      limits: [
        { match: { classes: ['desktop'] }, countBy: 'all', max: 1, overflow: 'kick' },
        { match: { classes: ['mobile'] }, countBy: 'all', max: 1, overflow: 'kick' },
      ],
    },
    { name: 'sa-token', limits: [{ match: {}, countBy: 'all', max: 12, overflow: 'delete' }] },
    ...TURMS_STRATEGIES,
  ];
}

const BROWSER_SHUT_OUT: Limit = { match: { classes: ['web'] }, countBy: 'all', max: 0, overflow: 'kick' };

/** One device of these classes together. */
const oneOf = (...classes: string[]): Limit => ({ match: { classes }, countBy: 'all', max: 1, overflow: 'kick' });

/** One device of each class but these. */
const oneOfEachBut = (...notClasses: string[]): Limit => ({
  match: { notClasses },
  countBy: 'class',
  max: 1,
  overflow: 'kick',
});

/**
 * Turms' SimultaneousLoginStrategy, in its order. Its device types are desktop, browser, ios, android and others; here
 * `web` is the browser, and pads, mini programs and harmonyos are others: one of each, in nobody's way.
 */
const TURMS_STRATEGIES: readonly Policy[] = [
  {
    name: 'turms-one-of-each-type',
    limits: [{ match: { classes: ['mobile'] }, countBy: 'platform', max: 1, overflow: 'kick' }, oneOfEachBut('mobile')],
  },
  { name: 'turms-one-for-all-types', limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'kick' }] },
  {
    name: 'turms-desktop-and-mobile',
    limits: [BROWSER_SHUT_OUT, { match: {}, countBy: 'class', max: 1, overflow: 'kick' }],
  },
  {
    name: 'turms-desktop-or-browser-and-mobile',
    limits: [oneOf('desktop', 'web'), oneOfEachBut('desktop', 'web')],
  },
  { name: 'turms-desktop-and-browser-and-mobile', limits: [{ match: {}, countBy: 'class', max: 1, overflow: 'kick' }] },
  {
    name: 'turms-desktop-or-mobile',
    limits: [BROWSER_SHUT_OUT, oneOf('desktop', 'mobile'), oneOfEachBut('desktop', 'mobile')],
  },
  {
    name: 'turms-desktop-or-browser-or-mobile',
    limits: [oneOf('desktop', 'web', 'mobile'), oneOfEachBut('desktop', 'web', 'mobile')],
  },
];

/** OpenIM's policy numbers, accepted wherever a preset's name is. */
export const OPENIM_ALIASES: Readonly<Record<string, string>> = {
  '0': 'no-kick',
  '1': 'one-per-platform',
  '4': 'one-per-class',
  '5': 'desktop-plus-one',
};

/** The preset of that name or OpenIM number, or undefined. */
export function findPreset(nameOrNumber: string, maxPerPlatform: number): Policy | undefined {
  const name = OPENIM_ALIASES[nameOrNumber] ?? nameOrNumber;
  return presets(maxPerPlatform).find((policy) => policy.name === name);
}

/**
 * What a message says of a text that is no policy.
 *
 * @param further what is valid there beside names and numbers
 */
export function unknownPreset(given: string, ...further: readonly string[]): string {
  const names = presets(DEFAULT_MAX_PER_PLATFORM).map(({ name }) => name);
  const others = [`an OpenIM number (${Object.keys(OPENIM_ALIASES).join(', ')})`, ...further];
  return unknownValue('policy', given, [...names, ...others.slice(0, -1), `or ${others.at(-1)}`]);
}
