/**
 * Owns how the feed is served: one reader for all listeners of the process; a listener that is behind reads on its own
 * until it has caught up. Must not know HTTP or Redis.
 */
import { LatchkeyError } from '../contract/errors.ts';
import type { Event } from '../contract/events.ts';
import type { EventLog, LoggedEvent } from './event-log.ts';
import type { Feed, FeedListener, FeedMessage, FeedStart } from './feed.ts';
import { BEGINNING, comparePositions, laterOf, writeCursor, type Position } from './feed-cursor.ts';
import { CLOCK_TOLERANCE_MS, resolveStart } from './feed-start.ts';

/** Events read at a time. */
const BATCH = 500;
/** How long a lost hint can delay an event. */
const POLL_MS = 1_000;
/** Silence after which a listener hears the time and a fresh cursor. */
export const HEARTBEAT_MS = 15_000;
/** An idle shard is moved on to this far behind the present. */
const IDLE_LAG_MS = CLOCK_TOLERANCE_MS;

export function createFeed(log: EventLog): Feed {
  const hub = new Hub(log);
  return {
    listen: (start, listener, onEnd) => hub.add(start, listener, onEnd),
    close: () => hub.close(),
  };
}

type Seat = {
  readonly listener: FeedListener;
  readonly onEnd: () => void;
  positions: Position[];
  /** Shards in which the seat has reached the hub, and is served by it. */
  readonly live: boolean[];
  /** Whether it has been told that it has caught up. */
  isToldLive: boolean;
  closed: boolean;
};

class Hub {
  readonly #log: EventLog;
  readonly #seats = new Set<Seat>();
  readonly #dirty = new Set<number>();
  #positions: Position[] = [];
  #epoch: string | undefined;
  #starting: Promise<void> | undefined;
  #isDraining = false;
  #isClosed = false;
  #isHeartbeatDue = false;
  #stopHints: (() => void) | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(log: EventLog) {
    this.#log = log;
  }

  async add(start: FeedStart, listener: FeedListener, onEnd: () => void): Promise<() => void> {
    await this.#start();
    if (this.#isClosed) {
      this.#stop();
      throw new LatchkeyError('store_unavailable');
    }
    const now = this.#log.now();
    const begin = resolveStart(start, {
      epoch: this.#epoch,
      positions: this.#positions,
      now,
      keptSince: this.#log.keptSince(),
    });
    const live = Array.from({ length: this.#log.shards }, () => false);
    const seat: Seat = { listener, onEnd, positions: [...begin.positions], live, isToldLive: false, closed: false };
    this.#seats.add(seat);
    const cursor = this.#cursorOf(seat);
    if (begin.reset !== undefined) this.#send(seat, { kind: 'reset', reason: begin.reset, cursor });
    else this.#send(seat, { kind: 'heartbeat', now: this.#log.now(), live: false, cursor });
    void this.#catchUp(seat);
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
    const epoch = await this.#log.epoch();
    this.#positions = await this.#present();
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
  async #present(): Promise<Position[]> {
    const idle = { ms: this.#log.now() - IDLE_LAG_MS, seq: 0 };
    return (await this.#log.ends()).map((end) => laterOf(end, idle));
  }

  #stop(): void {
    this.#stopHints?.();
    this.#stopHints = undefined;
    for (const timer of this.#timers) clearInterval(timer);
    this.#starting = undefined;
    this.#dirty.clear();
  }

  /** Reads for one listener until it stands where the hub does; from then on the hub serves it. */
  async #catchUp(seat: Seat): Promise<void> {
    try {
      for (let shard = 0; shard < this.#log.shards; shard += 1) {
        while (!seat.closed && !this.#joins(seat, shard)) {
          // Where the hub stood before this read: it may be ahead of it by the time of the answer.
          const hub = this.#positions[shard] ?? BEGINNING;
          const found = await this.#log.read(shard, seat.positions[shard] ?? BEGINNING, BATCH);
          if (found.length === 0) seat.positions[shard] = laterOf(seat.positions[shard] ?? BEGINNING, hub);
          this.#deliver(seat, shard, found, true);
        }
      }
      if (!seat.closed) this.#poll();
    } catch {
      // The store is out: the listener comes back with its cursor.
      this.#remove(seat);
    }
  }

  #joins(seat: Seat, shard: number): boolean {
    const reached = comparePositions(seat.positions[shard] ?? BEGINNING, this.#positions[shard] ?? BEGINNING) >= 0;
    if (reached) seat.live[shard] = true;
    return reached;
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
      const [epoch, found] = await Promise.all([
        this.#log.epoch(),
        Promise.all(shards.map((shard) => this.#log.read(shard, this.#positions[shard] ?? BEGINNING, BATCH))),
      ]);
      if (epoch === undefined) return;
      if (epoch !== this.#epoch) return await this.#resetAll(epoch);
      for (const [index, shard] of shards.entries()) this.#advance(shard, found[index] ?? [], readAt - IDLE_LAG_MS);
      for (const seat of this.#seats) this.#flush(seat, shards, found);
      const isAll = shards.length === this.#log.shards && found.every((events) => events.length < BATCH);
      if (isAll) this.#heartbeat(readAt);
    } catch {
      // The store is out: the next poll reads from where this one stood.
    }
  }

  #advance(shard: number, found: readonly LoggedEvent[], before: number): void {
    const current = this.#positions[shard] ?? BEGINNING;
    if (found.length === BATCH) this.#dirty.add(shard);
    this.#positions[shard] = found.at(-1)?.position ?? laterOf(current, { ms: before, seq: 0 });
  }

  #flush(seat: Seat, shards: readonly number[], found: readonly (readonly LoggedEvent[])[]): void {
    const events: Event[] = [];
    for (const [index, shard] of shards.entries()) {
      if (!seat.live[shard]) continue;
      const own = seat.positions[shard] ?? BEGINNING;
      events.push(...unseen(found[index] ?? [], own));
      seat.positions[shard] = laterOf(own, this.#positions[shard] ?? BEGINNING);
    }
    if (events.length > 0) this.#send(seat, { kind: 'events', events, cursor: this.#cursorOf(seat) });
  }

  #deliver(seat: Seat, shard: number, found: readonly LoggedEvent[], withCursor: boolean): void {
    const last = found.at(-1);
    if (last === undefined) return;
    const events = unseen(found, seat.positions[shard] ?? BEGINNING);
    seat.positions[shard] = laterOf(seat.positions[shard] ?? BEGINNING, last.position);
    this.#send(seat, { kind: 'events', events, cursor: withCursor ? this.#cursorOf(seat) : undefined });
  }

  async #resetAll(epoch: string): Promise<void> {
    this.#positions = await this.#present();
    this.#epoch = epoch;
    for (const seat of this.#seats) {
      seat.positions = [...this.#positions];
      seat.live.fill(true);
      this.#send(seat, { kind: 'reset', reason: 'epoch_changed', cursor: this.#cursorOf(seat) });
    }
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

  #send(seat: Seat, message: FeedMessage): void {
    if (!seat.closed && !seat.listener(message)) this.#remove(seat);
  }

  #remove(seat: Seat): void {
    if (seat.closed) return;
    seat.closed = true;
    this.#seats.delete(seat);
    if (this.#seats.size === 0) this.#stop();
    seat.onEnd();
  }
}

function unseen(found: readonly LoggedEvent[], after: Position): Event[] {
  return found.filter(({ position }) => comparePositions(position, after) > 0).map(({ event }) => event);
}
