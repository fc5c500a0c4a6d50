/**
 * Owns the calls to Latchkey: their form, their deadline, and that whatever is not an answer is a GatewayUnavailableError.
 * Must not know what the answers are used for.
 */
import { GatewayKeyRefusedError, GatewayUnavailableError } from './errors.ts';
import type { Settings } from './options.ts';
import type { Connected, FetchInit, FetchResponse, PresenceResult } from './types.ts';

/** POST /presence takes no more at a time. */
const MAX_PRESENCE = 1000;

export type Api = {
  introspect(token: string, tenant: string): Promise<Readonly<Record<string, unknown>>>;
  presence(connected: readonly Connected[], release: boolean): Promise<PresenceResult>;
  jwks(): Promise<unknown>;
  /** The feed, open until `signal` aborts. The deadline holds for the beginning of the answer only. */
  events(query: string, lastEventId: string | undefined, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
};

export function createApi({ url, gatewayKey, timeoutMs, fetch }: Settings): Api {
  const authorization = `Bearer ${gatewayKey}`;

  async function ask(path: string, init: Omit<FetchInit, 'signal'>): Promise<unknown> {
    const send = () => fetch(url + path, { ...init, signal: AbortSignal.timeout(timeoutMs) });
    try {
      // Every call here may be repeated, and a kept-alive connection may have been closed at that very moment.
      const response = await send().catch((error: unknown) => {
        if (error instanceof TypeError) return send();
        throw error;
      });
      await assertOk(response);
      return await response.json();
    } catch (error) {
      throw unavailable(error);
    }
  }

  return {
    async introspect(token, tenant) {
      const answer = await ask('/introspect', {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ token, tenant }).toString(),
      });
      const { active } = (answer ?? {}) as { active?: unknown };
      if (typeof active !== 'boolean') throw new GatewayUnavailableError('Latchkey gave no verdict');
      return answer as Record<string, unknown>;
    },

    async presence(connected, release) {
      let renewed = 0;
      const refused: PresenceResult['refused'][number][] = [];
      for (let from = 0; from < connected.length; from += MAX_PRESENCE) {
        const answer = (await ask('/presence', {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json' },
          body: JSON.stringify({ tokens: connected.slice(from, from + MAX_PRESENCE), release }),
        })) as PresenceResult;
        renewed += answer.renewed;
        refused.push(...answer.refused);
      }
      return { renewed, refused };
    },

    jwks: () => ask('/.well-known/jwks.json', { headers: {} }),

    async events(query, lastEventId, signal) {
      const opening = new AbortController();
      const deadline = setTimeout(() => opening.abort(new Error('no answer in time')), timeoutMs);
      try {
        const response = await fetch(`${url}/events?${query}`, {
          headers: { authorization, accept: 'text/event-stream', ...(lastEventId && { 'last-event-id': lastEventId }) },
          signal: AbortSignal.any([signal, opening.signal]),
        });
        await assertOk(response);
        if (response.body === null) throw new GatewayUnavailableError('the feed is empty');
        return response.body;
      } catch (error) {
        throw unavailable(error);
      } finally {
        clearTimeout(deadline);
      }
    },
  };
}

async function assertOk(response: FetchResponse): Promise<void> {
  if (response.status === 200) return;
  await response.text().catch(() => {}); // Read, so that the connection can be used again.
  if (response.status === 401 || response.status === 403) throw new GatewayKeyRefusedError();
  const retryAfter = Number(response.headers.get('retry-after'));
  throw new GatewayUnavailableError(`Latchkey answered ${response.status}`, {
    ...(retryAfter > 0 && { retryAfterSeconds: retryAfter }),
  });
}

function unavailable(error: unknown): GatewayUnavailableError {
  if (error instanceof GatewayUnavailableError) return error;
  return new GatewayUnavailableError('Latchkey cannot be reached', { cause: error });
}
