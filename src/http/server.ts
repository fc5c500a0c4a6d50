/**
 * Owns the HTTP server: how long a request may take to come and a connection may idle, and what is refused before anybody
 * looks what is asked. Must not know any endpoint.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { isAfterLast, makeLast } from './last-request.ts';
import { valuesOf } from './raw-headers.ts';

/** From its first byte to its last; what has not come by then is answered with 408. */
const REQUEST_LIMIT_MS = 30_000;
/** How often that is looked at. */
const CHECK_MS = 1_000;

/** Does not listen yet. `keepAliveSeconds`: a connection is closed when it has been idle for that long. */
export function createHttpServer(listener: RequestListener, keepAliveSeconds: number): Server {
  const limits = {
    requestTimeout: REQUEST_LIMIT_MS,
    headersTimeout: REQUEST_LIMIT_MS,
    connectionsCheckingInterval: CHECK_MS,
    keepAliveTimeout: keepAliveSeconds * 1_000,
  };
  const server = createServer(limits, (request, response) => {
    if (isAfterLast(request)) return;
    // RFC 9112 section 3.2: two names of a host are two requests to whoever stands in between.
    if (valuesOf(request, 'host').length > 1) return refuse(request, response, 400);
    listener(request, response);
  });
  // By itself node:http invites the body of anybody; here whoever reads it does (read-body.ts).
  server.on('checkContinue', (request, response) => server.emit('request', request, response));
  server.on('checkExpectation', (request, response) => refuse(request, response, 417));
  return server;
}

/** Without a body, as node:http refuses what it cannot read as a request. */
function refuse(request: IncomingMessage, response: ServerResponse, status: number): void {
  makeLast(request);
  response.writeHead(status, { Connection: 'close' }).end();
}
