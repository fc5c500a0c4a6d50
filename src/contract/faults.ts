/**
 * Owns how input is checked against a schema, and the sentence for each fault: which member, what is wrong with it, what
 * is valid. In our words alone, not in those of the schema library. Must not know where the input came from.
 */
import { z } from 'zod';
import { nearestName } from './nearest-name.ts';

type Schema = z.core.$ZodType;
type Issue = z.core.$ZodIssue;

/** Further faults are counted only: an answer must not grow with what was sent. */
const MAX_FAULTS = 10;
const LONGEST_NAME = 60;

export type Checked<T> = { readonly data: T } | { readonly faults: readonly string[] };

/** What a check may say beyond the schema. */
export type Place = {
  /** What the whole is called, in front of each member's name but in a body: `query`. */
  readonly name: string;
  /** Its members come as text, and may come twice. */
  readonly isForm?: boolean;
  /** Names that belong to another place: `{ tenant: 'the query' }`. */
  readonly elsewhere?: Readonly<Record<string, string>>;
};

/** What is valid, in words, for schemas whose form does not say it. */
const WORDS = z.registry<{ readonly words: string }>();

/**
 * Says of a schema what is valid, as its faults tell it.
 *
 * @param words that go behind "expected"
 * @example expecting('a token id', z.string().regex(/^[\w-]{1,64}$/))
 */
export function expecting<T extends z.ZodType>(words: string, schema: T): T {
  WORDS.add(schema, { words });
  return schema;
}

/**
 * The checked data, or a sentence for each fault.
 *
 * @example checkInput(loginRequest, { userId: 7 }, { name: 'body' })
 * // { faults: ['userId: is a number; expected 1-128 characters, no control characters', …] }
 */
export function checkInput<S extends z.ZodType>(schema: S, value: unknown, place: Place): Checked<z.output<S>> {
  const parsed = schema.safeParse(value, { error: (issue) => sentenceOf(issue, place) });
  if (parsed.success) return { data: parsed.data };
  // A name that is not known is often the one that another fault misses.
  const issues = parsed.error.issues.toSorted((a, b) => Number(isUnknown(b)) - Number(isUnknown(a)));
  const faults = issues.flatMap((issue) => faultsOf(issue, issue.path, place));
  const rest = faults.length - MAX_FAULTS;
  return { faults: rest > 0 ? [...faults.slice(0, MAX_FAULTS), `and ${rest} more`] : faults };
}

/** A union says only that nothing fits; the faults inside the option that has the right type say what. */
function faultsOf(issue: Issue, path: readonly PropertyKey[], place: Place): string[] {
  const fitting = issue.code === 'invalid_union' ? issue.errors.filter((faults) => faults.some(isInside)) : [];
  if (fitting.length > 0) return fitting.flat().flatMap((one) => faultsOf(one, [...path, ...one.path], place));
  const member = path.map((part) => shorten(String(part))).join('.');
  const prefix = place.name === 'query' && member !== '' ? 'query ' : '';
  return [`${prefix}${member || place.name}: ${issue.message}`];
}

function isInside(issue: Issue): boolean {
  return issue.path.length > 0 || isUnknown(issue);
}

function isUnknown({ code }: Issue): boolean {
  return code === 'unrecognized_keys';
}

/** The sentence behind the name of the member. Whatever a schema says itself goes before it. */
export function sentenceOf(issue: z.core.$ZodRawIssue, place: Place = { name: 'body' }): string {
  const schema = issue.schema ?? (issue.inst as Schema | undefined);
  const expected = schema === undefined ? 'another value' : wordsOf(schema);
  switch (issue.code) {
    case 'unrecognized_keys':
      return unknownNames(issue.keys, Object.keys((schema as z.ZodObject).shape), place);
    case 'invalid_type':
    case 'invalid_union':
      return `${stateOf(issue.input, place)}expected ${expected}`;
    case 'invalid_value': {
      const meant = typeof issue.input === 'string' ? nearestName(issue.input, issue.values.map(String)) : undefined;
      return `${stateOf(issue.input, place)}expected ${expected}${meant === undefined ? '' : `; did you mean ${meant}?`}`;
    }
    case 'invalid_key':
      return `the name must be ${wordsOf((schema as z.ZodRecord).keyType)}`;
    default:
      return `expected ${expected}`;
  }
}

