/**
 * Owns GET /events: the feed as server-sent events (WHATWG HTML, "Server-sent events"). Must not know how it is read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { LatchkeyError } from '../contract/errors.ts';
import { ENDING_EVENT_TYPES, endsToken, EVENT_TYPES, type EventType } from '../contract/event-types.ts';
import type { Event } from '../contract/events.ts';
import { ANY_TENANT, expectedTenantSchema } from '../contract/messages.ts';
import { MAX_CURSOR_LENGTH } from '../tokens/feed-cursor.ts';
import { passes, type EventFilter } from '../tokens/event-filter.ts';
import type { Feed, FeedMessage, FeedStart } from '../tokens/feed.ts';
import { timeView } from '../tokens/views.ts';
import { endpoint, type Endpoint } from './endpoint.ts';
import { beginStream, noteAnswer, type Exchange } from './exchange.ts';

/** A consumer that has so much left to read is let go; it comes back with its cursor. */
const MAX_BUFFERED_BYTES = 1_048_576;
/** How long it may take to read what was left. */
const LET_GO_MS = 5_000;

/** What packs or gathers answers on their way is told not to: a kick that waits for the next one to be sent has not been told. */
const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  // RFC 9111 section 5.2.2.7.
  'Cache-Control': 'no-store, no-transform',
  // To nginx.
  'X-Accel-Buffering': 'no',
};

const eventsQuery = z.strictObject({
  from: z
    .string()
    .max(MAX_CURSOR_LENGTH)
    .default('now')
    .describe('A cursor, `now`, `start` (all that is kept), or unix ms. Last-Event-ID goes before it.'),
  tenant: expectedTenantSchema.default(ANY_TENANT).describe('Only this tenant’s events; `*` = any.'),
  types: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(EVENT_TYPES)).min(1))
    .optional()
    .describe(`Only these, separated by commas: ${EVENT_TYPES.join(', ')}.`),
  ends: z
    .enum(['true', 'false'])
    .default('false')
    .describe('`true`: only events that end a token, also of types that the consumer does not know yet.'),
});

export function eventEndpoints(feed: Feed): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: '/events',
      operationId: 'getEvents',
      tag: 'gateways',
      summary: 'What happens to tokens, as it happens: in order per user, at least once, resumable',
      caller: 'gateway',
      query: eventsQuery,
      headers: z.object({ 'last-event-id': z.string().optional().describe('The last `id:` that was received.') }),
      responses: {
        200: {
          description:
            'Server-sent events: `event:` is the type, `data:` an Event, `id:` the cursor at the end of a batch. ' +
            '`event: heartbeat` carries the time, a cursor, and whether all until then was sent (`live`); `event: reset` says that events were missed.',
          stream: 'text/event-stream',
        },
      },
      errors: [],
      handle({ query, request }) {
        const filter = { tenant: query.tenant === ANY_TENANT ? undefined : query.tenant, types: typesOf(query) };
        const start = startOf(request, query.from);
        return { status: 200, stream: (exchange) => serve(feed, start, filter, exchange) };
      },
    }),
  ];
}

/** Which types end a token is known here, whatever the consumer knows. */
function typesOf({ types, ends }: z.infer<typeof eventsQuery>): readonly EventType[] | undefined {
  return ends === 'true' ? (types ?? ENDING_EVENT_TYPES).filter(endsToken) : types;
}

/** A client that reconnects by itself sends where it stood; that goes before what it was once told to ask for. */
function startOf({ headers }: IncomingMessage, from: string): FeedStart {
  // A header like this one comes as one value, whatever the types say.
  const text = String(headers['last-event-id'] ?? '') || from;
  if (text === 'now' || text === 'start') return text;
  if (/^\d{1,15}$/.test(text)) return { ms: Number(text) };
  if (text.includes('~')) return { cursor: text };
  throw new LatchkeyError('invalid_request', { detail: 'query from: expected a cursor, now, start, or unix ms' });
}

async function serve(feed: Feed, start: FeedStart, filter: EventFilter, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  const waiting: FeedMessage[] = [];
  let isOpen = false;
  const write = (message: FeedMessage): boolean => {
    const text = render(message, filter);
    if (text !== '') response.write(text);
    return response.writableLength < MAX_BUFFERED_BYTES;
  };
  const stop = await feed.listen(
    start,
    (message) => {
      if (isOpen) return write(message);
      waiting.push(message);
      return true;
    },
    () => letGo(response),
  );
  // The client may have gone while the store was asked.
  if (response.destroyed) {
    noteAnswer(exchange);
    return stop();
  }
  response.on('close', stop);
  // Headers go out only now: an outage of the store is still a 503.
  beginStream(exchange, 200, STREAM_HEADERS);
  // HEAD asks for no more; who no longer listens is let go, and its response ends.
  if (request.method === 'HEAD') return stop();
  isOpen = true;
  waiting.forEach(write);
}

/** Who does not even read the end is cut off: what is left for it would stay in memory. */
function letGo(response: ServerResponse): void {
  response.end();
  setTimeout(() => response.writableFinished || response.destroy(), LET_GO_MS).unref();
}

function render(message: FeedMessage, filter: EventFilter): string {
  if (message.kind === 'heartbeat')
    return block('heartbeat', { at: timeView(message.now), live: message.live }, message.cursor);
  if (message.kind === 'reset') return block('reset', { reason: message.reason }, message.cursor);
  const shown = message.events.filter((event) => passes(event, filter));
  if (shown.length === 0) return '';
  return `${shown.map(linesOf).join('\n')}${message.cursor === undefined ? '' : idLine(message.cursor)}\n`;
}

/** The same event goes to every listener: it is turned into text once. */
const written = new WeakMap<Event, string>();

function linesOf(event: Event): string {
  const known = written.get(event);
  if (known !== undefined) return known;
  const text = lines(event.type, event);
  written.set(event, text);
  return text;
}

const lines = (type: string, data: unknown): string => `event: ${type}\ndata: ${JSON.stringify(data)}\n`;

const idLine = (cursor: string): string => `id: ${cursor}\n`;

const block = (type: string, data: unknown, cursor: string): string => `${lines(type, data)}${idLine(cursor)}\n`;
