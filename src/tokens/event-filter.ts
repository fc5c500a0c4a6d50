/**
 * Owns which events somebody asked for: of one tenant, of some types. Pure.
 */
import type { EventType } from '../contract/event-types.ts';
import type { Event } from '../contract/events.ts';

/** What is absent lets every event pass. */
export type EventFilter = {
  readonly tenant?: string | undefined;
  readonly types?: readonly EventType[] | undefined;
};

export function passes(event: Event, { tenant, types }: EventFilter): boolean {
  return (tenant === undefined || event.tenant === tenant) && (types === undefined || types.includes(event.type));
}
