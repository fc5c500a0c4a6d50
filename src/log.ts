/**
 * Owns the log: JSON lines, with everything secret removed. Must not know what is logged.
 */
import { pino, type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

const SECRETS = ['authorization', 'password', 'accessToken', 'refreshToken', 'token', 'passwordHash', 'deviceProof'];

/** Of lines that could not be written. */
const KEPT_CHARACTERS = 1 << 20;

export function createLog(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date(performance.timeOrigin + performance.now()).toISOString()}"`,
    redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
    serializers: { err: describeError },
  };
  // Synchronous: the buffered kind never ends its flush at exit once the reader of stdout has gone (`… | tee`, Ctrl-C).
  return pino(options, destination ?? standardOutput());
}

/** A full disk costs lines, not the service: some are kept until there is room, the rest is lost. */
function standardOutput(): DestinationStream {
  const output = pino.destination({ dest: 1, sync: true, maxLength: KEPT_CHARACTERS });
  output.on('error', () => {});
  return output;
}

/** Only what is known to be harmless: errors of clients carry the command that failed, with all that was in it. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: typeof error };
  const { name, message, stack, cause } = error;
  return { name, message, stack, ...(cause !== undefined && { cause: describeError(cause) }) };
}
