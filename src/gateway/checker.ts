/**
 * Owns the answer to "is this access token good?" in a gateway. In local mode it is given from memory while the feed is
 * fresh, and asked of Latchkey while it is not; in online mode it is asked every time. When asking fails, check() fails.
 */
import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApi, type Api } from './api.ts';
import { createAsk, type Ask } from './ask.ts';
import { SYSTEM_CLOCKS, type Clocks } from './clock.ts';
import { DigestCache } from './digest-cache.ts';
import { readEnd } from './end-of-token.ts';
import { EndedTokens } from './ended-tokens.ts';
import { GatewayIssuerError, GatewayKeyRefusedError, GatewayUnavailableError } from './errors.ts';
import { followFeed, type Following } from './feed.ts';
import { Freshness } from './freshness.ts';
import { KeySet } from './key-set.ts';
import { Listeners } from './listeners.ts';
import { ANY_TENANT, readOptions, type Settings } from './options.ts';
import { Readiness } from './readiness.ts';
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
/** Its `iat` is in whole seconds: a token may seem older than it is by as much. */
const SECOND_MS = 1000;
/** How often it is tried to begin, and looked whether this machine has slept. */
const RETRY_MS = 1_000;
const WATCH_MS = 1_000;

type Known = { readonly verdict: Promise<Verdict>; readonly tokenId: string; readonly expiresAt: number };

/**
 * Throws a TypeError or RangeError for an option that is wrong.
 *
 * @param clocks other ones than this machine's, for tests
 * @example
 * const checker = createTokenChecker({ issuer: 'https://login.example.com', gatewayKey, mode: 'local' });
 * await checker.ready({ timeoutMs: 10_000 });
 */
