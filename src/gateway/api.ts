/**
 * Owns what is asked of Latchkey, and that whatever is not the answer to it is a GatewayUnavailableError. Must not know what
 * the answers are used for.
 */
import { createCall } from './call.ts';
import { GatewayUnavailableError } from './errors.ts';
import type { Settings } from './options.ts';
import { isReason, type Connected, type PresenceResult } from './types.ts';

/** POST /presence takes no more at a time. */
const MAX_PRESENCE = 1000;
/** What else somebody keeps of a connection is not sent: Latchkey refuses names that it does not know. */
const PRESENCE_NAMES = ['tokens', 'release', 'tenant', 'userId', 'tokenId', 'connectionId'];

type Answer = Readonly<Record<string, unknown>>;

export type Api = {
  introspect(token: string, tenant: string): Promise<Answer>;
  presence(connected: readonly Connected[], release: boolean): Promise<PresenceResult>;
  jwks(): Promise<unknown>;
  /** Whose tokens Latchkey says it signs: `issuer` of RFC 8414 section 2. */
  issuer(): Promise<string>;
  /** The feed, open until `signal` aborts. */
  events(query: string, lastEventId: string | undefined, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
};

export function createApi(settings: Settings): Api {
  const call = createCall(settings);
  const authorization = `Bearer ${settings.gatewayKey}`;

  async function presenceOf(tokens: readonly Connected[], release: boolean): Promise<PresenceResult> {
    const answer = await call.json('/presence', {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ tokens, release }, PRESENCE_NAMES),
    });
    const { renewed, refused } = membersOf(answer);
    if (typeof renewed !== 'number' || !Array.isArray(refused)) {
      throw new GatewayUnavailableError('Latchkey did not say which leases it has renewed');
    }
    return { renewed, refused: refused.flatMap(refusalsIn) };
  }

  return {
    async introspect(token, tenant) {
      const answer = membersOf(
        await call.json('/introspect', {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
          body: new URLSearchParams({ token, tenant }).toString(),
        }),
      );
      if (typeof answer['active'] !== 'boolean') throw new GatewayUnavailableError('Latchkey gave no verdict');
      return answer;
    },

    async presence(connected, release) {
      let renewed = 0;
      const refused: PresenceResult['refused'][number][] = [];
      for (let from = 0; from < connected.length; from += MAX_PRESENCE) {
        const answer = await presenceOf(connected.slice(from, from + MAX_PRESENCE), release);
        renewed += answer.renewed;
        refused.push(...answer.refused);
      }
      return { renewed, refused };
    },

    // Whatever keeps copies in between: a key that was taken out is not to be had from there.
    jwks: () => call.json('/.well-known/jwks.json', { headers: { 'cache-control': 'no-cache' } }),

    async issuer() {
      const { issuer } = membersOf(await call.json('/.well-known/oauth-authorization-server', { headers: {} }));
      if (typeof issuer !== 'string') throw new GatewayUnavailableError('Latchkey did not say which issuer it is');
      return issuer;
    },

    events(query, lastEventId, signal) {
      const headers = {
        authorization,
        accept: 'text/event-stream',
        ...(lastEventId && { 'last-event-id': lastEventId }),
      };
      return call.open(`/events?${query}`, headers, signal);
    },
  };
}

function membersOf(answer: unknown): Answer {
  return typeof answer === 'object' && answer !== null ? (answer as Answer) : {};
}

function refusalsIn(one: unknown): PresenceResult['refused'] {
  const { tokenId, reason } = membersOf(one);
  // A reason of later is one that this package has no word for.
  return typeof tokenId === 'string' ? [{ tokenId, reason: isReason(reason) ? reason : 'token_invalid' }] : [];
}
