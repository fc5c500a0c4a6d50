/**
 * Owns how the endpoint declarations read as an OpenAPI 3.1 document. Must not know any endpoint.
 */
import { z } from 'zod';
import { ERRORS, TOKEN_REASONS, type ErrorCode } from '../contract/errors.ts';
import { problemSchema } from '../contract/answers.ts';
import type { CallerKind } from './caller-auth.ts';
import { pathsOf, type Endpoint, type ResponseSpec } from './endpoint.ts';
import { OUTGOING_CALLS } from './openapi-webhooks.ts';

type Json = Record<string, unknown>;

/** @param version of the package */
export function openapiDocument(endpoints: readonly Endpoint[], version: string): Json {
  const schemas = new SchemaCollector();
  const paths: Record<string, Json> = {};
  for (const spec of endpoints) {
    for (const path of documentedPaths(spec)) {
      const template = path.replaceAll(/:(\w+)/g, '{$1}');
      paths[template] = {
        ...paths[template],
        [spec.method === 'any' ? 'get' : spec.method]: operationOf(spec, path, schemas),
      };
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Latchkey',
      version,
      description:
        'Signs people in on many devices, decides which of them must make room, and tells everybody at once.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: 'http://127.0.0.1:3000', description: 'A local start.' }],
    tags: TAGS,
    paths,
    webhooks: OUTGOING_CALLS,
    components: {
      securitySchemes: SECURITY_SCHEMES,
      schemas: Object.fromEntries([...schemas.components].toSorted(([a], [b]) => a.localeCompare(b))),
    },
  };
}

const TAGS = [
  { name: 'apps', description: 'What apps call with the token they hold.' },
  { name: 'gateways', description: 'What proxies and gateways ask.' },
  { name: 'admin', description: 'What admins do. Calls on users take `?tenant=`.' },
  { name: 'everybody', description: 'Public facts.' },
  { name: 'operations', description: 'For orchestrators.' },
];

const SECURITY_SCHEMES = {
  accessToken: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'The access token that an app holds.',
  },
  gatewayKey: { type: 'http', scheme: 'bearer', description: 'GATEWAY_API_KEY; the admin key is good too.' },
  gatewayBasic: {
    type: 'http',
    scheme: 'basic',
    description: 'Any client id, and the key as secret (RFC 6749 section 2.3.1).',
  },
  adminKey: { type: 'http', scheme: 'bearer', description: 'ADMIN_API_KEY.' },
};

const SECURITY: Record<CallerKind, readonly Json[]> = {
  none: [],
  app: [{ accessToken: [] }],
  'optional-app': [{ accessToken: [] }, {}],
  bearer: [{ accessToken: [] }],
  gateway: [{ gatewayKey: [] }, { gatewayBasic: [] }],
  admin: [{ adminKey: [] }],
};

const ERRORS_OF_CALLER: Record<CallerKind, readonly ErrorCode[]> = {
  none: [],
  app: ['invalid_request', ...TOKEN_REASONS],
  'optional-app': ['invalid_request', ...TOKEN_REASONS],
  bearer: TOKEN_REASONS,
  gateway: ['invalid_request', 'unauthorized'],
  admin: ['invalid_request', 'unauthorized', 'forbidden'],
};

const ERRORS_OF_BODY: readonly ErrorCode[] = ['invalid_request', 'payload_too_large', 'unsupported_media_type'];
const ERRORS_OF_ALL: readonly ErrorCode[] = ['internal', 'store_unavailable', 'store_unreadable'];

/** Every code that an endpoint may answer with, by status. A token reason is always 401. */
export function errorsByStatus(spec: Endpoint): Map<number, ErrorCode[]> {
  const takesInput = spec.unknownInput !== 'ignored' || spec.params !== undefined;
  const codes = new Set<ErrorCode>([
    ...spec.errors,
    ...ERRORS_OF_CALLER[spec.caller],
    ...(spec.body === undefined ? [] : ERRORS_OF_BODY),
    ...(takesInput ? (['invalid_request'] as const) : []),
    ...ERRORS_OF_ALL,
  ]);
  const byStatus = new Map<number, ErrorCode[]>();
  const add = (status: number, code: ErrorCode) =>
    byStatus.set(status, [...(byStatus.get(status) ?? []), code].toSorted());
  for (const code of codes) {
    const asReason = code === 'user_blocked' && !spec.errors.includes('login_declined');
    add(asReason ? 401 : ERRORS[code].status, code);
  }
  return byStatus;
}

