/**
 * The tables, examples and file names of the documents are those of the code, in both directions: nothing is left out, and
 * nothing is told that is not there.
 */
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { loadConfig, type Config } from '../../src/config.ts';
import { SETTINGS } from '../../src/settings.ts';
import { ERRORS } from '../../src/contract/errors.ts';
import type { Limit, Match, Policy } from '../../src/contract/policy.ts';
import { BUILT_IN_PLATFORMS, createPlatforms } from '../../src/domain/platform.ts';
import { checkPolicy } from '../../src/domain/policies/check.ts';
import { DEFAULT_MAX_PER_PLATFORM, OPENIM_ALIASES, presets } from '../../src/domain/policies/presets.ts';
import { CAUSES } from '../../src/domain/token.ts';
import { fencesOf, readmeTable, readText, withoutFences } from './markdown.ts';

describe('README.md', () => {
  it('has every error code with its status and title', () => {
    const rows = Object.entries(ERRORS).map(([code, { status, title }]) => [code, String(status), title]);
    expect(readmeTable('code', 'status', 'meaning').toSorted(byText)).toEqual(rows.toSorted(byText));
  });

  it('has every endpoint of openapi.yaml', () => {
    const { paths } = parse(readText('openapi.yaml')) as { paths: Record<string, Record<string, unknown>> };
    const declared = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const told = readmeTable('method', 'path', 'caller', 'what').map(([method, path]) => `${method} ${path}`);
    expect(told.toSorted()).toEqual(declared.toSorted());
  });

  it('has every preset with its OpenIM number and its limit', () => {
    const openim = Object.fromEntries(Object.entries(OPENIM_ALIASES).map(([number, name]) => [name, number]));
    const rows = presets(DEFAULT_MAX_PER_PLATFORM).map((policy) => [
      policy.name,
      openim[policy.name] ?? '-',
      ...limitCells(policy),
    ]);
    const table = readmeTable('policy', 'OpenIM', 'match', 'countBy', 'max', 'overflow', 'what it does');
    expect(table.map((row) => row.slice(0, -1))).toEqual(rows);
  });

  it('has every platform with its class and OpenIM number', () => {
    const rows = BUILT_IN_PLATFORMS.map((row) => [row.name, row.class, String(row.openimId)]);
    expect(readmeTable('platform', 'class', 'OpenIM')).toEqual(rows);
  });

  it('has every cause, and time beside them', () => {
    const rows = Object.entries(CAUSES).map(([cause, { state, code, event, kind }]) => [
      cause,
      state,
      code,
      event,
      kind,
    ]);
    const table = readmeTable('cause', 'state', 'code to its device', 'event', 'endedBy.kind');
    expect(table).toEqual([...rows, ['time', 'expired', 'token_expired', '-', 'system']]);
  });

  it('shows policies that are valid', () => {
    const examples = fencesOf(readText('README.md'), 'json')
      .map((text) => JSON.parse(text) as object)
      .filter((example) => 'limits' in example);
    expect(examples).not.toEqual([]);
    for (const example of examples) expect(checkPolicy(example, createPlatforms())).toHaveProperty('policy');
  });
});

describe('README.md settings table', () => {
  const table = readmeTable('setting', 'default', 'valid', 'what');

  it('has every setting, in the order of the code', () => {
    expect(table.map(([name]) => name)).toEqual(SETTINGS);
  });

  it.each(table.map(([name = '', byDefault = '']) => ({ name, byDefault })))(
    '$name is $byDefault by default',
    ({ name, byDefault }) => {
      expect(byDefault).toBe(defaultOf(name));
    },
  );

  const bounded = table.filter(([, , valid = '']) => /^\d+-\d+$/.test(valid));
  it.each(bounded.map(([name = '', , bounds = '']) => ({ name, bounds })))('$name is $bounds', ({ name, bounds }) => {
    const [min = '', max = ''] = bounds.split('-');
    expect(faultsOf({ [name]: 'x' })).toContain(`${name}: expected a whole number from ${min} to ${max}`);
    expect(faultsOf({ [name]: String(Number(max) + 1) })).toContain(`${name}: at most ${max}`);
  });

  it('gives the bounds of every setting that has some', () => {
    const withBounds = SETTINGS.filter((name) =>
      faultsOf({ [name]: 'x' }).includes(`${name}: expected a whole number`),
    );
    expect(bounded.map(([name]) => name)).toEqual(withBounds);
  });

  const listed = table.filter(([, , valid = '']) => /^\w+(, \w+)+$/.test(valid));
  it.each(listed.map(([name = '', , valid = '']) => ({ name, valid })))('$name is one of $valid', ({ name, valid }) => {
    expect(faultsOf({ [name]: '?' })).toContain(`${name}: valid: ${valid}`);
  });
});

/** A file that each document does name, so that the search itself is tested. */
const KNOWN_TO_NAME: Readonly<Record<string, string>> = {
  'README.md': 'src/tokens/store.ts',
  'CONTRIBUTING.md': 'src/config.ts',
  'SECURITY.md': 'README.md',
  'CHANGELOG.md': 'openapi.yaml',
};

