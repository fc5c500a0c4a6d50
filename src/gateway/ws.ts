/**
 * A `ws` server that only token holders can use (`latchkey/gateway/ws`). Sockets of a token that ends are closed at once,
 * presence leases are kept for those that are open. Needs the shape of a `ws` server, not the package.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { bearerOrOfferedOf } from './bearer.ts';
import { saysEndOfToken, sentenceOf, type End } from './end-of-token.ts';
import { GatewayUnavailableError } from './errors.ts';
import { fn, refuseUnknown, whole } from './options.ts';
import { createPresenceKeeper, type Holder, type PresenceKeeper } from './presence.ts';
import type { Claims, EndedEvent, InactiveVerdict, TokenChecker, Verdict } from './types.ts';
import type { AttachedServer, AttachOptions, GatewayServer, GatewaySocket } from './ws-types.ts';

export type * from './ws-types.ts';

/** Close code of a socket whose token is no good; private range of RFC 6455 section 7.4.2. */
export const CLOSE_TOKEN_ENDED = 4401;
/** RFC 6455, IANA registry: try again later. */
const CLOSE_TRY_AGAIN = 1013;
/** A peer that does not answer the close by then is cut off. */
const CLOSE_LIMIT_MS = 2_000;
/** How often expired tokens and doubtful sockets are looked for. */
const SWEEP_MS = 1_000;
/** Ends are remembered that long for sockets whose check was under way. */
const RECENT_MS = 60_000;
/** Doubtful sockets that are checked at a time. */
const RECHECKS = 100;
/** RFC 6455 section 5.5: a close frame has room for so much. */
const MAX_REASON_BYTES = 123;

type Judged = { readonly token: string; readonly verdict: Verdict | undefined };

type Connection<S> = Holder & { readonly socket: S; claims: Claims; token: string };

/**
 * From now on the server's `connection` event is for sockets with a good token only. The others get a last message
 * `{type: "token_ended", code, endedBy, at, text}` and are closed with 4401 and the code as reason; 1013 when it cannot
 * be known. A socket's time ends with its access token, unless renew() is called with the next one.
 */
export function attachWebSocketServer<S extends GatewaySocket>(
  server: GatewayServer<S>,
  checker: TokenChecker,
  options: AttachOptions = {},
): AttachedServer<S> {
  refuseUnknown(options, ['tokenFrom', 'presence', 'describe', 'onError']);
  return new Attachment(server, checker, options);
}

class Attachment<S extends GatewaySocket> implements AttachedServer<S> {
  readonly #checker: TokenChecker;
  readonly #tokenFrom: (request: IncomingMessage) => string | undefined;
  readonly #describe: NonNullable<AttachOptions['describe']>;
  readonly #onError: (error: unknown) => void;
  readonly #presence: PresenceKeeper | undefined;
  readonly #bySocket = new Map<S, Connection<S>>();
  readonly #byToken = new Map<string, Set<Connection<S>>>();
  readonly #recent = new Map<string, { readonly event: EndedEvent; readonly at: number }>();
  readonly #doubtful = new Set<Connection<S>>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #detach: () => void;

