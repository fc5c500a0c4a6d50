/**
 * Owns what is noted of the client behind a request: address and user agent. Neither says who anyone is.
 */
import type { Request } from 'express';

const MAX_USER_AGENT = 128;

export function clientOf(request: Request): { ip: string; userAgent: string } {
  return {
    ip: (request.ip ?? '').replace(/^::ffff:/, ''),
    userAgent: (request.get('user-agent') ?? '').replaceAll(/\p{Cc}/gu, '').slice(0, MAX_USER_AGENT),
  };
}
