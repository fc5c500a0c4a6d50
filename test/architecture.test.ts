/**
 * What may know what: import directions, no cycles, and the few places that may touch the environment, end the process
 * or name a clock. Read from the syntax tree of every source file, types included.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from '@swc/core';
import { describe, expect, it } from '@jest/globals';
import { BUILT_IN_PLATFORMS } from '../src/domain/platform.ts';
import { presets } from '../src/domain/policies/presets.ts';
import { tableOf } from './contract/markdown.ts';

const src = join(dirname(fileURLToPath(import.meta.url)), '../src');
const MAX_LINES = 260;

/**
 * Folders and files of src, and what each may import beside itself, as CONTRIBUTING.md says. One that is missing there fails
 * the first test: say what it may know.
 */
const LAYOUT = new Map(
  tableOf('CONTRIBUTING.md', 'in `src`', 'owns', 'may import').flatMap(([units = '', , may = '']) =>
    namesIn(units).map((unit) => [unit, namesIn(may)] as const),
  ),
);

type Node = { readonly type?: string; readonly [key: string]: unknown };
type Source = {
  readonly file: string;
  readonly text: string;
  readonly nodes: readonly Node[];
  readonly imports: readonly string[];
};

const sources = [...filesOf('.ts'), ...filesOf('.mjs')].filter((file) => !file.endsWith('.d.ts')).map(readSource);
const scripts = filesOf('.lua').map((file) => ({ file, text: readFileSync(join(src, file), 'utf8') }));

describe('imports', () => {
  it('are declared for every folder and file of src', () => {
    const units = new Set(sources.map(({ file }) => unitOf(file)));
    expect([...units].toSorted()).toEqual([...LAYOUT.keys()].toSorted());
  });

  const limited = sources
    .map((source) => ({ ...source, unit: unitOf(source.file) }))
    .filter(({ unit }) => !seesAll(unit));

  it.each(limited)('of $file go in the allowed directions', ({ unit, imports }) => {
    const allowed = [unit, ...(LAYOUT.get(unit) ?? [])];
    expect(imports.filter((target) => !allowed.includes(target) && !allowed.includes(unitOf(target)))).toEqual([]);
  });

  it.each([...new Set(limited.map(({ unit }) => unit))])('of %s use all that is allowed', (unit) => {
    const targets = limited.filter((source) => source.unit === unit).flatMap(({ imports }) => imports);
    const used = new Set([...targets, ...targets.map(unitOf)]);
    expect(LAYOUT.get(unit)?.filter((allowed) => !used.has(allowed))).toEqual([]);
  });

  it('have no cycle', () => {
    expect(cyclesOf(new Map(sources.map(({ file, imports }) => [file, imports])))).toEqual([]);
  });

  it('name files that exist', () => {
    const files = new Set(sources.map(({ file }) => file));
    expect(sources.flatMap(({ imports }) => imports.filter((target) => !files.has(target)))).toEqual([]);
  });
});

describe('the process', () => {
  it('has its environment read by main.ts alone, which hands it to config.ts', () => {
    expect(filesWith((node) => isMember(node, 'process', 'env'))).toEqual(['main.ts']);
    expect(sources.find(({ file }) => file === 'main.ts')?.text).toContain('loadConfig(process.env)');
  });

  it('is ended by main.ts alone', () => {
    expect(
      filesWith((node) => ['exit', 'abort', 'kill', 'reallyExit'].some((name) => isMember(node, 'process', name))),
    ).toEqual(['main.ts']);
  });
});

describe('time is that of Redis', () => {
  it.each<[string, (node: Node) => boolean]>([
    ['Date.now', (node) => isMember(node, 'Date', 'now')],
    [
      'new Date() without an argument',
      (node) => node.type === 'NewExpression' && isName(node['callee'], 'Date') && argumentsOf(node) === 0,
    ],
    ['Date() as a function', (node) => node.type === 'CallExpression' && isName(node['callee'], 'Date')],
    [
      'setIssuedAt() without an argument',
      (node) =>
        node.type === 'CallExpression' && propertyOf(node['callee']) === 'setIssuedAt' && argumentsOf(node) === 0,
    ],
    [
      'a relative setExpirationTime, which jose adds to the clock of the process',
      (node) =>
        node.type === 'CallExpression' &&
        propertyOf(node['callee']) === 'setExpirationTime' &&
        (node['arguments'] as { expression: Node }[])[0]?.expression.type === 'StringLiteral',
    ],
  ])('%s is nowhere', (_name, matches) => {
    // A gateway is another process: until the first heartbeat it has no other clock than its own.
    expect(filesWith(matches).filter((file) => file !== 'gateway/clock.ts')).toEqual([]);
  });
});

describe.each(sources)('$file', ({ text, nodes }) => {
  it('opens with a comment that says what it owns', () => {
    expect(text).toMatch(/^\/\*\*\n? \*? ?\S/);
  });

  it('has no "any"', () => {
    expect(nodes.filter((node) => node.type === 'TsKeywordType' && node['kind'] === 'any')).toEqual([]);
  });

  it(`has at most ${MAX_LINES} lines`, () => {
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(MAX_LINES);
  });
});

