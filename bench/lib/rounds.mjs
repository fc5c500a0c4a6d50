/** Owns how rates are compared: in rounds, all subjects one after the other in each, so that a slow minute slows all. */
import { runLoad } from './processes.mjs';

/**
 * @param subjects name -> async (round) => plan of load.mjs
 * @returns name -> the rate of each round (requests a second)
 */
export async function measure(subjects, { rounds, seconds, warmUpSeconds, connections, log }) {
  const names = Object.keys(subjects);
  for (const name of names) {
    await runLoad({ ...(await subjects[name]()), connections, seconds: warmUpSeconds });
  }
  const rates = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 ? names.toReversed() : names) {
      const { rate } = await runLoad({ ...(await subjects[name]()), connections, seconds });
      rates[name].push(rate);
      log(`  round ${round + 1}: ${name} ${Math.round(rate).toLocaleString('en')}/s`);
    }
  }
  return rates;
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Of each round its own ratio: what slowed both does not show. */
export function ratio(rates, of, to) {
  const ratios = rates[of].map((rate, round) => rate / rates[to][round]);
  return { value: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) };
}
