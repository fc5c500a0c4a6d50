/**
 * Owns how a server stops without losing a request: no new connections, what is under way is answered, and clients with
 * a connection of their own are told to let it go before it is closed.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';

/** A request may be on its way on an idle connection: it is closed when it has been quiet for that long. */
const QUIET_MS = 500;

/**
 * Resolves when the last connection has gone, or after `limitMs`, when those that are left are cut off. `emptied` closes the
 * way in, and resolves when nobody is left.
 */
export async function drain(
  server: Server,
  limitMs: number,
  emptied: () => Promise<void> = () => closePort(server),
): Promise<void> {
  server.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
    response.setHeader('Connection', 'close');
  });
  const closed = emptied();
  const sweep = setInterval(() => server.closeIdleConnections(), QUIET_MS);
  const limit = setTimeout(() => server.closeAllConnections(), limitMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(limit);
}

function closePort(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // Right after the loop has accepted whoever waited: the kernel resets those who still do when the port closes.
    // Not http's own close(): that one also cuts idle connections, and a request may be on its way there.
    setImmediate(() => NetServer.prototype.close.call(server, () => resolve()));
  });
}
