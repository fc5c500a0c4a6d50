/**
 * Owns Latchkey's public keys. An unknown `kid` has them fetched again, but not more often than the cooldown, also when
 * that fails, so that made-up tokens cause no load. Keys that cannot be fetched anew stay in use for a while: they were published before they
 * signed. After their greatest age they are believed no more, as one of them may have been withdrawn.
 */
import { importJWK, type CryptoKey, type JWK } from 'jose';
import { GatewayUnavailableError } from './errors.ts';

const COOLDOWN_MS = 5_000;
/** As the key set's Cache-Control says. */
const MAX_AGE_MS = 300_000;
/** A key that was taken out of the set is not believed for longer, whatever cannot be reached. */
export const GREATEST_AGE_MS = 900_000;
export const ALGORITHMS = ['EdDSA', 'ES256', 'RS256'] as const;

type Key = { readonly alg: string; readonly key: CryptoKey };

export type KeySetOptions = {
  readonly fetch: () => Promise<unknown>;
  /** Ms that have passed, sleep of the machine included. */
  readonly now: () => number;
  /** A key is no longer published: what it has signed is not to be trusted any more. */
  readonly onKeyGone: () => void;
  /** Of what is fetched in the background, and of single keys. */
  readonly onTrouble: (error: unknown) => void;
};

export class KeySet {
  readonly #options: KeySetOptions;
  #keys: ReadonlyMap<string, Key> | undefined;
  #fetchedAt = -Infinity;
  #triedAt = -Infinity;
  #fetching: Promise<void> | undefined;
  /** Of the last fetch, if it failed. */
  #failure: { readonly error: unknown; readonly at: number } | undefined;

  constructor(options: KeySetOptions) {
    this.#options = options;
  }

  /** False when the keys are too old for a verdict. Has them fetched anew in the background in good time. */
  isBelievable(): boolean {
    const now = this.#options.now();
    const age = now - this.#fetchedAt;
    if (age > MAX_AGE_MS && now - this.#triedAt > COOLDOWN_MS) this.refresh().catch(this.#options.onTrouble);
    return age <= GREATEST_AGE_MS;
  }

  /** Undefined when there is no such key. Throws when that cannot be known. */
  find(kid: string | undefined, alg: string | undefined): CryptoKey | undefined | Promise<CryptoKey | undefined> {
    const known = this.#lookUp(kid, alg);
    const isUnknown = known === undefined && this.#options.now() - this.#fetchedAt > COOLDOWN_MS;
    if (isUnknown || !this.isBelievable()) return this.#refreshForToken().then(() => this.#lookUp(kid, alg));
    return known;
  }

  /** Throws GatewayUnavailableError. */
  refresh(): Promise<void> {
    this.#fetching ??= this.#load()
      .then(
        () => (this.#failure = undefined),
        (error: unknown) => {
          this.#failure = { error, at: this.#options.now() };
          throw error;
        },
      )
      .finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  /** What has just failed is not tried again for every token. */
  async #refreshForToken(): Promise<void> {
    const failure = this.#failure;
    const isTried = failure !== undefined && this.#options.now() - failure.at <= COOLDOWN_MS;
    if (isTried && this.#fetching === undefined) throw failure.error;
    return this.refresh();
  }

  #lookUp(kid: string | undefined, alg: string | undefined): CryptoKey | undefined {
    const found = this.#keys?.get(kid ?? '');
    return found?.alg === alg ? found?.key : undefined;
  }

  async #load(): Promise<void> {
    const startedAt = this.#options.now();
    this.#triedAt = startedAt;
    const published = publishedIn(await this.#options.fetch());
    const before = this.#keys;
    const keys = new Map<string, Key>();
    for (const jwk of published) {
      const { kid = '' } = jwk;
      // One that is still published and cannot be read for the moment is what it was.
      const key = (await this.#read(jwk)) ?? before?.get(kid);
      if (key !== undefined) keys.set(kid, key);
    }
    if (keys.size === 0) throw new GatewayUnavailableError('Latchkey gave no key set: not one key in it can be read');
    this.#keys = keys;
    this.#fetchedAt = startedAt;
    if (before && [...before.keys()].some((kid) => !keys.has(kid))) this.#options.onKeyGone();
  }

  async #read(jwk: JWK): Promise<Key | undefined> {
    const { kid, alg = '' } = jwk;
    try {
      return { alg, key: (await importJWK(jwk, alg)) as CryptoKey };
    } catch (cause) {
      this.#options.onTrouble(new Error(`the key ${JSON.stringify(kid)} of Latchkey cannot be read`, { cause }));
      return undefined;
    }
  }
}

/** The signing keys of a JWK set (RFC 7517 section 5). Throws for a 200 that is none: something in between may have answered. */
function publishedIn(answer: unknown): JWK[] {
  const { keys } = (answer ?? {}) as { readonly keys?: unknown };
  if (!Array.isArray(keys)) throw new GatewayUnavailableError('Latchkey gave no key set');
  const all = keys as readonly (JWK | null)[];
  return all.filter((jwk): jwk is JWK => {
    const { kid, alg, use } = jwk ?? {};
    return typeof kid === 'string' && use === 'sig' && ALGORITHMS.some((one) => one === alg);
  });
}
