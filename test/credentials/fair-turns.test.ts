/** Turns of a few at once: who is next, who waits for whom, and who is refused when too much waits. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { createFairTurns } from '../../src/credentials/fair-turns.ts';

/** A place, tasks that end when they are told to, and what was begun and refused in which order. */
function place(atOnce: number, maxWaiting: number) {
  const inTurn = createFairTurns(atOnce, maxWaiting);
  const begun: string[] = [];
  const refused: string[] = [];
  const ends: (() => void)[] = [];
  const task = (name: string) => () => {
    begun.push(name);
    return new Promise<void>((resolve) => {
      ends.push(resolve);
    });
  };
  return {
    begun,
    refused,
    come: (name: string, ...lines: string[]) =>
      inTurn(lines, task(name)).catch((error: { code: string }) => refused.push(`${name} ${error.code}`)),
    /** Ends what runs, one after the other, until so many have begun. */
    until: async (count: number) => {
      while (begun.length < count) {
        ends.shift()?.();
        await turn();
      }
    },
  };
}

describe('F36 turns are divided by party', () => {
  it('a burst of one waits for itself, and not others for it', async () => {
    const { come, begun, until } = place(1, 100);
    for (let count = 0; count < 20; count += 1) void come(`burst-${count}`, 'network a', `user ${count}`);
    void come('other', 'network b', 'user x');
    void come('another', 'network c', 'user y');
    await until(4);
    expect(begun).toEqual(['burst-0', 'burst-1', 'other', 'another']);
    await until(22);
    expect(begun.slice(4)).toEqual(Array.from({ length: 18 }, (_, index) => `burst-${index + 2}`));
  });

  it('by user as by network: many networks that guess at one user are one party', async () => {
    const { come, begun, until } = place(1, 100);
    for (let count = 0; count < 20; count += 1) void come(`guess-${count}`, `network ${count}`, 'user x');
    void come('other', 'network b', 'user y');
    await until(3);
    expect(begun).toEqual(['guess-0', 'guess-1', 'other']);
  });

  it('nobody waits for ever: whoever waits is passed by each other party as often as it has waited before', async () => {
    const { come, begun, until } = place(1, 100);
    for (let count = 0; count < 4; count += 1) void come(`a-${count}`, 'a');
    for (let count = 0; count < 30; count += 1) {
      void come(`other-${count}`, `other ${count}`);
      await until(count + 2);
    }
    expect(begun.slice(0, 34)).toEqual(expect.arrayContaining(['a-1', 'a-2', 'a-3']));
  });

  it('when too much waits, whoever has most waiting is refused, even if it was first', async () => {
    const { come, refused, begun, until } = place(1, 3);
    void come('runs', 'a');
    for (let count = 0; count < 5; count += 1) void come(`burst-${count}`, 'a');
    await turn();
    expect(refused).toEqual(['burst-3 overloaded', 'burst-4 overloaded']);
    void come('other', 'b');
    void come('another', 'c');
    await turn();
    expect(refused.slice(2)).toEqual(['burst-2 overloaded', 'burst-1 overloaded']);
    void come('one more', 'd');
    await turn();
    expect(refused.slice(4)).toEqual(['one more overloaded']);
    await until(4);
    expect(begun).toEqual(['runs', 'burst-0', 'other', 'another']);
  });

  it('a task that fails gives its place to the next', async () => {
    const inTurn = createFairTurns(1, 10);
    const failed = inTurn(['a'], async () => {
      throw new Error('no');
    });
    await expect(Promise.all([failed, inTurn(['a'], async () => 'done')])).rejects.toThrow('no');
    expect(await inTurn(['a'], async () => 'again')).toBe('again');
  });
});
