/**
 * Owns how errors of the operating system are told to people. Must not know settings.
 */
import { types } from 'node:util';

/** errno names, POSIX.1-2017 <errno.h>, and those of getaddrinfo. */
const SENTENCES: Readonly<Record<string, string>> = {
  EACCES: 'this process has no right to it',
  EADDRINUSE: 'it is in use by another process',
  EADDRNOTAVAIL: 'it is no address of this machine',
  EAI_AGAIN: 'its name cannot be looked up now',
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'it closes the connection at once',
  EEXIST: 'something else has its name',
  EHOSTUNREACH: 'there is no way to this host',
  EISDIR: 'it is a folder',
  EMFILE: 'this process has too many files open',
  ENAMETOOLONG: 'its name is too long',
  ENETUNREACH: 'there is no way to its network',
  ENOENT: 'it does not exist',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of its path is no folder',
  ENOTFOUND: 'no host has this name',
  EPERM: 'this process has no right to it',
  EROFS: 'it cannot be written',
  ETIMEDOUT: 'it does not answer',
};

/** Whether the operating system gave this error, as one of Node's calls hands it on; Node's own codes begin with ERR_. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException & { readonly code: string } {
  return types.isNativeError(error) && /^E(?!RR_)[A-Z_]+$/.test(String((error as NodeJS.ErrnoException).code));
}

/**
 * Half a sentence about whatever could not be used, without its name.
 *
 * @example `${file} cannot be read: ${reasonOf(error)}` // keys.json cannot be read: it does not exist (ENOENT)
 */
export function reasonOf(error: unknown): string {
  if (!isSystemError(error)) return types.isNativeError(error) ? error.message : String(error);
  const sentence = SENTENCES[error.code];
  return sentence === undefined ? error.code : `${sentence} (${error.code})`;
}
