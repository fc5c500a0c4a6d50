/**
 * A small chat whose users sign in with Latchkey. One socket server, any number of copies of it:
 *   LATCHKEY_URL=http://127.0.0.1:3000 GATEWAY_API_KEY=… PORT=4000 node examples/chat-gateway/server.mjs
 * Further settings: ISSUER (default LATCHKEY_URL), MODE (local | online), LEASE_INTERVAL_MS (default 20000).
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createTokenChecker } from 'latchkey/gateway';
import { authOf, requireToken } from 'latchkey/gateway/express';
import { attachWebSocketServer } from 'latchkey/gateway/ws';
import { WebSocket, WebSocketServer } from 'ws';

const { LATCHKEY_URL = 'http://127.0.0.1:3000', GATEWAY_API_KEY = '', ISSUER = LATCHKEY_URL } = process.env;
const { PORT = '4000', MODE = 'local', LEASE_INTERVAL_MS = '20000' } = process.env;
const MAX_BODY_BYTES = 16_384;
const MAX_MESSAGE_BYTES = 4_096;

const checker = createTokenChecker({
  issuer: ISSUER,
  url: LATCHKEY_URL,
  gatewayKey: GATEWAY_API_KEY,
  mode: MODE,
  onError: (error) => console.error(`latchkey: ${error.message}`),
});
await checker.ready({ timeoutMs: 30_000 });

const page = await readFile(new URL('index.html', import.meta.url));
const withToken = requireToken(checker);

/** What the page may ask of Latchkey through us, so that it needs no other origin. */
const FORWARDED = new Set(['POST /login', 'POST /token/refresh', 'POST /logout']);

const server = createServer((request, response) => {
  const call = `${request.method} ${request.url}`;
  if (call === 'GET /') return response.setHeader('content-type', 'text/html; charset=utf-8').end(page);
  if (call === 'GET /me') return withToken(request, response, () => response.end(JSON.stringify(authOf(request))));
  if (FORWARDED.has(call)) return void forward(request, response);
  return response.writeHead(404).end();
});

/** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
async function forward(request, response) {
  try {
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
      if (Buffer.concat(chunks).length > MAX_BODY_BYTES) return response.writeHead(413).end();
    }
    const { authorization } = request.headers;
    const answer = await fetch(LATCHKEY_URL + request.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(authorization && { authorization }) },
      body: Buffer.concat(chunks),
      // A password goes to Latchkey and to nobody else.
      redirect: 'manual',
    });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
    return response.end(Buffer.from(await answer.arrayBuffer()));
  } catch {
    return response.writeHead(502).end();
  }
}

const sockets = new WebSocketServer({ server, maxPayload: MAX_MESSAGE_BYTES });
const attached = attachWebSocketServer(sockets, checker, {
  presence: { leaseIntervalMs: Number(LEASE_INTERVAL_MS) },
  whenStale: 'close',
  onError: (error) => console.error(`sockets: ${error.message}`),
});

sockets.on('connection', (socket) => {
  const { sub: user, platform } = attached.authOf(socket);
  say({ type: 'joined', user, platform });
  socket.on('error', () => socket.terminate());
  socket.addEventListener('message', ({ data }) => {
    const message = parse(data);
    if (typeof message?.text === 'string') say({ type: 'said', user, platform, text: message.text });
    // The page has refreshed its access token: the socket may live on.
    if (typeof message?.accessToken === 'string') attached.renew(socket, message.accessToken).catch(() => {});
  });
});

/** Tells everybody who is connected here. */
function say(message) {
  for (const socket of sockets.clients) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }
}

function parse(data) {
  try {
    return typeof data === 'string' ? JSON.parse(data) : undefined;
  } catch {
    return undefined;
  }
}

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`chat on http://127.0.0.1:${server.address().port}`);
});

process.once('SIGTERM', async () => {
  server.close();
  await attached.close();
  checker.close();
  for (const socket of sockets.clients) socket.close(1001, 'the gateway goes down');
  sockets.close();
});
