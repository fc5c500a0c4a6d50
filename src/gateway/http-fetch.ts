/**
 * Owns the calls of a checker that was given no `fetch`: HTTP/1.1 over connections that are kept, but not for ever, and no
 * redirect is followed. Must not know what is asked.
 */
import { request as requestHttp, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { createAgents, type ConnectionOptions } from '../kept-connections.ts';
import type { Fetch, FetchInit } from './types.ts';

/** What a kept connection says that the other side has closed in the meantime. */
const CLOSED_MEANWHILE = new Set(['ECONNRESET', 'EPIPE']);

/** Only for calls that may be carried out twice: one that meets a reset on a kept connection is sent again at once. */
export function createHttpFetch(options: ConnectionOptions = {}): Fetch {
  const agents = createAgents(options);
  return async (url, init) => {
    const { protocol } = new URL(url);
    const { method = 'GET', headers } = init;
    const agent = agents[protocol];
    const start = protocol === 'https:' ? requestHttps : requestHttp;
    const begin = () => start(url, { method, headers, ...(agent && { agent }) });
    for (;;) {
      const request = begin();
      try {
        return answerOf(await responseTo(request, init));
      } catch (error) {
        // Each try takes one such connection out of the pool, so that the last one is new.
        if (init.signal.aborted || !request.reusedSocket || !CLOSED_MEANWHILE.has(codeOf(error))) throw error;
      }
    }
  };
}

function responseTo(request: ClientRequest, { body, signal }: FetchInit): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let response: IncomingMessage | undefined;
    const abandon = () => (response ?? request).destroy(signal.reason as Error);
    request.once('response', (answer) => {
      response = answer.on('error', () => {});
      resolve(answer);
    });
    // Both stay: whoever reads an answer hears of its end anyhow, and a server may answer and break the connection before it has read all.
    request.on('error', reject);
    request.once('close', () => signal.removeEventListener('abort', abandon));
    signal.addEventListener('abort', abandon);
    if (signal.aborted) abandon();
    else request.end(body);
  });
}

function answerOf(response: IncomingMessage) {
  return {
    status: response.statusCode ?? 0,
    headers: {
      get(name: string) {
        const value = response.headers[name.toLowerCase()];
        return value === undefined ? null : String(value);
      },
    },
    body: response,
  };
}

function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown }).code);
}
