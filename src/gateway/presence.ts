/**
 * Owns which tokens are connected to this gateway, and that Latchkey knows it: leases are renewed in bulk and released
 * when a token's last connection closes. A token with several connections is known by its newest.
 */
import type { Connected, TokenChecker, TokenReason } from './types.ts';

export type Holder = Connected;

export type PresenceKeeper = {
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
  /** Connections of each token, the newest last. */
  const holders = new Map<string, Holder[]>();
  /** What is to be sent at the end of this turn; a later word on a token replaces the earlier one. */
  const renewals = new Map<string, Holder>();
  const releases = new Map<string, Holder>();
  let sending: Promise<void> = Promise.resolve();
  let isScheduled = false;

  async function send(list: Iterable<Holder>, release: boolean): Promise<void> {
    const connected = [...list].map(({ tenant, userId, tokenId, connectionId }) => ({
      tenant,
      userId,
      tokenId,
      connectionId,
    }));
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
    for (const [tokenId, list] of holders) renewals.set(tokenId, list.at(-1) as Holder);
    schedule();
  }, intervalMs).unref();

  return {
    add(holder) {
      holders.set(holder.tokenId, [...(holders.get(holder.tokenId) ?? []), holder]);
      releases.delete(holder.tokenId);
      renewals.set(holder.tokenId, holder);
      schedule();
    },

    remove(holder, isRelease) {
      const left = (holders.get(holder.tokenId) ?? []).filter((one) => one !== holder);
      renewals.delete(holder.tokenId);
      const newest = left.at(-1);
      if (newest === undefined) {
        holders.delete(holder.tokenId);
        if (isRelease) releases.set(holder.tokenId, holder);
      } else {
        holders.set(holder.tokenId, left);
        renewals.set(holder.tokenId, newest);
      }
      schedule();
    },

    async close() {
      clearInterval(timer);
      for (const [tokenId, list] of holders) releases.set(tokenId, list.at(-1) as Holder);
      holders.clear();
      renewals.clear();
      await flush();
    },
  };
}
