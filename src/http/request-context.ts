/**
 * Owns what every request has: an id that ties answer and log together, headers, and one line in the log.
 * The log has routes, never addresses of a resource: those hold ids of people.
 */
import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';
import type { Logger } from '../log.ts';
import { clientOf } from './client.ts';

const GIVEN_ID = /^[\w.-]{1,64}$/;

export function createRequestContext(log: Logger): RequestHandler {
  return (request, response, next) => {
    const startedAt = performance.now();
    const given = request.get('x-request-id') ?? '';
    const requestId = GIVEN_ID.test(given) ? given : randomUUID();
    response.locals['requestId'] = requestId;
    response.set({ 'X-Request-Id': requestId, 'Cache-Control': 'no-store' });
    response.on('finish', () => {
      const { route, code } = response.locals;
      const ms = Math.round((performance.now() - startedAt) * 10) / 10;
      log.info(
        { requestId, method: request.method, route, status: response.statusCode, code, ms, ip: clientOf(request).ip },
        'request',
      );
    });
    next();
  };
}
