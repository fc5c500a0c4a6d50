/** Checkers as the tests make them, closed together. */
import type { Clocks } from '../../src/gateway/clock.ts';
import { createTokenChecker, type CheckerOptions, type TokenChecker } from '../../src/gateway/index.ts';
import { GATEWAY_KEY } from '../helpers/service.ts';

const open: TokenChecker[] = [];

export function newChecker(url: string, options: Partial<CheckerOptions> = {}, clocks?: Clocks): TokenChecker {
  const checker = createTokenChecker(
    { issuer: 'http://latchkey.test', url, gatewayKey: GATEWAY_KEY, mode: 'local', ...options },
    clocks,
  );
  open.push(checker);
  return checker;
}

export async function readyChecker(
  url: string,
  options: Partial<CheckerOptions> = {},
  clocks?: Clocks,
): Promise<TokenChecker> {
  const checker = newChecker(url, options, clocks);
  await checker.ready();
  return checker;
}

export function closeCheckers(): void {
  open.splice(0).forEach((checker) => checker.close());
}

/** `active`, the reason, or `unavailable`: for comparisons. */
export async function wordOf(checker: TokenChecker, token: string | undefined): Promise<string> {
  const verdict = await checker.check(token).catch((error: Error) => error.name);
  if (typeof verdict === 'string') return verdict;
  return verdict.active ? 'active' : verdict.reason;
}

/** A machine's clocks: both go on by what is waited for, the wall clock alone by what is slept. */
export function fakeClocks() {
  let [waited, slept] = [0, 0];
  const clocks: Clocks = {
    monotonic: () => performance.now() + waited,
    wall: () => Date.now() + waited + slept,
  };
  return {
    clocks,
    wait: (ms: number) => void (waited += ms),
    sleep: (ms: number) => void (slept += ms),
  };
}

/** Counts the calls of a checker, by path. */
export function countingFetch(): { fetch: NonNullable<CheckerOptions['fetch']>; calls: Map<string, number> } {
  const calls = new Map<string, number>();
  return {
    calls,
    fetch(url, init) {
      const path = new URL(url).pathname;
      calls.set(path, (calls.get(path) ?? 0) + 1);
      return fetch(url, init);
    },
  };
}
