/**
 * Owns the shapes of `latchkey/gateway/ws`: what it needs of a `ws` server, and what it offers.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Claims, InactiveVerdict } from './types.ts';

export type GatewaySocket = {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  terminate(): void;
  on(event: 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeAllListeners(event: string): unknown;
};

type UpgradeDone<S> = (socket: S, request: IncomingMessage) => void;

export type GatewayServer<S extends GatewaySocket> = {
  handleUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer, done: UpgradeDone<S>) => void;
};

export type AttachOptions = {
  /** Default: `Authorization: Bearer`, else a subprotocol `bearer.<token>` beside the one that is spoken. */
  readonly tokenFrom?: (request: IncomingMessage) => string | undefined;
  /** Keep presence leases; every so many ms (default 20000: less than half of the tenant's `leaseSeconds`). */
  readonly presence?: boolean | { readonly leaseIntervalMs: number };
  /**
   * What becomes of open sockets of which nothing could be known for longer than the checker's `maxStalenessMs`: the feed is
   * cut, and Latchkey cannot be asked. `close`: with 1013 and the reason `stale`. `keep` (default): isStale() tells.
   */
  readonly whenStale?: 'keep' | 'close';
  /** The sentence for people in the last message; default "signed in on ios at 10:32 UTC". When it throws, it is the code. */
  readonly describe?: (end: Pick<InactiveVerdict, 'reason' | 'endedAt' | 'endedBy'>) => string;
  readonly onError?: (error: unknown) => void;
};

export type AttachedServer<S extends GatewaySocket> = {
  /** Whose socket it is; undefined for one that is not, or no longer, let in. */
  authOf(socket: S): Claims | undefined;
  /** Whether its token may have ended longer than `maxStalenessMs` ago, and nobody could tell; true for one that was not let in. */
  isStale(socket: S): boolean;
  /** Goes on with a refreshed access token of the same token. False, and nothing changes, when it is no good. */
  renew(socket: S, token: string): Promise<boolean>;
  /** Stops, releases the leases, and leaves the sockets as they are. */
  close(): Promise<void>;
};
