/** A receiver of Security Event Tokens as an operator would write one, on a port of its own: notes what comes, answers by `reply`. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeJwt, type JWTPayload } from 'jose';

export type Received = {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly set: string;
  readonly claims: JWTPayload & { readonly events: Readonly<Record<string, Readonly<Record<string, unknown>>>> };
};

export type Receiver = {
  readonly url: string;
  readonly received: Received[];
  /** Answers one call; 202 by default. */
  reply: (response: ServerResponse, received: Received) => void;
};

const servers: Server[] = [];

export const answer =
  (status: number, headers: Readonly<Record<string, string>> = {}, body = '') =>
  (response: ServerResponse): void =>
    void response.writeHead(status, headers).end(body);

export async function startReceiver(reply: Receiver['reply'] = answer(202)): Promise<Receiver> {
  const receiver: Receiver & { url: string } = { url: '', received: [], reply };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const set = Buffer.concat(chunks).toString('utf8');
      const { method, url: path, headers } = request;
      const received = { method, path, headers, set, claims: decodeJwt(set) as Received['claims'] };
      receiver.received.push(received);
      receiver.reply(response, received);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`;
  return receiver;
}

/** The event of ours that a SET carries. */
export function eventOf({ claims }: Received): Readonly<Record<string, unknown>> & { readonly type: string } {
  const [uri = '', event = {}] = Object.entries(claims.events).find(([name]) => name.startsWith('urn:latchkey:')) ?? [];
  return { type: uri.slice('urn:latchkey:event:'.length), ...event };
}

/** Stops all receivers of the file. */
export async function closeReceivers(): Promise<void> {
  for (const server of servers) server.closeAllConnections();
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
}
