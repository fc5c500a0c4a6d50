/**
 * Owns how a connection ends whose request was answered before its body had come: the answer says so, and what still comes
 * is never taken for a request. Must not know what was asked or answered.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** For the peer to read the answer and hang up: closed at once, what it still sends would reset the connection before. */
const LINGER_MS = 3_000;
/** More than this is not taken from it meanwhile: it may wait. */
const LINGER_BYTES = 262_144;

const ending = new WeakSet<Socket>();

/** Whether a body was announced (RFC 9112 section 6.3). Clients without one also say length 0. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Whether the next byte on the connection belongs to another request. */
export function hasAllCome(request: IncomingMessage): boolean {
  // After one that asks for another protocol, node:http passes over what else is in its packet.
  return (request.complete || !hasBody(request)) && request.headers.upgrade === undefined;
}

/**
 * Makes this request the last one of its connection (RFC 9112 section 9.6): our side is closed when the answer has gone out,
 * the connection when the peer closes too, or soon. To be called before the answer is written, which must say
 * `Connection: close`.
 */
export function makeLast({ socket }: IncomingMessage): void {
  if (ending.has(socket)) return;
  ending.add(socket);
  // With this node:http closes a connection after the last answer, at once and for both sides.
  socket.destroySoon = () => linger(socket);
}

/** Whether a request has come after the last one of its connection: bytes that were sent as something else. */
export function isAfterLast({ socket }: IncomingMessage): boolean {
  return ending.has(socket);
}

function linger(socket: Socket): void {
  const limit = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('end', () => socket.destroy());
  socket.once('close', () => clearTimeout(limit));
  socket.end();
  if (socket.readableFlowing === true) return passOver(socket);
  // It was paused while nobody read the body. Only node:http's own listener, which comes first, starts it again.
  socket.once('resume', () => passOver(socket));
  socket.resume();
}

/** Reads without parsing: in place of the listener of node:http, which by that lets go of the connection. */
function passOver(socket: Socket): void {
  let left = LINGER_BYTES;
  socket.removeAllListeners('data');
  socket.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) socket.pause();
  });
}
