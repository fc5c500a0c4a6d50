/**
 * Owns the order of this process's updates of one user: one after the other, so that conflicts are only ever between
 * processes. Must not know what an update does.
 */
import { LRUCache } from 'lru-cache';

/** Users whose last update is remembered. Forgetting one costs a conflict, never a wrong result. */
const REMEMBERED_USERS = 10_000;

export class UserTurns {
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #changedAt = new LRUCache<string, number>({ max: REMEMBERED_USERS });
  #ticks = 0;

  /** A mark to compare later changes with. */
  mark(): number {
    return this.#ticks;
  }

  /** Notes that this process has just changed the user. */
  changed(user: string): void {
    this.#ticks += 1;
    this.#changedAt.set(user, this.#ticks);
  }

  changedSince(user: string, mark: number): boolean {
    return (this.#changedAt.get(user) ?? 0) > mark;
  }

  /** Runs `task` when all earlier ones of this user have ended, well or badly. */
  async take<T>(user: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(user);
    const turn = before === undefined ? task() : before.then(task, task);
    this.#tails.set(user, turn);
    try {
      return await turn;
    } finally {
      if (this.#tails.get(user) === turn) this.#tails.delete(user);
    }
  }
}
