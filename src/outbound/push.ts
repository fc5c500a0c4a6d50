/**
 * Owns how a Security Event Token is sent to a receiver: POST as RFC 8935 section 2 says. Must not know what the token says.
 */
import type { Push, PushOutcome } from '../tokens/webhook-push.ts';
import { createPost, type Answer, type PostOptions } from './post.ts';
import { OutboundError } from './trouble.ts';

/** For all of it, the answer included. */
const ANSWER_WITHIN_MS = 10_000;

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
  if (status === 400) return { kind: 'refused', error: refusalOf(await text().catch(() => '')) };
  const retryAfterMs = retryAfterOf(headers);
  return { kind: 'failed', error: `status_${status}`, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/** RFC 8935 section 2.3: `{"err": "invalid_key", "description": …}`. What is not a word is not repeated. */
function refusalOf(text: string): string {
  const [, word = 'unknown'] = /"err"\s*:\s*"(\w{1,40})"/.exec(text) ?? [];
  return word;
}

/** In seconds, or a date (RFC 9110 section 10.2.3): that one is read by the receiver's own clock, never by ours. */
function retryAfterOf(headers: Answer['headers']): number | undefined {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const waitMs = Date.parse(text) - Date.parse(headers.date ?? '');
  return waitMs > 0 ? waitMs : undefined;
}
