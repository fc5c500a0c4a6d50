// A machine that slept: its monotonic clock stood still, and what it knows and what lies in its sockets is old.
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { ElapsedTime } from '../../src/gateway/clock.ts';
import { issue, revokeAll } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService } from '../helpers/service.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';
import { closeBetweens, scriptedFeed, startBetween } from './between.ts';
import { closeCheckers, fakeClocks, readyChecker, wordOf } from './checkers.ts';
import { closeGateways, isOpen, open, startGateway } from './socket-gateway.ts';

afterEach(async () => {
  await closeGateways();
  closeCheckers();
  closeProxies();
  closeBetweens();
});
afterAll(closeServices);

const HOUR_MS = 3_600_000;
const accessOf = (response: { body: { accessToken: string } }) => response.body.accessToken;

describe('F46 a gateway that slept', () => {
  it('takes no token for good that ended meanwhile, whatever maxStalenessMs says', async () => {
    const service = await startService();
    const proxy = await startProxy(service.url);
    const { clocks, sleep } = fakeClocks();
    const checker = await readyChecker(proxy.url, { maxStalenessMs: HOUR_MS, timeoutMs: 300 }, clocks);
    const token = accessOf(await issue(service, 'ada'));
    expect(await wordOf(checker, token)).toBe('active');
    proxy.silence();
    await revokeAll(service, 'ada');
    sleep(20_000);
    const words = new Set<string>();
    await until('it knows', async () => {
      words.add(await wordOf(checker, token));
      return words.has('token_revoked');
    });
    expect(words.has('active')).toBe(false);
  });

  it('takes no token for good that expired meanwhile', async () => {
    const service = await startService();
    const { clocks, sleep } = fakeClocks();
    const checker = await readyChecker(service.url, { maxStalenessMs: HOUR_MS }, clocks);
    const token = accessOf(await issue(service, 'ada'));
    expect(await wordOf(checker, token)).toBe('active');
    service.shiftClock(901_000);
    sleep(901_000);
    expect(await wordOf(checker, token)).toBe('token_expired');
  });

  it('does not believe a heartbeat that lay in its socket meanwhile, and connects anew', async () => {
    const service = await startService();
    const between = await startBetween(service.url);
    const feed = scriptedFeed(() => service.store.now());
    between.answers.set('/events', feed.answer);
    const { clocks, sleep } = fakeClocks();
    const checker = await readyChecker(between.url, {}, clocks);
    const token = accessOf(await issue(service, 'ada'));
    const isAsked = async () => {
      const before = between.countOf('/introspect');
      expect(await wordOf(checker, token)).toBe('active');
      return between.countOf('/introspect') > before;
    };
    expect(await isAsked()).toBe(false);
    feed.isQuiet = true;
    sleep(HOUR_MS);
    feed.heartbeat();
    await until('it connects anew', () => feed.connections.length > 1);
    expect(checker.stalenessMs()).toBe(Infinity);
    expect(await isAsked()).toBe(true);
    feed.heartbeat();
    await until('it answers by itself', async () => !(await isAsked()));
  });

  it('keeps no socket beyond its access token while nobody can be asked, and all when a clock was set', async () => {
    const service = await startService();
    const proxy = await startProxy(service.url);
    const { clocks, sleep } = fakeClocks();
    const gateway = await startGateway(proxy.url, { whenStale: 'keep' }, { timeoutMs: 500 }, clocks);
    const client = await open(gateway.url, accessOf(await issue(service, 'ada')));
    sleep(901_000);
    expect(gateway.checker.stalenessMs()).toBe(Infinity);
    await until('it is heard that no time has passed', () => gateway.checker.stalenessMs() < 30_000);
    expect(isOpen(client)).toBe(true);
    proxy.cut();
    sleep(901_000);
    await until('it is closed', () => client.closed !== undefined);
    expect(client.closed).toEqual({ code: 4401, reason: 'token_expired' });
  });

  it('tells sleep from waiting, and a drift from a jump', () => {
    let [monotonic, wall, jumps] = [0, 1_000_000, 0];
    const elapsed = new ElapsedTime({ monotonic: () => monotonic, wall: () => wall }, () => (jumps += 1));
    const pass = (waited: number, slept: number) => {
      monotonic += waited;
      wall += waited + slept;
      return [elapsed.now(), jumps];
    };
    expect(pass(500, 0)).toEqual([500, 0]);
    expect(pass(100, 60_000)).toEqual([60_600, 1]);
    expect(pass(100, 900)).toEqual([60_700, 1]);
    elapsed.settle();
    expect(pass(100, 900)).toEqual([60_800, 1]);
    // Many short ones add up; a clock that was set back makes nobody younger.
    expect(pass(100, 900)).toEqual([62_700, 2]);
    expect(pass(100, -60_000)).toEqual([62_800, 3]);
  });
});
