/** The table of login policies (test/vectors), row by row, at the resolver: what a login deletes, kicks and leaves. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { ConfigError, loadConfig } from '../../src/config.ts';
import type { Plan } from '../../src/domain/plan.ts';
import { BUILT_IN_PLATFORMS, createPlatforms, type Platform } from '../../src/domain/platform.ts';
import { resolve } from '../../src/domain/policies/engine.ts';
import { findPreset } from '../../src/domain/policies/presets.ts';
import { isActive, type Token } from '../../src/domain/token.ts';

const NOW = 1_700_000_000_000;
const SHUFFLES = 100;
const SEED = 20_240_501;

type Row = {
  readonly id: string;
  readonly policy: number;
  readonly maxNumOneEnd: number;
  readonly existing: readonly { platform: number; order: readonly number[]; state?: 'kicked' | 'expired' }[];
  readonly loginPlatform: number;
  /** `platformNumber@order`, as all references to tokens are. */
  readonly expectKick: readonly string[];
  readonly expectDelete: readonly string[];
  readonly expectKeep: readonly string[];
  readonly expectKeepAsKicked?: readonly string[];
  readonly expectError?: string;
  readonly note: string;
};

const file = new URL('../vectors/login-policies.json', import.meta.url);
const { rows } = JSON.parse(readFileSync(file, 'utf8')) as { rows: readonly Row[] };
const resolvable = rows.filter((row) => row.expectError === undefined);
const refused = rows.filter((row) => row.expectError !== undefined);

describe('O1 every row of the table of login policies holds at the resolver', () => {
  it.each(resolvable)('$id: $note', (row) => {
    const tokens = tokensOf(row);
    const plan = resolveRow(row, tokens);

    expect(plan.declined).toBe(false);
    expect(plan.kick).toEqual(tagged(row.expectKick));
    expect(plan.delete).toEqual(tagged(row.expectDelete));
    expect(plan.replace).toEqual(new Map());
    const untouched = tokens.filter((token) => !plan.kick.has(token.tokenId) && !plan.delete.has(token.tokenId));
    const [kept, tombstones] = [true, false].map((wanted) =>
      untouched.filter((token) => isActive(token, NOW) === wanted).map((token) => token.tokenId),
    );
    expect(kept?.toSorted()).toEqual(row.expectKeep.toSorted());
    expect(tombstones?.toSorted()).toEqual((row.expectKeepAsKicked ?? []).toSorted());
  });

  it.each(resolvable)('$id: the order of the input never changes the plan', (row) => {
    const tokens = tokensOf(row);
    const expected = written(resolveRow(row, tokens));
    const shuffled = fc.shuffledSubarray(tokens, { minLength: tokens.length });
    for (const order of fc.sample(shuffled, { numRuns: SHUFFLES, seed: SEED })) {
      expect(written(resolveRow(row, order))).toEqual(expected);
    }
  });

  it.each(refused)('$id: $note', (row) => {
    const env = { LOGIN_POLICY: String(row.policy), MAX_PER_PLATFORM: String(row.maxNumOneEnd) };
    expect(() => loadConfig(env)).toThrow(ConfigError);
    expect(() => loadConfig(env)).toThrow('MAX_PER_PLATFORM: at least 1');
  });

  it('has the rows that the tests above go by', () => {
    expect(resolvable).toHaveLength(27);
    expect(refused.map((row) => row.id)).toEqual(['p0-07']);
  });
});

function resolveRow(row: Row, tokens: readonly Token[]): Plan {
  const policy = findPreset(String(row.policy), row.maxNumOneEnd);
  if (policy === undefined) throw new Error(`no preset for OpenIM policy ${row.policy}`);
  return resolve({
    incoming: { platform: nameOf(row.loginPlatform), deviceId: 'the device that logs in' },
    tokens,
    policy,
    platforms: createPlatforms(),
    maxTokens: 100,
    now: NOW,
  });
}

function tokensOf(row: Row): Token[] {
  return row.existing.flatMap(({ platform, order, state }) => order.map((seq) => tokenOf(platform, seq, state)));
}

function tokenOf(platformNumber: number, seq: number, state: 'kicked' | 'expired' | undefined): Token {
  const createdAt = NOW - 1_000_000 + seq;
  const expiresAt = state === 'expired' ? NOW - 1 : NOW + 1_000_000;
  return {
    tenant: 'default',
    userId: 'u1',
    tokenId: `${platformNumber}@${seq}`,
    platform: nameOf(platformNumber),
    deviceId: `device ${platformNumber}@${seq}`,
    deviceName: '',
    seq,
    createdAt,
    lastSeenAt: createdAt,
    expiresAt,
    accessExpiresAt: expiresAt,
    generation: 1,
    rotatedAt: createdAt,
    idleMs: 0,
    salt: 'salt',
    ip: '',
    userAgent: '',
    ...(state === 'kicked' && { end: { code: 'token_kicked', at: createdAt, by: { kind: 'login' } } }),
  };
}

function nameOf(openimId: number): Platform {
  const row = BUILT_IN_PLATFORMS.find((platform) => platform.openimId === openimId);
  if (row === undefined) throw new Error(`no platform has the number ${openimId}`);
  return row.name;
}

/** References to tokens, each under the platform that it names. */
function tagged(references: readonly string[]): Map<string, Platform> {
  return new Map(references.map((reference) => [reference, nameOf(Number(reference.split('@')[0]))]));
}

/** A plan with the order of its maps. */
function written({ kick, delete: deleted, replace, grounds, ...rest }: Plan) {
  return { ...rest, kick: [...kick], delete: [...deleted], replace: [...replace], grounds: [...grounds] };
}
