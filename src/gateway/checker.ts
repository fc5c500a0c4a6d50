/**
 * Owns the answer to "is this access token good?" in a gateway. In local mode it is given from memory while the feed is
 * fresh, and asked of Latchkey while it is not; in online mode it is asked every time. When asking fails, check() fails.
 */
import { hash } from 'node:crypto';
import { createApi, type Api } from './api.ts';
import { createAsk, type Ask } from './ask.ts';
import { LatchkeyClock } from './clock.ts';
import { DigestCache } from './digest-cache.ts';
import { ENDING_TYPES, readEnd } from './end-of-token.ts';
import { EndedTokens } from './ended-tokens.ts';
import { GatewayKeyRefusedError, GatewayUnavailableError } from './errors.ts';
import { followFeed } from './feed.ts';
import { KeySet } from './key-set.ts';
import { ANY_TENANT, oneOf, readOptions, type Settings } from './options.ts';
import type {
  CheckerEvents,
  CheckerOptions,
  Claims,
  Connected,
  PresenceResult,
  TokenChecker,
  TokenReason,
  Verdict,
} from './types.ts';
import { createVerify, type Verify } from './verify.ts';

/** Longer is not Latchkey's: no claim of its is longer than 128 characters. */
const MAX_LENGTH = 8192;
const EVENT_NAMES = ['ended', 'gap'] as const satisfies readonly (keyof CheckerEvents)[];

/** Its `iat` is in whole seconds: a token may seem older than it is by as much. */
const SECOND_MS = 1000;

type Known = { readonly verdict: Promise<Verdict>; readonly tokenId: string; readonly expiresAt: number };

/** Throws a TypeError or RangeError for an option that is wrong. */
export function createTokenChecker(options: CheckerOptions): TokenChecker {
  return new Checker(readOptions(options));
}

const refusal = (reason: TokenReason): Promise<Verdict> => Promise.resolve(Object.freeze({ active: false, reason }));
const MISSING = refusal('token_missing');
const MALFORMED = refusal('token_malformed');
const EXPIRED = refusal('token_expired');

