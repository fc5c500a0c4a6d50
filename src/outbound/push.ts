/**
 * Owns how a Security Event Token is sent to a receiver: POST as RFC 8935 section 2 says, over connections that are kept.
 * Must not know what the token says. Redirects are never followed: an address is what an admin has set, and no other.
 */
import type { Push, PushOutcome } from '../tokens/webhook-push.ts';
import { readAnswer } from './answer-text.ts';

/** For all of it, the answer included. */
const ANSWER_WITHIN_MS = 10_000;

const NETWORK_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused_connection',
  ECONNRESET: 'broken_connection',
  EPIPE: 'broken_connection',
  UND_ERR_SOCKET: 'broken_connection',
  ENOTFOUND: 'unknown_host',
  EAI_AGAIN: 'unknown_host',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ETIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
};

/** What OpenSSL and Node say of a certificate that they do not trust. */
const CERTIFICATE_ERROR = /CERT|LEAF_SIGNATURE|INVALID_CA|HOSTNAME_MISMATCH/;
/** Anything else that ends a handshake: no TLS on that port, or none that both sides speak. */
const TLS_ERROR = /^ERR_SSL_|^EPROTO$/;

/** @param answerWithinMs after which an attempt has failed */
export function createPush(answerWithinMs = ANSWER_WITHIN_MS): Push {
  return async (url, set, stop) => {
    const attempt = new AbortController();
    const abandon = () => attempt.abort();
    stop.addEventListener('abort', abandon);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      abandon();
    }, answerWithinMs);
    try {
      if (stop.aborted) abandon();
      return await post(url, set, attempt.signal);
    } catch (error) {
      return { kind: 'failed', error: isLate ? 'timeout' : wordOf(error) };
    } finally {
      clearTimeout(timer);
      stop.removeEventListener('abort', abandon);
    }
  };
}

async function post(url: string, set: string, signal: AbortSignal): Promise<PushOutcome> {
  const response = await fetch(url, {
    method: 'POST',
    body: set,
    redirect: 'manual',
    signal,
    headers: { 'Content-Type': 'application/secevent+jwt', Accept: 'application/json' },
  });
  // Read to its end, so that the connection can be used again; a longer one is cut off with its connection.
  const text = await readAnswer(response).catch((error: unknown) => {
    if (signal.aborted) throw error;
    return '';
  });
  if (response.ok) return { kind: 'delivered' };
  if (response.status === 400) return { kind: 'refused', error: refusalOf(text) };
  const retryAfterMs = retryAfterOf(response);
  return { kind: 'failed', error: `status_${response.status}`, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/** RFC 8935 section 2.3: `{"err": "invalid_key", "description": …}`. What is not a word is not repeated. */
function refusalOf(text: string): string {
  const [, word = 'unknown'] = /"err"\s*:\s*"(\w{1,40})"/.exec(text) ?? [];
  return word;
}

/** In seconds, or a date (RFC 9110 section 10.2.3): that one is read by the receiver's own clock, never by ours. */
function retryAfterOf({ headers }: Response): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const waitMs = Date.parse(text) - Date.parse(headers.get('date') ?? '');
  return waitMs > 0 ? waitMs : undefined;
}

function wordOf(error: unknown): string {
  // What fetch rejects with says "fetch failed"; the network's own word is its cause.
  const { code = '' } = (error as { readonly cause?: { readonly code?: string } }).cause ?? {};
  if (TLS_ERROR.test(code)) return 'bad_tls';
  if (CERTIFICATE_ERROR.test(code)) return 'bad_certificate';
  return NETWORK_ERRORS[code] ?? 'network';
}
