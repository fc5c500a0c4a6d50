/**
 * Owns the one way from a policy and a user's tokens to a plan. Pure: no I/O, no clock, no randomness; the order of the
 * input never matters. Must not know preset names: policies are data.
 */
import type { Limit, Match, Policy } from '../../contract/policy.ts';
import type { Ground, Plan } from '../plan.ts';
import { ADMIN_PLATFORM, type Platform, type Platforms } from '../platform.ts';
import {
  isActive,
  isLapsed,
  isOutlived,
  isOver,
  stateOf,
  type Token,
  type TokenId,
  type Unreadable,
} from '../token.ts';

/** Name that a kick beyond MAX_TOKENS_PER_USER stands under. */
export const HARD_CAP = 'hard-cap';

/** Platform that an unreadable record is listed under, as its own cannot be told. */
export const UNKNOWN_PLATFORM = 'unknown';

export type Incoming = {
  readonly platform: Platform;
  readonly deviceId: string;
  /** Tokens that the user wants ended by this login. Unknown ones are the caller's fault to report. */
  readonly evict?: readonly TokenId[];
};

export type ResolveInput = {
  readonly incoming: Incoming;
  readonly tokens: readonly Token[];
  readonly unreadable?: readonly Unreadable[];
  readonly policy: Policy;
  readonly platforms: Platforms;
  /** Bounds every policy; admin tokens are counted apart from all others. */
  readonly maxTokens: number;
  readonly now: number;
};

/** Whether a limit speaks of tokens of this platform. */
export function matches(match: Match, platform: Platform, platforms: Platforms): boolean {
  if (platform === ADMIN_PLATFORM) return false;
  const platformClass = platforms.classOf(platform);
  return (
    (match.platforms?.includes(platform) ?? true) &&
    (match.classes?.includes(platformClass) ?? true) &&
    !(match.notPlatforms?.includes(platform) ?? false) &&
    !(match.notClasses?.includes(platformClass) ?? false)
  );
}

/** False when a limit of 0 shuts the platform out (`platform_not_allowed`). */
export function allows(policy: Policy, platform: Platform, platforms: Platforms): boolean {
  return !policy.limits.some((limit) => limit.max === 0 && matches(limit.match, platform, platforms));
}

/**
 * Resolves a login, in this order: expired records go; the same device's tokens are replaced; evicted
 * tokens are kicked; kick and delete limits, each over the whole set; decline limits, only in the group that the login
 * joins; at last the hard cap. An expired token that its access token outlives holds no seat either, but is the first to
 * leave where one is wanted, and what does not leave so goes with the expired. The platform must be allowed (`allows`).
 */
export function resolve(input: ResolveInput): Plan {
  const { incoming, policy, platforms, now } = input;
  const endable = input.tokens.filter((token) => isActive(token, now) || isOutlived(token, now));
  const seats = new Seats(endable, now);

  for (const token of seats.held()) {
    if (isSameDevice(token, incoming)) seats.end('replace', token, { policy: policy.name, reason: 'same_device' });
  }
  const evicted = new Set(incoming.evict);
  for (const token of seats.held()) {
    if (evicted.has(token.tokenId)) seats.end('kick', token, { policy: policy.name, reason: 'evicted' });
  }
  // An admin login is no business of the policy: it does not even reduce leftovers of an older one.
  const limits = incoming.platform === ADMIN_PLATFORM ? [] : policy.limits;
  for (const limit of limits) {
    if (limit.overflow === 'decline') continue;
    for (const group of groupsOf(limit, seats.held(), incoming.platform, platforms)) {
      const victims = inOrderOfLeaving(group.tokens, limit, now).slice(0, excessOf(group, limit));
      for (const token of victims) seats.end(limit.overflow, token, groundOf(policy, token, now));
    }
  }
  // A device that comes back takes the seat that was its own: nobody's limit is used up by that.
  const keepsItsSeat = input.tokens.some((one) => seats.ended.replace.has(one.tokenId) && isActive(one, now));
  for (const limit of limits) {
    if (limit.overflow !== 'decline' || keepsItsSeat) continue;
    const joined = groupsOf(limit, seats.held(), incoming.platform, platforms).find((group) => group.joined);
    if (joined === undefined) continue;
    const excess = excessOf(joined, limit);
    const free = inOrderOfLeaving(joined.tokens, limit, now).filter((token) => !defendsSeat(token, now));
    if (excess > free.length) return declined(joined.tokens.filter((token) => defendsSeat(token, now)));
    for (const token of free.slice(0, excess)) seats.end('kick', token, groundOf(policy, token, now));
  }
  for (const token of beyondHardCap(seats.held(), input)) {
    seats.end('kick', token, { policy: HARD_CAP, ...(isOutlived(token, now) && { reason: 'expired' }) });
  }

  return {
    declined: false,
    delete: new Map([
      ...expiredAndUnreadable(input, seats),
      ...superseded(input, seats.ended.replace),
      ...seats.ended.delete,
    ]),
    kick: seats.ended.kick,
    replace: seats.ended.replace,
    grounds: seats.grounds,
    conflicts: [],
  };
}

