/**
 * Owns how old what is known of each open socket's token is, and asking again about those that are in doubt. Must not know
 * what an answer leads to.
 */
import type { ElapsedTime } from './clock.ts';
import type { TokenChecker, Verdict } from './types.ts';

/** Sockets that are asked about at a time. */
const AT_ONCE = 100;
/** Who is found too old all at once, as after a sleep of this machine, is asked about before he is closed. */
const GRACE_MS = 2_000;

/** `knownAt`: elapsed ms when its token was known to be good. */
export type Subject = { token: string; knownAt: number };

export type DoubtsOptions<C extends Subject> = {
  readonly checker: Pick<TokenChecker, 'check' | 'stalenessMs' | 'maxStalenessMs'>;
  readonly elapsed: ElapsedTime;
  /** Called for a socket of which nothing was known for longer than `maxStalenessMs`. Without it nobody is asked about for age. */
  readonly onStale: ((connection: C) => void) | undefined;
  /** Of a question about `token`; undefined when it could not be asked. True: it is still in doubt. */
  readonly onAnswer: (connection: C, token: string, verdict: Verdict | undefined) => boolean;
};

export class Doubts<C extends Subject> {
  readonly #options: DoubtsOptions<C>;
  /** Since when, elapsed ms. */
  readonly #doubtful = new Map<C, { readonly since: number }>();
  /** Of them those that are to be asked about, and those for which the next sweep is waited for. */
  readonly #next = new Set<C>();
  readonly #later: C[] = [];
  #asking = 0;
  /** Elapsed ms: all that happened before has been heard, for those that are not in doubt. */
  #heardAt = -Infinity;

  constructor(options: DoubtsOptions<C>) {
    this.#options = options;
  }

  /** Ms for which nothing was known of it. */
  ageOf(connection: C): number {
    const now = this.#options.elapsed.now();
    this.#listen(now);
    return now - this.#knownAt(connection);
  }

  has(connection: C): boolean {
    return this.#doubtful.has(connection);
  }

  /** Its token may have ended unheard. */
  add(connection: C): void {
    connection.knownAt = this.#knownAt(connection);
    this.#doubtful.set(connection, { since: this.#options.elapsed.now() });
    this.#next.add(connection);
  }

  drop(connection: C): void {
    this.#doubtful.delete(connection);
    this.#next.delete(connection);
  }

  clear(): void {
    this.#doubtful.clear();
    this.#next.clear();
  }

  /** To be called about once a second. */
  sweep(connections: Iterable<C>): void {
    const now = this.#options.elapsed.now();
    this.#options.elapsed.settle();
    this.#listen(now);
    if (this.#options.onStale !== undefined) for (const connection of connections) this.#lookAt(connection, now);
    for (const connection of this.#later.splice(0)) if (this.#doubtful.has(connection)) this.#next.add(connection);
    this.ask();
  }

  /** Those that cannot be asked about are tried again at the next sweep. */
  ask(): void {
    for (const connection of this.#next) {
      if (this.#asking >= AT_ONCE) return;
      this.#next.delete(connection);
      void this.#askAbout(connection);
    }
  }

  #lookAt(connection: C, now: number): void {
    const { checker, onStale } = this.#options;
    const age = now - this.#knownAt(connection);
    const early = checker.maxStalenessMs / 2;
    if (age <= early) return;
    const doubt = this.#doubtful.get(connection);
    if (doubt === undefined) this.add(connection);
    else if (age > checker.maxStalenessMs && now - doubt.since >= Math.min(early, GRACE_MS)) onStale?.(connection);
  }

  async #askAbout(connection: C): Promise<void> {
    const { checker, elapsed, onAnswer } = this.#options;
    const askedAt = elapsed.now();
    const { token } = connection;
    const doubt = this.#doubtful.get(connection);
    this.#asking += 1;
    // What is remembered is as old as the doubt.
    const verdict = await checker.check(token, { online: true }).catch(() => undefined);
    this.#asking -= 1;
    // Neither of one that has gone, nor of one that has come into doubt anew.
    if (doubt !== undefined && this.#doubtful.get(connection) === doubt) {
      if (onAnswer(connection, token, verdict)) this.#later.push(connection);
      else {
        connection.knownAt = Math.max(connection.knownAt, askedAt);
        this.drop(connection);
      }
    }
    this.ask();
  }

  #listen(now: number): void {
    this.#heardAt = Math.max(this.#heardAt, now - this.#options.checker.stalenessMs());
  }

  #knownAt(connection: C): number {
    return this.#doubtful.has(connection) ? connection.knownAt : Math.max(connection.knownAt, this.#heardAt);
  }
}
