/**
 * Owns how another service is asked by POST: over connections that are kept, but not for ever, and how much is read of its
 * answer. Must not know what is asked. Redirects are never followed: an address is what an operator has set, and no other.
 */
import { request as requestHttp, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { finished } from 'node:stream';
import { createAgents, createFreshAgents, type Agents, type ConnectionOptions } from '../kept-connections.ts';
import { assertPublicHost, publicLookup } from './public-targets.ts';
import { OutboundError, wordOf } from './trouble.ts';

const MAX_ANSWER_BYTES = 16_384;
/** For the rest of a body that nobody reads. */
const LET_GO_WITHIN_MS = 50;

export type Question = {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** For all of it, what is read of the answer included. */
  readonly withinMs: number;
  readonly stop?: AbortSignal;
};

export type Answer = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The whole body. Rejects when it does not come, is longer than 16 KiB, or is not UTF-8. */
  readonly text: () => Promise<string>;
};

/**
 * Hands the answer to `read` as soon as its status is there; what `read` leaves of the body is waited for no longer than a
 * moment, so that the connection can be kept. Rejects with an {@link OutboundError}, or with what `read` throws.
 *
 * @example await post({ url, body, headers, withinMs: 2_000 }, async ({ status }) => status === 200)
 */
export type Post = <T>(question: Question, read: (answer: Answer) => Promise<T>) => Promise<T>;

export type PostOptions = ConnectionOptions & {
  /** Nothing is sent to an address that is not one of the public internet, whatever name leads there. */
  readonly publicOnly?: boolean;
};

type Fault = (error: unknown) => OutboundError;

export function createPost({ publicOnly = false, ...given }: PostOptions = {}): Post {
  const options = publicOnly ? { ...given, lookup: publicLookup(given.lookup) } : given;
  const [kept, fresh] = [createAgents(options), createFreshAgents(options)];

  async function ask(question: Question, signal: AbortSignal): Promise<IncomingMessage> {
    if (publicOnly) assertPublicHost(question.url);
    const request = begin(question, signal, kept);
    return responseTo(request, question.body).catch((error: unknown) => {
      // The service had closed a connection that was kept, before it could know that there was more to come.
      if (!request.reusedSocket || signal.aborted || wordOf(error) !== 'broken_connection') throw error;
      return responseTo(begin(question, signal, fresh), question.body);
    });
  }

  return async (question, read) => {
    const { signal, fault, done } = limitOf(question);
    try {
      const response = await ask(question, signal).catch((error: unknown) => {
        throw fault(error);
      });
      try {
        const { statusCode: status = 0, headers } = response;
        return await read({ status, headers, text: () => textOf(response, fault) });
      } finally {
        await letGo(response);
      }
    } finally {
      done();
    }
  };
}

function begin(question: Question, signal: AbortSignal, agents: Agents): ClientRequest {
  const { protocol } = new URL(question.url);
  const agent = agents[protocol];
  const headers = { 'User-Agent': 'Latchkey', 'Accept-Encoding': 'identity', ...question.headers };
  const start = protocol === 'https:' ? requestHttps : requestHttp;
  return start(question.url, { method: 'POST', headers, signal, ...(agent && { agent }) });
}

function limitOf({ withinMs, stop }: Question) {
  const attempt = new AbortController();
  const abandon = () => attempt.abort();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    abandon();
  }, withinMs);
  stop?.addEventListener('abort', abandon);
  if (stop?.aborted) abandon();
  return {
    signal: attempt.signal,
    fault: (error: unknown) => new OutboundError(isLate ? 'timeout' : wordOf(error)),
    done: () => {
      clearTimeout(timer);
      stop?.removeEventListener('abort', abandon);
    },
  };
}

function responseTo(request: ClientRequest, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    // Stays: a service may answer and break the connection before it has read all.
    request.on('error', reject);
    request.once('close', () => reject(new Error('there was no answer')));
    request.end(body);
  });
}

async function textOf(response: IncomingMessage, fault: Fault): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response) {
      length += (chunk as Buffer).length;
      if (length > MAX_ANSWER_BYTES) break;
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    throw fault(error);
  }
  if (length > MAX_ANSWER_BYTES) throw new OutboundError('too_long');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new OutboundError('not_utf8');
  }
}

/** Reads on for a moment, so that the connection can be used again; what takes longer is cut off with its connection. */
function letGo(response: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let left = MAX_ANSWER_BYTES;
    const timer = setTimeout(() => response.destroy(), LET_GO_WITHIN_MS);
    finished(response, () => {
      clearTimeout(timer);
      resolve();
    });
    response.on('error', () => {});
    response.on('data', ({ length }: Buffer) => {
      left -= length;
      if (left < 0) response.destroy();
    });
  });
}
