/**
 * Owns how events are read from streams and histories, as scripts/lib.lua writes them. Must not know commands or keys.
 * Reading never throws: what cannot be read is undefined. Of what a later version has written it takes what it knows.
 */
import { EVENT_TYPES, type EventType } from '../contract/event-types.ts';
import type { Event } from '../contract/events.ts';
import { codeOf, isTime, readActor, US } from './codec.ts';

/** @param shard makes the stream's entry id unique over all streams */
export function readEvent(shard: number, entryId: string, packed: string): Event | undefined {
  const parts = packed.split(US);
  const [written = '', tenant = '', userId, tokenId, platform, at, exp] = parts;
  if (parts.length < 15 || !isTime(Number(at))) return undefined;
  const [ip, conflicts, code = ''] = parts.slice(12);
  const type = typeOf(written, code);
  if (type === undefined) return undefined;
  return {
    id: `${shard}-${entryId}`,
    type,
    tenant,
    ...(userId && { userId }),
    ...(tokenId && { tokenId }),
    ...(platform && { platform }),
    at: new Date(Number(at)).toISOString(),
    // An end is told also where it cannot be read for how long.
    ...(exp && Number.isSafeInteger(Number(exp)) && { exp: Number(exp) }),
    by: readActor(parts.slice(7, 12)),
    ...(ip && { ip }),
    ...(conflicts && { conflicts: conflicts.split(',') }),
    ...(code && { code: codeOf(code) }),
  };
}

/**
 * What a device is told is told of ends alone: of a type that is not known here, it is the end of a token nevertheless, and
 * who holds on to that token has to hear of it.
 */
function typeOf(written: string, code: string): EventType | undefined {
  if (EVENT_TYPES.includes(written as EventType)) return written as EventType;
  return written.startsWith('token.') && code !== '' ? 'token.revoked' : undefined;
}

/** An entry of a history: the event's id in its stream, then the event. */
export function readHistoryEntry(shard: number, entry: string): Event | undefined {
  const cut = entry.indexOf(US);
  return readEvent(shard, entry.slice(0, cut), entry.slice(cut + 1));
}
