/**
 * Owns how tokens, users and events are written in Redis: parts joined by US, in the order that scripts/lib.lua states.
 * Must not know commands or keys. Reading never throws: what cannot be read is undefined.
 */
import { EVENT_TYPES, type Event, type EventType } from '../contract/events.ts';
import { TOKEN_REASONS, type TokenReason } from '../contract/errors.ts';
import type { Actor, ActorKind, Token, TokenEnd, TokenId, UserKey } from '../domain/token.ts';
import type { NewToken, UserRecord } from '../tokens/store.ts';

/** Unit separator. No stored value can contain it: ids and texts with control characters are refused at the door. */
const US = '\u001F';

/**
 * What follows a token's id in the names of its fields. Each token has the first two, the others when there is something
 * to say.
 */
const PARTS = ['', ':r', ':s', ':e', ':l'];

/** Fields of one token in the hash. */
export const fieldsOf = (tokenId: TokenId) => PARTS.map((part) => tokenId + part);

/** Beside them, and no part of what is read of a token. */
export const loginNameField = (tokenId: TokenId) => `${tokenId}:n`;

type Stored = string | null | undefined;
/** A whole hash: not an object, as a damaged one may hold any name, those of an object's own parts too. */
export type Fields = ReadonlyMap<string, string>;

/** The record that the script completes with the sequence number. */
export function packRecord(token: NewToken): string {
  const { platform, deviceId, deviceName, createdAt, salt, ip, userAgent } = token;
  return [platform, deviceId, deviceName, createdAt, salt, ip, userAgent].join(US);
}

export function packRenewal(token: NewToken): string {
  return [token.expiresAt, token.accessExpiresAt, token.generation, token.rotatedAt, token.idleMs].join(US);
}

/** Always five parts, so that a reader needs no escape. */
export function packActor(actor: Actor): string {
  return [actor.kind, actor.platform, actor.deviceName, actor.policy, actor.reason].map((part) => part ?? '').join(US);
}

/** Actor and the parts that only logins have. */
export function packDetail(actor: Actor, ip: string, conflicts: readonly TokenId[]): string {
  return [packActor(actor), ip, conflicts.join(','), ''].join(US);
}

/** @param values what stands in {@link fieldsOf} the token */
export function readToken(user: UserKey, tokenId: TokenId, values: readonly Stored[]): Token | undefined {
  const [recordText, renewalText, seenText, endText, leaseText] = values;
  if (typeof recordText !== 'string' || typeof renewalText !== 'string') return undefined;
  const record = recordText.split(US);
  const renewal = renewalText.split(US);
  if (record.length !== 8 || renewal.length !== 5) return undefined;
  const [seq, platform, deviceId, deviceName, createdAt, salt, ip, userAgent] = record as Eight<string>;
  const [expiresAt, accessExpiresAt, generation, rotatedAt, idleMs] = renewal as Five<string>;
  const token: Token = {
    tenant: user.tenant,
    userId: user.userId,
    tokenId,
    seq: Number(seq),
    platform,
    deviceId,
    deviceName,
    createdAt: Number(createdAt),
    lastSeenAt: Number(seenText ?? createdAt),
    salt,
    ip,
    userAgent,
    expiresAt: Number(expiresAt),
    accessExpiresAt: Number(accessExpiresAt),
    generation: Number(generation),
    rotatedAt: Number(rotatedAt),
    idleMs: Number(idleMs),
  };
  if (!hasTimes(token)) return undefined;
  if (typeof endText !== 'string') return typeof leaseText === 'string' ? { ...token, ...readLease(leaseText) } : token;
  const end = readEnd(endText);
  return end && { ...token, end, ...readLease(leaseText) };
}

function hasTimes(token: Token): boolean {
  const { seq, createdAt, lastSeenAt, expiresAt, accessExpiresAt, generation, rotatedAt, idleMs } = token;
  return (
    isTime(seq) &&
    isTime(createdAt) &&
    isTime(lastSeenAt) &&
    isTime(expiresAt) &&
    isTime(accessExpiresAt) &&
    isTime(generation) &&
    isTime(rotatedAt) &&
    isTime(idleMs)
  );
}

/** All tokens of a hash, oldest first, and the ids whose records cannot be read. */
export function readTokens(user: UserKey, fields: Fields): { tokens: Token[]; unreadable: TokenId[] } {
  const tokens: Token[] = [];
  const unreadable: TokenId[] = [];
  for (const [tokenId, values] of valuesByToken(fields)) {
    const token = readToken(user, tokenId, values);
    if (token === undefined) unreadable.push(tokenId);
    else tokens.push(token);
  }
  return { tokens: tokens.toSorted((a, b) => a.seq - b.seq), unreadable };
}

