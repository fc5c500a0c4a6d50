/**
 * Owns POST /presence: gateways keep the seats of the tokens that are connected to them.
 */
import { presenceResult } from '../contract/answers.ts';
import { presenceRequest } from '../contract/messages.ts';
import type { Presence } from '../tokens/presence.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

/**
 * All that the schema allows: 1000 tokens with three texts of 128 characters each, and a character beyond the basic plane
 * is 12 bytes where a writer escapes it (`\ud83d\ude00`). That is 4.7 MB, and half a kilobyte a token is left for blanks.
 */
const BODY_LIMIT = '5120kb';

export function presenceEndpoints(presence: Presence): Endpoint[] {
  return [
    endpoint({
      method: 'post',
      path: '/presence',
      operationId: 'renewPresence',
      tag: 'gateways',
      summary: 'Keep the leases of connected tokens alive, or release them',
      caller: 'gateway',
      hot: true,
      body: presenceRequest,
      bodyLimit: BODY_LIMIT,
      responses: {
        200: { description: 'Refused tokens are no longer active: close their connections.', body: presenceResult },
      },
      errors: [],
      async handle({ body }) {
        return { status: 200, body: await presence(body.tokens, body.release) };
      },
    }),
  ];
}
