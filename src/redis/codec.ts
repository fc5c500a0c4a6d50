/**
 * Owns how tokens and users are written in Redis, and the details of events: parts joined by US, in the order that
 * scripts/lib.lua states. Must not know commands or keys. Reading never throws: what cannot be read is undefined. A later version may add parts
 * behind those that are known here, fields beside them, and words to its lists: readers take what they know.
 */
import { TOKEN_REASONS, type TokenReason } from '../contract/errors.ts';
import {
  ACTOR_KINDS,
  type Actor,
  type ActorKind,
  type Token,
  type TokenEnd,
  type TokenId,
  type Unreadable,
  type UserKey,
} from '../domain/token.ts';
import type { NewToken, UserRecord } from '../tokens/store.ts';

/** Unit separator. No stored value can contain it: ids and texts with control characters are refused at the door. */
export const US = '\u001F';

/**
 * What follows a token's id in the names of its fields. Each token has the first two, the others when there is something
 * to say.
 */
const PARTS = ['', ':r', ':s', ':e', ':l'];
/** And only lists show the end of the access token signed last. */
const LISTED_PARTS = [...PARTS, ':a'];

/** Fields of one token in the hash, as far as its state goes. */
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
  const [recordText, renewalText, seenText, endText, leaseText, pairText] = values;
  if (typeof recordText !== 'string' || typeof renewalText !== 'string') return undefined;
  const record = recordText.split(US);
  const renewal = renewalText.split(US);
  if (record.length < 8 || renewal.length < 5) return undefined;
  const [seq, platform, deviceId, deviceName, createdAt, salt, ip, userAgent] = record as Eight<string>;
  const [expiresAt, accessExpiresAt, generation, rotatedAt, idleMs] = renewal as Five<string>;
  const token: Token = {
    tenant: user.tenant,
    userId: user.userId,
    tokenId,
    seq: toNumber(seq),
    platform,
    deviceId,
    deviceName,
    createdAt: toNumber(createdAt),
    lastSeenAt: toNumber(typeof seenText === 'string' ? firstPart(seenText) : createdAt),
    salt,
    ip,
    userAgent,
    expiresAt: toNumber(expiresAt),
    accessExpiresAt: toNumber(accessExpiresAt),
    generation: toNumber(generation),
    rotatedAt: toNumber(rotatedAt),
    idleMs: toNumber(idleMs),
    ...readPairEnd(pairText),
  };
  if (!hasTimes(token)) return undefined;
  if (typeof endText !== 'string') return typeof leaseText === 'string' ? { ...token, ...readLease(leaseText) } : token;
  const end = readEnd(endText);
  return end && { ...token, end, ...readLease(leaseText) };
}

/** Absent too where it cannot be read: it is shown, and decides nothing. */
function readPairEnd(text: Stored): Pick<Token, 'pairExpiresAt'> {
  const pairExpiresAt = toNumber(typeof text === 'string' ? firstPart(text) : undefined);
  return isTime(pairExpiresAt) ? { pairExpiresAt } : {};
}

