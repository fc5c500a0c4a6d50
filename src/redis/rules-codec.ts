/**
 * Owns how a tenant's rules and a user's policy are read from their stored text. Must not know which presets exist.
 * Bounds and unknown names are refused at the door, not here: what a later version has stored is read as far as it is
 * known, and what is not understood is named, so that nobody takes it for absent.
 */
import type { z } from 'zod';
import { policyChoiceSchema, tenantConfigSchema, type PolicyChoice } from '../contract/tenant-config.ts';
import { UNREADABLE, type StoredRules } from '../tokens/stored-rules.ts';

type Issue = z.core.$ZodIssue;

const MEMBERS = new Map<string, z.ZodType>(Object.entries(tenantConfigSchema.shape));

export function readPolicy(text: string): PolicyChoice | typeof UNREADABLE {
  const parsed = policyChoiceSchema.safeParse(parse(text));
  return parsed.success ? parsed.data : UNREADABLE;
}

export function readRules(text: string | null): StoredRules {
  const stored = text === null ? undefined : parse(text);
  if (typeof stored !== 'object' || stored === null || Array.isArray(stored)) {
    return { config: {}, unreadable: [...MEMBERS.keys()] };
  }
  const config = new Map<string, unknown>();
  const unreadable: string[] = [];
  for (const [name, value] of Object.entries(stored)) {
    const unknown = unknownParts(name, value);
    if (unknown !== undefined) config.set(name, value);
    unreadable.push(...(unknown ?? [name]));
  }
  return { config: Object.fromEntries(config), unreadable };
}

/**
 * Takes out of a member's value what is not known, and answers the names of that. Undefined: it is not understood. A policy
 * is understood whole or not at all, as a condition more or less signs out other people.
 */
function unknownParts(member: string, value: unknown): string[] | undefined {
  const parsed = MEMBERS.get(member)?.safeParse(value);
  if (parsed === undefined || parsed.success) return parsed && [];
  const { issues } = parsed.error;
  if (member === 'policy' || !issues.every((issue) => isHarmless(value, issue))) return undefined;
  // From the back, so that places in a list stay what they are.
  return issues.toReversed().flatMap((issue) => {
    const at = [member, ...issue.path].join('.');
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) Reflect.deleteProperty(valueAt(value, issue.path) as object, key);
      return issue.keys.map((key) => `${at}.${key}`);
    }
    if (!isUnknownType(issue)) return [];
    (valueAt(value, issue.path.slice(0, -1)) as unknown[]).splice(Number(issue.path.at(-1)), 1);
    return [at];
  });
}

/** A name more, a number beyond the bounds of today, or an event of the next version: all else in the member holds. */
function isHarmless(value: unknown, issue: Issue): boolean {
  if (issue.code === 'unrecognized_keys' || isUnknownType(issue)) return true;
  const found = valueAt(value, issue.path);
  const isList = issue.code === 'too_big' && Array.isArray(found);
  return isList || (Number.isSafeInteger(found) && (found as number) >= 0);
}

function isUnknownType({ code, path }: Issue): boolean {
  return code === 'invalid_value' && path[0] === 'types' && path.length === 2;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)[key], value);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
