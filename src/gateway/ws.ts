/**
 * A `ws` server that only token holders can use (`latchkey/gateway/ws`). Sockets of a token that ends are closed at once,
 * presence leases are kept for those that are open. Needs the shape of a `ws` server, not the package.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { bearerOrOfferedOf } from './bearer.ts';
import { ElapsedTime, LatestTime, SYSTEM_CLOCKS, type Clocks } from './clock.ts';
import { Doubts, type Subject } from './doubts.ts';
import { saysEndOfToken, type End } from './end-of-token.ts';
import { GatewayUnavailableError } from './errors.ts';
import { CLOSE_TRY_AGAIN, createFarewell, type Farewell } from './farewell.ts';
import { careful, fn, oneOf, refuseUnknown, whole } from './options.ts';
import { createPresenceKeeper, type Holder, type PresenceKeeper } from './presence.ts';
import { RecentEnds } from './recent-ends.ts';
import { sentenceOf } from './sentence.ts';
import { standBetween } from './stand-between.ts';
import type { Claims, EndedEvent, InactiveVerdict, TokenChecker, Verdict } from './types.ts';
import type { AttachedServer, AttachOptions, GatewayServer, GatewaySocket } from './ws-types.ts';

export type * from './ws-types.ts';

export { CLOSE_TOKEN_ENDED, CLOSE_TRY_AGAIN } from './farewell.ts';

/** How often expired tokens and doubtful sockets are looked for. */
const SWEEP_MS = 1_000;
const STALE_MODES = ['keep', 'close'] as const;

type Judged = { readonly token: string; readonly verdict: Verdict | undefined };

type Connection<S> = Holder & Subject & { readonly socket: S; claims: Claims };

/**
 * From now on the server's `connection` event is for sockets with a good token only. The others get a last message
 * `{type: "token_ended", code, endedBy, at, text}` and are closed with 4401 and the code as reason; 1013 when it cannot
 * be known. A socket's time ends with its access token, unless renew() is called with the next one.
 *
 * @param clocks other ones than this machine's, for tests
 * @example attachWebSocketServer(new WebSocketServer({ server }), checker, { presence: true, whenStale: 'close' });
 */
export function attachWebSocketServer<S extends GatewaySocket>(
  server: GatewayServer<S>,
  checker: TokenChecker,
  options: AttachOptions = {},
  clocks: Clocks = SYSTEM_CLOCKS,
): AttachedServer<S> {
  refuseUnknown(options, ['tokenFrom', 'presence', 'whenStale', 'describe', 'onError']);
  return new Attachment(server, checker, options, clocks);
}

class Attachment<S extends GatewaySocket> implements AttachedServer<S> {
  readonly #checker: TokenChecker;
  readonly #tokenFrom: (request: IncomingMessage) => string | undefined;
  readonly #onError: (error: unknown) => void;
  readonly #presence: PresenceKeeper | undefined;
  readonly #bySocket = new Map<S, Connection<S>>();
  readonly #byToken = new Map<string, Set<Connection<S>>>();
  readonly #recent = new RecentEnds();
  readonly #farewell: Farewell;
  readonly #elapsed: ElapsedTime;
  readonly #latest: LatestTime;
  readonly #doubts: Doubts<Connection<S>>;
  readonly #sweeper: NodeJS.Timeout;
  readonly #detach: () => void;
  #isClosed = false;

