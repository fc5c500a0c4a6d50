/** .env.example names every setting once, and as it stands it changes nothing: its values are the defaults. */
import { describe, expect, it } from '@jest/globals';
import { parseEnv } from 'node:util';
import { loadConfig } from '../../src/config.ts';
import { SETTINGS } from '../../src/settings.ts';
import { readText } from './markdown.ts';

const text = readText('.env.example');
const names = [...text.matchAll(/^(?:# )?([A-Z_]+)=/gm)].map(([, name]) => name);
const uncommented = text.replaceAll(/^# (?=[A-Z_]+=)/gm, '');

/** What nobody can suggest a value for. */
const SECRETS = ['REFRESH_SECRET', 'ADMIN_API_KEY', 'GATEWAY_API_KEY'];

describe('.env.example', () => {
  it('names every setting once, in the order of the code', () => {
    expect(names).toEqual(SETTINGS);
  });

  it('gives the defaults', () => {
    expect(comparable(parseEnv(text))).toEqual(comparable({}));
  });

  it('is a usable production setting once its comments are taken away and the secrets are given', () => {
    const given = Object.fromEntries(SECRETS.map((name) => [name, `${name}-of-the-tests-long-enough`]));
    const config = loadConfig({ ...parseEnv(uncommented), ...given });
    expect(config.production).toBe(true);
  });

  it('has no secret in it', () => {
    for (const name of SECRETS) expect(parseEnv(uncommented)[name]).toBe('');
  });

  it('explains every setting in the line above it', () => {
    const lines = text.split('\n');
    const unexplained = lines.filter(
      (line, index) => /^(# )?[A-Z_]+=/.test(line) && !/^# (?![A-Z_]+=)/.test(lines[index - 1] ?? ''),
    );
    expect(unexplained).toEqual([]);
  });
});

/** Without what a comparison cannot look into. */
function comparable(env: Readonly<Record<string, string | undefined>>): unknown {
  return JSON.parse(JSON.stringify(loadConfig(env)));
}
