/**
 * Owns POST /presence: gateways keep the seats of the tokens that are connected to them.
 */
import { presenceResult } from '../contract/answers.ts';
import { presenceRequest } from '../contract/messages.ts';
import type { Presence } from '../tokens/presence.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

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
      bodyLimit: '512kb',
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
