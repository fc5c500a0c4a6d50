/**
 * Owns how the feed is served: one reader for all listeners of the process; who is behind catches up first
 * (feed-catch-up.ts). Must not know HTTP or Redis.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { Event } from '../contract/events.ts';
import type { EventLog, Page } from './event-log.ts';
import type { Feed, FeedListener, FeedMessage, FeedStart, ResetReason } from './feed.ts';
import { CatchUp } from './feed-catch-up.ts';
import { laterOf, placeBefore, writeCursor, type Position } from './feed-cursor.ts';
import { LastEntries } from './feed-last-entries.ts';
import { createSeat, isPassedOver, positionIn, tell, unseen, type Seat } from './feed-seat.ts';
import { CLOCK_TOLERANCE_MS, entriesBeyond, resolveStart } from './feed-start.ts';

/** Events read at a time. */
const BATCH = 500;
/** How long a lost hint can delay an event. */
const POLL_MS = 1_000;
/** Silence after which a listener hears the time and a fresh cursor. */
export const HEARTBEAT_MS = 15_000;
/** An idle shard is moved on to this far behind the present. */
const IDLE_LAG_MS = CLOCK_TOLERANCE_MS;

/** @param onTrouble hears of faults that are no outage of the store: nobody else would */
export function createFeed(log: EventLog, onTrouble: (error: unknown) => void): Feed {
  const hub = new Hub(log, onTrouble);
  return {
    listen: (start, listener, onEnd) => hub.add(start, listener, onEnd),
    close: () => hub.close(),
  };
}