  constructor(server: GatewayServer<S>, checker: TokenChecker, options: AttachOptions) {
    this.#checker = checker;
    this.#tokenFrom = fn('tokenFrom', options.tokenFrom ?? bearerOrOfferedOf);
    this.#describe = fn('describe', options.describe ?? ((end) => sentenceOf(end)));
    this.#onError = fn('onError', options.onError ?? (() => {}));
    this.#presence = this.#createPresence(options.presence);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    const onEnded = (event: EndedEvent) => this.#onEnded(event);
    const onGap = () => this.#doubtAll();
    checker.on('ended', onEnded);
    checker.on('gap', onGap);
    const giveBack = this.#takeOver(server);
    this.#detach = () => {
      checker.off('ended', onEnded);
      checker.off('gap', onGap);
      giveBack();
    };
  }

  authOf(socket: S): Claims | undefined {
    return this.#bySocket.get(socket)?.claims;
  }

  async renew(socket: S, token: string): Promise<boolean> {
    const verdict = await this.#checker.check(token);
    const connection = this.#bySocket.get(socket);
    if (!verdict.active || connection === undefined || verdict.claims.sid !== connection.claims.sid) return false;
    connection.claims = verdict.claims;
    connection.token = token;
    return true;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    this.#detach();
    this.#bySocket.clear();
    this.#byToken.clear();
    this.#doubtful.clear();
    await this.#presence?.close();
  }

  /** `ws` calls its own handleUpgrade and emits `connection` when that is done: here is the one place to stand between. */
  #takeOver(server: GatewayServer<S>): () => void {
    const original = server.handleUpgrade;
    const upgrade = original.bind(server);
    const upgradeLater = async (...[request, rawSocket, head, done]: Parameters<typeof upgrade>) => {
      const judged = await this.#judge(request, rawSocket);
      if (rawSocket.destroyed) return;
      upgrade(request, rawSocket, head, (socket, upgraded) => {
        if (this.#lets(socket, judged)) done(socket, upgraded);
      });
    };
    server.handleUpgrade = (...args) => void upgradeLater(...args);
    return () => {
      server.handleUpgrade = original;
    };
  }

  /** The token and its verdict; no verdict when it cannot be known. */
  async #judge(request: IncomingMessage, rawSocket: Duplex): Promise<Judged> {
    rawSocket.on('error', ignore);
    try {
      const token = this.#tokenFrom(request);
      return { token: token ?? '', verdict: await this.#checker.check(token) };
    } catch (error) {
      if (!(error instanceof GatewayUnavailableError)) this.#onError(error);
      return { token: '', verdict: undefined };
    } finally {
      rawSocket.off('error', ignore);
    }
  }

  #lets(socket: S, { token, verdict }: Judged): boolean {
    if (verdict?.active) return this.#admit(socket, verdict.claims, token);
    if (verdict === undefined) this.#shut(socket, CLOSE_TRY_AGAIN, 'try again later');
    else this.#refuse(socket, verdict);
    return false;
  }

  /** False when the token has ended while it was being checked. */
  #admit(socket: S, claims: Claims, token: string): boolean {
    const ended = this.#recent.get(claims.sid)?.event;
    if (ended !== undefined) {
      this.#refuse(socket, ended);
      return false;
    }
    const { tenant, sub: userId, sid: tokenId } = claims;
    const connection = { socket, claims, token, tenant, userId, tokenId, connectionId: randomUUID() };
    this.#bySocket.set(socket, connection);
    this.#byToken.set(tokenId, (this.#byToken.get(tokenId) ?? new Set()).add(connection));
    this.#presence?.add(connection);
    socket.on('close', () => this.#forget(connection, true));
    return true;
  }

  #forget(connection: Connection<S>, releases: boolean): void {
    if (!this.#bySocket.delete(connection.socket)) return;
    this.#doubtful.delete(connection);
    const others = this.#byToken.get(connection.tokenId);
    others?.delete(connection);
    if (others?.size === 0) this.#byToken.delete(connection.tokenId);
    this.#presence?.remove(connection, releases);
  }

  #onEnded(event: EndedEvent): void {
    this.#recent.delete(event.tokenId);
    this.#recent.set(event.tokenId, { event, at: performance.now() });
    this.#end(event.tokenId, event);
  }

  #end(tokenId: string, end: End): void {
    for (const connection of this.#byToken.get(tokenId) ?? []) {
      this.#forget(connection, false);
      this.#refuse(connection.socket, end);
    }
  }

  #refuse(socket: S, end: End): void {
    const { reason: code, endedBy, endedAt: at } = end;
    socket.send(JSON.stringify({ type: 'token_ended', code, endedBy, at, text: this.#describe(end) }));
    this.#shut(socket, CLOSE_TOKEN_ENDED, code);
  }

  #shut(socket: S, code: number, reason: string): void {
    // What the peer has still sent is not looked at: it is nobody's any more.
    socket.removeAllListeners('message');
    socket.on('error', ignore);
    const limit = setTimeout(() => socket.terminate(), CLOSE_LIMIT_MS).unref();
    socket.on('close', () => clearTimeout(limit));
    socket.close(code, Buffer.from(reason).subarray(0, MAX_REASON_BYTES).toString());
  }

  #sweep(): void {
    const now = this.#checker.now();
    const forgetBefore = performance.now() - RECENT_MS;
    for (const [tokenId, { at }] of this.#recent) {
      if (at >= forgetBefore) break; // The rest is younger.
      this.#recent.delete(tokenId);
    }
    for (const connection of this.#bySocket.values()) {
      if (now >= connection.claims.exp * 1000) this.#expire(connection);
    }
    this.#recheck();
  }

  /** The token goes on, and so do its other sockets. */
  #expire(connection: Connection<S>, end: End = { reason: 'token_expired' }): void {
    this.#forget(connection, true);
    this.#refuse(connection.socket, end);
  }

  #doubtAll(): void {
    for (const connection of this.#bySocket.values()) this.#doubtful.add(connection);
    this.#recheck();
  }

  /** Asks again about sockets whose token may have ended unheard. Those that cannot be asked about are tried later. */
  #recheck(): void {
    for (const connection of [...this.#doubtful].slice(0, RECHECKS)) {
      this.#doubtful.delete(connection);
      void this.#askAbout(connection);
    }
  }

  async #askAbout(connection: Connection<S>): Promise<void> {
    const { token } = connection;
    const verdict = await this.#checker.check(token).catch(() => undefined);
    if (verdict?.active === true) return;
    if (verdict !== undefined && saysEndOfToken(verdict)) return this.#end(connection.tokenId, verdict);
    if (!this.#bySocket.has(connection.socket)) return;
    // One it was renewed with meanwhile is asked about too: it may have been found good before the gap.
    if (verdict === undefined || connection.token !== token) this.#doubtful.add(connection);
    else this.#expire(connection, verdict);
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

/** For a peer that goes away in between: no error of ours. */
function ignore(): void {}
