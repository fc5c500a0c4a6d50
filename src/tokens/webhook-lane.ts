/**
 * Owns one webhook while this process delivers it: listens to the feed from the stored cursor, hands what it hears to
 * the courier, keeps the lease and notes the cursor. Must not know who else might deliver (webhooks.ts does).
 */
import { setMaxListeners } from 'node:events';
import type { Webhook } from '../contract/tenant-config.ts';
import type { EventLog } from './event-log.ts';
import type { Feed, FeedStart } from './feed.ts';
import type { SecurityEvents } from './security-event.ts';
import { AT_ONCE, Courier, type Letter } from './webhook-courier.ts';
import { Inbox, type Parcel } from './webhook-inbox.ts';
import type { Push, PushFailure } from './webhook-push.ts';
import type { WebhookProgress, WebhookRefusal, WebhookState, WebhookStore } from './webhook-store.ts';

/** A third of the lease: one renewal may fail. */
const RENEW_MS = 3_000;

/** Hears of what operators want to know. Nothing of an event's content passes here. */
export type WebhookNews = {
  readonly onRefused: (tenant: string, refusal: WebhookRefusal) => void;
  readonly onFailed: (tenant: string, failure: PushFailure, waitMs: number) => void;
  /** Delivery is left for now: the store is out, or something is wrong on our side. */
  readonly onTrouble: (tenant: string | undefined, error: unknown) => void;
};

export type LaneDeps = {
  readonly feed: Feed;
  readonly eventLog: Pick<EventLog, 'now' | 'keptSince'>;
  readonly webhooks: WebhookStore;
  readonly securityEvents: SecurityEvents;
  readonly push: Push;
  readonly news: WebhookNews;
  /** Ends early, without an error, when stopped. */
  readonly wait: (ms: number, stop: AbortSignal) => Promise<void>;
  readonly random: () => number;
};

export type Lane = {
  readonly tenant: string;
  readonly owner: string;
  readonly webhook: Webhook;
  /** As it was when the lease was taken. */
  readonly begun: WebhookState;
  readonly stop: AbortController;
};

/** Delivers until stopped, or until the lease is lost. Rejects when the store is out. */
export async function runLane(lane: Lane, deps: LaneDeps): Promise<void> {
  const { signal } = lane.stop;
  // Every attempt under way listens, and whoever waits: more is a leak, which Node then warns of.
  setMaxListeners(AT_ONCE + 4, signal);
  const note = async (progress: WebhookProgress): Promise<void> => {
    if (!(await deps.webhooks.note(lane.tenant, lane.owner, progress))) lane.stop.abort();
    signal.throwIfAborted();
  };
  const renewal = keepLease(note, lane.stop);
  const courier = courierOf(lane, deps, note);
  try {
    let { cursor } = lane.begun;
    while (!signal.aborted) cursor = await follow(cursor, { lane, deps, note, courier });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    clearInterval(renewal);
    // Whatever is under way is abandoned: without the lease it is another's to deliver.
    lane.stop.abort();
  }
}

/** The lease outlives one renewal that fails, not two: a lane whose renewals fail stops before another may begin. */
function keepLease(note: (progress: WebhookProgress) => Promise<void>, stop: AbortController): NodeJS.Timeout {
  let failures = 0;
  return setInterval(() => {
    note({}).then(
      () => (failures = 0),
      () => {
        failures += 1;
        if (failures > 1) stop.abort();
      },
    );
  }, RENEW_MS).unref();
}

function courierOf({ tenant, webhook, begun, stop }: Lane, deps: LaneDeps, note: Following['note']): Courier {
  const { eventLog, securityEvents, push, news, wait, random } = deps;
  const parts = {
    url: webhook.url,
    push,
    sign: (event: Letter['event']) => securityEvents.sign(event, webhook.url, eventLog.now()),
    now: eventLog.now,
    keptSince: eventLog.keptSince,
    wait,
    random,
    note,
    onRefused: (refusal: WebhookRefusal) => news.onRefused(tenant, refusal),
    onFailed: (failure: PushFailure, waitMs: number) => news.onFailed(tenant, failure, waitMs),
  };
  return new Courier(parts, begun, stop.signal);
}

type Following = {
  readonly lane: Lane;
  readonly deps: LaneDeps;
  readonly note: (progress: WebhookProgress) => Promise<void>;
  readonly courier: Courier;
};

/** Follows the feed from a cursor until it lets go; answers the cursor to come back with. */
async function follow(from: string | undefined, following: Following): Promise<string | undefined> {
  const { lane, deps, note, courier } = following;
  const { signal } = lane.stop;
  const inbox = new Inbox({ tenant: lane.tenant, types: lane.webhook.types }, signal);
  const stop = await deps.feed.listen(
    startOf(from, lane.begun),
    (message) => inbox.take(message),
    () => inbox.end(),
  );
  let cursor = from;
  try {
    for (let parcel = await inbox.next(); parcel !== undefined; parcel = await inbox.next()) {
      // What the feed no longer keeps is given up; it says so itself when it is asked to go on from here.
      if (!(await courier.deliver(lettersOf(parcel, lane.tenant, deps)))) return cursor;
      cursor = parcel.cursor ?? cursor;
      await note({ ...courier.progress(), ...(cursor !== undefined && { cursor }) });
    }
    return cursor;
  } finally {
    stop();
  }
}

/** Without a cursor from when the webhook was set: nothing is missed until the first node has taken it up. */
function startOf(cursor: string | undefined, { since }: WebhookState): FeedStart {
  if (cursor !== undefined) return { cursor };
  return since === undefined ? 'now' : { ms: since };
}

function lettersOf({ events, reset, cursor = '' }: Parcel, tenant: string, deps: LaneDeps): Letter[] {
  const { securityEvents, eventLog } = deps;
  if (reset !== undefined)
    return [{ event: securityEvents.ofReset({ tenant, reason: reset, cursor }), user: '', at: eventLog.now() }];
  return events.map((event) => ({
    event: securityEvents.of(event),
    user: event.userId ?? '',
    at: Date.parse(event.at),
  }));
}
