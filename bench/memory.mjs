/** Owns what a token costs in Redis: 3 devices a user, every field filled, beside the layout of OpenIM for the same users. */
import { SignJWT } from 'jose';
import { inParallel } from './lib/call.mjs';
import { startRedis } from './lib/processes.mjs';
import { seed } from './lib/seed.mjs';

const DEVICES = 3;
const AT_ONCE = 512;
const OPENIM_PLATFORMS = ['IOS', 'Web', 'iPad'];

/** Bytes a token: of tokens alone, with events and history, and of OpenIM's layout. */
export async function measureMemory({ users }) {
  const tokens = users * DEVICES;
  const ours = await startRedis('memory');
  const before = await usedBy(ours);
  await seed(ours, { users });
  const withEvents = await usedBy(ours);
  const copy = await startRedis('memory-tokens');
  const blank = await usedBy(copy);
  await copyTokens(ours.client, copy.client);
  const alone = await usedBy(copy);

  const theirs = await startRedis('memory-openim');
  const empty = await usedBy(theirs);
  await seedOpenIm(theirs.client, users);
  const openIm = await usedBy(theirs);
  return {
    tokens: (alone - blank) / tokens,
    withEvents: (withEvents - before) / tokens,
    openIm: (openIm - empty) / tokens,
  };
}

async function usedBy({ client }) {
  return Number(/used_memory:(\d+)/.exec(await client.info('memory'))[1]);
}

/** Without what is told of logins afterwards: the feed's streams, which age out, and the last 50 events of each user. */
async function copyTokens(from, to) {
  for await (const keys of from.scanStream({ match: 'lk:*:t:*', count: 5000 })) {
    await Promise.all(
      keys.map(async (key) => {
        const [dump, expiresAt] = await Promise.all([from.dumpBuffer(key), from.pexpiretime(key)]);
        await to.restore(key, expiresAt, dump, 'ABSTTL');
      }),
    );
  }
}

/** As open-im-server keeps them: a hash for each user and platform, with the whole JWT as field and the state as value. */
async function seedOpenIm(client, users) {
  const secret = new TextEncoder().encode('openIM123');
  await inParallel(
    users * DEVICES,
    async (n) => {
      const userId = `user-${Math.floor(n / DEVICES)}`;
      const token = await new SignJWT({ UserID: userId, PlatformID: (n % DEVICES) + 1 })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setIssuedAt()
        .setNotBefore('0s')
        .setExpirationTime('90d')
        .sign(secret);
      const key = `UID_PID_TOKEN_STATUS:${userId}:${OPENIM_PLATFORMS[n % DEVICES]}`;
      await client.pipeline().hset(key, token, 0).expire(key, 7_776_000).exec();
    },
    AT_ONCE,
  );
}
