/**
 * Owns the policies that come with Latchkey, one row each. A new one is a row here and rows in its test table.
 * Must not know the engine.
 */
import type { Policy } from '../../contract/policy.ts';

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
  ];
}

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
