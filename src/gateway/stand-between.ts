/**
 * Owns standing between a `ws` server and those who want a socket of it: `ws` calls its own handleUpgrade and emits
 * `connection` when that is done, so there is one place for it. Must not know who may come in.
 */
import type { IncomingMessage } from 'node:http';
import type { GatewayServer, GatewaySocket } from './ws-types.ts';

export type Gatekeeper<S extends GatewaySocket, J> = {
  /** Before there is a socket. */
  readonly judge: (request: IncomingMessage) => Promise<J>;
  /** False: it has been seen to, and the server does not hear of it. */
  readonly lets: (socket: S, judged: J) => boolean;
  readonly onError: (error: unknown) => void;
};

/** Returns what gives the server its own way back. */
export function standBetween<S extends GatewaySocket, J>(
  server: GatewayServer<S>,
  keeper: Gatekeeper<S, J>,
): () => void {
  const original = server.handleUpgrade;
  const upgrade = original.bind(server);
  const upgradeLater = async (...[request, rawSocket, head, done]: Parameters<typeof upgrade>) => {
    rawSocket.on('error', ignore);
    const judged = await keeper.judge(request).finally(() => rawSocket.off('error', ignore));
    if (rawSocket.destroyed) return;
    upgrade(request, rawSocket, head, (socket, upgraded) => {
      if (keeper.lets(socket, judged)) done(socket, upgraded);
    });
  };
  server.handleUpgrade = (...args) => {
    upgradeLater(...args).catch((error: unknown) => {
      keeper.onError(error);
      args[1].destroy();
    });
  };
  return () => {
    server.handleUpgrade = original;
  };
}

/** For a peer that goes away in between: no error of ours. */
function ignore(): void {}
