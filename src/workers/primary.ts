/**
 * Owns the workers of one deployment's node: starts them, deals them connections, replaces the dead, drains them all.
 * Serves nothing itself, and must not know what a worker does.
 */
import { fork, type ChildProcess } from 'node:child_process';
import type { Logger } from '../log.ts';
import { createDealer, type Dealer } from './dealer.ts';
import { WORKER_ARGUMENT, type ToPrimary, type ToWorker } from './messages.ts';
import { RESTART_LIMITS, restartDelayMs, type RestartLimits } from './restart-delay.ts';

export type WorkersOptions = {
  readonly count: number;
  /** The file that a worker runs, and what it is told beside that it is one. */
  readonly entry: string;
  readonly args: readonly string[];
  readonly log: Logger;
  /** A worker that was told to drain and is still there after so long is killed. */
  readonly drainLimitMs: number;
  /** Called once, when the first worker serves. */
  readonly onServing: () => void;
  /** Called once, when the first worker that serves has agreed with Redis. */
  readonly onAgreed: () => void;
  /** Called once, with the first reason that a worker gives; the workers are still to be ended. */
  readonly onRefused: (message: string) => void;
  readonly restart?: RestartLimits;
};

export type Workers = {
  /** Takes the port, then starts the workers. Resolves with the port; rejects when it cannot be had. */
  start(port: number, host: string): Promise<number>;
  /** No connection is taken any more; resolves when all workers have finished what they had. */
  drain(): Promise<void>;
};

export function createWorkers(options: WorkersOptions): Workers {
  const crew = new Crew(options);
  return {
    start: (port, host) => crew.start(port, host),
    drain: () => crew.drain(),
  };
}

/** The place of a worker, whoever fills it. */
type Place = {
  worker: ChildProcess | undefined;
  isReady: boolean;
  /** In a row, each soon after its start. */
  earlyDeaths: number;
  restart: NodeJS.Timeout | undefined;
  ended: Promise<void>;
};

class Crew {
  readonly #options: WorkersOptions;
  readonly #limits: RestartLimits;
  readonly #dealer: Dealer;
  #places: Place[] = [];
  #isDraining = false;
  #isServing = false;
  #isAgreed = false;
  #isRefused = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#limits = options.restart ?? RESTART_LIMITS;
    this.#dealer = createDealer(() => this.#isAnyStarting());
  }

  async start(port: number, host: string): Promise<number> {
    const taken = await this.#dealer.listen(port, host);
    const empty = { worker: undefined, isReady: false, earlyDeaths: 0, restart: undefined, ended: Promise.resolve() };
    this.#places = Array.from({ length: this.#options.count }, () => ({ ...empty }));
    if (!this.#isDraining) this.#places.forEach((place) => this.#fill(place));
    return taken;
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    await this.#dealer.close();
    for (const place of this.#places) clearTimeout(place.restart);
    await Promise.all(this.#places.map((place) => this.#drainPlace(place)));
  }

  async #drainPlace({ worker, ended }: Place): Promise<void> {
    if (worker === undefined) return;
    const message: ToWorker = 'drain';
    worker.send(message, () => {}); // Who cannot hear it has ended, or is killed below.
    const kill = setTimeout(() => worker.kill('SIGKILL'), this.#options.drainLimitMs);
    await ended;
    clearTimeout(kill);
  }

  #fill(place: Place): void {
    const { entry, args } = this.#options;
    const worker = fork(entry, [WORKER_ARGUMENT, ...args]);
    const startedAt = performance.now();
    place.worker = worker;
    worker.on('message', (message) => this.#hear(place, worker, message as ToPrimary));
    // Both: a worker that is killed with connections still queued for it never counts as disconnected.
    worker.once('disconnect', () => this.#dealer.remove(worker));
    worker.once('exit', () => this.#dealer.remove(worker));
    worker.on('error', (error) => this.#options.log.warn({ err: error }, 'a worker cannot be reached'));
    place.ended = new Promise((resolve) => {
      // Not 'exit': by then its last word may not have been read.
      worker.once('close', (code: number | null, signal: NodeJS.Signals | null) => {
        this.#mourn(place, performance.now() - startedAt, { workerPid: worker.pid, code, signal });
        resolve();
      });
    });
  }

  #hear(place: Place, worker: ChildProcess, message: ToPrimary): void {
    if (message.kind === 'refused') {
      if (!this.#isRefused && !this.#isDraining) this.#options.onRefused(message.message);
      this.#isRefused = true;
      return;
    }
    if (message.kind === 'agreed') {
      if (!this.#isAgreed) this.#options.onAgreed();
      this.#isAgreed = true;
      return;
    }
    place.isReady = true;
    this.#dealer.add(worker);
    this.#options.log.info({ workerPid: worker.pid }, 'a worker serves');
    if (!this.#isServing) this.#options.onServing();
    this.#isServing = true;
  }

  #mourn(place: Place, livedMs: number, how: object): void {
    place.worker = undefined;
    place.isReady = false;
    if (this.#isDraining || this.#isRefused) return;
    place.earlyDeaths = livedMs < this.#limits.soundAfterMs ? place.earlyDeaths + 1 : 0;
    const delayMs = restartDelayMs(place.earlyDeaths, this.#limits);
    this.#options.log.error({ ...how, livedMs: Math.round(livedMs), restartInMs: delayMs }, 'a worker died');
    if (delayMs === 0) return this.#fill(place);
    place.restart = setTimeout(() => this.#fill(place), delayMs);
    this.#dealer.giveUpWaiting();
  }

  #isAnyStarting(): boolean {
    return !this.#isDraining && this.#places.some(({ worker, isReady }) => worker !== undefined && !isReady);
  }
}
