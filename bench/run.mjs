/**
 * `npm run bench` measures Latchkey beside floors and peers, all in one run on one machine, and holds the ratios against
 * their targets. `-- --quick`: the same in under two minutes, good for a look. `-- --trial`: only whether it runs through.
 * `-- --json <file>`: where the figures go. Loopback only; whatever is started is ended.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildIfStale } from '../scripts/build.mjs';
import { setUp } from '../scripts/setup.mjs';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    trial: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench/result.json' },
  },
});

const FULL = {
  rates: { rounds: 9, seconds: 3, warmUpSeconds: 2, users: 10_000, connections: 64 },
  latency: { rounds: 5, seconds: 5, warmUpSeconds: 2 },
  held: { rounds: 3, seconds: 4, warmUpSeconds: 2, users: 640, held: 30, connections: 64 },
  size: { rounds: 3, seconds: 4, warmUpSeconds: 2, few: 10_000, many: 1_000_000, asked: 3_200, connections: 64 },
  memory: { users: 100_000 },
  passwords: { times: 10 },
  rss: { users: 10_000, seconds: 300, samples: 30, connections: 64 },
  start: { times: 5 },
};
const QUICK = {
  rates: { rounds: 2, seconds: 1, warmUpSeconds: 0, users: 640, connections: 16 },
  latency: { rounds: 1, seconds: 1, warmUpSeconds: 0 },
  held: { rounds: 2, seconds: 1, warmUpSeconds: 0, users: 32, held: 30, connections: 16 },
  size: { rounds: 2, seconds: 1, warmUpSeconds: 0, few: 1_000, many: 9_000, asked: 320, connections: 16 },
  memory: { users: 2_000 },
  passwords: { times: 1 },
  rss: { users: 320, seconds: 5, samples: 4, connections: 16 },
  start: { times: 2 },
};
const TRIAL = {
  ...QUICK,
  rates: { ...QUICK.rates, rounds: 1, users: 64, connections: 8, isTrial: true },
  held: { ...QUICK.held, rounds: 1, users: 16, connections: 8, isTrial: true },
  size: { ...QUICK.size, rounds: 1, isTrial: true, few: 300, many: 900, asked: 64, connections: 8 },
  memory: { users: 200 },
  rss: { ...QUICK.rss, users: 64, seconds: 2, connections: 8 },
  start: { times: 1 },
};
const isShort = options.quick || options.trial;
const sizes = (options.trial && TRIAL) || (options.quick && QUICK) || FULL;

setUp();
buildIfStale();
const root = join(import.meta.dirname, '..');
setUp(join(root, 'bench/peers'));

// What they import is there only now.
const { endAll, startRedis } = await import('./lib/processes.mjs');
const { measureRates, measureRounds, ratioOf, spreadOf } = await import('./lib/rounds.mjs');
const { format, row, surroundings, tableOf } = await import('./lib/report.mjs');
const { startSubjects } = await import('./rates.mjs');
const { measureHeldTokens, measureStoreSize } = await import('./growth.mjs');
const { measureMemory: measureStoredBytes } = await import('./memory.mjs');
const processes = await import('./process.mjs');

const rows = [];
const rates = {};
const say = (text) => console.log(text);

let redisVersion = '';
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => void endAll().finally(() => process.kill(process.pid, signal)));
}
try {
  await measureAgainstPeers();
  await measureGrowth();
  await measureProcess();
} finally {
  try {
    // What has been measured is shown, also when the rest could not be.
    report();
  } finally {
    await endAll();
  }
}

async function measureAgainstPeers() {
  const { users, connections } = sizes.rates;
  const redis = await startRedis('rates');
  redisVersion = redis.version;
  const { checks, mints } = await startSubjects(redis, { users, connections });
  say('Rates of checks …');
  const checked = await measureRates(checks, sizes.rates);
  say('Rates of what makes tokens …');
  const minted = await measureRates(mints, sizes.rates);
  for (const [name, of] of [...Object.entries(checked), ...Object.entries(minted)]) rates[name] = spreadOf(of);
  const against = (of, name, to, target) => rows.push(row(`${name} : ${to}`, ratioOf(of, name, to), { target }));
  against(checked, 'GET /validate', 'floor: validate', 0.75);
  against(checked, 'GET /validate', 'oidc-provider: introspection', 5);
  against(checked, 'GET /validate', 'express-session: check', 4);
  against(checked, 'POST /introspect', 'oidc-provider: introspection', 3);
  against(minted, 'trusted issuance', 'floor: login', 0.6);
  against(minted, 'trusted issuance', 'oidc-provider: client credentials', 1);
  against(minted, 'POST /token/refresh', 'floor: login, chained', 0.6);

  say('Latency at half the top rate …');
  const rate = rates['GET /validate'].value / 2;
  const subjects = { ours: checks['GET /validate'], floor: checks['floor: validate'] };
  const { ours, floor } = await measureRounds(subjects, { rate: Math.round(rate), connections, ...sizes.latency });
  const note = (results) => `at ${format(rate)}/s; p50 ${format(percentileOf(results, 'p50').value)} ms`;
  rows.push(
    row('p99 of GET /validate', percentileOf(ours, 'p99'), { unit: 'ms', target: 5, at: 'most', note: note(ours) }),
  );
  rows.push(row('… of its floor', percentileOf(floor, 'p99'), { unit: 'ms', note: note(floor) }));
}

function percentileOf(results, percentile) {
  return spreadOf(results.map((result) => result[percentile]));
}

async function measureGrowth() {
  say('Users who hold many tokens …');
  const held = await measureHeldTokens(sizes.held);
  rows.push(row('login: 30 tokens held : 1 held', ratioOf(held, 'many', 'one'), { target: 0.5 }));
  say('A store of many tokens …');
  const { few, many } = sizes.size;
  const size = await measureStoreSize(sizes.size);
  for (const [name, of] of Object.entries(size)) {
    const what = `${name}: ${format(many)} tokens : ${format(few)}`;
    rows.push(row(what, ratioOf(of, 'many', 'few'), { target: 0.9 }));
  }
  say('Memory in Redis …');
  const bytes = await measureStoredBytes(sizes.memory);
  const note = `${format(sizes.memory.users)} users x 3`;
  rows.push(row('Redis memory a token', { value: bytes.tokens }, { unit: 'B', target: 400, at: 'most', note }));
  rows.push(row('… with its event and history', { value: bytes.withEvents }, { unit: 'B' }));
  rows.push(row('… in OpenIM’s layout', { value: bytes.openIm }, { unit: 'B', note: 'JWT as hash field' }));
}

async function measureProcess() {
  say('The loop while passwords are checked …');
  const { p99 } = await processes.measureLoopDelay(sizes.passwords);
  const passwords = { unit: 'ms', target: 20, at: 'most', note: '50 password logins at once' };
  rows.push(row('event-loop delay, p99', { value: p99 }, passwords));
  say('Memory under full load …');
  const { sizes: rss, peak } = await processes.measureMemory(sizes.rss);
  const third = Math.floor(rss.length / 3);
  const growth = Math.max(...rss.slice(-third)) / Math.max(...rss.slice(third, 2 * third));
  const note = `${sizes.rss.seconds} s at full load`;
  rows.push(row('RSS of a server, peak', { value: peak }, { unit: 'MiB', target: 200, at: 'most', note }));
  rows.push(row('… last third : the one before', { value: growth }, { target: 1.05, at: 'most', note: 'flat' }));
  say('Start …');
  const starts = spreadOf(await processes.measureStart(sizes.start));
  rows.push(row('start to listening', starts, { unit: 'ms', target: 1000, at: 'most', note: 'Redis is there' }));
}

function report() {
  const { dependencies: peers } = JSON.parse(readFileSync(join(root, 'bench/peers/package.json'), 'utf8'));
  const made = surroundings({ redis: redisVersion, peers });
  const perSecond = Object.entries(rates).map(([what, figure]) => row(what, figure, { unit: '/s' }));
  say(`\n${tableOf(perSecond)}\n\n${tableOf(rows)}\n`);
  say(`node ${made.node}, Redis ${made.redis}, ${made.cpu}; ${JSON.stringify(peers)}`);
  say(`${isShort ? 'too short to judge by; ' : ''}settings ${JSON.stringify(sizes)}`);
  const result = { quick: isShort, surroundings: made, settings: sizes, rates, rows };
  writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
  say(`figures in ${options.json}`);
}
