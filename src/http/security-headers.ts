/**
 * Owns the headers that keep browsers from making anything of our answers. They are the same for every request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import helmet from 'helmet';

/** Answers are data: no page of any origin may run, frame or read them. What only concerns pages is left out. */
const protect = helmet({
  contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  xFrameOptions: { action: 'deny' },
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
});

/** Name, value, name, value, … as helmet sets them: asked once, not at every request. */
export function securityHeaders(): readonly string[] {
  const pairs: string[] = [];
  const recorder = { setHeader: (name: string, value: string) => pairs.push(name, value), removeHeader() {} };
  protect({} as IncomingMessage, recorder as unknown as ServerResponse, () => {});
  return pairs;
}
