/**
 * Owns what orchestrators ask: is the process alive, and should traffic be sent to it.
 */
import { LatchkeyError } from '../contract/errors.ts';
import { healthResult } from '../contract/answers.ts';
import { endpoint, type Endpoint } from './endpoint.ts';

export type Readiness = {
  /** True once the process has begun to drain: it finishes what it has, and wants no more. */
  isDraining(): boolean;
  /** Whether this process has once agreed with Redis: not before may anybody be served. */
  hasAgreed(): boolean;
  /** Asks the store now; throws `store_unavailable`. */
  check(): Promise<void>;
};

export function healthEndpoints(readiness: Readiness): Endpoint[] {
  return [
    endpoint({
      method: 'get',
      path: '/healthz',
      operationId: 'getHealth',
      tag: 'operations',
      summary: 'Is the process alive? Says nothing of Redis',
      caller: 'none',
      unknownInput: 'ignored',
      withoutStore: true,
      responses: { 200: { description: 'Alive.', body: healthResult } },
      errors: [],
      handle: () => ({ status: 200, body: { status: readiness.isDraining() ? 'draining' : 'ok' } }),
    }),
    endpoint({
      method: 'get',
      path: '/readyz',
      operationId: 'getReadiness',
      tag: 'operations',
      summary: 'Should traffic be sent here? 503 while Redis is out or the process drains',
      caller: 'none',
      unknownInput: 'ignored',
      withoutStore: true,
      responses: { 200: { description: 'Ready.', body: healthResult } },
      errors: ['overloaded'],
      async handle() {
        if (readiness.isDraining()) throw new LatchkeyError('overloaded', { detail: 'this process is shutting down' });
        await readiness.check();
        return { status: 200, body: { status: 'ok' } };
      },
    }),
  ];
}
