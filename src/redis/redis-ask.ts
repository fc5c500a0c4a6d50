/**
 * One command to a server that may not be there, for starting and ending one. Everything else talks through ioredis.
 */
import { connect } from 'node:net';

export type RedisAddress = { readonly path: string } | { readonly host: string; readonly port: number };

const TIMEOUT_MS = 1_000;

/** The first line of the reply as Redis sends it (`+PONG`, `-LOADING …`), or '' when there was none. Never rejects. */
export function ask(address: RedisAddress, command: 'PING' | 'SHUTDOWN'): Promise<string> {
  return new Promise((resolve) => {
    let reply = '';
    const socket = connect({ ...address });
    socket.setEncoding('utf8');
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy());
    socket.on('data', (chunk: string) => {
      reply += chunk;
      if (reply.includes('\n')) socket.destroy();
    });
    // Refused, reset, no such file: all mean "no reply", and 'close' follows.
    socket.on('error', () => {});
    socket.on('close', () => resolve(reply.split('\r\n', 1)[0] ?? ''));
    socket.write(`${command}\r\n`);
  });
}
