/**
 * The examples for reverse proxies with a test's own addresses, the app that stands behind them, and how it is called.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { freePort } from './free-port.ts';
import { startProxy, type FoundProxy, type ProxyName } from './proxies.ts';

/** What the app is told of a token. */
export const PASSED_ON = ['x-auth-user', 'x-auth-tenant', 'x-auth-platform', 'x-auth-token-id', 'x-auth-expires'];

/** Every spelling that CGI and WSGI fold into the same variable as these names. */
export const SPELLINGS = PASSED_ON.flatMap((name) => {
  const parts = name.split('-');
  return Array.from({ length: 2 ** (parts.length - 1) }, (_, bits) =>
    parts.reduce((left, part, index) => left + ((bits >> (index - 1)) & 1 ? '_' : '-') + part),
  );
});

export type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string };

export const portOf = (server: Server) => (server.address() as AddressInfo).port;

export const example = (path: string) => readFileSync(new URL(`../../examples/${path}`, import.meta.url), 'utf8');

/** The app behind a proxy: answers with the headers it was sent; takes WebSockets and says the same there. */
export type App = { readonly server: Server; readonly reached: () => number; readonly close: () => void };

export async function startApp(): Promise<App> {
  let reached = 0;
  const server = createServer({ maxHeaderSize: 65_536 }, (incoming, response) => {
    reached += 1;
    response.end(JSON.stringify(incoming.headers));
  });
  server.on('upgrade', ({ headers }, socket) => {
    reached += 1;
    socket.on('error', () => {});
    // RFC 6455 section 4.2.2.
    const key = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
    socket.write(`Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.write(JSON.stringify(headers));
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    server,
    reached: () => reached,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const FILES: Readonly<Record<ProxyName, string>> = {
  nginx: 'servers.conf',
  haproxy: 'haproxy.cfg',
  caddy: 'Caddyfile',
};

/** An example as it stands, before these two; `change` makes a mistake in it. */
export async function startExample(
  name: ProxyName,
  found: FoundProxy,
  { latchkeyPort, appPort }: { readonly latchkeyPort: number; readonly appPort: number },
  change: (config: string) => string = (config) => config,
) {
  const [port, feedPort] = [await freePort(), await freePort()];
  const ours = { 3000: latchkeyPort, 8080: appPort, 8000: port, 8001: feedPort };
  const unused = new Set(Object.keys(ours));
  const files: Record<string, string> = {};
  for (const file of readdirSync(new URL(`../../examples/${name}`, import.meta.url))) {
    if (file === 'README.md') continue;
    const config = example(`${name}/${file}`).replaceAll(
      /(?<=127\.0\.0\.1:|http:\/\/:)(3000|8080|8000|8001)\b/g,
      (written) => {
        unused.delete(written);
        return String(ours[written as unknown as keyof typeof ours]);
      },
    );
    files[file.endsWith('.conf') ? FILES[name] : file] = change(config);
  }
  if (unused.size > 0) throw new Error(`examples/${name} does not name the ports ${[...unused].join(', ')}`);
  return { ...(await startProxy(name, found, files, port)), port, feedPort };
}

export type Sent = Readonly<Record<string, string | string[]>>;

export function call(port: number, headers: Sent, method = 'GET', body = '', path = '/rooms?page=2'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === '' ? {} : { 'content-length': Buffer.byteLength(body) };
    const sent = request({ port, host: '127.0.0.1', path, method, headers: { ...length, ...headers }, agent: false });
    sent.once('error', reject);
    sent.once('upgrade', (_incoming, socket) => {
      socket.destroy();
      reject(new Error('another protocol was agreed on'));
    });
    sent.once('response', (incoming: IncomingMessage) => {
      const { statusCode: status = 0, headers: received } = incoming;
      text(incoming).then((answer) => resolve({ status, headers: received, body: answer }), reject);
    });
    sent.end(body);
  });
}
