import { describe, expect, it } from '@jest/globals';
import { nearestName } from '../../src/contract/nearest-name.ts';

const NAMES = [
  'platform',
  'class',
  'tenant',
  'state',
  'reason',
  'dryRun',
  'blocked',
  'ttl',
  'ACCESS_TTL_SECONDS',
  'PORT',
];

describe('F5 the name that was meant', () => {
  it.each([
    ['platfrom', 'platform'],
    ['tennant', 'tenant'],
    ['dryrun', 'dryRun'],
    ['dry_run', 'dryRun'],
    ['Class', 'class'],
    ['clas', 'class'],
    ['block', 'blocked'],
    ['ACESS_TTL_SECONDS', 'ACCESS_TTL_SECONDS'],
    ['PROT', 'PORT'],
  ])('%s is near to %s', (given, meant) => {
    expect(nearestName(given, NAMES)).toBe(meant);
  });

  it.each(['', 'x', 'tt', 'HOSTNAME', 'password', 'platforms-of-mine', 'constructor', '__proto__'])(
    '%j is near to none',
    (given) => {
      expect(nearestName(given, NAMES)).toBeUndefined();
    },
  );

  it('of two that are near it is the nearer one', () => {
    expect(nearestName('stale', ['stake', 'stale!'])).toBe('stale!');
  });
});