/** Whether there is a record that says nothing to this version, though another may take it for an active token. */
export function isUnreadable([record, renewal, , end]: readonly Stored[]): boolean {
  return typeof end !== 'string' && (typeof record === 'string' || typeof renewal === 'string');
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

/** All tokens of a hash, oldest first, and the records that cannot be read. */
export function readTokens(user: UserKey, fields: Fields): { tokens: Token[]; unreadable: Unreadable[] } {
  const tokens: Token[] = [];
  const unreadable: Unreadable[] = [];
  for (const [tokenId, values] of valuesByToken(fields)) {
    const token = readToken(user, tokenId, values);
    if (token !== undefined) tokens.push(token);
    else if (typeof (values[0] ?? values[1]) === 'string') unreadable.push({ tokenId, ...readEndOfLife(values[1]) });
  }
  return { tokens: tokens.toSorted((a, b) => a.seq - b.seq), unreadable };
}

/** When nothing of a token can be presented any more, as far as its renewal can be read. */
function readEndOfLife(renewal: Stored): Pick<Unreadable, 'endsAt'> {
  const [expiresAt = NaN, accessExpiresAt = NaN] = renewal?.split(US, 2).map(toNumber) ?? [];
  const endsAt = Math.max(expiresAt, accessExpiresAt);
  return isTime(endsAt) ? { endsAt } : {};
}

function valuesByToken(fields: Fields): Map<TokenId, Stored[]> {
  const found = new Map<TokenId, Stored[]>();
  for (const [name, value] of fields) {
    const cut = name.indexOf(':');
    // The hash's own fields, :v and :q, begin with it.
    if (cut === 0 || name === '') continue;
    const tokenId = cut < 0 ? name : name.slice(0, cut);
    const values = found.get(tokenId) ?? LISTED_PARTS.map(() => undefined);
    found.set(tokenId, values);
    const part = LISTED_PARTS.indexOf(cut < 0 ? '' : name.slice(cut));
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
  const created = timeOr(createdAt, 0);
  // A block whose end cannot be read holds.
  const until = timeOr(blockedUntil, 0);
  const at = timeOr(fields.get('blockedAt'), created);
  return {
    ...user,
    createdAt: created,
    ...(passwordHash && { passwordHash }),
    ...(blockedUntil !== undefined && { block: { until: until === 0 ? null : until, at, ...(reason && { reason }) } }),
  };
}

/** '' for a token without a lease. No connection has it yet. */
export function packLease({ lease }: NewToken): string {
  return lease === undefined ? '' : [lease.expiresAt, lease.graceMs].join(US);
}

/** The lease that lapses last, which is the token's. */
function readLease(text: string | null | undefined): Pick<Token, 'lease'> {
  if (typeof text !== 'string') return {};
  const [expiresAt = NaN, graceMs = NaN] = text.split(US, 2).map(toNumber);
  return isTime(expiresAt + graceMs) ? { lease: { expiresAt, graceMs } } : {};
}

/** Times of the latest displacements. */
export function readDisplacements(fields: Fields): number[] {
  return fields.get(':d')?.split(US).map(Number) ?? [];
}

/** The code in a token's end, as a script hands it out. */
export function readEndCode(text: string): TokenReason {
  return codeOf(firstPart(text));
}

/** A later version may know more causes: an end by one of them is an end. */
export function codeOf(written: string): TokenReason {
  return TOKEN_REASONS.includes(written as TokenReason) ? (written as TokenReason) : 'token_revoked';
}

function readEnd(text: string): TokenEnd | undefined {
  const [code, at, ...actor] = text.split(US);
  if (!code || actor.length < 5 || !isTime(toNumber(at))) return undefined;
  return { code: codeOf(code), at: toNumber(at), by: readActor(actor) };
}

export function readActor([kind, platform, deviceName, policy, reason]: readonly string[]): Actor {
  return {
    kind: ACTOR_KINDS.includes(kind as ActorKind) ? (kind as ActorKind) : 'system',
    ...(platform && { platform }),
    ...(deviceName && { deviceName }),
    ...(policy && { policy }),
    ...(reason && { reason }),
  };
}

function firstPart(text: string): string {
  const cut = text.indexOf(US);
  return cut < 0 ? text : text.slice(0, cut);
}

/** NaN for what is no number. */
function toNumber(text: string | undefined): number {
  return text ? Number(text) : NaN;
}

function timeOr(text: string | undefined, fallback: number): number {
  const time = toNumber(text);
  return isTime(time) ? time : fallback;
}

/** Whether a Date can show it (ECMA-262, time values); false for what is no number. */
export function isTime(ms: number): boolean {
  return Math.abs(ms) <= 8.64e15;
}

type Five<T> = [T, T, T, T, T];
type Eight<T> = [T, T, T, T, T, T, T, T];
