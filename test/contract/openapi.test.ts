/**
 * openapi.yaml is what the endpoint declarations say, and every error code stands in it and is used. What each answer
 * looks like is compared in every HTTP test (helpers/openapi-check.ts).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { renderOpenapi } from '../../scripts/render-openapi.ts';
import { ERRORS, TOKEN_REASONS, type ErrorCode } from '../../src/contract/errors.ts';
import { readText } from './markdown.ts';

type Response = {
  content?: Record<string, { schema: { allOf?: [unknown, { properties: { code: { enum: string[] } } }] } }>;
};
type Document = {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>;
  components: { schemas: { Problem: { properties: { code: { enum: string[] } } } } };
};

const document = parse(readText('openapi.yaml')) as Document;
const codes = Object.keys(ERRORS) as ErrorCode[];

/** Answered for every path that is known, by another method than it takes: no operation can declare it. */
const OF_NO_OPERATION: readonly ErrorCode[] = ['method_not_allowed'];

describe('openapi.yaml', () => {
  it('is byte for byte what "npm run openapi" writes', async () => {
    expect(readText('openapi.yaml')).toBe(await renderOpenapi());
  });

  it('lists every error code as a value of Problem.code, and no other', () => {
    expect(document.components.schemas.Problem.properties.code.enum.toSorted()).toEqual(codes.toSorted());
  });

  it('declares every error code in some answer, under its status', () => {
    const statusesOf = declaredStatuses();
    const missing = codes.filter((code) => !OF_NO_OPERATION.includes(code) && !statusesOf.get(code)?.size);
    expect(missing).toEqual([]);
    for (const [code, statuses] of statusesOf) {
      const allowed = [ERRORS[code as ErrorCode].status, ...(isReason(code) ? [401] : [])];
      expect({ code, wrong: [...statuses].filter((status) => !allowed.includes(status)) }).toEqual({ code, wrong: [] });
    }
  });
});

describe('error codes', () => {
  it('of 429 and 503 say when to come back', () => {
    const rows = Object.entries(ERRORS).filter(([, { status }]) => [429, 503].includes(status));
    expect(rows.filter(([, row]) => !('retryAfterSeconds' in row))).toEqual([]);
  });

  const sources = readdirSync(new URL('../../src', import.meta.url), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && file !== 'contract/errors.ts')
    .map((file) => ({ file, text: readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8') }));

  it.each(codes)('%s is given by some code', (code) => {
    const thrown = new RegExp(`new LatchkeyError\\(\\s*'${code}'`);
    // A router also names codes that it declares; elsewhere a name is a verdict or a cause.
    const used = sources.filter(
      ({ file, text }) => thrown.test(text) || (!file.startsWith('http/') && text.includes(`'${code}'`)),
    );
    expect(used.map(({ file }) => file)).not.toEqual([]);
  });
});

function declaredStatuses(): Map<string, Set<number>> {
  const statusesOf = new Map<string, Set<number>>();
  for (const operation of Object.values(document.paths).flatMap((operations) => Object.values(operations))) {
    for (const [status, response] of Object.entries(operation.responses)) {
      for (const code of response.content?.['application/problem+json']?.schema.allOf?.[1].properties.code.enum ?? []) {
        statusesOf.set(code, (statusesOf.get(code) ?? new Set()).add(Number(status)));
      }
    }
  }
  return statusesOf;
}

function isReason(code: string): boolean {
  return (TOKEN_REASONS as readonly string[]).includes(code);
}
