/**
 * Owns Latchkey's public keys. An unknown `kid` has them fetched again, but not more often than the cooldown, so that
 * made-up tokens cause no load. Keys that cannot be fetched anew stay in use: they were published before they signed.
 */
import { importJWK, type CryptoKey, type JWK } from 'jose';

const COOLDOWN_MS = 5_000;
/** As the key set's Cache-Control says. */
const MAX_AGE_MS = 300_000;
export const ALGORITHMS = ['EdDSA', 'ES256', 'RS256'] as const;

type Key = { readonly alg: string; readonly key: CryptoKey };

export class KeySet {
  readonly #fetch: () => Promise<unknown>;
  readonly #onKeyGone: () => void;
  #keys: ReadonlyMap<string, Key> | undefined;
  #fetchedAt = -Infinity;
  #fetching: Promise<void> | undefined;

  /** @param onKeyGone a key is no longer published: what it has signed is not to be trusted any more */
  constructor(fetch: () => Promise<unknown>, onKeyGone: () => void) {
    this.#fetch = fetch;
    this.#onKeyGone = onKeyGone;
  }

  /** Undefined when there is no such key. Throws when that cannot be known. */
  find(kid: string | undefined, alg: string | undefined): CryptoKey | undefined | Promise<CryptoKey | undefined> {
    const age = performance.now() - this.#fetchedAt;
    const known = this.#lookUp(kid, alg);
    if (known === undefined && age > COOLDOWN_MS) return this.refresh().then(() => this.#lookUp(kid, alg));
    if (age > MAX_AGE_MS) this.refresh().catch(() => {}); // In the background: the next unknown key asks again.
    return known;
  }

  /** Throws GatewayUnavailableError. */
  refresh(): Promise<void> {
    this.#fetching ??= this.#load().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  #lookUp(kid: string | undefined, alg: string | undefined): CryptoKey | undefined {
    const found = this.#keys?.get(kid ?? '');
    return found?.alg === alg ? found?.key : undefined;
  }

  async #load(): Promise<void> {
    const { keys } = (await this.#fetch()) as { keys?: readonly JWK[] };
    const usable = (keys ?? []).filter(
      ({ kid, alg, use }) => kid !== undefined && use === 'sig' && ALGORITHMS.some((one) => one === alg),
    );
    const read = await Promise.all(
      usable.map(async (jwk): Promise<readonly [string, Key]> => {
        const { kid = '', alg = '' } = jwk;
        return [kid, { alg, key: (await importJWK(jwk, alg)) as CryptoKey }];
      }),
    );
    const before = this.#keys;
    this.#keys = new Map(read);
    this.#fetchedAt = performance.now();
    if (before && [...before.keys()].some((kid) => !this.#keys?.has(kid))) this.#onKeyGone();
  }
}
