/** Reads the tables and code of the project's own Markdown, so that tests can compare them with the code. */
import { readFileSync } from 'node:fs';

const root = new URL('../../', import.meta.url);

/** @param path from the root of the repository */
export function readText(path: string): string {
  return readFileSync(new URL(path, root), 'utf8');
}

/** As `tableOf`, of README.md. */
export function readmeTable(...columns: readonly string[]): string[][] {
  return tableOf('README.md', ...columns);
}

/** The rows of the one table of a file that has exactly these columns; a cell that is all code without its backticks. */
export function tableOf(path: string, ...columns: readonly string[]): string[][] {
  const lines = readText(path).split('\n');
  const heads = lines.flatMap((line, index) => (cellsOf(line).join('|') === columns.join('|') ? [index] : []));
  const [head] = heads;
  if (head === undefined || heads.length > 1)
    throw new Error(`${path} has ${heads.length} tables of ${columns.join()}`);
  const length = lines.slice(head).findIndex((line) => !line.startsWith('|'));
  return lines.slice(head + 2, head + length).map(cellsOf);
}

function cellsOf(line: string): string[] {
  if (!line.startsWith('|')) return [];
  return line
    .slice(1, line.lastIndexOf('|'))
    .split('|')
    .map((cell) => cell.trim().replace(/^`([^`]*)`$/, '$1'));
}

/** What stands in fences of one language. */
export function fencesOf(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)].flatMap(([, given, code]) =>
    given === language && code !== undefined ? [code] : [],
  );
}

/** Markdown without what stands in fences. */
export function withoutFences(markdown: string): string {
  return markdown.replaceAll(/^ *```\w*\n[\s\S]*?^ *```$/gm, '');
}
