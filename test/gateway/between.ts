/** What stands between a gateway and Latchkey and answers some calls itself, as proxies and captive portals do. */
import { createServer, request as requestHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export type Between = {
  readonly url: string;
  /** What is answered here, by path. All else is passed on. */
  readonly answers: Map<string, Answer>;
  readonly requests: { readonly path: string; readonly headers: IncomingMessage['headers'] }[];
  countOf(path: string): number;
};

const closing: (() => void)[] = [];

export function closeBetweens(): void {
  closing.splice(0).forEach((close) => close());
}

export async function startBetween(target: string): Promise<Between> {
  const answers: Between['answers'] = new Map();
  const requests: Between['requests'] = [];
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '', target).pathname;
    requests.push({ path, headers: request.headers });
    const answer = answers.get(path);
    if (answer !== undefined) {
      request.resume();
      answer(request, response);
      return;
    }
    const { method = 'GET', headers } = request;
    const onward = requestHttp(new URL(request.url ?? '', target), { method, headers }, (answered) => {
      response.writeHead(answered.statusCode ?? 502, answered.headers);
      answered.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    requests,
    countOf: (path) => requests.filter((one) => one.path === path).length,
  };
}

/** The whole of an answer. */
export const answering =
  (status: number, body: unknown, headers: Record<string, string> = {}): Answer =>
  (_request, response) => {
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
  };

/** A feed that says what the test writes, beginning with a live heartbeat unless it is quiet. */
export function scriptedFeed(at: () => number) {
  const connections: ServerResponse[] = [];
  const write = (type: string, data: unknown) =>
    connections.at(-1)?.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  const heartbeat = (ms = at()) => write('heartbeat', { at: new Date(ms).toISOString(), live: true });
  const feed = { answer, write, heartbeat, connections, isQuiet: false };
  function answer(_request: IncomingMessage, response: ServerResponse): void {
    connections.push(response);
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': hello\n\n');
    if (!feed.isQuiet) heartbeat();
  }
  return feed;
}
