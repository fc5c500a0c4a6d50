/**
 * Owns a worker's side of the line to its primary: takes connections, says that it is ready or refuses, hears that it is
 * to drain. A primary that has gone is a reason to drain too. Must not know what is served.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { ToPrimary, ToWorker } from './messages.ts';

export type Link = {
  /** Resolves with the reason, when this worker has to drain. No connection comes after it. */
  readonly isToDrain: Promise<string>;
  /** Gives the server its share of the connections from now on. */
  readonly serve: (server: Server) => void;
  /** Tells the primary that this worker has agreed with Redis. */
  readonly tellAgreed: () => void;
  /** Resolves when the last connection has gone, once no more can come. */
  readonly emptied: () => Promise<void>;
  /** Resolves when the primary has been told why this worker cannot go on. */
  readonly refuse: (message: string) => Promise<void>;
};

/** Call it first of all: what the primary says before that waits. */
export function linkToPrimary(): Link {
  // A signal to the whole group, as of Ctrl-C, is the primary's to act on: it tells every worker in its turn.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {});
  const open = new Set<Socket>();
  let serving: Server | undefined;
  let onEmptied: (() => void) | undefined;
  const take = (socket: Socket): void => {
    open.add(socket);
    socket.once('close', () => {
      open.delete(socket);
      if (open.size === 0) onEmptied?.();
    });
    serving?.emit('connection', socket);
  };
  const isToDrain = new Promise<string>((resolve) => {
    process.once('disconnect', () => resolve('the primary has gone'));
    // It may have gone while this process was being loaded, before anybody listened.
    if (!process.connected) resolve('the primary has gone');
    process.on('message', (message: ToWorker, socket?: Socket) => {
      if (message === 'drain') resolve('told by the primary');
      // Without one when the client has reset it on its way here.
      else if (socket !== undefined) take(socket);
    });
  });

  return {
    isToDrain,
    serve(server) {
      serving = server;
      // It listens on no port of its own: this starts its watch over slow and idle connections.
      server.emit('listening');
      say({ kind: 'ready' }, () => {});
    },
    tellAgreed: () => say({ kind: 'agreed' }, () => {}),
    emptied: () =>
      new Promise((resolve) => {
        onEmptied = resolve;
        if (open.size === 0) resolve();
      }),
    refuse: (message) =>
      new Promise((resolve) => {
        say({ kind: 'refused', message }, resolve);
      }),
  };
}

function say(message: ToPrimary, said: () => void): void {
  if (process.send === undefined || !process.connected) return said();
  process.send(message, undefined, undefined, () => said());
}
