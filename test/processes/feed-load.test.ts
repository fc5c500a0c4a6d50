// The feed under load: 20 gateways on two nodes and a kick every 5 ms, while a gateway is cut off and a node is killed.
// Every gateway hears of every kick, and refuses what was kicked. How fast is printed; no timing decides.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { freePort } from '../helpers/free-port.ts';
import { until } from '../helpers/processes.ts';
import {
  endServers,
  GATEWAY_KEY,
  inParallel,
  issue,
  newDeployment,
  startServer,
  type ServerProcess,
} from '../helpers/server-process.ts';
import { sized } from '../helpers/sizes.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';

const GATEWAYS = 20;
/** Gateways are spread over so many, beside those of the servers. */
const PROCESSES = 2;
const KICKS_PER_SECOND = 200;
const SECONDS = sized(30, 6);
/** A part of the time, as long as it takes for events to pass meanwhile. */
const CUT_OFF_MS = SECONDS.count * 170;
/** More than one login of a user at a time would only make them wait for each other. */
const USERS = 200;
/** Logins under way; on a slow machine the rate falls, and is printed. */
const AT_ONCE = 32;
/** Only for what hangs. */
const LIMIT_MS = 240_000;

type Kicked = { readonly tokenId: string; readonly accessToken: string };

/** What a gateway tells at the end. */
type Report = {
  readonly missing: number;
  readonly twice: number;
  readonly latencies: readonly number[];
  readonly gaps: number;
  /** Feeds that were cut, and the like. */
  readonly troubles: number;
  /** What it calls the tokens that were kicked. */
  readonly words: Readonly<Record<string, number>>;
  /** How often it had to ask for that. */
  readonly questions: number;
};

const hosts: ChildProcess[] = [];

afterAll(async () => {
  for (const host of hosts) host.kill('SIGKILL');
  closeProxies();
  await endServers();
});

/** Starts gateways at these addresses, spread over the processes; resolves when all have caught up. */
async function startGateways(urls: readonly string[]): Promise<void> {
  const script = fileURLToPath(new URL('gateway-process.mjs', import.meta.url));
  const env = { PATH: process.env['PATH'], GATEWAY_KEY, ISSUER: 'http://latchkey.test' };
  for (let number = 0; number < PROCESSES; number += 1) {
    const own = urls.filter((_, index) => index % PROCESSES === number);
    hosts.push(fork(script, own, { env, execArgv: [] }));
  }
  await Promise.all(hosts.map((host) => once(host, 'message')));
}

/** The answers of all gateways. */
async function ask<T>(question: object): Promise<T[]> {
  const answers = await Promise.all(
    hosts.map(async (host) => {
      host.send(question);
      const [answer] = (await once(host, 'message')) as [T[]];
      return answer;
    }),
  );
  return answers.flat();
}

/** Logs users in, each displacing the one before; answers the tokens that were kicked. */
async function kickFor(seconds: number, node: ServerProcess, held: Map<string, string>): Promise<Kicked[]> {
  const kicked: Kicked[] = [];
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();
  const isOver = () => performance.now() - startedAt > seconds * 1000;
  for (let sent = 0; !isOver(); sent += 1) {
    while (underWay.size >= AT_ONCE) await Promise.race(underWay);
    const early = sent * (1000 / KICKS_PER_SECOND) - (performance.now() - startedAt);
    if (early > 0) await delay(early);
    const login = kickOnce(node, `user-${sent % USERS}`, held).then((displaced) => {
      kicked.push(...displaced);
      underWay.delete(login);
    });
    underWay.add(login);
  }
  await Promise.all(underWay);
  return kicked;
}

/** Signs a user in; `held` has the access token of every token by its id. */
async function kickOnce(node: ServerProcess, userId: string, held: Map<string, string>): Promise<Kicked[]> {
  const { status, body } = await issue(node, userId);
  if (status !== 200) throw new Error(`a login was answered ${status} ${body.code}`);
  held.set(body.token.tokenId, body.accessToken);
  return body.displaced.map(({ tokenId }) => ({ tokenId, accessToken: held.get(tokenId) ?? '' }));
}

function percentiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, longest ${sorted.at(-1)} ms`;
}

describe('R10 under load no gateway misses a kick', () => {
  it(
    `tells ${GATEWAYS} gateways of ${KICKS_PER_SECOND} kicks a second for ${SECONDS.told} s`,
    async () => {
      const deployment = newDeployment({ LOGIN_POLICY: 'single-device' });
      const killedEnv = { ...deployment.env, PORT: String(await freePort()) };
      const steady = await startServer(deployment);
      const killed = await startServer({ env: killedEnv });
      const proxy = await startProxy(steady.url);
      const urls = Array.from({ length: GATEWAYS - 1 }, (_, n) => (n % 2 ? steady.url : killed.url));
      await startGateways([proxy.url, ...urls]);

      // From here on every login kicks.
      const held = new Map<string, string>();
      await inParallel(USERS, AT_ONCE, (n) => kickOnce(steady, `user-${n}`, held));
      const startedAt = performance.now();
      const kicking = kickFor(SECONDS.count, steady, held);
      await delay(SECONDS.count * 250);
      proxy.cut();
      await delay(CUT_OFF_MS);
      proxy.heal();
      await delay(SECONDS.count * 250);
      killed.kill('SIGKILL');
      await killed.exited;
      await startServer({ env: killedEnv });
      const kicked = await kicking;
      const seconds = (performance.now() - startedAt) / 1000;

      const haveAllHeard = async () => (await ask<number>({ kind: 'heard' })).every((count) => count >= kicked.length);
      await until('everybody has heard', haveAllHeard).catch(() => {});
      const reports = await ask<Report>({ kind: 'report', kicked });

      const undisturbed = reports.filter(({ troubles }) => troubles === 0);
      console.log(
        `${kicked.length} kicks in ${seconds.toFixed(1)} s (${Math.round(kicked.length / seconds)}/s) to ${GATEWAYS} gateways\n` +
          `kick to gateway, never cut off: ${percentiles(undisturbed.flatMap(({ latencies }) => latencies))}\n` +
          `kick to gateway, all:           ${percentiles(reports.flatMap(({ latencies }) => latencies))}\n` +
          `told twice: ${reports.reduce((sum, { twice }) => sum + twice, 0)}`,
      );
      expect(kicked.length).toBeGreaterThan(USERS);
      const all = { missing: 0, gaps: 0, words: { token_kicked: kicked.length }, questions: 0 };
      expect(reports).toMatchObject(reports.map(() => all));
      expect(reports).toHaveLength(GATEWAYS);
      // One behind the proxy, ten at the node that was killed.
      expect(reports.filter(({ troubles }) => troubles > 0)).toHaveLength(11);
    },
    LIMIT_MS,
  );
});
