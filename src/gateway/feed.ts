/**
 * Owns following GET /events for ever: reconnects with its cursor and backoff, notices a connection that is dead but
 * open, and says when it has caught up. Must not know what events mean.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api } from './api.ts';
import { SseParser, type SseMessage } from './sse.ts';

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** Latchkey sends a heartbeat every 15 s. */
const LONGEST_SILENCE_MS = 20_000;

export type FeedHandlers = {
  readonly onEvent: (event: Readonly<Record<string, unknown>>) => void;
  /** `isLive`: all that happened before `at` (Latchkey's time, ms) has been told. */
  readonly onHeartbeat: (at: number, isLive: boolean) => void;
  /** Events were missed. With `from: 'start'` all that is kept is told again; with `now`, what happens after the reset. */
  readonly onReset: () => void;
  readonly onTrouble: (error: unknown) => void;
};

export type FeedQuery = {
  /** Where to begin when there is no cursor. */
  readonly from: 'start' | 'now';
  readonly types: readonly string[];
  /** Undefined: of all tenants. */
  readonly tenant: string | undefined;
  /** A shorter staleness than the silence between heartbeats is kept by connecting anew. */
  readonly maxStalenessMs: number;
};

/** Follows until `stop` aborts. */
export async function followFeed(api: Api, query: FeedQuery, on: FeedHandlers, stop: AbortSignal): Promise<void> {
  const silenceMs = Math.min(LONGEST_SILENCE_MS, Math.floor((query.maxStalenessMs * 2) / 3));
  let cursor: string | undefined;
  let retryMs = FIRST_RETRY_MS;

  const take = ({ type, data, id }: SseMessage): 'begin anew' | 'go on' => {
    if (type === 'reset') {
      on.onReset();
      // All that is kept comes only to who asks without a cursor. Who began now goes on from the reset: asking for
      // `now` again would pass over what happens until then.
      cursor = query.from === 'start' ? undefined : (id ?? cursor);
      return query.from === 'start' ? 'begin anew' : 'go on';
    }
    const content = JSON.parse(data) as Record<string, unknown>;
    if (type === 'heartbeat') on.onHeartbeat(Date.parse(String(content['at'])), content['live'] === true);
    else on.onEvent(content);
    if (type === 'heartbeat' && content['live'] === true) retryMs = FIRST_RETRY_MS;
    // Only now: what threw above is asked for again.
    cursor = id ?? cursor;
    return 'go on';
  };

  const connectOnce = async (): Promise<void> => {
    const cut = new AbortController();
    const silence = setTimeout(() => cut.abort(new Error('the feed fell silent')), silenceMs);
    try {
      const bytes = await api.events(searchOf(query), cursor, AbortSignal.any([stop, cut.signal]));
      const parser = new SseParser();
      for await (const chunk of bytes) {
        silence.refresh();
        for (const message of parser.push(chunk)) if (take(message) === 'begin anew') return;
      }
      throw new Error('the feed ended');
    } finally {
      clearTimeout(silence);
      cut.abort();
    }
  };

  while (!stop.aborted) {
    try {
      await connectOnce();
    } catch (error) {
      if (stop.aborted) return;
      on.onTrouble(error);
    }
    if (stop.aborted) return;
    await sleep(retryMs * (0.5 + Math.random() / 2), undefined, { signal: stop }).catch(() => {});
    retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
  }
}

function searchOf({ from, types, tenant }: FeedQuery): string {
  return new URLSearchParams({ from, types: types.join(','), ...(tenant !== undefined && { tenant }) }).toString();
}