function valuesByToken(fields: Fields): Map<TokenId, Stored[]> {
  const found = new Map<TokenId, Stored[]>();
  for (const [name, value] of fields) {
    const cut = name.indexOf(':');
    // The hash's own fields, :v and :q, begin with it.
    if (cut === 0 || name === '') continue;
    const tokenId = cut < 0 ? name : name.slice(0, cut);
    const values = found.get(tokenId) ?? PARTS.map(() => undefined);
    found.set(tokenId, values);
    const part = PARTS.indexOf(cut < 0 ? '' : name.slice(cut));
    if (part >= 0) values[part] = value;
  }
  return found;
}

/** As the scripts compute it: version of the tokens, then revision of the user. */
export function readVersion(tokens: Fields, user: Fields): string {
  return `${tokens.get(':v') ?? '0'}-${user.get('rev') ?? '0'}`;
}

export function readUser(user: UserKey, fields: Fields): UserRecord | undefined {
  const createdAt = fields.get('createdAt');
  if (createdAt === undefined) return undefined;
  const [passwordHash, blockedUntil, reason] = ['password', 'blockedUntil', 'blockReason'].map((name) =>
    fields.get(name),
  );
  const until = Number(blockedUntil);
  const at = Number(fields.get('blockedAt'));
  return {
    ...user,
    createdAt: Number(createdAt),
    ...(passwordHash && { passwordHash }),
    ...(blockedUntil !== undefined && { block: { until: until === 0 ? null : until, at, ...(reason && { reason }) } }),
  };
}

/** @param shard makes the stream's entry id unique over all streams */
export function readEvent(shard: number, entryId: string, packed: string): Event | undefined {
  const parts = packed.split(US);
  const [type, tenant = '', userId, tokenId, platform, at, exp] = parts;
  if (parts.length !== 15 || !EVENT_TYPES.includes(type as EventType)) return undefined;
  if (!isTime(Number(at)) || !isTime(Number(exp))) return undefined;
  const [ip, conflicts, code] = parts.slice(12);
  return {
    id: `${shard}-${entryId}`,
    type: type as EventType,
    tenant,
    ...(userId && { userId }),
    ...(tokenId && { tokenId }),
    ...(platform && { platform }),
    at: new Date(Number(at)).toISOString(),
    ...(exp && { exp: Number(exp) }),
    by: readActor(parts.slice(7, 12)),
    ...(ip && { ip }),
    ...(conflicts && { conflicts: conflicts.split(',') }),
    ...(TOKEN_REASONS.includes(code as TokenReason) && { code: code as TokenReason }),
  };
}

/** An entry of a history: the event's id in its stream, then the event. */
export function readHistoryEntry(shard: number, entry: string): Event | undefined {
  const cut = entry.indexOf(US);
  return readEvent(shard, entry.slice(0, cut), entry.slice(cut + 1));
}

/** '' for a token without a lease. No connection has it yet. */
export function packLease({ lease }: NewToken): string {
  return lease === undefined ? '' : [lease.expiresAt, lease.graceMs].join(US);
}

/** The lease that lapses last, which is the token's. */
function readLease(text: string | null | undefined): Pick<Token, 'lease'> {
  if (typeof text !== 'string') return {};
  const [expiresAt, graceMs] = text.split(US).map(Number);
  return { lease: { expiresAt: expiresAt ?? 0, graceMs: graceMs ?? 0 } };
}

/** Times of the latest displacements. */
export function readDisplacements(fields: Fields): number[] {
  return fields.get(':d')?.split(US).map(Number) ?? [];
}

/** The code in a token's end, as a script hands it out. */
export function readEndCode(text: string): TokenReason {
  return readEnd(text)?.code ?? 'token_revoked';
}

function readEnd(text: string): TokenEnd | undefined {
  const [code, at, ...actor] = text.split(US);
  if (!TOKEN_REASONS.includes(code as TokenReason) || actor.length !== 5 || !isTime(Number(at))) return undefined;
  return { code: code as TokenReason, at: Number(at), by: readActor(actor) };
}

function readActor([kind, platform, deviceName, policy, reason]: readonly string[]): Actor {
  return {
    kind: (kind || 'system') as ActorKind,
    ...(platform && { platform }),
    ...(deviceName && { deviceName }),
    ...(policy && { policy }),
    ...(reason && { reason }),
  };
}

/** Whether a Date can show it (ECMA-262, time values); false for what is no number. */
function isTime(ms: number): boolean {
  return Math.abs(ms) <= 8.64e15;
}

type Five<T> = [T, T, T, T, T];
type Eight<T> = [T, T, T, T, T, T, T, T];