function unknownNames(names: readonly string[], valid: readonly string[], { elsewhere = {} }: Place): string {
  const told = names.slice(0, MAX_FAULTS).map((name) => {
    const where = Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined;
    if (where !== undefined) return `"${name}", which goes into ${where}`;
    const meant = nearestName(shorten(name), valid);
    return `${JSON.stringify(shorten(name))}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`;
  });
  const more = names.length > MAX_FAULTS ? ` and ${names.length - MAX_FAULTS} more` : '';
  return `unknown ${told.join(', ')}${more}; valid: ${valid.length === 0 ? 'nothing' : valid.join(', ')}`;
}

/**
 * The sentence for a value that is not one of a list that no schema knows.
 *
 * @example unknownValue('platform', 'iOS', ['ios', 'web']) // 'unknown platform "iOS" (did you mean ios?); valid: ios, web'
 */
export function unknownValue(what: string, given: string, valid: readonly string[]): string {
  const meant = nearestName(shorten(given), valid);
  const near = meant === undefined ? '' : ` (did you mean ${meant}?)`;
  return `unknown ${what} ${JSON.stringify(shorten(given))}${near}; valid: ${valid.join(', ')}`;
}

/** A caller's own text, of a length and in a form that an answer can carry. */
/** A name that somebody sent, for a sentence that repeats it. */
export function shorten(text: string): string {
  return text.slice(0, LONGEST_NAME).toWellFormed();
}

/** What is wrong, where more can be said than that it is not what is expected. */
function stateOf(value: unknown, place: Place): string {
  if (value === undefined) return 'is missing; ';
  if (value === null) return 'is null; ';
  if (Array.isArray(value)) return place.name === 'query' || place.isForm ? 'comes more than once; ' : 'is a list; ';
  // What a query has in place of a number is none to anybody but us.
  if (typeof value === 'string' || Number.isNaN(value)) return '';
  return `is ${articleOf(typeof value)} ${typeof value}; `;
}

function articleOf(word: string): string {
  return /^[aeiou]/.test(word) ? 'an' : 'a';
}

function wordsOf(schema: Schema): string {
  const own = WORDS.get(schema);
  if (own !== undefined) return own.words;
  if (schema instanceof z.ZodObject) return `an object of ${Object.keys(schema.shape).join(', ') || 'nothing'}`;
  return wordsOfForm(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
}

function wordsOfForm(form: z.core.JSONSchema.BaseSchema): string {
  if (form.enum !== undefined) return `one of ${form.enum.join(', ')}`;
  if (form.anyOf !== undefined) return form.anyOf.map((one) => wordsOfForm(one)).join(' or ');
  switch (form.type) {
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `a whole number${between(form.minimum, form.maximum)}`;
    case 'string':
      return form.format === 'date-time'
        ? DATE_TIME
        : `a text${between(form.minLength, form.maxLength, ' characters')}`;
    case 'array':
      return `a list${between(form.minItems, form.maxItems, ' entries')}`;
    default:
      return form.type === undefined ? 'another value' : String(form.type);
  }
}

const DATE_TIME = 'a time with its offset (RFC 3339), such as 2030-01-31T12:00:00Z';

function between(min: number | undefined, max: number | undefined, unit = ''): string {
  const [least, most] = [min ?? -Infinity, max ?? Infinity];
  const [hasLeast, hasMost] = [least > Number.MIN_SAFE_INTEGER, most < Number.MAX_SAFE_INTEGER];
  if (hasLeast && hasMost) return unit === '' ? ` from ${least} to ${most}` : ` of ${least}-${most}${unit}`;
  if (hasMost) return ` of at most ${most}${unit}`;
  return hasLeast ? ` of at least ${least}${unit}` : '';
}
