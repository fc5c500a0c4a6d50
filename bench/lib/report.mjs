/** Owns how a run is shown: a table for people, JSON for programs. */
import { cpus } from 'node:os';

/**
 * A figure and its target. `at`: 'least' or 'most'; without a target it is there to be seen.
 * @param figure {value, low, high}
 */
export function row(what, figure, { unit = 'x', target, at = 'least', note = '' } = {}) {
  const { value, low = value, high = value } = figure;
  const met = target === undefined ? undefined : at === 'least' ? value >= target : value <= target;
  return { what, value, low, high, unit, target, at, met, note };
}

export function tableOf(rows) {
  const lines = rows.map((one) => [
    one.what,
    `${format(one.value)} ${one.unit}`,
    one.low === one.high ? '' : `${format(one.low)} … ${format(one.high)}`,
    one.target === undefined ? '' : `${one.at === 'least' ? '≥' : '≤'} ${format(one.target)}`,
    one.met === undefined ? '' : one.met ? 'met' : 'MISSED',
    one.note,
  ]);
  return markdown(['what', 'median', 'spread', 'target', '', 'note'], lines);
}

function markdown(head, lines) {
  const all = [head, head.map(() => '---'), ...lines];
  return all.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

export function format(value) {
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Where and with what the figures were made. */
export function surroundings({ redis, peers }) {
  const [cpu] = cpus();
  return { node: process.version, redis, cpu: `${cpus().length} x ${cpu?.model ?? 'unknown'}`, peers };
}
