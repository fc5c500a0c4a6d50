/** A WebSocket server under a checker, and clients of it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { Clocks } from '../../src/gateway/clock.ts';
import type { CheckerOptions, TokenChecker } from '../../src/gateway/index.ts';
import { attachWebSocketServer, type AttachedServer, type AttachOptions } from '../../src/gateway/ws.ts';
import { until } from '../helpers/processes.ts';
import { closeCheckers, readyChecker } from './checkers.ts';

const closing: (() => Promise<void> | void)[] = [];

/** All of them, with their checkers and clients. */
export async function closeGateways(): Promise<void> {
  await Promise.all(closing.splice(0).map(async (close) => close()));
  closeCheckers();
}

export type Gateway = {
  readonly url: string;
  readonly checker: TokenChecker;
  readonly attached: AttachedServer<WebSocket>;
  /** Who was let in, and what they said. */
  readonly admitted: string[];
  readonly said: string[];
  readonly sockets: WebSocket[];
};

export async function startGateway(
  url: string,
  options: AttachOptions = {},
  checkerOptions: Partial<CheckerOptions> = {},
  clocks?: Clocks,
): Promise<Gateway> {
  const checker = await readyChecker(url, checkerOptions, clocks);
  const server = createServer();
  const wss = new WebSocketServer({ server });
  const attached = attachWebSocketServer(wss, checker, options, clocks);
  const gateway: Gateway = {
    url: await new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`));
    }),
    checker,
    attached,
    admitted: [],
    said: [],
    sockets: [],
  };
  wss.on('connection', (socket) => {
    gateway.admitted.push(attached.authOf(socket)?.sub ?? 'nobody');
    gateway.sockets.push(socket);
    socket.on('message', (data) => gateway.said.push((data as Buffer).toString('utf8')));
  });
  closing.push(async () => {
    await attached.close();
    for (const socket of wss.clients) socket.terminate();
    wss.close();
    server.closeAllConnections();
    server.close();
  });
  return gateway;
}

export type Client = {
  readonly socket: WebSocket;
  readonly messages: Record<string, unknown>[];
  closed?: { readonly code: number; readonly reason: string };
};

export function connect(url: string, token?: string, protocols: string[] = []): Client {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const socket = new WebSocket(url, protocols, { headers });
  const client: Client = { socket, messages: [] };
  socket.on('message', (data) => client.messages.push(JSON.parse((data as Buffer).toString('utf8'))));
  socket.on('close', (code, reason) => {
    client.closed = { code, reason: String(reason) };
  });
  socket.on('error', () => {});
  closing.push(() => socket.terminate());
  return client;
}

export const isOpen = ({ socket }: Client) => socket.readyState === WebSocket.OPEN;
export const open = async (url: string, token: string): Promise<Client> => {
  const client = connect(url, token);
  await until('it is open', () => isOpen(client));
  return client;
};