/** The tokens that a login can end while they are being resolved: each is held until one rule ends it, and only that one. */
class Seats {
  readonly grounds = new Map<TokenId, Ground>();
  readonly ended = {
    delete: new Map<TokenId, Platform>(),
    kick: new Map<TokenId, Platform>(),
    replace: new Map<TokenId, Platform>(),
  };
  readonly #now: number;
  #held: readonly Token[];

  constructor(tokens: readonly Token[], now: number) {
    this.#now = now;
    this.#held = tokens.toSorted((a, b) => a.seq - b.seq);
  }

  /** Oldest login first. */
  held(): readonly Token[] {
    return this.#held;
  }

  end(how: 'delete' | 'kick' | 'replace', token: Token, ground: Ground): void {
    this.ended[how].set(token.tokenId, token.platform);
    this.grounds.set(token.tokenId, isOutlived(token, this.#now) ? { ...ground, hadExpired: true } : ground);
    this.#held = this.#held.filter((other) => other !== token);
  }
}

type Group = {
  readonly tokens: readonly Token[];
  /** Whether the login itself takes a seat here. */
  readonly joined: boolean;
};

/** The groups that a limit counts, the login's own among them even when nobody else is in it. */
function groupsOf(limit: Limit, held: readonly Token[], incoming: Platform, platforms: Platforms): Group[] {
  const keyOf = (platform: Platform) => {
    if (limit.countBy === 'all') return '';
    return limit.countBy === 'class' ? platforms.classOf(platform) : platform;
  };
  const groups = new Map<string, Token[]>();
  for (const token of held) {
    if (!matches(limit.match, token.platform, platforms)) continue;
    const key = keyOf(token.platform);
    groups.set(key, [...(groups.get(key) ?? []), token]);
  }
  const own = matches(limit.match, incoming, platforms) ? keyOf(incoming) : undefined;
  if (own !== undefined && !groups.has(own)) groups.set(own, []);
  return [...groups].map(([key, tokens]) => ({ tokens, joined: key === own }));
}

/** How many tokens of the group must leave, the login counted. */
function excessOf(group: Group, limit: Limit): number {
  return Math.max(0, group.tokens.length + (group.joined ? 1 : 0) - limit.max);
}

/** Tokens that hold no seat first, then lapsed ones, then by the limit's rule; the order of login settles every tie. */
function inOrderOfLeaving(tokens: readonly Token[], limit: Limit, now: number): Token[] {
  const seen = (token: Token) => (limit.victim === 'least_recently_seen' ? token.lastSeenAt : 0);
  return tokens.toSorted((a, b) => holdOf(a, now) - holdOf(b, now) || seen(a) - seen(b) || a.seq - b.seq);
}

/** How firmly a token sits: time has ended it, its lease has, or it defends its seat. */
function holdOf(token: Token, now: number): 0 | 1 | 2 {
  if (isOutlived(token, now)) return 0;
  return isLapsed(token, now) ? 1 : 2;
}

function defendsSeat(token: Token, now: number): boolean {
  return holdOf(token, now) === 2;
}

function groundOf(policy: Policy, token: Token, now: number): Ground {
  const reason = ([{ reason: 'expired' }, { reason: 'lapsed' }, {}] as const)[holdOf(token, now)];
  return { policy: policy.name, ...reason };
}

/** Expired ones that nothing else has ended, and tombstones that nobody can ask about any more. */
function expiredAndUnreadable({ tokens, unreadable = [], now }: ResolveInput, seats: Seats): Map<TokenId, Platform> {
  const expired = tokens.filter((token) => {
    if (seats.grounds.has(token.tokenId)) return false;
    return token.end === undefined ? stateOf(token, now) === 'expired' : isOver(token, now);
  });
  return new Map([
    ...expired.toSorted((a, b) => a.seq - b.seq).map((token) => [token.tokenId, token.platform] as const),
    ...unreadable
      .filter(({ endsAt }) => endsAt !== undefined && now >= endsAt)
      .map(({ tokenId }) => tokenId)
      .toSorted()
      .map((tokenId) => [tokenId, UNKNOWN_PLATFORM] as const),
  ]);
}

/** Of a device one tombstone says "replaced", the latest: the new one makes earlier ones superfluous. */
function superseded(
  { incoming, tokens }: ResolveInput,
  replaced: ReadonlyMap<TokenId, Platform>,
): [TokenId, Platform][] {
  if (replaced.size === 0) return [];
  const earlier = tokens.filter((token) => token.end?.code === 'token_replaced' && isSameDevice(token, incoming));
  return earlier.map((token) => [token.tokenId, token.platform]);
}

function isSameDevice(token: Token, { platform, deviceId }: Incoming): boolean {
  return token.platform === platform && token.deviceId === deviceId;
}

function beyondHardCap(held: readonly Token[], { incoming, maxTokens, now }: ResolveInput): readonly Token[] {
  const isAdmin = incoming.platform === ADMIN_PLATFORM;
  const peers = held
    .filter((token) => (token.platform === ADMIN_PLATFORM) === isAdmin)
    .toSorted((a, b) => Number(isOutlived(b, now)) - Number(isOutlived(a, now)) || a.seq - b.seq);
  return peers.slice(0, Math.max(0, peers.length + 1 - maxTokens));
}

function declined(conflicts: readonly Token[]): Plan {
  return { declined: true, delete: new Map(), kick: new Map(), replace: new Map(), grounds: new Map(), conflicts };
}