describe('Lua', () => {
  const names = [...BUILT_IN_PLATFORMS.map(({ name }) => name), ...presets(1).map(({ name }) => name)];

  it.each(scripts)('$file names no platform and no policy', ({ text }) => {
    expect(names.filter((name) => new RegExp(`(?<![\\w-])${name}(?![\\w-])`).test(text))).toEqual([]);
  });

  const heads = ['base', 'lib'];

  it.each(scripts.filter(({ file }) => !heads.includes(posix.basename(file, '.lua'))))(
    '$file opens with its input, output and events',
    ({ text }) => {
      const [header = ''] = text.split(/^(?!--)/m);
      expect(header).toMatch(/^-- \w.*\.$/m);
      for (const part of ['Input  ', 'Output ', 'Events ']) expect(header).toContain(`\n-- ${part}`);
    },
  );

  it('lib.lua says which KEYS and ARGV every script takes', () => {
    const { text = '' } = scripts.find(({ file }) => file.endsWith('/lib.lua')) ?? {};
    expect(text).toContain('\n-- KEYS of every script: ');
    expect(text).toContain('\n-- ARGV of every script: ');
  });

  it('is registered in scripts.ts, every file of it', () => {
    const registry = sources.find(({ file }) => file === 'redis/scripts.ts')?.text ?? '';
    const registered = [...heads, ...[...registry.matchAll(/file: '([\w-]+)'/g)].map(([, file]) => file)];
    for (const head of heads) expect(registry).toContain(`'${head}'`);
    const files = scripts.map(({ file }) => posix.basename(file, '.lua'));
    expect(new Set(registered)).toEqual(new Set(files));
    expect(registered).toHaveLength(files.length);
  });
});

function filesOf(extension: string): string[] {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll('\\', '/'));
  return files.filter((file) => file.endsWith(extension)).toSorted();
}

function readSource(file: string): Source {
  const text = readFileSync(join(src, file), 'utf8');
  const nodes = nodesOf(parseSync(text, { syntax: 'typescript', target: 'es2022' }));
  return { file, text, nodes, imports: importsOf(file, nodes) };
}

/** Every node of a syntax tree. */
function nodesOf(tree: unknown): Node[] {
  if (Array.isArray(tree)) return tree.flatMap(nodesOf);
  if (typeof tree !== 'object' || tree === null) return [];
  return [tree as Node, ...Object.values(tree).flatMap(nodesOf)];
}

/** The files of src that a file imports or exports from, types included, as paths from src. */
function importsOf(file: string, nodes: readonly Node[]): string[] {
  const targets = nodes.flatMap((node) => {
    const from = ['ImportDeclaration', 'ExportNamedDeclaration', 'ExportAllDeclaration'].includes(node.type ?? '');
    if (from) return [(node['source'] as { value: string } | null)?.value];
    const isDynamic = node.type === 'CallExpression' && (node['callee'] as Node).type === 'Import';
    return isDynamic ? [(node['arguments'] as { expression: { value?: string } }[])[0]?.expression.value] : [];
  });
  const own = targets.filter((target) => target !== undefined && target.startsWith('.')) as string[];
  return [...new Set(own.map((target) => posix.join(posix.dirname(file), target)))];
}

/** Of a cell of the layout's table. */
function namesIn(cell: string): string[] {
  return cell === 'nothing' ? [] : cell.replaceAll(/`|src\//g, '').split(' ');
}

function seesAll(unit: string): boolean {
  return LAYOUT.get(unit)?.includes('everything') ?? false;
}

/** The folder of a file, or the file itself where it is in src. */
function unitOf(file: string): string {
  return file.split('/', 1)[0] ?? file;
}

/** A cycle for each import that closes one, as the files on it. */
function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [[...path.slice(path.indexOf(file)), file].join(' -> ')];
    if (done.has(file)) return [];
    const found = (graph.get(file) ?? []).flatMap((target) => visit(target, [...path, file]));
    done.add(file);
    return found;
  };
  return [...graph.keys()].flatMap((file) => visit(file, []));
}

function filesWith(matches: (node: Node) => boolean): string[] {
  return sources.filter(({ nodes }) => nodes.some(matches)).map(({ file }) => file);
}

function isMember(node: Node, object: string, property: string): boolean {
  return node.type === 'MemberExpression' && isName(node['object'], object) && propertyOf(node) === property;
}

function isName(node: unknown, name: string): boolean {
  const { type, value } = node as Node;
  return type === 'Identifier' && value === name;
}

/** Of `a.b` and `a['b']`: b. */
function propertyOf(node: unknown): string | undefined {
  const { type, property } = node as { type?: string; property?: { value?: string; expression?: { value?: string } } };
  return type === 'MemberExpression' ? (property?.value ?? property?.expression?.value) : undefined;
}

function argumentsOf(node: Node): number {
  return (node['arguments'] as readonly unknown[] | undefined)?.length ?? 0;
}
