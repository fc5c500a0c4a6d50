/**
 * Owns random texts, for ids and salts: as many bits as asked for from the system's generator, drawn for many at a time.
 */
import { randomBytes } from 'node:crypto';

const POOL_BYTES = 4096;

let pool = Buffer.alloc(0);
let used = 0;

/** Base64url; no byte is ever used twice. */
export function randomText(bytes: number): string {
  if (used + bytes > pool.length) {
    pool = randomBytes(POOL_BYTES);
    used = 0;
  }
  used += bytes;
  return pool.toString('base64url', used - bytes, used);
}
