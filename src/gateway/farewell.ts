/**
 * Owns how a socket is closed that may not be, or stay, open: it is not listened to any more, told why, and cut off when it
 * does not go. Nothing that fails on the way keeps it open. Must not know why it has to go.
 */
import type { End } from './end-of-token.ts';
import type { GatewaySocket } from './ws-types.ts';

/** Close code of a socket whose token is no good; private range of RFC 6455 section 7.4.2. */
export const CLOSE_TOKEN_ENDED = 4401;
/** RFC 6455, IANA registry: try again later. */
export const CLOSE_TRY_AGAIN = 1013;
/** A peer that does not answer the close by then is cut off. */
const CLOSE_LIMIT_MS = 2_000;
/** RFC 6455 section 5.5: a close frame has room for so much. */
const MAX_REASON_BYTES = 123;

export type Farewell = {
  /** Of the sockets of one token: a last message, 4401, and the code as reason. */
  end(sockets: readonly GatewaySocket[], end: End): void;
  shut(socket: GatewaySocket, code: number, reason: string): void;
};

/** @param describe may throw: the code is the text then */
export function createFarewell(describe: (end: End) => unknown, onError: (error: unknown) => void): Farewell {
  function carefully<T>(step: () => T): T | undefined {
    try {
      return step();
    } catch (error) {
      onError(error);
      return undefined;
    }
  }

  function textOf(end: End): string {
    const text = carefully(() => describe(end));
    return typeof text === 'string' ? text : end.reason;
  }

  function shut(socket: GatewaySocket, code: number, reason: string): void {
    const limit = setTimeout(() => carefully(() => socket.terminate()), CLOSE_LIMIT_MS).unref();
    socket.on('close', () => clearTimeout(limit));
    carefully(() => socket.close(code, Buffer.from(reason).subarray(0, MAX_REASON_BYTES).toString()));
  }

  return {
    end(sockets, end) {
      // Most tokens that end are connected elsewhere: no text is made for them.
      if (sockets.length === 0) return;
      // What the peers have still sent is not looked at: it is nobody's any more.
      sockets.forEach(mute);
      const { reason: code, endedBy, endedAt: at } = end;
      const message = JSON.stringify({ type: 'token_ended', code, endedBy, at, text: textOf(end) });
      for (const socket of sockets) {
        carefully(() => socket.send(message));
        shut(socket, CLOSE_TOKEN_ENDED, code);
      }
    },

    shut(socket, code, reason) {
      mute(socket);
      shut(socket, code, reason);
    },
  };
}

function mute(socket: GatewaySocket): void {
  socket.removeAllListeners('message');
  // A peer that goes away in between: no error of ours.
  socket.on('error', () => {});
}
