/** How often a test tries what it tries: `npm test` runs the long ones at a tenth, `npm run test:all` at their whole size. */

const SHARE = process.env['LATCHKEY_TEST_SIZE'] === 'whole' ? 1 : 10;

export type Size = {
  readonly count: number;
  /** For the title: `1000`, or `100 of 1000`. */
  readonly told: string;
};

/** @param least below this the test would show nothing */
export function sized(whole: number, least = 1): Size {
  const count = Math.min(whole, Math.max(least, Math.ceil(whole / SHARE)));
  return { count, told: count === whole ? `${whole}` : `${count} of ${whole}` };
}
