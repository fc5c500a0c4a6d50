/**
 * Owns how the operator's own user service is asked about a password. Only its clear "yes" is a login and only its clear
 * "no" a wrong password; anything else is `credentials_unavailable`. Must not know what the answer is used for.
 *
 * POST {tenant, userId, password} as JSON with Latchkey-Timestamp (unix seconds) and Latchkey-Signature:
 * hex HMAC-SHA256 under the shared secret of "<timestamp>.<body>". 200 {userId?} = right, 401 = wrong.
 */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { LatchkeyError } from '../contract/errors.ts';
import { userIdSchema } from '../contract/messages.ts';
import { readAnswer } from '../outbound/answer-text.ts';
import type { Credentials } from '../tokens/credentials.ts';

const ANSWER_WITHIN_MS = 2_000;
/** So many failures in a row open the circuit: nobody is asked for a while, so that a service in trouble can recover. */
const FAILURES_TO_OPEN = 5;
const OPEN_FOR_MS = 5_000;

const answerSchema = z.object({ userId: userIdSchema.optional() });

export type DelegateOptions = {
  readonly url: string;
  readonly secret: string;
  /** Unix ms, by which the request is dated. */
  readonly now: () => number;
  /** Monotonic ms, by which the circuit closes again. */
  readonly monotonic?: () => number;
};

export function createDelegate({
  url,
  secret,
  now,
  monotonic = () => performance.now(),
}: DelegateOptions): Credentials {
  const circuit = createCircuit(monotonic);

  async function ask(body: string): Promise<Response> {
    const timestamp = String(Math.floor(now() / 1000));
    const signature = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
    return fetch(url, {
      method: 'POST',
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      headers: {
        'Content-Type': 'application/json',
        'Latchkey-Timestamp': timestamp,
        'Latchkey-Signature': signature,
      },
    });
  }

  return {
    async prove({ tenant, userId }, password) {
      const proven = await circuit.guard(async () => {
        const response = await ask(JSON.stringify({ tenant, userId, password }));
        if (response.status === 401) {
          await response.body?.cancel();
          return undefined;
        }
        if (response.status !== 200) throw new Error(`the user service answered ${response.status}`);
        return answerSchema.parse(parseJson(await readAnswer(response))).userId ?? userId;
      });
      // The directory is not ours: what it said a moment ago is all there is to know.
      return proven === undefined ? undefined : { userId: proven, stillGood: async () => true };
    },
  };
}

/** Without the words of JSON.parse, which quote the text: it may repeat the password, and errors are logged. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Error('the user service did not answer JSON');
  }
}

/** Lets calls through until too many have failed in a row; then one at a time may try, once the pause is over. */
function createCircuit(monotonic: () => number) {
  let failures = 0;
  let openUntil = 0;
  return {
    async guard<T>(call: () => Promise<T>): Promise<T> {
      const wait = openUntil - monotonic();
      if (wait > 0) throw new LatchkeyError('credentials_unavailable', { retryAfterSeconds: wait / 1000 });
      // Half open: whoever comes while this one tries is told to wait.
      if (failures >= FAILURES_TO_OPEN) openUntil = monotonic() + ANSWER_WITHIN_MS;
      try {
        const answer = await call();
        failures = 0;
        openUntil = 0;
        return answer;
      } catch (error) {
        failures += 1;
        if (failures >= FAILURES_TO_OPEN) openUntil = monotonic() + OPEN_FOR_MS;
        throw new LatchkeyError('credentials_unavailable', { cause: error });
      }
    },
  };
}
