/**
 * Owns how a script is sent and its reply awaited: no later than its caller waits for it, and with the time that every
 * reply carries. Must not know what scripts do.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { RedisClock } from './clock.ts';
import { answerOf } from './connect.ts';

type Reply = readonly [word: string, now: number, ...unknown[]];

export type Run = <T extends Reply>(call: () => Promise<T>) => Promise<T>;

/**
 * Awaits a script's reply and takes in the time that it carries. A reply `LATE` says that nothing was done. It can only
 * come while it is awaited when the deadline was worked out by another clock: after a failover, or from another node of a
 * cluster. That one is known now, so the script is sent once more.
 */
export function createRun(clock: RedisClock): Run {
  async function send<T extends Reply>(call: () => Promise<T>): Promise<T | undefined> {
    const sentAt = performance.now();
    const reply = await answerOf(call());
    clock.observe(reply[1], sentAt);
    return reply[0] === 'LATE' ? undefined : reply;
  }

  return async (call) => {
    const reply = (await send(call)) ?? (await send(call));
    if (reply === undefined) throw new LatchkeyError('store_unavailable');
    return reply;
  };
}
