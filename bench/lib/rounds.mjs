/** Owns how subjects are compared: in rounds, all one after the other in each, so that a slow minute slows all. */
import { runLoad } from './processes.mjs';

/**
 * @param subjects name -> () => plan of load.mjs, asked for anew before each round
 * @param warmUpSeconds of each subject, before the first round; each round has a second of its own besides
 * @param isTrial nobody looks at the figures
 * @param rate even, in requests a second; as fast as they are answered when absent
 * @returns name -> what the load tells of each round
 */
export async function measureRounds(subjects, { rounds, seconds, warmUpSeconds, connections, rate, isTrial }) {
  const load = async (name, time) =>
    runLoad({ ...(await subjects[name]()), connections, rate, isTrial, seconds: time });
  const names = Object.keys(subjects);
  if (warmUpSeconds > 0) for (const name of names) await load(name, warmUpSeconds);
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 ? names.toReversed() : names) results[name].push(await load(name, seconds));
  }
  return results;
}

/** The same; name -> the rate of each round (requests a second). */
export async function measureRates(subjects, settings) {
  const results = await measureRounds(subjects, settings);
  return Object.fromEntries(Object.entries(results).map(([name, of]) => [name, of.map(({ rate }) => rate)]));
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
