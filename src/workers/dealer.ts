/**
 * Owns the port that the workers share: takes every connection and deals them out in turn. Reads nothing from them.
 * A connection that was taken reaches a worker, for as long as there is one or one is starting.
 */
import type { ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { ToWorker } from './messages.ts';

export type Dealer = {
  /** Resolves with the port that was taken; rejects when it cannot be had. */
  listen(port: number, host: string): Promise<number>;
  /** From now on this worker gets its share. */
  add(worker: ChildProcess): void;
  remove(worker: ChildProcess): void;
  /** Nobody is starting either: who waits is let go. */
  giveUpWaiting(): void;
  /** Closes the port; when it resolves, whatever had been taken is on its way to a worker. */
  close(): Promise<void>;
};

export function createDealer(isAnyStarting: () => boolean): Dealer {
  const workers: ChildProcess[] = [];
  /** Handed to the channel of a worker, but still on this side of it. */
  const onTheirWay = new Map<ChildProcess, Set<Socket>>();
  const waiting = new Set<Socket>();
  // As HTTP servers have it; it stays with the connection.
  const server = createServer({ pauseOnConnect: true, noDelay: true }, deal);

  function deal(socket: Socket): void {
    // In turn: whoever gets it goes to the end of the row.
    const worker = workers.shift();
    if (worker === undefined) return wait(socket);
    workers.push(worker);
    onTheirWay.get(worker)?.add(socket);
    const message: ToWorker = 'connection';
    // Kept here until it is sent, then let go here: Node by itself keeps it until the worker confirms it, and for ever if
    // the worker dies before that.
    worker.send(message, socket, { keepOpen: true }, (error) => {
      if (!onTheirWay.get(worker)?.delete(socket)) return;
      if (error) {
        remove(worker);
        deal(socket);
      } else socket.destroy();
    });
  }

  function wait(socket: Socket): void {
    if (!isAnyStarting()) return void socket.destroy();
    waiting.add(socket);
    socket.on('error', () => {});
  }

  function dealWaiting(): void {
    const sockets = [...waiting];
    waiting.clear();
    sockets.forEach(deal);
  }

  function remove(worker: ChildProcess): void {
    const index = workers.indexOf(worker);
    if (index >= 0) workers.splice(index, 1);
    const left = onTheirWay.get(worker) ?? [];
    onTheirWay.delete(worker);
    for (const socket of left) deal(socket);
  }

  return {
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
      }),
    add(worker) {
      workers.push(worker);
      onTheirWay.set(worker, new Set());
      dealWaiting();
    },
    remove,
    giveUpWaiting: dealWaiting,
    close: () =>
      new Promise((resolve) => {
        // Right after the loop has taken whoever waited: the kernel resets those who still do when the port closes.
        setImmediate(() => {
          server.close();
          for (const socket of waiting) socket.destroy();
          resolve();
        });
      }),
  };
}
