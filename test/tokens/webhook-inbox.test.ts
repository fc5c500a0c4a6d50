/** What a webhook has heard of the feed: it wakes whoever waits, and leaves nothing behind. */
import { getEventListeners } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { Inbox } from '../../src/tokens/webhook-inbox.ts';

const everything = { tenant: 'acme', types: undefined };

describe('F27 the signal that stops a webhook', () => {
  it('has no listener of an inbox that has ended, however often the feed was followed anew', async () => {
    const { signal } = new AbortController();
    for (let round = 0; round < 500; round += 1) {
      const inbox = new Inbox(everything, signal);
      const heartbeat = inbox.next();
      expect(getEventListeners(signal, 'abort')).toHaveLength(1);
      inbox.take({ kind: 'heartbeat', now: 0, live: true, cursor: `c${round}` });
      await heartbeat;
      const nothing = inbox.next();
      inbox.end();
      // What moved the cursor alone, or nothing.
      await nothing;
      // One that nobody has waited for leaves nothing behind either.
      new Inbox(everything, signal).end();
    }
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('wakes who waits', async () => {
    const stop = new AbortController();
    const waiting = new Inbox(everything, stop.signal).next();
    stop.abort();
    await expect(waiting).rejects.toThrow('aborted');
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  });
});
