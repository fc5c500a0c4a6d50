/**
 * Owns the words of the gateway package.
 */
import type { TokenReason as ContractReason } from '../contract/errors.ts';

/** Why a token is not good, as Latchkey's own list has them: a reason that is missing here does not compile. */
const TITLES = {
  token_missing: 'No access token was sent',
  token_malformed: 'The token is not one of ours in form',
  token_invalid: 'The token failed verification',
  token_expired: 'The token has expired',
  token_kicked: 'Signed out by a login on another device',
  token_replaced: 'Replaced by a newer login of the same device',
  token_revoked: 'The token was revoked',
  token_logged_out: 'The user signed this device out',
  token_unknown: 'The token is not on record',
  refresh_reused: 'A refresh token was used twice, so its device was signed out',
  user_blocked: 'The user is blocked',
} as const satisfies Record<ContractReason, string>;

export type TokenReason = keyof typeof TITLES;
export const REASON_TITLES: Readonly<Record<TokenReason, string>> = TITLES;

export function isReason(value: unknown): value is TokenReason {
  return typeof value === 'string' && Object.hasOwn(TITLES, value);
}

/** Claims of an access token: RFC 9068 section 2.2, and `sid` (the tokenId), `tenant`, `platform`, `device_id`. */
export type Claims = {
  readonly iss: string;
  readonly aud: string | readonly string[];
  readonly sub: string;
  readonly client_id: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly sid: string;
  readonly tenant: string;
  readonly platform: string;
  readonly device_id: string;
};

/** Who ended a token: for a login the platform, device and policy of the login that took its place. */
export type Actor = {
  readonly kind: 'login' | 'admin' | 'user' | 'system';
  readonly platform?: string;
  readonly deviceName?: string;
  readonly policy?: string;
  readonly reason?: string;
};

export function isActor(value: unknown): value is Actor {
  return typeof value === 'object' && value !== null && 'kind' in value;
}

/** The answer to "is this access token good?". An outage is never one: it is a thrown GatewayUnavailableError. */
export type Verdict = { readonly active: true; readonly claims: Claims } | InactiveVerdict;

export type InactiveVerdict = {
  readonly active: false;
  readonly reason: TokenReason;
  /** RFC 3339, by Latchkey's clock; absent when nobody ended it. */
  readonly endedAt?: string;
  readonly endedBy?: Actor;
};

/** A token that has just been ended, by whatever cause. May be told more than once. */
export type EndedEvent = {
  readonly tokenId: string;
  readonly tenant: string;
  readonly userId: string;
  readonly platform?: string;
  readonly reason: TokenReason;
  readonly endedAt: string;
  readonly endedBy?: Actor;
};

export type CheckerEvents = {
  ended: (event: EndedEvent) => void;
  /** Ends may have been missed: whoever holds on to a verdict asks again. */
  gap: () => void;
};

export type Connected = {
  readonly tenant: string;
  readonly userId: string;
  readonly tokenId: string;
  readonly connectionId: string;
};

export type PresenceResult = {
  readonly renewed: number;
  readonly refused: readonly { readonly tokenId: string; readonly reason: TokenReason }[];
};

export type TokenChecker = {
  /** `online`: Latchkey is asked whatever the mode, for what matters more. Throws GatewayUnavailableError when it cannot know. */
  check(token: string | undefined, how?: { readonly online?: boolean }): Promise<Verdict>;
  on<Name extends keyof CheckerEvents>(name: Name, listener: CheckerEvents[Name]): void;
  off<Name extends keyof CheckerEvents>(name: Name, listener: CheckerEvents[Name]): void;
  /**
   * Resolves when it has caught up with the Latchkey of the expected issuer. Rejects when the gateway key is refused
   * (GatewayKeyRefusedError), when another issuer answers (GatewayIssuerError), when it is closed, or after `timeoutMs` with
   * the last trouble as its cause; it goes on trying all the same.
   */
  ready(how?: { readonly timeoutMs?: number }): Promise<void>;
  /** Latchkey's time, unix ms. */
  now(): number;
  /** How old the knowledge of ended tokens is, ms; Infinity while it has heard nothing that it can rely on. */
  stalenessMs(): number;
  /** The option of that name. */
  readonly maxStalenessMs: number;
  /** Renews the leases of connected tokens, or releases them (POST /presence). Any number. */
  presence(connected: readonly Connected[], release?: boolean): Promise<PresenceResult>;
  close(): void;
};

export type CheckerOptions = {
  /** Expected `iss`, and where Latchkey answers unless `url` says otherwise. */
  readonly issuer: string;
  /** Base URL of the API; default: the issuer. */
  readonly url?: string;
  /** Expected `aud`; default: the issuer, as is Latchkey's own. */
  readonly audience?: string;
  /** Expected tenant; `*` (default) = any. */
  readonly tenant?: string;
  readonly gatewayKey: string;
  /** `local`: verified here, ends are heard from the feed. `online`: Latchkey is asked every time. */
  readonly mode: Mode;
  /** Local mode: how old the knowledge of ended tokens may be, 1000 to 3600000, default 30000. Older: asked online. */
  readonly maxStalenessMs?: number;
  /** Verified tokens that are remembered, about 1 KB each; default 50000. */
  readonly cacheSize?: number;
  /** How long an answer is waited for; 100 to 60000, default 2000. */
  readonly timeoutMs?: number;
  /** In place of calls by node:http, whose connections are renewed every 30 seconds. Must heed `redirect` and `signal`. */
  readonly fetch?: Fetch;
  /** Hears of trouble that heals by itself: a feed that was cut, a listener that threw. */
  readonly onError?: (error: unknown) => void;
};

export const MODES = ['local', 'online'] as const;
export type Mode = (typeof MODES)[number];

/** As much of `fetch` as is used here. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>;

export type FetchInit = {
  method?: string;
  headers: Record<string, string>;
  body?: string;
  signal: AbortSignal;
  redirect: 'manual';
};

export type FetchResponse = {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
};