function documentedPaths(spec: Endpoint): readonly string[] {
  return pathsOf(spec).filter((path) => !/\*|\/$/.test(path));
}

function operationOf(spec: Endpoint, path: string, schemas: SchemaCollector): Json {
  const isMain = path === pathsOf(spec)[0];
  return {
    operationId: isMain ? spec.operationId : `${spec.operationId}At${path.split(':')[1] ?? ''}`,
    tags: [spec.tag],
    summary: spec.summary,
    security: SECURITY[spec.caller],
    ...parametersOf(spec, path, schemas),
    ...(spec.body && { requestBody: requestBodyOf(spec, spec.body, schemas) }),
    responses: responsesOf(spec, schemas),
  };
}

/** A status that an endpoint declares itself may also be that of a problem: two media types under one status. */
function responsesOf(spec: Endpoint, schemas: SchemaCollector): Json {
  const responses = Object.fromEntries(
    Object.entries(spec.responses).map(([status, response]) => [status, responseOf(response, schemas)]),
  );
  for (const [status, codes] of errorsByStatus(spec)) {
    const own = responses[status];
    const problem = problemOf(codes, schemas);
    responses[status] = {
      ...problem,
      ...own,
      content: { ...(own?.['content'] as Json), ...(problem['content'] as Json) },
    };
  }
  return responses;
}

function parametersOf(spec: Endpoint, path: string, schemas: SchemaCollector): Json {
  const optional = (place: string, schema: z.ZodType | undefined) =>
    shapeOf(schema).map(([name, part]) => ({
      name,
      in: place,
      required: !part.safeParse(undefined).success,
      schema: schemas.add(part, 'input'),
    }));
  const inPath = shapeOf(spec.params).filter(([name]) => path.includes(`:${name}`));
  const parameters = [
    ...inPath.map(([name, schema]) => ({ name, in: 'path', required: true, schema: schemas.add(schema, 'input') })),
    ...optional('query', spec.query),
    ...optional('header', spec.headers),
  ];
  return parameters.length > 0 ? { parameters } : {};
}

function shapeOf(schema: z.ZodType | undefined): [string, z.ZodType][] {
  return schema instanceof z.ZodObject ? Object.entries(schema.shape) : [];
}

function requestBodyOf(spec: Endpoint, body: z.ZodType, schemas: SchemaCollector): Json {
  const type = spec.bodyType === 'form' ? 'application/x-www-form-urlencoded' : 'application/json';
  return {
    required: spec.bodyRequired === true || !body.safeParse({}).success || body.meta()?.['required'] !== undefined,
    content: { [type]: { schema: schemas.add(body, 'input') } },
  };
}

function responseOf({ description, body, stream }: ResponseSpec, schemas: SchemaCollector): Json {
  if (stream !== undefined) return { description, content: { [stream]: { schema: { type: 'string' } } } };
  return { description, ...(body && { content: { 'application/json': { schema: schemas.add(body, 'output') } } }) };
}

function problemOf(codes: readonly ErrorCode[], schemas: SchemaCollector): Json {
  const allOf = [schemas.add(problemSchema, 'output'), { properties: { code: { enum: codes } } }];
  return {
    description: codes.map((code) => `\`${code}\`: ${ERRORS[code].title}.`).join(' '),
    content: { 'application/problem+json': { schema: { allOf } } },
  };
}

/** Turns zod schemas into JSON Schema; those with an id become components, and stand once. */
class SchemaCollector {
  readonly components = new Map<string, unknown>();

  add(schema: z.ZodType, io: 'input' | 'output'): unknown {
    const wrapped = z.toJSONSchema(z.object({ it: schema }), { io, unrepresentable: 'any' }) as Json;
    for (const [id, definition] of Object.entries((wrapped['$defs'] ?? {}) as Json)) {
      this.components.set(id, withComponentRefs(definition));
    }
    return withComponentRefs((wrapped['properties'] as Json)['it']);
  }
}

function withComponentRefs(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withComponentRefs);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => key !== 'id' || typeof (value as Json)['id'] !== 'string');
  return Object.fromEntries(
    entries.map(([key, part]) =>
      key === '$ref' && typeof part === 'string'
        ? [key, part.replace('#/$defs/', '#/components/schemas/')]
        : [key, withComponentRefs(part)],
    ),
  );
}
