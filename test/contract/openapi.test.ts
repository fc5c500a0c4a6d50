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
type RequestBody = { required: boolean; content: Record<string, { schema: { required: string[] } }> };
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

describe('F37 openapi.yaml, as generators of other languages read it', () => {
  /** Every value under a name, wherever it stands. */
  const valuesOf = (name: string, value: unknown): unknown[] => {
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).flatMap(([key, part]) => [...(key === name ? [part] : []), ...valuesOf(name, part)]);
  };
  const patterns = [...new Set(valuesOf('pattern', document))] as string[];

  it.each(patterns)('%s compiles in Python and Go too', (pattern) => {
    expect(() => new RegExp(pattern, 'u')).not.toThrow();
    // Neither knows \u; Python knows no \p, and Go (RE2) no look-around and no back-reference.
    expect(pattern).not.toMatch(/\\[pPuUkB1-9]|\(\?(?!:)/);
    for (const [, most] of pattern.matchAll(/\{\d*,?(\d+)\}/g)) expect(Number(most)).toBeLessThanOrEqual(1000);
  });

  it('refuses the control characters that the service refuses', () => {
    const bounded = patterns.filter((pattern) => pattern.endsWith('{1,128}$'));
    expect(bounded).toHaveLength(1);
    const id = new RegExp(bounded[0] ?? '', 'u');
    for (const bad of ['', 'a\u0000', 'a\u0085', 'a\r\nb', '\u007F', 'x'.repeat(129)]) expect(id.test(bad)).toBe(false);
    for (const good of ['a', '☃', '🦊'.repeat(128), 'é ü']) expect(id.test(good)).toBe(true);
  });

  it('says what the refresh grant needs', () => {
    const operations = document.paths['/token'] as unknown as Record<string, { requestBody: RequestBody }>;
    const requestBody = operations['post']?.requestBody;
    expect(requestBody?.required).toBe(true);
    expect(requestBody?.content['application/x-www-form-urlencoded']?.schema.required).toEqual([
      'grant_type',
      'refresh_token',
    ]);
  });

  it('says where a text is a URI', () => {
    const schemas = document.components.schemas as unknown as Record<string, { properties: Record<string, object> }>;
    const uris = [
      schemas['Webhook']?.properties['url'],
      schemas['WebhookState']?.properties['url'],
      ...['issuer', 'jwks_uri', 'token_endpoint', 'introspection_endpoint', 'revocation_endpoint'].map(
        (name) => schemas['AuthorizationServerMetadata']?.properties[name],
      ),
    ];
    for (const uri of uris) expect(uri).toMatchObject({ type: 'string', format: 'uri' });
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
