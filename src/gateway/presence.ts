/**
 * Owns which tokens are connected to this gateway, and that Latchkey knows it: leases are renewed in bulk and released
 * when a token's last connection closes. A token has one lease here however many connections, beside those of other
 * gateways.
 */
import type { Connected, TokenChecker, TokenReason } from './types.ts';

export type Holder = Connected;

/** The lease keeps the name of the connection that began it, also when that one closes before the others. */
type Held = { readonly lease: Holder; readonly open: Set<Holder> };

export type PresenceKeeper = {
  /** Nothing, once it is closed: nobody would release that lease. */
  add(holder: Holder): void;
  /** @param releases false: the token has ended, there is no lease any more */
  remove(holder: Holder, releases: boolean): void;
  /** Releases all. */
  close(): Promise<void>;
};

export type PresenceHandlers = {
  readonly onRefused: (tokenId: string, reason: TokenReason) => void;
  readonly onError: (error: unknown) => void;
};

export function createPresenceKeeper(
  checker: Pick<TokenChecker, 'presence'>,
  intervalMs: number,
  on: PresenceHandlers,
): PresenceKeeper {
  const held = new Map<string, Held>();
  /** What is to be sent at the end of this turn; a later word on a token replaces the earlier one. */
  const renewals = new Map<string, Holder>();
  const releases = new Map<string, Holder>();
  let sending: Promise<void> = Promise.resolve();
  let isScheduled = false;
  let isClosed = false;

  async function send(list: Iterable<Holder>, release: boolean): Promise<void> {
    const connected = [...list];
    if (connected.length === 0) return;
    try {
      const { refused } = await checker.presence(connected, release);
      if (!release) for (const { tokenId, reason } of refused) on.onRefused(tokenId, reason);
    } catch (error) {
      on.onError(error); // The next round renews; a release that was lost is a lease that lapses.
    }
  }

  /** One after the other, so that a release never overtakes the renewal before it. */
  function flush(): Promise<void> {
    isScheduled = false;
    const [renew, release] = [[...renewals.values()], [...releases.values()]];
    renewals.clear();
    releases.clear();
    sending = sending.then(() => send(release, true)).then(() => send(renew, false));
    return sending;
  }

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(() => void flush());
  }

  const timer = setInterval(() => {
    for (const [tokenId, { lease }] of held) renewals.set(tokenId, lease);
    schedule();
  }, intervalMs).unref();

  return {
    add(holder) {
      if (isClosed) return;
      const { tokenId } = holder;
      // Whoever comes back at once goes on with the lease that was about to be released.
      const { lease, open } = held.get(tokenId) ?? { lease: releases.get(tokenId) ?? holder, open: new Set() };
      held.set(tokenId, { lease, open: open.add(holder) });
      releases.delete(tokenId);
      renewals.set(tokenId, lease);
      schedule();
    },

    remove(holder, isRelease) {
      const { tokenId } = holder;
      const { lease, open } = held.get(tokenId) ?? {};
      open?.delete(holder);
      if (lease === undefined || open === undefined || open.size > 0) return;
      held.delete(tokenId);
      renewals.delete(tokenId);
      if (isRelease) releases.set(tokenId, lease);
      schedule();
    },

    async close() {
      isClosed = true;
      clearInterval(timer);
      for (const [tokenId, { lease }] of held) releases.set(tokenId, lease);
      held.clear();
      renewals.clear();
      await flush();
    },
  };
}
