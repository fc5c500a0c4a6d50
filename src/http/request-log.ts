/**
 * Owns the line that a request leaves in the log: one, whoever ends first, the service with its answer or the client. It has
 * routes, never addresses of a resource: those hold ids of people.
 */
import type { Logger } from '../log.ts';
import type { ClientReader } from './client.ts';
import type { NoteRequest } from './exchange.ts';

/** Undefined when nobody would read it. */
export function createRequestLog(log: Logger, client: ClientReader): NoteRequest | undefined {
  if (!log.isLevelEnabled('info')) return undefined;
  return (exchange) => {
    const { request, response, requestId } = exchange;
    const { method, socket } = request;
    const startedAt = performance.now();
    // Who has gone has no address any more.
    const ip = client.ipOf(request);
    const tell = (aborted: boolean) => {
      const { route, code } = exchange;
      const ms = Math.round((performance.now() - startedAt) * 10) / 10;
      const status = response.headersSent ? response.statusCode : undefined;
      log.info({ requestId, method, route, status, code, ms, ip, ...(aborted && { aborted }) }, 'request');
    };
    const onClose = () => {
      socket.off('close', onClose);
      response.off('close', onClose);
      if (exchange.isAnswered) return tell(!response.writableFinished && !exchange.isStream);
      // What it asked for is still being done: the line says what came of it.
      exchange.onAnswered = () => tell(true);
    };
    response.on('close', onClose);
    // Behind another one on its connection: node:http does not tell it when that closes.
    if (response.socket === null) socket.setMaxListeners(0).on('close', onClose);
  };
}
