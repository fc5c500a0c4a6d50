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
/** Only a new connection looks Latchkey's name up again; nothing is missed in between. */
const GREATEST_AGE_MS = 300_000;

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
  /** Undefined: of all tenants. */
  readonly tenant: string | undefined;
  /** A shorter staleness than the silence between heartbeats is kept by connecting anew. */
  readonly maxStalenessMs: number;
  /** How long the beginning of an answer is waited for. */
  readonly timeoutMs: number;
};

export type Following = {
  /** What has come and was not read yet may be old: it is thrown away, and asked for again. */
  restart(): void;
};

/** Follows until `stop` aborts. */
export function followFeed(api: Api, query: FeedQuery, on: FeedHandlers, stop: AbortSignal): Following {
  const silenceMs = Math.min(LONGEST_SILENCE_MS, Math.floor((query.maxStalenessMs * 2) / 3));
  let cursor: string | undefined;
  let retryMs = FIRST_RETRY_MS;
  let connection = new AbortController();

  const take = ({ type, data, id }: SseMessage): 'begin anew' | 'go on' => {
    if (type === 'reset') {
      on.onReset();
      // All that is kept comes only to who asks without a cursor. Who began now goes on from the reset: asking for
      // `now` again would pass over what happens until then.
      cursor = query.from === 'start' ? undefined : (id ?? cursor);
      return query.from === 'start' ? 'begin anew' : 'go on';
    }
    const content = membersOf(data);
    const isLive = type === 'heartbeat' && content['live'] === true;
    if (type === 'heartbeat') on.onHeartbeat(timeOf(content['at']), isLive);
    else on.onEvent(content);
    if (isLive) retryMs = FIRST_RETRY_MS;
    // Only now: what threw above is asked for again.
    cursor = id ?? cursor;
    return 'go on';
  };

  const read = async ({ signal }: AbortController, refresh: () => void): Promise<void> => {
    const bytes = await api.events(searchOf(query), cursor, signal);
    refresh();
    const parser = new SseParser();
    for await (const chunk of bytes) {
      refresh();
      for (const message of parser.push(chunk)) {
        if (signal.aborted || take(message) === 'begin anew') return;
      }
    }
    throw new Error('the feed ended');
  };

  const connectOnce = async (): Promise<void> => {
    const mine = new AbortController();
    connection = mine;
    const cut = (why: string) => () => mine.abort(new Error(why));
    const close = cut('the checker is closed');
    // One listener at a time: the signal lives as long as the checker.
    stop.addEventListener('abort', close);
    let silence = setTimeout(cut('no answer in time'), query.timeoutMs);
    const age = setTimeout(cut(RENEWED), GREATEST_AGE_MS);
    const refresh = () => {
      clearTimeout(silence);
      silence = setTimeout(cut('the feed fell silent'), silenceMs);
    };
    try {
      await read(mine, refresh);
    } finally {
      clearTimeout(silence);
      clearTimeout(age);
      stop.removeEventListener('abort', close);
      mine.abort();
    }
  };

  const follow = async (): Promise<void> => {
    while (!stop.aborted) {
      try {
        await connectOnce();
      } catch (error) {
        if (stop.aborted) return;
        if (!isRenewal(connection)) on.onTrouble(error);
      }
      if (stop.aborted) return;
      const waitMs = isRenewal(connection) ? 0 : retryMs * (0.5 + Math.random() / 2);
      await sleep(waitMs, undefined, { signal: stop }).catch(() => {});
      retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
    }
  };

  void follow();
  return { restart: () => connection.abort(new Error(RENEWED)) };
}

/** Why a connection was given up that there was nothing wrong with. */
const RENEWED = 'the connection is made anew';

function isRenewal({ signal }: AbortController): boolean {
  return signal.aborted && signal.reason instanceof Error && signal.reason.message === RENEWED;
}

function membersOf(data: string): Readonly<Record<string, unknown>> {
  const content: unknown = JSON.parse(data);
  if (typeof content !== 'object' || content === null) throw new Error('the feed holds what is no event');
  return content as Readonly<Record<string, unknown>>;
}

function timeOf(at: unknown): number {
  const ms = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(ms)) throw new Error('the feed holds a heartbeat without a time');
  return ms;
}

function searchOf({ from, tenant }: FeedQuery): string {
  return new URLSearchParams({ from, ends: 'true', ...(tenant !== undefined && { tenant }) }).toString();
}
