/**
 * Owns the headers that keep browsers from making anything of our answers. They are the same for every request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import helmet from 'helmet';

/** Name, value, name, value, … as helmet sets them: asked once, not at every request. */
export function securityHeaders(): readonly string[] {
  const pairs: string[] = [];
  const recorder = { setHeader: (name: string, value: string) => pairs.push(name, value), removeHeader() {} };
  helmet()({} as IncomingMessage, recorder as unknown as ServerResponse, () => {});
  return pairs;
}
