/** Every fault of input is told in our words: which member, what is wrong, what is valid. */
import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { checkInput, unknownValue } from '../../src/contract/faults.ts';
import * as messages from '../../src/contract/messages.ts';
import { policySchema } from '../../src/contract/policy.ts';
import { tenantConfigSchema } from '../../src/contract/tenant-config.ts';

const BODY = { name: 'body' };
const faultsOf = (schema: z.ZodType, value: unknown, place: Parameters<typeof checkInput>[2] = BODY) => {
  const checked = checkInput(schema, value, place);
  return 'faults' in checked ? checked.faults : [];
};

const LIBRARY_WORDS = /[Ii]nvalid|received|[Uu]nrecognized|Too (big|small)|pattern|undefined|>=|<=|NaN|another value/;

const exported: readonly [string, unknown][] = Object.entries({ ...messages, policySchema, tenantConfigSchema });
const schemas = exported.filter((entry): entry is [string, z.ZodType] => entry[1] instanceof z.ZodType);
const JUNK = [undefined, null, 7, -1.5, true, '', ' ', '\u0000', 'x'.repeat(5000), [], [{}], {}, { '': 1 }, [[]]];

describe('F7 a fault is told in our words', () => {
  it.each(schemas)('by %s, whatever is wrong with it and its members', (_name, schema) => {
    const members = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    const values = [...JUNK, ...members.flatMap((member) => JUNK.map((value) => ({ [member]: value })))];
    const nested = members.flatMap((member) => JUNK.map((value) => ({ [member]: { [member]: value, x: [value] } })));
    for (const value of [...values, ...nested]) {
      for (const fault of faultsOf(schema, value)) {
        expect(fault).toMatch(/^([\w.]+: (.*(expected|unknown|"|must)|".*")|and \d+ more)/);
        expect(fault).not.toMatch(LIBRARY_WORDS);
      }
    }
  });

  it.each<[fault: string, schema: z.ZodType, value: unknown]>([
    ['refreshToken: is missing; expected a text of 1-4096 characters', messages.refreshRequest, {}],
    ['refreshToken: is a number; expected a text of 1-4096 characters', messages.refreshRequest, { refreshToken: 7 }],
    ['refreshToken: is null; expected a text of 1-4096 characters', messages.refreshRequest, { refreshToken: null }],
    ['body: is a list; expected an object of refreshToken', messages.refreshRequest, []],
    ['scope: expected one of this, others, all; did you mean others?', messages.logoutRequest, { scope: 'other' }],
    ['body: unknown "scop" (did you mean scope?); valid: scope, refreshToken', messages.logoutRequest, { scop: 1 }],
    [
      'ttl.platforms.web: unknown "accesSeconds" (did you mean accessSeconds?); valid: accessSeconds, refreshSeconds, idleSeconds, maxSeconds',
      tenantConfigSchema,
      { ttl: { platforms: { web: { accesSeconds: 9 } } } },
    ],
    [
      'ttl.idleSeconds: expected 0 (off) or a whole number from 120 to 315360000',
      tenantConfigSchema,
      { ttl: { idleSeconds: 9 } },
    ],
    ['policy.limits: is missing; expected a list of at most 20 entries', tenantConfigSchema, { policy: { name: 'x' } }],
    [
      'blocked: unknown "untill" (did you mean until?); valid: until, reason',
      messages.changeUserRequest,
      { blocked: { untill: 1 } },
    ],
  ])('%s', (fault, schema, value) => {
    expect(faultsOf(schema, value)).toEqual([fault]);
  });

  it('counts the rest, so that an answer does not grow with what was sent', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`${'n'.repeat(100)}${index}`, 1]));
    const [unknown, ...rest] = faultsOf(messages.loginRequest, many);
    expect(unknown).toContain(' and 490 more; valid: ');
    expect(unknown?.length).toBeLessThan(1200);
    expect(rest).toHaveLength(4);
    const tokens = Array.from({ length: 1000 }, () => ({}));
    expect(faultsOf(messages.presenceRequest, { tokens }).at(-1)).toBe('and 1990 more');
  });

  it('repeats no value that may be a secret', () => {
    const secret = 'hunter2-hunter2';
    const login = { userId: [secret], password: [secret], deviceProof: { secret }, platform: secret.repeat(9) };
    expect(faultsOf(messages.loginRequest, login).join()).not.toContain('hunter2');
  });

  it('sends who wrote a name in the wrong place to the right one', () => {
    const place = { name: 'body', elsewhere: { tenant: 'the query' } };
    expect(
      faultsOf(messages.createUserRequest, { userId: 'ada', password: 'long enough', tenant: 'acme' }, place),
    ).toEqual(['body: unknown "tenant", which goes into the query; valid: userId, password']);
  });

  it('names a value of a list that no schema knows', () => {
    expect(unknownValue('platform', 'iOS', ['ios', 'web'])).toBe(
      'unknown platform "iOS" (did you mean ios?); valid: ios, web',
    );
  });
});
