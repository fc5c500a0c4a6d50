/**
 * Owns how a server stops without losing a request: no new connections, what is under way is answered, and clients with
 * a connection of their own are told to let it go before it is closed.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';

/** A request may be on its way on an idle connection: it is closed when it has been quiet for that long. */
const QUIET_MS = 500;

export type Drain = (limitMs: number, emptied?: () => Promise<void>) => Promise<void>;

/**
 * For a server that has no connection yet. Draining resolves when the last connection has gone, or after `limitMs`, when those
 * that are left are cut off. `emptied` closes the way in, and resolves when nobody is left.
 */
export function createDrain(server: Server): Drain {
  // To the server a connection is idle only after its first request: browsers and balancers open some that never have one.
  const unused = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });

  const closeQuiet = () => {
    server.closeIdleConnections();
    for (const socket of unused) {
      if (socket.bytesRead > 0) unused.delete(socket);
      else socket.destroy();
    }
  };

  return async (limitMs, emptied = () => closePort(server)) => {
    server.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
      response.setHeader('Connection', 'close');
    });
    const closed = emptied();
    const sweep = setInterval(closeQuiet, QUIET_MS);
    const limit = setTimeout(() => server.closeAllConnections(), limitMs);
    await closed;
    clearInterval(sweep);
    clearTimeout(limit);
  };
}

function closePort(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // Right after the loop has accepted whoever waited: the kernel resets those who still do when the port closes.
    // Not http's own close(): that one also cuts idle connections, and a request may be on its way there.
    setImmediate(() => NetServer.prototype.close.call(server, () => resolve()));
  });
}