describe.each([...Object.keys(KNOWN_TO_NAME), ...decisions()])('%s', (document) => {
  it('names no file that does not exist', () => {
    const files = filesNamedIn(document);
    expect(files).toEqual(expect.arrayContaining([KNOWN_TO_NAME[document] ?? []].flat()));
    expect(files.filter((file) => !existsSync(new URL(`../../${file}`, import.meta.url)))).toEqual([]);
  });

  it('links to headings that exist', () => {
    const text = withoutFences(readText(document));
    const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => anchorOf(title));
    const targets = [...text.matchAll(/\]\(#([^)]*)\)/g)].map(([, target = '']) => target);
    expect(targets.filter((target) => !headings.includes(target))).toEqual([]);
  });
});

describe.each(decisions())('%s', (document) => {
  it('has context, decision, alternatives and risks, under the number of its name', () => {
    const text = readText(document);
    const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title);
    expect(headings.slice(1)).toEqual(['Context', 'Decision', 'Alternatives', 'Risks']);
    expect(headings[0]).toMatch(new RegExp(`^${Number(/\/(\d{4})-/.exec(document)?.[1])}\\. `));
  });
});

describe('CHANGELOG.md', () => {
  it('has a heading for what is not released, and one for security in it', () => {
    const [, unreleased = ''] = readText('CHANGELOG.md').split(/^## (?=\[?Unreleased\]?$)/m);
    const [section = ''] = unreleased.split(/^## /m);
    expect(section).toMatch(/^### Added$/m);
    expect(section).toMatch(/^### Security$/m);
  });
});

function decisions(): string[] {
  const files = readdirSync(new URL('../../docs/decisions', import.meta.url));
  return files.map((file) => `docs/decisions/${file}`);
}

/** In backticks or as the target of a link; a pattern stands for its folder. */
function filesNamedIn(document: string): string[] {
  const text = withoutFences(readText(document));
  const quoted = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
  const linked = [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target);
  return [...quoted.filter(looksLikeFile), ...linked].map((file) => file.replace(/\/[^/]*[*…][^/]*$/, ''));
}

function byText(a: readonly string[], b: readonly string[]): number {
  return a.join().localeCompare(b.join());
}

/** Several limits stand in one cell each, in their order. */
function limitCells({ limits }: Policy): string[] {
  const cell = (part: (limit: Limit) => string) => limits.map(part).join('; ');
  return [
    cell(({ match }) => matchCell(match)),
    cell(({ countBy }) => countBy),
    cell(({ max }) => String(max)),
    cell(({ overflow }) => overflow),
  ];
}

function matchCell({ classes, notClasses, ...others }: Match): string {
  if (Object.keys(others).length > 0) throw new Error('say how this match is written in the table');
  if (classes !== undefined) return `class ${classes.join(', ')}`;
  return notClasses === undefined ? 'all' : `not class ${notClasses.join(', ')}`;
}

/** As the table writes it; '-' where there is none. */
function defaultOf(setting: string): string {
  const config: Readonly<Record<string, unknown>> = loadConfig({});
  if (setting === 'LOGIN_POLICY') return (config['policy'] as Policy).name;
  if (setting === 'MAX_PER_PLATFORM') return String(DEFAULT_MAX_PER_PLATFORM);
  if (setting === 'LATCHKEY_NO_INSTALL') return config['installRedis'] === true ? '0' : '1';
  if (setting === 'CREDENTIALS') return (config['credentials'] as Config['credentials']).kind;
  if (setting.startsWith('THROTTLE_')) return String(throttleDefault(setting));
  const value = config[setting.toLowerCase().replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())];
  return ['string', 'number', 'boolean'].includes(typeof value) ? String(value) : '-';
}

/** The setting in the unit of the table: the configuration has milliseconds. */
function throttleDefault(setting: string): number {
  const { throttle } = loadConfig({});
  const inSeconds: Readonly<Record<string, number>> = {
    THROTTLE_LOCK_SECONDS: throttle.lockMs,
    THROTTLE_MAX_LOCK_SECONDS: throttle.longestLockMs,
    THROTTLE_MEMORY_SECONDS: throttle.memoryMs,
    THROTTLE_WINDOW_SECONDS: throttle.windowMs,
  };
  const counts: Readonly<Record<string, number>> = {
    THROTTLE_USER_FAILURES: throttle.userFailures,
    THROTTLE_ADDRESS_FAILURES: throttle.addressFailures,
    THROTTLE_USER_LOGINS: throttle.userLogins,
    THROTTLE_ADDRESS_LOGINS: throttle.addressLogins,
  };
  return counts[setting] ?? (inSeconds[setting] ?? NaN) / 1000;
}

function faultsOf(env: Readonly<Record<string, string>>): string {
  try {
    loadConfig(env);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

function looksLikeFile(code: string): boolean {
  const inRepository = /^(src|test|scripts|docs|bench)\/[\w./*…-]+$/.test(code);
  return inRepository || (/^[\w.-]+\.(md|ts|mjs|json|ya?ml|lua|example)$/.test(code) && !code.startsWith('.latchkey'));
}

function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-');
}
