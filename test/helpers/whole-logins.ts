/** Whether logins were stored whole: read from Redis, past the code that wrote them. Under the policy single-device. */
import { expect } from '@jest/globals';
import type { Redis } from 'ioredis';
import { stateOf } from '../../src/domain/token.ts';
import { readTokens } from '../../src/redis/codec.ts';
import { readEvent } from '../../src/redis/event-codec.ts';
import type { Keys } from '../../src/redis/keys.ts';

/** Every login is there with its kick and both of their events, in order; the ids of the user's tokens, oldest first. */
export async function tokensWhole(redis: Redis, keys: Keys, userId: string): Promise<string[]> {
  const user = { tenant: 'default', userId };
  const [fields, entries] = await Promise.all([
    redis.hgetall(keys.tokens(user)),
    redis.lrange(keys.history(user), 0, -1),
  ]);
  const { tokens, unreadable } = readTokens(user, new Map(Object.entries(fields)));
  expect(unreadable).toEqual([]);
  expect(fields[':q'] ?? '0').toBe(String(tokens.length));
  const ids = tokens.map(({ tokenId }) => tokenId);
  const now = Number((await redis.time())[0]) * 1000;
  expect(tokens.map((token) => stateOf(token, now))).toEqual(
    ids.map((_, index) => (index === ids.length - 1 ? 'active' : 'kicked')),
  );
  const steps = ids.flatMap((id, index) =>
    index === 0 ? [`token.issued ${id}`] : [`token.kicked ${ids[index - 1]}`, `token.issued ${id}`],
  );
  // The history is what the feed has; it keeps the last fifty.
  const events = entries.map((entry) => {
    const cut = entry.indexOf('\u001F');
    return readEvent(0, entry.slice(0, cut), entry.slice(cut + 1));
  });
  expect(events.map((event) => `${event?.type} ${event?.tokenId}`).toReversed()).toEqual(steps.slice(-50));
  const fed = await Promise.all(entries.map((entry) => isInFeed(redis, keys, entry)));
  expect(fed).not.toContain(false);
  return ids;
}

async function isInFeed(redis: Redis, keys: Keys, entry: string): Promise<boolean> {
  const cut = entry.indexOf('\u001F');
  const id = entry.slice(0, cut);
  const found = await redis.xrange(keys.events(0), id, id);
  return found[0]?.[1][1] === entry.slice(cut + 1);
}
