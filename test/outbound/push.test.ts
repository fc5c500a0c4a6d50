/** The word for why a receiver could not be reached: an operator reads it, and it stays the same. */
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, describe, expect, it } from '@jest/globals';
import { createPush } from '../../src/outbound/push.ts';
import { untrustedCertificate } from '../helpers/certificate.ts';

const servers: Server[] = [];
const sockets: Socket[] = [];
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

async function listening(server: Server): Promise<string> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.push(socket));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const push = createPush();
const send = (url: string) => push(url, 'header.payload.signature', new AbortController().signal);

describe('a receiver that cannot be reached', () => {
  it.each([
    // Longer than a name may be: whoever looks it up knows that without asking anybody.
    ['whose name nobody knows', 'unknown_host', async () => `http://${'x'.repeat(64)}.invalid/`],
    [
      'whose certificate nobody else has signed',
      'bad_certificate',
      async () => `https://${await listening(createTlsServer(untrustedCertificate()))}/`,
    ],
    [
      'whose certificate is signed by a stranger',
      'bad_certificate',
      async () => `https://${await listening(createTlsServer(untrustedCertificate('stranger')))}/`,
    ],
    ['that does not speak TLS', 'bad_tls', async () => `https://${await listening(createHttpServer())}/`],
    [
      'that hangs up',
      'broken_connection',
      async () => `http://${await listening(createServer((socket) => socket.once('data', () => socket.destroy())))}/`,
    ],
    [
      'that answers no HTTP',
      'network',
      async () => `http://${await listening(createServer((socket) => socket.end('hello\r\n\r\n')))}/`,
    ],
  ])('%s: the attempt is `%s`', async (_what, error, urlOf) => {
    expect(await send(await urlOf())).toEqual({ kind: 'failed', error });
  });
});
