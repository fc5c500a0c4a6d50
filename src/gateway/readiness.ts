/**
 * Owns whether a checker can begin, and who waits for it. Must not know what it takes.
 */
import { GatewayUnavailableError } from './errors.ts';
import { whole } from './options.ts';

type Waiting = { readonly resolve: () => void; readonly reject: (error: Error) => void };

export class Readiness {
  readonly #waiting = new Set<Waiting>();
  #isReady = false;
  /** Trouble that does not heal by itself. */
  #refusal: Error | undefined;
  #lastTrouble: unknown;

  get isReady(): boolean {
    return this.#isReady;
  }

  /** From now on for ever. */
  begin(): void {
    this.#isReady = true;
    this.#settle(({ resolve }) => resolve());
  }

  /** Told to who waits, and to who asks from now on, unless it begins after all. */
  refuse(error: Error): void {
    this.#refusal = error;
    this.#settle(({ reject }) => reject(error));
  }

  note(trouble: unknown): void {
    this.#lastTrouble = trouble;
  }

  /**
   * Whoever awaits it hears of a refusal; nobody has to.
   *
   * @param timeoutMs 1 to 3600000; none: as long as it takes
   */
  wait(timeoutMs: number | undefined): Promise<void> {
    const waited = this.#wait(timeoutMs);
    waited.catch(() => {});
    return waited;
  }

  async #wait(timeoutMs: number | undefined): Promise<void> {
    if (timeoutMs !== undefined) whole('timeoutMs', timeoutMs, 1, 3_600_000);
    if (this.#isReady) return;
    if (this.#refusal !== undefined) throw this.#refusal;
    let limit: NodeJS.Timeout | undefined;
    const begun = new Promise<void>((resolve, reject) => {
      const waiting = { resolve, reject };
      this.#waiting.add(waiting);
      if (timeoutMs === undefined) return;
      limit = setTimeout(() => {
        this.#waiting.delete(waiting);
        reject(this.#lateError(timeoutMs));
      }, timeoutMs);
    });
    await begun.finally(() => clearTimeout(limit));
  }

  #lateError(timeoutMs: number): GatewayUnavailableError {
    const cause = this.#lastTrouble;
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    return new GatewayUnavailableError(`not ready within ${timeoutMs} ms${why}`, { cause });
  }

  #settle(call: (waiting: Waiting) => void): void {
    for (const waiting of this.#waiting) call(waiting);
    this.#waiting.clear();
  }
}
