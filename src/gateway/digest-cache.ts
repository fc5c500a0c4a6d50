/**
 * Owns a bounded map that forgets what was not used for longest, roughly: two halves, and when the young one is full the
 * old one goes. A hit costs a look-up and nothing else.
 */
export class DigestCache<T> {
  readonly #half: number;
  #young = new Map<string, T>();
  #old = new Map<string, T>();

  constructor(size: number) {
    this.#half = Math.max(1, Math.ceil(size / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(digest: string): T | undefined {
    const young = this.#young.get(digest);
    if (young !== undefined) return young;
    const old = this.#old.get(digest);
    if (old !== undefined) {
      this.#old.delete(digest);
      this.set(digest, old);
    }
    return old;
  }

  set(digest: string, value: T): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(digest, value);
  }

  delete(digest: string): void {
    this.#young.delete(digest);
    this.#old.delete(digest);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}