export function createTokenChecker(options: CheckerOptions, clocks: Clocks = SYSTEM_CLOCKS): TokenChecker {
  return new Checker(readOptions(options), clocks);
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
  readonly #freshness: Freshness;
  /** Tokens that were verified and need no more than a look at `ended`; by digest, never by the token itself. */
  readonly #known: DigestCache<Known>;
  readonly #ended = new EndedTokens();
  readonly #listeners: Listeners;
  readonly #stop = new AbortController();
  readonly #readiness = new Readiness();
  readonly #watch: NodeJS.Timeout;
  #isClosed = false;
  #following: Following | undefined;
  #wasLive = false;
  /** Tokens issued until then (Latchkey's ms) may have ended unheard: each is asked about once. */
  #doubtUntil = -Infinity;
  /** Counts what makes remembered verdicts void, so that one that was found before is not remembered after it. */
  #generation = 0;

  constructor(settings: Settings, clocks: Clocks) {
    this.#settings = settings;
    this.#isLocal = settings.mode === 'local';
    this.#freshness = new Freshness(clocks, () => this.#following?.restart());
    this.#listeners = new Listeners(settings.onError);
    this.#api = createApi(settings);
    this.#ask = createAsk(this.#api, settings);
    this.#known = new DigestCache(settings.cacheSize);
    this.#keys = new KeySet({
      fetch: () => this.#api.jwks(),
      now: () => this.#freshness.elapsedMs(),
      onKeyGone: () => this.#forgetKnown(),
      onTrouble: settings.onError,
    });
    this.#verify = createVerify(this.#keys, settings);
    this.#watch = setInterval(() => this.#freshness.elapsedMs(), WATCH_MS).unref();
    if (this.#isLocal) this.#follow();
    else void this.#begin(() => this.#ask('ready?', 'ready?'));
  }

  get maxStalenessMs(): number {
    return this.#settings.maxStalenessMs;
  }

  check(token: string | undefined, how?: { readonly online?: boolean }): Promise<Verdict> {
    if (token === undefined || token === '') return MISSING;
    if (typeof token !== 'string' || token.length > MAX_LENGTH) return MALFORMED;
    if (this.#isClosed) return Promise.reject(new GatewayUnavailableError('the checker is closed'));
    const digest = hash('sha256', token, 'base64url');
    if (!this.#isLocal || how?.online === true) return this.#ask(token, digest);
    const known = this.#known.get(digest);
    const canTell = this.#canTell();
    if (known === undefined) return canTell ? this.#meet(token, digest) : this.#ask(token, digest);
    if (this.#freshness.now() >= known.expiresAt) return EXPIRED;
    const ended = this.#ended.find(known.tokenId);
    if (ended !== undefined) return ended;
    return canTell ? known.verdict : this.#ask(token, digest);
  }

  on<Name extends keyof CheckerEvents>(name: Name, listener: CheckerEvents[Name]): void {
    this.#listeners.add(name, listener);
    // Online mode needs the feed only when somebody wants to hear of ends.
    this.#follow();
  }

  off<Name extends keyof CheckerEvents>(name: Name, listener: CheckerEvents[Name]): void {
    this.#listeners.delete(name, listener);
  }

  ready({ timeoutMs }: { readonly timeoutMs?: number } = {}): Promise<void> {
    return this.#readiness.wait(timeoutMs);
  }

  now(): number {
    return this.#freshness.now();
  }

  stalenessMs(): number {
    return this.#freshness.stalenessMs();
  }

  presence(connected: readonly Connected[], release = false): Promise<PresenceResult> {
    return this.#api.presence(connected, release);
  }

  close(): void {
    this.#isClosed = true;
    this.#stop.abort();
    clearInterval(this.#watch);
    this.#readiness.refuse(new GatewayUnavailableError('the checker is closed'));
  }

  /** Whether what is remembered here, and verified here, is as good as an answer of Latchkey. */
  #canTell(): boolean {
    // Time first: it may show that this machine has slept, and then nothing is fresh.
    return this.#readiness.isReady && this.stalenessMs() <= this.maxStalenessMs && this.#keys.isBelievable();
  }

  /** A token that is seen for the first time, or was forgotten. */
  async #meet(token: string, digest: string): Promise<Verdict> {
    const claims = await this.#verify(token, this.#freshness.now());
    if (typeof claims === 'string') return { active: false, reason: claims };
    const generation = this.#generation;
    if (this.#isDoubtful(claims) || !this.#canTell()) {
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
    if (this.#following !== undefined || this.#isClosed) return;
    const { tenant, maxStalenessMs, timeoutMs } = this.#settings;
    const query = {
      from: this.#isLocal ? ('start' as const) : ('now' as const),
      tenant: tenant === ANY_TENANT ? undefined : tenant,
      maxStalenessMs,
      timeoutMs,
    };
    const handlers = {
      onEvent: (event: Readonly<Record<string, unknown>>) => this.#onEvent(event),
      onHeartbeat: (at: number, isLive: boolean) => this.#onHeartbeat(at, isLive),
      onReset: () => this.#onReset(),
      onTrouble: (error: unknown) => this.#onTrouble(error),
    };
    this.#following = followFeed(this.#api, query, handlers, this.#stop.signal);
  }

  #onEvent(event: Readonly<Record<string, unknown>>): void {
    const end = readEnd(event);
    if (end === 'nothing') return;
    if (end === 'whose') return this.#onReset();
    const { until, ...ended } = end;
    if (this.#isLocal) this.#ended.add(ended, until, this.#freshness.now());
    this.#listeners.tell('ended', ended);
  }

  #onHeartbeat(at: number, isLive: boolean): void {
    if (!this.#freshness.hear(at, isLive) || !isLive) return;
    if (this.#wasLive) return;
    this.#wasLive = true;
    if (this.#isLocal) void this.#begin(() => this.#keys.refresh());
    else this.#listeners.tell('gap');
  }

  /** Ends were missed, and Latchkey itself may have lost tokens: nothing that is remembered is believed any more. */
  #onReset(): void {
    this.#freshness.lose();
    this.#doubtUntil = this.#freshness.now();
    this.#forgetKnown();
    this.#ended.clear();
    this.#listeners.tell('gap');
  }

  #forgetKnown(): void {
    this.#generation += 1;
    this.#known.clear();
  }

  /** Ready when what it needs is there, and it is the right Latchkey that answers. */
  async #begin(prepare: () => Promise<unknown>): Promise<void> {
    const { url, issuer } = this.#settings;
    while (!this.#isClosed) {
      try {
        const [found] = await Promise.all([this.#api.issuer(), prepare()]);
        if (found === issuer) return this.#readiness.begin();
        throw new GatewayIssuerError(url, found, issuer);
      } catch (error) {
        this.#onTrouble(error);
      }
      await sleep(RETRY_MS, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  #onTrouble(error: unknown): void {
    if (error instanceof GatewayKeyRefusedError || error instanceof GatewayIssuerError) this.#readiness.refuse(error);
    this.#readiness.note(error);
    this.#settings.onError(error);
  }
}
