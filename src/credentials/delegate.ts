/**
 * Owns how the operator's own user service is asked about a password. Only its clear "yes" is a login and only its clear
 * "no" a wrong password; anything else is `credentials_unavailable`. Must not know what the answer is used for.
 *
 * POST {tenant, userId, password} as JSON with Latchkey-Timestamp (unix seconds) and Latchkey-Signature:
 * hex HMAC-SHA256 under the shared secret of "<timestamp>.<body>". 200 {userId?} = right, 401 = wrong.
 */
import { createHmac } from 'node:crypto';
import { networkOf } from '../addresses.ts';
import { LatchkeyError } from '../contract/errors.ts';
import { userServiceAnswer } from '../contract/user-service.ts';
import { createPost, type Answer, type PostOptions } from '../outbound/post.ts';
import { OutboundError } from '../outbound/trouble.ts';
import type { Credentials } from '../tokens/credentials.ts';
import { createBreaker, ServiceFailure } from './breaker.ts';

const ANSWER_WITHIN_MS = 2_000;

/** What the service has answered by itself, however odd. */
const UNREADABLE: ReadonlySet<string> = new Set(['too_long', 'not_utf8']);

export type DelegateOptions = PostOptions & {
  readonly url: string;
  readonly secret: string;
  /** Unix ms, by which the request is dated. */
  readonly now: () => number;
};

export function createDelegate({ url, secret, now, ...options }: DelegateOptions): Credentials {
  const post = createPost(options);
  const breaker = createBreaker(options.monotonic ?? (() => performance.now()));

  function ask(body: string): Promise<Yes | undefined> {
    const timestamp = String(Math.floor(now() / 1000));
    const signature = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
    const headers = {
      'Content-Type': 'application/json',
      Accept: 'application/json',
      'Latchkey-Timestamp': timestamp,
      'Latchkey-Signature': signature,
    };
    return post({ url, body, headers, withinMs: ANSWER_WITHIN_MS }, readAnswer).catch((error: unknown) => {
      if (!(error instanceof OutboundError) || UNREADABLE.has(error.word)) throw error;
      throw new ServiceFailure(error.message, error.isBeforeSending);
    });
  }

  return {
    async prove({ tenant, userId, ip }, password) {
      assertWellFormed({ tenant, userId, password });
      const asker = { user: JSON.stringify([tenant, userId]), address: networkOf(ip) };
      const yes = await breaker.guard(asker, () => ask(JSON.stringify({ tenant, userId, password })));
      // The directory is not ours: what it said a moment ago is all there is to know.
      return yes && { userId: yes.userId ?? userId, stillGood: async () => true };
    },
  };
}

type Yes = { readonly userId?: string | undefined };

/** Undefined: a no. */
async function readAnswer({ status, text }: Answer): Promise<Yes | undefined> {
  if (status === 401) return undefined;
  if (status >= 500) throw new ServiceFailure(`the user service answered ${status}`, false);
  if (status !== 200) throw new Error(`the user service answered ${status}`);
  const answer = userServiceAnswer.safeParse(parseJson(await text()));
  // Without the words of the schema, which name members of the answer.
  if (!answer.success) throw new Error('the user service answered 200 with something else than {} or {"userId": "…"}');
  return answer.data;
}

/** Without the words of JSON.parse, which quote the text: it may repeat the password, and errors are logged. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Error('the user service did not answer JSON');
  }
}

/** Half a surrogate pair is no text: others read it as they like, or stumble over it. */
function assertWellFormed(asked: Readonly<Record<string, string>>): void {
  const [name] = Object.entries(asked).find(([, text]) => !text.isWellFormed()) ?? [];
  if (name === undefined) return;
  throw new LatchkeyError('invalid_request', { detail: `${name}: expected Unicode text, without lone surrogates` });
}
