/**
 * Owns how claims become a signed JWT: the JWS around them, and the threads on which signatures are made, several a
 * message. Must not know what the claims say.
 */
import type { KeyObject } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { SigningAlgorithm, SigningKeys } from './signing-keys.ts';

type Way = {
  /** What the signature is made of: RFC 7518 sections 3.3 and 3.4; null for Ed25519, which hashes by itself. */
  readonly digest: string | null;
  /** Signatures of one message: what a thread does before the first of them is back. */
  readonly batch: number;
  readonly threads: number;
};

/** An RSA signature costs six to ten times as much as the others: it shares neither a message nor one single thread. */
const WAYS: Readonly<Record<SigningAlgorithm, Way>> = {
  EdDSA: { digest: null, batch: 8, threads: 1 },
  ES256: { digest: 'sha256', batch: 8, threads: 1 },
  RS256: { digest: 'sha256', batch: 1, threads: Math.min(4, availableParallelism()) },
};

/** Makes JWTs of one media type. Rejects when the signature cannot be made. */
export type SignClaims = (claims: object) => Promise<string>;

export type Signing = {
  /** @param type media type of the JWT in the short form of its header (RFC 7515 section 4.1.9) */
  forType(type: string): SignClaims;
  /** Ends the threads; what they have not signed is rejected, and so is what is asked for later. */
  close(): Promise<void>;
};

export function openSigning({ algorithm, kid, privateKey }: SigningKeys): Signing {
  const { digest, batch, threads } = WAYS[algorithm];
  const all = Array.from({ length: threads }, () => new SigningThread(digest, privateKey, batch));
  return {
    forType(type) {
      const header = encode({ alg: algorithm, typ: type, kid });
      return async (claims) => {
        const text = `${header}.${encode(claims)}`;
        const thread = all.reduce((best, one) => (one.waiting < best.waiting ? one : best));
        // RFC 7515 section 7.1: header, payload, signature.
        return `${text}.${await thread.sign(text)}`;
      };
    },
    async close() {
      await Promise.all(all.map((thread) => thread.close()));
    },
  };
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

type Waiting = { readonly resolve: (signature: string) => void; readonly reject: (error: Error) => void };

const ENDED = 'the signing thread has ended';

/** A thread, and who waits for it. One that ends by itself fails those and is started again by the next. */
class SigningThread {
  readonly #options: object;
  readonly #batchSize: number;
  #worker: Worker | undefined;
  #isClosed = false;
  #batch: string[] = [];
  #waiting: Waiting[] = [];

  constructor(digest: string | null, key: KeyObject, batchSize: number) {
    // RFC 7518 section 3.4: the two numbers of an ECDSA signature side by side. Other keys take no notice.
    this.#options = { digest, key: { key, dsaEncoding: 'ieee-p1363' } };
    this.#batchSize = batchSize;
    this.#worker = this.#start();
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  sign(text: string): Promise<string> {
    if (this.#isClosed) return Promise.reject(new Error(ENDED));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#batch.push(text);
      if (this.#batch.length === this.#batchSize) this.#send();
      // What else is signed in this turn goes along.
      else if (this.#batch.length === 1) setImmediate(() => this.#send());
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #send(): void {
    if (this.#batch.length === 0) return;
    this.#worker ??= this.#start();
    this.#worker.postMessage(this.#batch);
    this.#batch = [];
  }

  #start(): Worker {
    let cause: unknown;
    // Nothing of this process passes to it: neither its environment nor what it was started with.
    const worker = new Worker(new URL('signing-thread.mjs', import.meta.url), {
      workerData: this.#options,
      env: {},
      execArgv: [],
    });
    worker.on('message', (signatures: string[]) => {
      for (const [index, { resolve }] of this.#waiting.splice(0, signatures.length).entries()) {
        resolve(signatures[index] ?? '');
      }
    });
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#batch = [];
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(ENDED, { cause }));
    });
    return worker;
  }
}