class Checker implements TokenChecker {
  readonly #settings: Settings;
  readonly #isLocal: boolean;
  readonly #api: Api;
  readonly #ask: Ask;
  readonly #keys: KeySet;
  readonly #verify: Verify;
  readonly #clock = new LatchkeyClock();
  /** Tokens that were verified and need no more than a look at `ended`; by digest, never by the token itself. */
  readonly #known: DigestCache<Known>;
  readonly #ended = new EndedTokens();
  readonly #listeners = { ended: new Set<CheckerEvents['ended']>(), gap: new Set<CheckerEvents['gap']>() };
  readonly #stop = new AbortController();
  readonly #ready: Ready = createReady();
  #isClosed = false;
  #isFollowing = false;
  #wasLive = false;
  /** Monotonic ms: everything that happened before has been heard. */
  #freshAt = -Infinity;
  /** Tokens issued until then (Latchkey's ms) may have ended unheard: each is asked about once. */
  #doubtUntil = -Infinity;
  /** Counts resets, so that what was asked before one is not believed after it. */
  #generation = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#isLocal = settings.mode === 'local';
    this.#api = createApi(settings);
    this.#ask = createAsk(this.#api, settings.tenant);
    this.#known = new DigestCache(settings.cacheSize);
    this.#keys = new KeySet(
      () => this.#api.jwks(),
      () => this.#known.clear(),
    );
    this.#verify = createVerify(this.#keys, settings);
    if (this.#isLocal) this.#follow();
    else void this.#probe();
  }

  check(token: string | undefined, how?: { readonly online?: boolean }): Promise<Verdict> {
    if (token === undefined || token === '') return MISSING;
    if (token.length > MAX_LENGTH) return MALFORMED;
    if (this.#isClosed) return Promise.reject(new GatewayUnavailableError('the checker is closed'));
    const digest = hash('sha256', token, 'base64url');
    if (!this.#isLocal || how?.online === true) return this.#ask(token, digest);
    const known = this.#known.get(digest);
    const monotonic = performance.now();
    if (known === undefined) return this.#isFresh(monotonic) ? this.#meet(token, digest) : this.#ask(token, digest);
    if (this.#clock.now(monotonic) >= known.expiresAt) return EXPIRED;
    const ended = this.#ended.find(known.tokenId);
    if (ended !== undefined) return ended;
    return this.#isFresh(monotonic) ? known.verdict : this.#ask(token, digest);
  }

  on<Name extends keyof CheckerEvents>(name: Name, listener: CheckerEvents[Name]): void {
    this.#listenersOf(name).add(listener);
    // Online mode needs the feed only when somebody wants to hear of ends.
    this.#follow();
  }

  off<Name extends keyof CheckerEvents>(name: Name, listener: CheckerEvents[Name]): void {
    this.#listenersOf(name).delete(listener);
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  now(): number {
    return this.#clock.now();
  }

  presence(connected: readonly Connected[], release = false): Promise<PresenceResult> {
    return this.#api.presence(connected, release);
  }

  close(): void {
    this.#isClosed = true;
    this.#stop.abort();
    this.#ready.reject(new GatewayUnavailableError('the checker is closed'));
  }

  #isFresh(monotonic: number): boolean {
    return monotonic - this.#freshAt <= this.#settings.maxStalenessMs;
  }

  /** A token that is seen for the first time, or was forgotten. */
  async #meet(token: string, digest: string): Promise<Verdict> {
    const claims = await this.#verify(token, this.#clock.now());
    if (typeof claims === 'string') return { active: false, reason: claims };
    const generation = this.#generation;
    if (this.#isDoubtful(claims) || !this.#isFresh(performance.now())) {
      const verdict = await this.#ask(token, digest);
      if (!verdict.active) return verdict;
    }
    // Remembered only if no reset came in between; what has ended in the meantime is looked up in any case.
    const verdict: Verdict = Object.freeze({ active: true, claims: Object.freeze(claims) });
    if (generation === this.#generation) {
      const expiresAt = claims.exp * SECOND_MS;
      this.#known.set(digest, { verdict: Promise.resolve(verdict), tokenId: claims.sid, expiresAt });
    }
    return this.#ended.find(claims.sid) ?? verdict;
  }

  #isDoubtful({ iat }: Claims): boolean {
    return iat * SECOND_MS <= this.#doubtUntil;
  }

  #follow(): void {
    if (this.#isFollowing || this.#isClosed) return;
    this.#isFollowing = true;
    const { tenant, maxStalenessMs } = this.#settings;
    const query = {
      from: this.#isLocal ? ('start' as const) : ('now' as const),
      types: ENDING_TYPES,
      tenant: tenant === ANY_TENANT ? undefined : tenant,
      maxStalenessMs: this.#isLocal ? maxStalenessMs : Infinity,
    };
    const handlers = {
      onEvent: (event: Readonly<Record<string, unknown>>) => this.#onEvent(event),
      onHeartbeat: (at: number, isLive: boolean) => this.#onHeartbeat(at, isLive),
      onReset: () => this.#onReset(),
      onTrouble: (error: unknown) => this.#onTrouble(error),
    };
    void followFeed(this.#api, query, handlers, this.#stop.signal);
  }

  #onEvent(event: Readonly<Record<string, unknown>>): void {
    const end = readEnd(event);
    if (end === undefined) return;
    const { until, ...ended } = end;
    if (this.#isLocal) this.#ended.add(ended, until, this.#clock.now());
    this.#tell(this.#listeners.ended, (listener) => listener(ended));
  }

  #onHeartbeat(at: number, isLive: boolean): void {
    const receivedAt = performance.now();
    const lateMs = this.#clock.observe(at, receivedAt);
    if (!isLive) return;
    this.#freshAt = receivedAt - lateMs;
    if (this.#wasLive) return;
    this.#wasLive = true;
    if (!this.#isLocal) return this.#tell(this.#listeners.gap, (listener) => listener());
    this.#keys.refresh().then(
      () => this.#ready.resolve(),
      (error: unknown) => {
        this.#wasLive = false; // The next heartbeat tries again; until then every check does.
        this.#onTrouble(error);
      },
    );
  }

  /** Ends were missed, and Latchkey itself may have lost tokens: nothing that is remembered is believed any more. */
  #onReset(): void {
    this.#generation += 1;
    this.#freshAt = -Infinity;
    this.#doubtUntil = this.#clock.now();
    this.#known.clear();
    this.#ended.clear();
    this.#tell(this.#listeners.gap, (listener) => listener());
  }

  /** Online mode is ready when Latchkey answers and takes the key. */
  async #probe(): Promise<void> {
    try {
      await this.#ask('ready?', 'ready?');
      this.#ready.resolve();
    } catch (error) {
      this.#onTrouble(error);
      if (!this.#isClosed) setTimeout(() => void this.#probe(), SECOND_MS);
    }
  }

  #onTrouble(error: unknown): void {
    if (error instanceof GatewayKeyRefusedError) this.#ready.reject(error);
    this.#settings.onError(error);
  }

  #listenersOf<Name extends keyof CheckerEvents>(name: Name): Set<CheckerEvents[Name]> {
    return this.#listeners[oneOf('event', name, EVENT_NAMES)] as unknown as Set<CheckerEvents[Name]>;
  }

  /** A listener that throws must not keep others, or the feed, from going on. */
  #tell<L>(listeners: ReadonlySet<L>, call: (listener: L) => void): void {
    for (const listener of listeners) {
      try {
        call(listener);
      } catch (error) {
        this.#settings.onError(error);
      }
    }
  }
}

type Ready = {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
};

function createReady(): Ready {
  let settle: Omit<Ready, 'promise'> | undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  promise.catch(() => {}); // Whoever awaits it hears of it; nobody has to.
  return { promise, ...(settle as unknown as Omit<Ready, 'promise'>) };
}