  constructor(server: GatewayServer<S>, checker: TokenChecker, options: AttachOptions, clocks: Clocks) {
    this.#checker = checker;
    this.#tokenFrom = fn('tokenFrom', options.tokenFrom ?? bearerOrOfferedOf);
    this.#onError = careful(fn('onError', options.onError ?? (() => {})));
    this.#farewell = createFarewell(fn('describe', options.describe ?? ((end) => sentenceOf(end))), this.#onError);
    this.#elapsed = new ElapsedTime(clocks, () => {});
    this.#latest = new LatestTime(checker, this.#elapsed);
    this.#doubts = new Doubts({
      checker,
      elapsed: this.#elapsed,
      onStale:
        oneOf('whenStale', options.whenStale ?? 'keep', STALE_MODES) === 'close'
          ? (connection) => this.#giveUp(connection)
          : undefined,
      onAnswer: (connection, token, verdict) => this.#isStillDoubtful(connection, token, verdict),
    });
    this.#presence = this.#createPresence(options.presence);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    const onEnded = (event: EndedEvent) => this.#onEnded(event);
    const onGap = () => this.#doubtAll();
    checker.on('ended', onEnded);
    checker.on('gap', onGap);
    const giveBack = standBetween(server, {
      judge: (request) => this.#judge(request),
      lets: (socket, judged) => this.#lets(socket, judged),
      onError: this.#onError,
    });
    this.#detach = () => {
      checker.off('ended', onEnded);
      checker.off('gap', onGap);
      giveBack();
    };
  }

  authOf(socket: S): Claims | undefined {
    return this.#bySocket.get(socket)?.claims;
  }

  isStale(socket: S): boolean {
    const connection = this.#bySocket.get(socket);
    return connection === undefined || this.#doubts.ageOf(connection) > this.#checker.maxStalenessMs;
  }

  async renew(socket: S, token: string): Promise<boolean> {
    const askedAt = this.#elapsed.now();
    const verdict = await this.#checker.check(token);
    const connection = this.#bySocket.get(socket);
    if (!verdict.active || connection === undefined || verdict.claims.sid !== connection.claims.sid) return false;
    connection.claims = verdict.claims;
    connection.token = token;
    connection.knownAt = Math.max(connection.knownAt, this.#knownSince(askedAt));
    return true;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    this.#detach();
    this.#bySocket.clear();
    this.#byToken.clear();
    this.#doubts.clear();
    await this.#presence?.close();
  }

  /** The token and its verdict; no verdict when it cannot be known. */
  async #judge(request: IncomingMessage): Promise<Judged> {
    try {
      const token = this.#tokenFrom(request);
      return { token: token ?? '', verdict: await this.#checker.check(token) };
    } catch (error) {
      if (!(error instanceof GatewayUnavailableError)) this.#onError(error);
      return { token: '', verdict: undefined };
    }
  }

  #lets(socket: S, { token, verdict: found }: Judged): boolean {
    // One that was being checked at close() would be watched by nobody.
    const verdict = this.#isClosed ? undefined : found;
    if (verdict?.active) return this.#admit(socket, verdict.claims, token);
    if (verdict === undefined) this.#farewell.shut(socket, CLOSE_TRY_AGAIN, 'try again later');
    else this.#farewell.end([socket], verdict);
    return false;
  }

  /** False when the token has ended while it was being checked. */
  #admit(socket: S, claims: Claims, token: string): boolean {
    const ended = this.#recent.find(claims.sid);
    if (ended !== undefined) {
      this.#farewell.end([socket], ended);
      return false;
    }
    this.#latest.now();
    const { tenant, sub: userId, sid: tokenId } = claims;
    const knownAt = this.#knownSince(this.#elapsed.now());
    const connection = { socket, claims, token, tenant, userId, tokenId, connectionId: randomUUID(), knownAt };
    this.#bySocket.set(socket, connection);
    this.#byToken.set(tokenId, (this.#byToken.get(tokenId) ?? new Set()).add(connection));
    this.#presence?.add(connection);
    socket.on('close', () => this.#forget(connection, true));
    return true;
  }

  /** As old as the feed when the verdict came from memory; where the feed is older than it may be, Latchkey was asked. */
  #knownSince(askedAt: number): number {
    const staleness = this.#checker.stalenessMs();
    return staleness > this.#checker.maxStalenessMs ? askedAt : askedAt - staleness;
  }

  #forget(connection: Connection<S>, releases: boolean): void {
    if (!this.#bySocket.delete(connection.socket)) return;
    this.#doubts.drop(connection);
    const others = this.#byToken.get(connection.tokenId);
    others?.delete(connection);
    if (others?.size === 0) this.#byToken.delete(connection.tokenId);
    this.#presence?.remove(connection, releases);
  }

  #onEnded(event: EndedEvent): void {
    this.#recent.add(event);
    this.#end(event.tokenId, event);
  }

  #end(tokenId: string, end: End): void {
    const connections = [...(this.#byToken.get(tokenId) ?? [])];
    for (const connection of connections) this.#forget(connection, false);
    this.#farewell.end(
      connections.map(({ socket }) => socket),
      end,
    );
  }

  #sweep(): void {
    const now = this.#checker.now();
    this.#recent.sweep();
    for (const connection of this.#bySocket.values()) {
      if (now >= connection.claims.exp * 1000) this.#expire(connection);
      else if (this.#mayBeOver(connection) && !this.#doubts.has(connection)) this.#doubts.add(connection);
    }
    this.#doubts.sweep(this.#bySocket.values());
  }

  /** Its access token has expired, if this machine has slept for as long as it seems. */
  #mayBeOver({ claims }: Connection<S>): boolean {
    return this.#latest.now() >= claims.exp * 1000;
  }

  /** The token goes on, and so do its other sockets. */
  #expire(connection: Connection<S>, end: End = { reason: 'token_expired' }): void {
    this.#forget(connection, true);
    this.#farewell.end([connection.socket], end);
  }

  /** Of a socket whose token may have ended long ago, as nobody could tell. */
  #giveUp(connection: Connection<S>): void {
    this.#forget(connection, true);
    this.#farewell.shut(connection.socket, CLOSE_TRY_AGAIN, 'stale');
  }

  #doubtAll(): void {
    for (const connection of this.#bySocket.values()) this.#doubts.add(connection);
    this.#doubts.ask();
  }

  #isStillDoubtful(connection: Connection<S>, token: string, verdict: Verdict | undefined): boolean {
    if (verdict?.active === true) return false;
    if (verdict !== undefined && saysEndOfToken(verdict)) this.#end(connection.tokenId, verdict);
    else if (verdict === undefined && this.#mayBeOver(connection)) this.#expire(connection);
    // One it was renewed with meanwhile is asked about too: it may have been found good before the gap.
    else if (verdict === undefined || connection.token !== token) return true;
    else this.#expire(connection, verdict);
    return false;
  }

  #createPresence(option: AttachOptions['presence']): PresenceKeeper | undefined {
    if (option === undefined || option === false) return undefined;
    const intervalMs = option === true ? 20_000 : whole('leaseIntervalMs', option.leaseIntervalMs, 100, 3_600_000);
    return createPresenceKeeper(this.#checker, intervalMs, {
      onRefused: (tokenId, reason) => void this.#onRefused(tokenId, reason),
      onError: this.#onError,
    });
  }

  async #onRefused(tokenId: string, reason: InactiveVerdict['reason']): Promise<void> {
    const [first] = this.#byToken.get(tokenId) ?? [];
    if (first === undefined) return;
    // Its event may not have come yet and tells more than the reason, as does Latchkey until the access token expires.
    const verdict = await this.#checker.check(first.token, { online: true }).catch(() => undefined);
    const tellsMore = verdict?.active === false && saysEndOfToken(verdict);
    this.#end(tokenId, tellsMore ? verdict : { reason });
  }
}
