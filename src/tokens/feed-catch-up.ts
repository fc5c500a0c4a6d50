/**
 * Owns how listeners that are behind come up to the present: a few at a time, a page each, in turns, so that however many
 * there are, requests are answered in between; and by reads that are shared, as those who came together stand together.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Event } from '../contract/events.ts';
import type { EventLog, Page } from './event-log.ts';
import { comparePositions, isEntry, laterOf, type Position } from './feed-cursor.ts';
import { positionIn, unseen, type Seat } from './feed-seat.ts';
import { CLOCK_TOLERANCE_MS } from './feed-start.ts';

/** Entries read at a time: what one listener is sent before the next one has its turn. */
const PAGE = 200;
/** Listeners that are served at the same time. */
const AT_ONCE = 3;
/** Pages that are remembered for those who stand at the same place, while anybody is behind. */
const REMEMBERED_PAGES = 48;

/** Where the hub stood before the page was read: all that is not behind that, and not in the page, was never there. */
type SharedPage = Page & { readonly hub: Position };

export type CatchUpDeps = {
  readonly log: EventLog;
  /** Where the hub stands. */
  readonly hubAt: (shard: number) => Position;
  /** Sends what the seat's positions lead up to. */
  readonly deliver: (seat: Seat, events: readonly Event[]) => void;
  /** Stands where the hub does in every shard. */
  readonly onArrived: () => void;
  /** An entry that the listener was told of is gone, though it is too young to be trimmed. */
  readonly onLost: (seat: Seat) => void;
  /** The store is out: the listener comes back with its cursor. */
  readonly onFailed: (seat: Seat) => void;
};

export class CatchUp {
  readonly #deps: CatchUpDeps;
  readonly #waiting: Seat[] = [];
  readonly #pages = new LRUCache<string, Promise<SharedPage>>({ max: REMEMBERED_PAGES });
  #served = 0;

  constructor(deps: CatchUpDeps) {
    this.#deps = deps;
  }

  add(seat: Seat): void {
    this.#waiting.push(seat);
    if (this.#served < AT_ONCE) void this.#serve();
  }

  /** Forgets what was read: the store is another one now. */
  forget(): void {
    this.#pages.clear();
  }

  async #serve(): Promise<void> {
    this.#served += 1;
    for (let seat = this.#waiting.shift(); seat !== undefined; seat = this.#waiting.shift()) {
      await this.#takeTurn(seat);
      await nextTurn();
    }
    this.#served -= 1;
    if (this.#served === 0) this.#pages.clear();
  }

  /** One page for one listener; whoever is not there yet waits for its next turn behind all others. */
  async #takeTurn(seat: Seat): Promise<void> {
    const { log, deliver, onArrived, onLost, onFailed } = this.#deps;
    try {
      for (let shard = seat.live.indexOf(false); shard >= 0 && !seat.closed; shard = seat.live.indexOf(false)) {
        if (this.#joins(seat, shard)) continue;
        const before = positionIn(seat.positions, shard);
        const { events: found, last, isFull, isAnchored, hub } = await this.#page(log, shard, before);
        // A reset has put it where the hub stands.
        if (seat.live[shard]) continue;
        if (!isAnchored && isEntry(before) && before.ms > log.keptSince() + CLOCK_TOLERANCE_MS) {
          onLost(seat);
          break;
        }
        const reached = laterOf(before, last ?? hub);
        seat.positions[shard] = isFull ? reached : laterOf(reached, hub);
        if (found.length === 0) continue;
        deliver(seat, unseen(found, before));
        break;
      }
    } catch {
      return onFailed(seat);
    }
    if (seat.closed) return;
    if (seat.live.every(Boolean)) onArrived();
    else this.#waiting.push(seat);
  }

  /** From then on the hub serves the shard. */
  #joins(seat: Seat, shard: number): boolean {
    const reached = comparePositions(positionIn(seat.positions, shard), this.#deps.hubAt(shard)) >= 0;
    if (reached) seat.live[shard] = true;
    return reached;
  }

  #page(log: EventLog, shard: number, after: Position): Promise<SharedPage> {
    const key = `${shard}~${after.ms}~${after.seq}`;
    const known = this.#pages.get(key);
    if (known !== undefined) return known;
    const hub = this.#deps.hubAt(shard);
    const page = log.read(shard, after, PAGE).then((found) => ({ ...found, hub }));
    this.#pages.set(key, page);
    page.catch(() => this.#pages.delete(key));
    return page;
  }
}
