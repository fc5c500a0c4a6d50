/**
 * Owns the log: JSON lines, with everything secret removed. Must not know what is logged.
 */
import { pino, stdTimeFunctions, type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

const SECRETS = ['authorization', 'password', 'accessToken', 'refreshToken', 'token', 'passwordHash', 'deviceProof'];

export function createLog(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    // The wall clock, as the monotonic one stands still while the machine sleeps.
    timestamp: stdTimeFunctions.isoTime,
    redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
    serializers: { err: describeError },
  };
  // Synchronous: the buffered kind never ends its flush at exit once the reader of stdout has gone (`… | tee`, Ctrl-C).
  return pino(options, destination ?? standardOutput());
}

/**
 * A full disk costs the lines that find no room, not the service: what could not be written is given up with its buffer. Not
 * the buffer itself is handed out, as its flushSync, with which a fatal line ends, tries for ever.
 */
function standardOutput(): DestinationStream {
  const open = () => {
    const fresh = pino.destination({ dest: 1, sync: true });
    fresh.on('error', ({ code }: NodeJS.ErrnoException) => {
      // Nobody reads any more, and nobody will.
      if (code !== 'EPIPE') output = open();
    });
    return fresh;
  };
  let output = open();
  return { write: (line) => void output.write(line) };
}

/** Only what is known to be harmless: errors of clients carry the command that failed, with all that was in it. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: typeof error };
  const { name, message, stack, cause } = error;
  return { name, message, stack, ...(cause !== undefined && { cause: describeError(cause) }) };
}