class Hub {
  readonly #log: EventLog;
  readonly #onTrouble: (error: unknown) => void;
  readonly #seats = new Set<Seat>();
  readonly #dirty = new Set<number>();
  readonly #catchUp: CatchUp;
  /** From there the hub reads on. */
  readonly #entries: LastEntries;
  /** What cursors are made of: an idle shard goes with the time, so that its cursor stays young. */
  #positions: Position[] = [];
  #epoch: string | undefined;
  #starting: Promise<void> | undefined;
  #isDraining = false;
  #isClosed = false;
  #isHeartbeatDue = false;
  #stopHints: (() => void) | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(log: EventLog, onTrouble: (error: unknown) => void) {
    this.#log = log;
    this.#onTrouble = onTrouble;
    this.#entries = new LastEntries(log);
    this.#catchUp = new CatchUp({
      log,
      hubAt: (shard) => positionIn(this.#positions, shard),
      deliver: (seat, events) => this.#send(seat, { kind: 'events', events, cursor: this.#cursorOf(seat) }),
      onArrived: () => this.#poll(),
      onLost: (seat) => this.#reset(seat, 'cursor_in_future'),
      onFailed: (seat) => this.#remove(seat),
    });
  }

  async add(start: FeedStart, listener: FeedListener, onEnd: () => void): Promise<() => void> {
    await this.#start();
    const isHeld = await this.#holdsEntriesOf(start);
    // The last one that listened may have gone meanwhile.
    await this.#start();
    if (this.#isClosed) {
      this.#stop();
      throw new LatchkeyError('store_unavailable');
    }
    const now = this.#log.now();
    const state = { epoch: this.#epoch, positions: this.#positions, now, keptSince: this.#log.keptSince(), isHeld };
    const begin = resolveStart(start, state);
    const seat = createSeat(listener, onEnd, begin.positions);
    this.#seats.add(seat);
    const cursor = this.#cursorOf(seat);
    if (begin.reset !== undefined) this.#send(seat, { kind: 'reset', reason: begin.reset, cursor });
    else this.#send(seat, { kind: 'heartbeat', now, live: false, cursor });
    this.#catchUp.add(seat);
    return () => this.#remove(seat);
  }

  close(): void {
    this.#isClosed = true;
    for (const seat of this.#seats) this.#remove(seat);
    this.#stop();
  }

  /** Begins at the present, when there is somebody to listen. */
  async #start(): Promise<void> {
    this.#starting ??= this.#begin().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    await this.#starting;
  }

  async #begin(): Promise<void> {
    // From an earlier time with listeners: what they were told may be lost by now.
    if (await this.#entries.isLoss(await this.#entries.missing())) await this.#log.renewEpoch(this.#epoch ?? '');
    const epoch = await this.#log.epoch();
    await this.#goToPresent();
    this.#epoch = epoch;
    this.#stopHints = this.#log.onHint((shard) => this.#wake(shard));
    this.#timers = [
      setInterval(() => this.#poll(), POLL_MS).unref(),
      setInterval(() => {
        this.#isHeartbeatDue = true;
        this.#poll();
      }, HEARTBEAT_MS).unref(),
    ];
  }

  /** Where every shard ends. An empty one ends now, not at zero: a cursor must show how old it is. */
  async #goToPresent(): Promise<void> {
    const idle = placeBefore(this.#log.now() - IDLE_LAG_MS);
    this.#positions = (await this.#entries.goToEnds()).map((end) => laterOf(end, idle));
  }

  #stop(): void {
    this.#stopHints?.();
    this.#stopHints = undefined;
    for (const timer of this.#timers) clearInterval(timer);
    this.#starting = undefined;
    this.#dirty.clear();
  }

  async #holdsEntriesOf(start: FeedStart): Promise<boolean> {
    const entries = entriesBeyond(start, this.#positions);
    const held = await Promise.all(entries.map(({ shard, position }) => this.#log.has(shard, position)));
    return held.every(Boolean);
  }

  #wake(shard: number): void {
    this.#dirty.add(shard);
    if (!this.#isDraining) void this.#drainAll();
  }

  async #drainAll(): Promise<void> {
    this.#isDraining = true;
    while (this.#dirty.size > 0) await this.#drain();
    this.#isDraining = false;
  }

  #poll(): void {
    for (let shard = 0; shard < this.#log.shards; shard += 1) this.#dirty.add(shard);
    this.#wake(0);
  }

  /** Reads what is new in the shards that were hinted at, all at once, and hands it to all listeners. */
  async #drain(): Promise<void> {
    const shards = [...this.#dirty];
    this.#dirty.clear();
    try {
      const readAt = this.#log.now();
      // One round trip for both. A store that loses its past in between shows it at the next read.
      const [epoch, pages] = await Promise.all([
        this.#log.epoch(),
        Promise.all(shards.map((shard) => this.#log.read(shard, this.#entries.at(shard), BATCH))),
      ]);
      if (epoch === undefined) return;
      if (epoch !== this.#epoch) return await this.#resetAll(epoch, 'epoch_changed');
      if (await this.#entries.isLoss(shards.filter((_, index) => pages[index]?.isAnchored === false))) {
        await this.#log.renewEpoch(epoch);
        return this.#poll();
      }
      if (isPassedOver(this.#positions, shards, pages)) return await this.#resetAll(epoch, 'cursor_in_future');
      for (const [index, shard] of shards.entries()) this.#advance(shard, pages[index], readAt - IDLE_LAG_MS);
      for (const seat of this.#seats) this.#flush(seat, shards, pages);
      const isAll = shards.length === this.#log.shards && pages.every(({ isFull }) => !isFull);
      if (isAll) this.#heartbeat(readAt);
    } catch (error) {
      // While the store is out, the next poll reads from where this one stood.
      if (!(error instanceof LatchkeyError)) this.#onTrouble(error);
    }
  }

  #advance(shard: number, page: Page | undefined, before: number): void {
    if (page?.isFull) this.#dirty.add(shard);
    const current = positionIn(this.#positions, shard);
    if (page?.last !== undefined) this.#entries.note(shard, page.last);
    this.#positions[shard] = laterOf(current, page?.last ?? placeBefore(before));
  }

  #flush(seat: Seat, shards: readonly number[], pages: readonly Page[]): void {
    const events: Event[] = [];
    for (const [index, shard] of shards.entries()) {
      if (!seat.live[shard]) continue;
      const own = positionIn(seat.positions, shard);
      events.push(...unseen(pages[index]?.events ?? [], own));
      seat.positions[shard] = laterOf(own, positionIn(this.#positions, shard));
    }
    if (events.length > 0) this.#send(seat, { kind: 'events', events, cursor: this.#cursorOf(seat) });
  }

  async #resetAll(epoch: string, reason: ResetReason): Promise<void> {
    await this.#goToPresent();
    this.#epoch = epoch;
    this.#catchUp.forget();
    for (const seat of this.#seats) this.#reset(seat, reason);
  }

  /** Puts a listener where the hub stands. */
  #reset(seat: Seat, reason: ResetReason): void {
    seat.positions = [...this.#positions];
    seat.live.fill(true);
    this.#send(seat, { kind: 'reset', reason, cursor: this.#cursorOf(seat) });
  }

  /** Only ever after all shards were read, so that a listener hears none while the store is out. */
  #heartbeat(readAt: number): void {
    for (const seat of this.#seats) {
      const live = seat.live.every(Boolean);
      if (!this.#isHeartbeatDue && (seat.isToldLive || !live)) continue;
      seat.isToldLive ||= live;
      this.#send(seat, { kind: 'heartbeat', now: readAt, live, cursor: this.#cursorOf(seat) });
    }
    this.#isHeartbeatDue = false;
  }

  #cursorOf(seat: Seat): string {
    return writeCursor({ epoch: this.#epoch ?? 'none', positions: seat.positions });
  }

  /** One that cannot take a message comes back with its cursor, and keeps nothing from the others. */
  #send(seat: Seat, message: FeedMessage): void {
    try {
      if (tell(seat, message)) return;
    } catch (error) {
      this.#onTrouble(error);
    }
    this.#remove(seat);
  }

  #remove(seat: Seat): void {
    if (seat.closed) return;
    seat.closed = true;
    this.#seats.delete(seat);
    if (this.#seats.size === 0) this.#stop();
    seat.onEnd();
  }
}
