/**
 * Owns which platforms exist and the class of each. A new platform is one row.
 * Must not know policies, tokens or where a deployment's own rows come from.
 */

/** Name of a platform: `ios`, `android-pad`, … */
export type Platform = string;

/** Name of a group of platforms that a policy can count together: `mobile`, `desktop`, … */
export type PlatformClass = string;

/** Tokens of this platform take no part in any login policy. */
export const ADMIN_PLATFORM = 'admin';

export type PlatformRow = {
  readonly name: Platform;
  readonly class: PlatformClass;
  /** OpenIM's platform id; absent for a deployment's own platforms. */
  readonly openimId?: number;
};

export const BUILT_IN_PLATFORMS: readonly PlatformRow[] = [
  { name: 'ios', class: 'mobile', openimId: 1 },
  { name: 'android', class: 'mobile', openimId: 2 },
  { name: 'windows', class: 'desktop', openimId: 3 },
  { name: 'macos', class: 'desktop', openimId: 4 },
  { name: 'web', class: 'web', openimId: 5 },
  { name: 'miniweb', class: 'miniweb', openimId: 6 },
  { name: 'linux', class: 'desktop', openimId: 7 },
  { name: 'android-pad', class: 'pad', openimId: 8 },
  { name: 'ipad', class: 'pad', openimId: 9 },
  { name: ADMIN_PLATFORM, class: 'admin', openimId: 10 },
  { name: 'harmonyos', class: 'harmonyos', openimId: 11 },
];

/** The platforms of one deployment. */
export type Platforms = {
  readonly names: readonly Platform[];
  readonly classes: readonly PlatformClass[];
  has(name: string): boolean;
  /** Class of a platform. A name that is no longer known is a class of its own, so that its tokens still count. */
  classOf(name: Platform): PlatformClass;
  /** Platforms of a class, in the order of the table. */
  inClass(name: PlatformClass): readonly Platform[];
};

/** Built-in platforms plus a deployment's own. A row with the name of an earlier one is a fault. */
export function createPlatforms(own: readonly PlatformRow[] = []): Platforms {
  const classes = new Map<Platform, PlatformClass>();
  for (const row of [...BUILT_IN_PLATFORMS, ...own]) {
    if (classes.has(row.name)) throw new RangeError(`platform "${row.name}" is declared twice`);
    if (row.class === ADMIN_PLATFORM && row.name !== ADMIN_PLATFORM) {
      throw new RangeError(`platform "${row.name}" cannot be of class "${ADMIN_PLATFORM}"`);
    }
    classes.set(row.name, row.class);
  }
  const names = [...classes.keys()];
  return {
    names,
    classes: [...new Set(classes.values())],
    has: (name) => classes.has(name),
    classOf: (name) => classes.get(name) ?? name,
    inClass: (wanted) => names.filter((name) => classes.get(name) === wanted),
  };
}
