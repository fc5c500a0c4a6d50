/**
 * Owns the signatures, on a thread of its own: a batch of texts in, their signatures out, in the same order. Must not know
 * what the texts say. Plain JavaScript, as a thread is started from a file that Node runs as it stands.
 */
import { sign } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';

/** @type {{ digest: string | null, key: import('node:crypto').SignKeyObjectInput }} */
const { digest, key } = workerData;

parentPort?.on('message', (/** @type {readonly string[]} */ texts) => {
  parentPort?.postMessage(texts.map((text) => sign(digest, Buffer.from(text), key).toString('base64url')));
});
