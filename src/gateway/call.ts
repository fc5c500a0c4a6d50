/**
 * Owns one call of Latchkey: its deadline, how much of the answer is read, and what every trouble is called. Must not know
 * what is asked.
 */
import { GatewayKeyRefusedError, GatewayUnavailableError } from './errors.ts';
import type { Settings } from './options.ts';
import type { FetchInit, FetchResponse } from './types.ts';

/** What a full page of presence answers is a tenth of it. */
const MAX_ANSWER_BYTES = 1_048_576;
/** Of an answer that says no. */
const MAX_PROBLEM_BYTES = 16_384;

const COMMON = { 'user-agent': 'Latchkey-Gateway', 'accept-encoding': 'identity' };

export type Call = {
  /** The answer as JSON. All of it takes no longer than `timeoutMs`. Throws GatewayUnavailableError, as does `open`. */
  json(path: string, init: Omit<FetchInit, 'signal' | 'redirect'>): Promise<unknown>;
  /** What goes on after the answer has begun, until `signal` aborts; the beginning is the caller's to limit. */
  open(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
};

export function createCall({ url, timeoutMs, fetch }: Settings): Call {
  async function ask(path: string, init: Omit<FetchInit, 'redirect'>): Promise<FetchResponse> {
    const headers = { ...COMMON, ...init.headers };
    // An answer that leads elsewhere is no answer: a token is shown to Latchkey and to nobody else.
    const response = await fetch(url + path, { ...init, headers, redirect: 'manual' });
    if (response.status !== 200) throw await refusalOf(response, url + path);
    return response;
  }

  return {
    async json(path, init) {
      const limit = new AbortController();
      const { signal } = limit;
      // One that can be taken back: AbortSignal.timeout() would hold the answer until its time is over.
      const timer = setTimeout(() => limit.abort(new DOMException('too late', 'TimeoutError')), timeoutMs).unref();
      const answer = async () => {
        // Every call may be repeated, and a connection that is kept may have been closed at that very moment.
        const response = await ask(path, { ...init, signal }).catch((error: unknown) => {
          if (error instanceof TypeError && !signal.aborted) return ask(path, { ...init, signal });
          throw error;
        });
        return JSON.parse(await textOf(response, MAX_ANSWER_BYTES)) as unknown;
      };
      try {
        return await orAbort(signal, answer());
      } catch (error) {
        throw troubleOf(error, url + path, timeoutMs);
      } finally {
        clearTimeout(timer);
      }
    },

    async open(path, headers, signal) {
      try {
        const response = await orAbort(signal, ask(path, { headers, signal }));
        if (response.body === null) throw new GatewayUnavailableError(`${url + path} answered nothing`);
        return response.body;
      } catch (error) {
        throw troubleOf(error, url + path, timeoutMs);
      }
    },
  };
}

/** Also for a `fetch` that does not heed its signal. Leaves nothing behind on the signal. */
function orAbort<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abandon = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abandon, { once: true });
    if (signal.aborted) abandon();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abandon));
  });
}

async function textOf({ body }: FetchResponse, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    // Leaving the loop gives the rest up.
    if (length > maxBytes) throw new Error(`the answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function refusalOf(response: FetchResponse, address: string): Promise<GatewayUnavailableError> {
  const { status } = response;
  // Read, so that the connection can be used again.
  const text = await textOf(response, MAX_PROBLEM_BYTES).catch(() => '');
  if ((status === 401 || status === 403) && isOurProblem(text)) return new GatewayKeyRefusedError();
  const retryAfter = /^\d{1,5}$/.exec(response.headers.get('retry-after') ?? '')?.[0];
  const isRedirect = status >= 300 && status < 400;
  const more = isRedirect ? '; redirects are not followed, the option url must name Latchkey itself' : '';
  return new GatewayUnavailableError(`Latchkey answered ${status} at ${address}${more}`, {
    ...(retryAfter !== undefined && Number(retryAfter) > 0 && { retryAfterSeconds: Number(retryAfter) }),
  });
}

/** A proxy in between has a 401 and a 403 of its own, which say nothing of the key. */
function isOurProblem(text: string): boolean {
  try {
    const { type, code } = JSON.parse(text) as { readonly type?: unknown; readonly code?: unknown };
    return (code === 'unauthorized' || code === 'forbidden') && type === `urn:latchkey:error:${code}`;
  } catch {
    return false;
  }
}

function troubleOf(error: unknown, address: string, timeoutMs: number): GatewayUnavailableError {
  if (error instanceof GatewayUnavailableError) return error;
  if (error instanceof SyntaxError) {
    return new GatewayUnavailableError(`what ${address} answered is no JSON`, { cause: error });
  }
  const isLate = error instanceof DOMException && error.name === 'TimeoutError';
  const why = isLate ? `no answer within ${timeoutMs} ms` : reasonOf(error);
  return new GatewayUnavailableError(`Latchkey cannot be reached at ${address}: ${why}`, { cause: error });
}

/** The network's own words: what lies on top of them says "fetch failed". */
function reasonOf(error: unknown): string {
  const { message, name, cause, errors } = (error ?? {}) as Partial<AggregateError>;
  if (Array.isArray(errors) && errors.length > 0) return errors.map(reasonOf).join(', ');
  if (typeof cause === 'object' && cause !== null) return reasonOf(cause);
  return message || name || String(error);
}
