/**
 * Owns how a Security Event Token is sent to a receiver: POST as RFC 8935 section 2 says. Must not know what the token says.
 */
import type { Push, PushOutcome } from '../tokens/webhook-push.ts';
import { createPost, type Answer, type PostOptions } from './post.ts';
import { OutboundError } from './trouble.ts';

/** For all of it, the answer included. */
const ANSWER_WITHIN_MS = 10_000;
/** RFC 9110 section 15.5.11: likely for good. It is asked again all the same, as somebody may only have deployed the wrong thing. */
const GONE = 410;
const GONE_FOR_MS = 60 * 60 * 1000;

export type PushOptions = PostOptions & {
  /** After which an attempt has failed, ms. */
  readonly answerWithinMs?: number;
};

export function createPush({ answerWithinMs = ANSWER_WITHIN_MS, ...options }: PushOptions = {}): Push {
  const post = createPost(options);
  const headers = { 'Content-Type': 'application/secevent+jwt', Accept: 'application/json' };
  return (url, set, stop) =>
    post({ url, body: set, headers, withinMs: answerWithinMs, stop }, outcomeOf).catch((error: unknown) => ({
      kind: 'failed',
      error: error instanceof OutboundError ? error.word : 'network',
    }));
}

async function outcomeOf({ status, headers, text }: Answer): Promise<PushOutcome> {
  if (status >= 200 && status < 300) return { kind: 'delivered' };
  const refusal = status >= 400 && status < 500 ? refusalOf(await text().catch(() => '')) : undefined;
  // Only this is about the one event. A proxy, a clock, a key set or an address that is wrong refuses them all, and is mended.
  if (status === 400 && refusal === 'invalid_request') return { kind: 'refused', refusal };
  const retryAfterMs = status === GONE ? GONE_FOR_MS : retryAfterOf(headers);
  return {
    kind: 'failed',
    error: `status_${status}`,
    ...(refusal !== undefined && { refusal }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** RFC 8935 section 2.3: `{"err": "invalid_key", "description": …}`. What is not a word is not repeated. */
function refusalOf(text: string): string | undefined {
  try {
    const { err } = JSON.parse(text) as { readonly err?: unknown };
    return typeof err === 'string' && /^\w{1,40}$/.test(err) ? err : undefined;
  } catch {
    return undefined;
  }
}

/** In seconds, or a date (RFC 9110 section 10.2.3): that one is read by the receiver's own clock, never by ours. */
function retryAfterOf(headers: Answer['headers']): number | undefined {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const waitMs = Date.parse(text) - Date.parse(headers.date ?? '');
  return waitMs > 0 ? waitMs : undefined;
}
