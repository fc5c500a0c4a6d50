/** Owns how rates are compared: in rounds, all subjects one after the other in each, so that a slow minute slows all. */
import { runLoad } from './processes.mjs';

/**
 * @param subjects name -> () => plan of load.mjs, asked for anew before each round
 * @returns name -> the rate of each round (requests a second)
 */
export async function measureRates(subjects, { rounds, seconds, warmUpSeconds, connections }) {
  const names = Object.keys(subjects);
  for (const name of names) await runLoad({ ...(await subjects[name]()), connections, seconds: warmUpSeconds });
  const rates = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 ? names.toReversed() : names) {
      const { rate } = await runLoad({ ...(await subjects[name]()), connections, seconds });
      rates[name].push(rate);
    }
  }
  return rates;
}

/** Median and spread. */
export function spreadOf(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const value = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { value, low: sorted[0], high: sorted.at(-1) };
}

/** Of each round its own ratio: what slowed both does not show. */
export function ratioOf(rates, of, to) {
  return spreadOf(rates[of].map((rate, round) => rate / rates[to][round]));
}
