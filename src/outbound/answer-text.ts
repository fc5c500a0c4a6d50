/**
 * Owns how much is read of what another service answers. Must not know what the answer means.
 */

const MAX_ANSWER_BYTES = 16_384;

/** The whole answer as text. Throws when it is longer than 16 KiB; the rest is not read. */
export async function readAnswer(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += (chunk as Uint8Array).length;
    if (length > MAX_ANSWER_BYTES) throw new Error('the service answered too much');
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString('utf8');
}
