// The feed under load: 20 consumers on two nodes and a kick every 5 ms, while a consumer is cut off and a node is killed.
// Every consumer hears of every kick. How fast is printed; no timing decides.
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, it } from '@jest/globals';
import { freePort } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import {
  endServers,
  inParallel,
  issue,
  newDeployment,
  startServer,
  type ServerProcess,
} from '../helpers/server-process.ts';
import { GATEWAY_KEY } from '../helpers/service.ts';
import { SseClient } from '../helpers/sse.ts';

const CONSUMERS = 20;
const KICKS_PER_SECOND = 200;
const SECONDS = 30;
const CUT_OFF_MS = 5_000;
/** More than one login of a user at a time would only make them wait for each other. */
const USERS = 200;
/** Logins under way; on a slow machine the rate falls, and is printed. */
const AT_ONCE = 32;

afterAll(endServers);

/** Follows the feed as a gateway does: whenever it is cut off it goes on at the next node, from its last cursor. */
class Consumer {
  readonly kicks = new Map<string, number>();
  readonly latencies: number[] = [];
  resets = 0;
  connections = 0;
  pausedUntil = 0;
  #client: SseClient | undefined;
  #isDone = false;
  #lastId: string | undefined;
  readonly #urls: readonly string[];

  constructor(urls: readonly string[]) {
    this.#urls = urls;
  }

  get isReady(): boolean {
    return this.#lastId !== undefined;
  }

  async follow(): Promise<void> {
    for (let turn = 0; !this.#isDone; turn += 1) {
      const client = new SseClient(this.#urls[turn % this.#urls.length] ?? '');
      this.#client = client;
      client.messages.push = (message) => this.#take(message);
      const status = await client.connect('?types=token.kicked', this.#lastId).catch(() => 0);
      if (status === 200) {
        this.connections += 1;
        await until('it is cut off', () => client.ended, 120_000);
      }
      await delay(Math.max(20, this.pausedUntil - performance.now()));
    }
  }

  cutOff(ms: number): void {
    this.pausedUntil = performance.now() + ms;
    this.#client?.cut();
  }

  end(): void {
    this.#isDone = true;
    this.#client?.cut();
  }

  #take({ type, data, id }: SseClient['messages'][number]): number {
    if (id !== undefined) this.#lastId = id;
    if (type === 'reset') this.resets += 1;
    if (type === 'token.kicked') {
      const tokenId = String(data['tokenId']);
      this.kicks.set(tokenId, (this.kicks.get(tokenId) ?? 0) + 1);
      this.latencies.push(Date.now() - Date.parse(String(data['at'])));
    }
    return 0;
  }
}

/** Logs users in, each displacing the one before; answers the tokens that were kicked. */
async function kickFor(seconds: number, node: ServerProcess): Promise<string[]> {
  const kicked: string[] = [];
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();
  const isOver = () => performance.now() - startedAt > seconds * 1000;
  for (let sent = 0; !isOver(); sent += 1) {
    while (underWay.size >= AT_ONCE) await Promise.race(underWay);
    const early = sent * (1000 / KICKS_PER_SECOND) - (performance.now() - startedAt);
    if (early > 0) await delay(early);
    const login = issue(node, `user-${sent % USERS}`).then(({ status, body }) => {
      if (status !== 200) throw new Error(`a login was answered ${status} ${body.code}`);
      kicked.push(...body.displaced.map(({ tokenId }) => tokenId));
      underWay.delete(login);
    });
    underWay.add(login);
  }
  await Promise.all(underWay);
  return kicked;
}

function percentiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms`;
}

describe('R10 under load no consumer misses a kick', () => {
  it(`tells ${CONSUMERS} consumers of ${KICKS_PER_SECOND} kicks a second for ${SECONDS} s`, async () => {
    const deployment = newDeployment({ LOGIN_POLICY: 'single-device', GATEWAY_API_KEY: GATEWAY_KEY });
    const killedEnv = { ...deployment.env, PORT: String(await freePort()) };
    const steady = await startServer(deployment);
    const killed = await startServer({ env: killedEnv });

    const consumers = Array.from({ length: CONSUMERS }, (_, n) => {
      const urls = [steady.url, killed.url];
      return new Consumer(n % 2 ? urls : urls.toReversed());
    });
    const following = consumers.map((consumer) => consumer.follow());
    await until('all are connected', () => consumers.every((consumer) => consumer.isReady), 10_000);

    // From here on every login kicks.
    await inParallel(USERS, AT_ONCE, (n) => issue(steady, `user-${n}`));
    const startedAt = performance.now();
    const kicking = kickFor(SECONDS, steady);
    await delay(SECONDS * 250);
    consumers[0]?.cutOff(CUT_OFF_MS);
    consumers[1]?.cutOff(CUT_OFF_MS);
    await delay(SECONDS * 250);
    killed.kill('SIGKILL');
    await killed.exited;
    await startServer({ env: killedEnv });
    const kicked = await kicking;
    const seconds = (performance.now() - startedAt) / 1000;

    const missing = ({ kicks }: Consumer) => kicked.filter((tokenId) => !kicks.has(tokenId)).length;
    await until('everybody has heard', () => consumers.every((one) => missing(one) === 0), 10_000).catch(() => {});
    for (const consumer of consumers) consumer.end();
    await Promise.all(following);

    const undisturbed = consumers.filter(({ connections }) => connections === 1);
    const twice = consumers.flatMap(({ kicks }) => [...kicks.values()]).filter((count) => count > 1).length;
    console.log(
      `${kicked.length} kicks in ${seconds.toFixed(1)} s (${Math.round(kicked.length / seconds)}/s) to ${CONSUMERS} consumers\n` +
        `kick to consumer, never cut off: ${percentiles(undisturbed.flatMap(({ latencies }) => latencies))}\n` +
        `kick to consumer, all:           ${percentiles(consumers.flatMap(({ latencies }) => latencies))}\n` +
        `told twice: ${twice}`,
    );
    expect(kicked.length).toBeGreaterThan(USERS);
    expect(consumers.map(missing)).toEqual(consumers.map(() => 0));
    expect(consumers.map(({ resets }) => resets)).toEqual(consumers.map(() => 0));
    const cut = consumers.filter(({ connections }) => connections > 1).length;
    expect(cut).toBeGreaterThanOrEqual(CONSUMERS / 2);
  }, 90_000);
});
