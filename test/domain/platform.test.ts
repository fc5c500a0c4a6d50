/** Which platforms exist, their classes, and what a deployment can add. */
import { describe, expect, it } from '@jest/globals';
import { BUILT_IN_PLATFORMS, createPlatforms } from '../../src/domain/platform.ts';

describe('built-in platforms', () => {
  it('have the numbers of OpenIM, each once', () => {
    const numbers = Object.fromEntries(BUILT_IN_PLATFORMS.map((row) => [row.openimId, row.name]));
    expect(numbers).toEqual({
      1: 'ios',
      2: 'android',
      3: 'windows',
      4: 'macos',
      5: 'web',
      6: 'miniweb',
      7: 'linux',
      8: 'android-pad',
      9: 'ipad',
      10: 'admin',
      11: 'harmonyos',
    });
  });

  it.each([
    { name: 'mobile', all: ['ios', 'android'] },
    { name: 'desktop', all: ['windows', 'macos', 'linux'] },
    { name: 'pad', all: ['android-pad', 'ipad'] },
    { name: 'web', all: ['web'] },
    { name: 'miniweb', all: ['miniweb'] },
    { name: 'harmonyos', all: ['harmonyos'] },
    { name: 'admin', all: ['admin'] },
  ])('class $name is $all', ({ name, all }) => {
    const platforms = createPlatforms();
    expect(platforms.inClass(name)).toEqual(all);
    for (const platform of all) expect(platforms.classOf(platform)).toBe(name);
  });
});

describe('platforms of a deployment', () => {
  const platforms = createPlatforms([
    { name: 'tv', class: 'living-room' },
    { name: 'watch', class: 'mobile' },
  ]);

  it('stand beside the built-in ones, in a class of their own or in one of those', () => {
    expect(platforms.names).toEqual([...BUILT_IN_PLATFORMS.map((row) => row.name), 'tv', 'watch']);
    expect(platforms.classes).toContain('living-room');
    expect(platforms.classes.filter((name) => name === 'mobile')).toHaveLength(1);
    expect(platforms.inClass('mobile')).toEqual(['ios', 'android', 'watch']);
  });

  it.each([
    { rows: [{ name: 'ios', class: 'mobile' }], fault: 'platform "ios" is declared twice' },
    { rows: ['a', 'b'].map((name) => ({ name: 'tv', class: name })), fault: 'platform "tv" is declared twice' },
    { rows: [{ name: 'root', class: 'admin' }], fault: 'platform "root" cannot be of class "admin"' },
  ])('are refused: $fault', ({ rows, fault }) => {
    expect(() => createPlatforms(rows)).toThrow(fault);
  });
});

describe('a name that is no longer known', () => {
  it.each(['old-phone', 'constructor', '__proto__', ''])('"%s" is no platform, but a class of its own', (name) => {
    const platforms = createPlatforms();
    expect(platforms.has(name)).toBe(false);
    expect(platforms.classOf(name)).toBe(name);
    expect(platforms.inClass(name)).toEqual([]);
  });
});
