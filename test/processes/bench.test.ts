/**
 * The benchmark runs through: every server of it starts, every request of it is answered, every figure is there. How good
 * the figures are is nobody's business here.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { endServers, runNode, temporaryFolder } from '../helpers/server-process.ts';
import { sized } from '../helpers/sizes.ts';

/** Only for what hangs. */
const LIMIT_MS = 900_000;
/** The sizes of a run are told to it, and decide how long each of its figures is measured. */
const SIZES = sized(10).count === 10 ? '--quick' : '--trial';

type Row = { readonly what: string; readonly value: number; readonly target?: number; readonly met?: boolean };

afterAll(endServers);

describe(`npm run bench -- ${SIZES}`, () => {
  it(
    'comes to the end with a figure in every row',
    async () => {
      const file = join(temporaryFolder(), 'result.json');
      const bench = runNode(['bench/run.mjs', SIZES, '--json', file], { LATCHKEY_NO_INSTALL: '' });
      const exit = await bench.exited;
      if (exit.code !== 0) throw new Error(`the benchmark failed:\n${bench.stdout()}\n${bench.stderr()}`);

      const { rows, rates } = JSON.parse(readFileSync(file, 'utf8')) as { rows: Row[]; rates: object };
      for (const { what, value } of rows) expect([what, value >= 0]).toEqual([what, true]);
      expect(rows.filter(({ target }) => target !== undefined)).toHaveLength(16);
      expect(Object.keys(rates)).toHaveLength(10);
      console.log(bench.stdout());
    },
    LIMIT_MS,
  );
});
