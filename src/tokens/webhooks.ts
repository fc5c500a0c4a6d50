/**
 * Owns who delivers which tenant's events to its webhook (RFC 8935): of all nodes the one that holds the lease. Every node
 * looks regularly which tenants have a webhook, so a change holds everywhere without a restart, and what a dead node
 * leaves behind is taken over. Must not know HTTP or Redis.
 */
import { randomUUID } from 'node:crypto';
import { LatchkeyError } from '../contract/errors.ts';
import type { TenantStore } from './store.ts';
import { runLane, type Lane, type LaneDeps } from './webhook-lane.ts';

/** How long a change may take to reach a node. */
const LOOK_MS = 2_000;

export type Webhooks = {
  /** Begins to look; an outage of the store is waited out. */
  start(): void;
  /** Abandons what is under way, and gives the leases back. */
  stop(): Promise<void>;
};

export type WebhooksDeps = Omit<LaneDeps, 'wait' | 'random'> & {
  readonly tenants: TenantStore;
  readonly wait?: LaneDeps['wait'];
  readonly random?: LaneDeps['random'];
};

type Running = { readonly webhook: string; readonly stop: AbortController; readonly ended: Promise<void> };

export function createWebhooks(given: WebhooksDeps): Webhooks {
  const deps = { wait: waitAtMost, random: Math.random, ...given };
  const { webhooks, tenants, news } = deps;
  const owner = randomUUID();
  const lanes = new Map<string, Running>();
  /** Whose lease this node has had. A lane may end and leave its lease behind. */
  const taken = new Set<string>();
  const stopping = new AbortController();
  let looking: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    const listed = await webhooks.tenants();
    for (const [tenant, lane] of lanes) if (!listed.includes(tenant)) lane.stop.abort();
    // One tenant's trouble is not the others'.
    const looks = listed.map((tenant) => lookAt(tenant).catch((error: unknown) => news.onTrouble(tenant, error)));
    await Promise.all(looks);
  }

  async function lookAt(tenant: string): Promise<void> {
    const { version = 0, config, unreadable } = (await tenants.find(tenant)) ?? {};
    const webhook = config?.webhook;
    const running = lanes.get(tenant);
    const text = JSON.stringify(webhook) ?? '';
    if (running !== undefined && running.webhook === text) return;
    running?.stop.abort();
    await running?.ended;
    if (unreadable?.includes('webhook')) {
      // Delivery is left to nodes that know what it is; told once.
      if (running === undefined) return;
      throw new LatchkeyError('store_unreadable', {
        detail: 'webhook: stored in a form that this version does not know',
      });
    }
    if (webhook === undefined) return webhooks.forget(tenant);
    const begun = await webhooks.take(tenant, owner, { version, url: normalUrl(webhook.url) });
    if (begun === undefined) return;
    taken.add(tenant);
    begin({ tenant, owner, webhook, begun, stop: new AbortController() }, text);
  }

  function begin(lane: Lane, webhook: string): void {
    if (stopping.signal.aborted) lane.stop.abort();
    const ended = runLane(lane, deps)
      .catch((error: unknown) => news.onTrouble(lane.tenant, error))
      .finally(() => lanes.delete(lane.tenant));
    lanes.set(lane.tenant, { webhook, stop: lane.stop, ended });
  }

  async function keepLooking(): Promise<void> {
    while (!stopping.signal.aborted) {
      await look().catch((error: unknown) => news.onTrouble(undefined, error));
      await waitAtMost(LOOK_MS, stopping.signal);
    }
  }

  return {
    start() {
      looking = keepLooking();
    },

    async stop() {
      stopping.abort();
      for (const lane of lanes.values()) lane.stop.abort();
      // What the last look begins stops at once too.
      await looking;
      await Promise.all([...lanes.values()].map((lane) => lane.ended));
      // A lease that cannot be given back runs out by itself.
      await Promise.allSettled([...taken].map((tenant) => webhooks.release(tenant, owner)));
    },
  };
}

/** One address in another spelling is no new one. What is signed for the receiver is the spelling that was given. */
function normalUrl(url: string): string {
  return URL.canParse(url) ? new URL(url).href : url;
}

function waitAtMost(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms).unref();
    stop.addEventListener('abort', done);
    if (stop.aborted) done();
  });
}
