/**
 * Owns how a packed body is unpacked (Content-Encoding, RFC 9110 section 8.4). Never makes more of it than is allowed.
 */
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { LatchkeyError } from '../contract/errors.ts';

/** Throws `payload_too_large` when more than `limitBytes` come out, `invalid_request` when the bytes are not packed so. */
export type Unpack = (bytes: Buffer, limitBytes: number) => Promise<Buffer>;

const PACKED = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
} as const;

const isKnown = (name: string): name is keyof typeof PACKED => Object.hasOwn(PACKED, name);

/** Undefined for a body that is sent as it is; throws `unsupported_media_type` for what is not known here. */
export function unpackerFor(contentEncoding = 'identity'): Unpack | undefined {
  const name = contentEncoding.toLowerCase();
  if (name === 'identity') return undefined;
  if (!isKnown(name)) {
    const detail = `expected the Content-Encoding ${Object.keys(PACKED).join(', ')}, or none`;
    throw new LatchkeyError('unsupported_media_type', { detail });
  }
  return async (bytes, limitBytes) => {
    if (bytes.length === 0) return bytes;
    try {
      return await PACKED[name](bytes, { maxOutputLength: limitBytes });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
        throw new LatchkeyError('payload_too_large');
      throw new LatchkeyError('invalid_request', { detail: `the body is not packed with ${name}` });
    }
  };
}
