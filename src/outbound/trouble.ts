/**
 * Owns the words for why a service could not be asked, or not understood: operators read them, so they stay the same. Must
 * not know what was asked.
 */

const NETWORK_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused_connection',
  ECONNRESET: 'broken_connection',
  EPIPE: 'broken_connection',
  ENOTFOUND: 'unknown_host',
  EAI_AGAIN: 'unknown_host',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ETIMEDOUT: 'timeout',
};

/** RFC 7301 section 3.2: of all protocols we offer HTTP/1.1 alone. Node has it as a code, or in the words of OpenSSL. */
const NO_HTTP1 = /ALERT_NO_APPLICATION_PROTOCOL$|SSL alert number 120\b/m;

/** What OpenSSL and Node say of a certificate that they do not trust. */
const CERTIFICATE_ERROR = /CERT|LEAF_SIGNATURE|INVALID_CA|HOSTNAME_MISMATCH/;
/** Anything else that ends a handshake: no TLS on that port, or none that both sides speak. */
const TLS_ERROR = /^ERR_SSL_|^EPROTO$/;

/** Those that come before anything was sent: they would be the same for any other question. */
const BEFORE_SENDING: ReadonlySet<string> = new Set([
  'refused_connection',
  'unknown_host',
  'unreachable',
  'http2_only',
  'bad_tls',
  'bad_certificate',
  'private_address',
]);

/** RFC 9113 section 3.4: the first frame of an HTTP/2 server is SETTINGS, of stream 0. */
const SETTINGS_FRAME = 0x04;

export class OutboundError extends Error {
  /** As `timeout` or `refused_connection`. */
  readonly word: string;
  /** It has nothing to do with what was asked. */
  readonly isBeforeSending: boolean;

  constructor(word: string) {
    super(`the service could not be asked: ${word}`);
    this.name = 'OutboundError';
    this.word = word;
    this.isBeforeSending = BEFORE_SENDING.has(word);
  }
}

/** Of an error of node:http, node:https or what lies under them; `network` for anything that has no word of its own. */
export function wordOf(error: unknown): string {
  if (error instanceof OutboundError) return error.word;
  const {
    code = '',
    message,
    rawPacket,
  } = error as Error & { readonly code?: string; readonly rawPacket?: Uint8Array };
  const word = NETWORK_ERRORS[code];
  if (word !== undefined) return word;
  if (NO_HTTP1.test(code) || NO_HTTP1.test(message)) return 'http2_only';
  if (TLS_ERROR.test(code)) return 'bad_tls';
  if (CERTIFICATE_ERROR.test(code)) return 'bad_certificate';
  return isSettingsFrame(rawPacket) ? 'http2_only' : 'network';
}

function isSettingsFrame(bytes: Uint8Array | undefined): boolean {
  return bytes?.[3] === SETTINGS_FRAME && bytes.subarray(5, 9).every((byte) => byte === 0);
}
