/**
 * Owns how a Redis is filled with users that are signed in: by Latchkey's own store and its scripts, so that every record,
 * event and history is what a login writes. Only the signature is left out: nothing of it is stored.
 */
import { connectRedis } from '../../dist/redis/connect.js';
import { parseRedisUrl } from '../../dist/redis/redis-url.js';
import { openStore } from '../../dist/redis/open-store.js';
import { makeSalt } from '../../dist/tokens/refresh-token.js';
import { randomText } from '../../dist/tokens/random-text.js';
import { inParallel } from './call.mjs';
import { USER_AGENT } from './latchkey.mjs';

/** A record keeps so much of a user agent. */
const USER_AGENT_KEPT = 128;
const AT_ONCE = 512;
const ACCESS_SECONDS = 900;
const REFRESH_SECONDS = 2_592_000;
const DEVICES = [
  { platform: 'ios', deviceName: 'Ada’s iPhone 15 Pro' },
  { platform: 'web', deviceName: 'Chrome on Windows' },
  { platform: 'ipad', deviceName: 'iPad Air (5th generation)' },
];

/** Signs in users `user-<from>` … , each on so many devices. */
export async function seed(redis, { users, from = 0, devices = DEVICES.length }) {
  const client = connectRedis(parseRedisUrl(redis.url));
  await new Promise((resolve) => client.once('ready', resolve));
  const { store, clock } = openStore(client, {
    keyPrefix: 'lk',
    shards: 64,
    accessTtlSeconds: ACCESS_SECONDS,
    throttle: {},
    onTouchFailed() {},
  });
  const [seconds, micros] = await client.time();
  clock.observe(seconds * 1000 + micros / 1000, performance.now());
  const signIn = async (n) => {
    const user = { tenant: 'default', userId: `user-${from + Math.floor(n / devices)}` };
    const token = tokenOf(user, DEVICES[n % devices], store.now());
    await store.update(await store.snapshot(user), user, async () => decisionOf(token));
  };
  await inParallel(users * devices, signIn, AT_ONCE);
  client.disconnect();
}

function tokenOf(user, { platform, deviceName }, now) {
  return {
    ...user,
    tokenId: randomText(16),
    platform,
    deviceId: randomText(16),
    deviceName,
    createdAt: now,
    expiresAt: now + REFRESH_SECONDS * 1000,
    accessExpiresAt: now + ACCESS_SECONDS * 1000,
    generation: 1,
    rotatedAt: now,
    idleMs: 0,
    salt: makeSalt(),
    ip: '203.0.113.77',
    userAgent: USER_AGENT.slice(0, USER_AGENT_KEPT),
  };
}

function decisionOf(token) {
  const plan = {
    declined: false,
    kick: new Map(),
    delete: new Map(),
    replace: new Map(),
    grounds: new Map(),
    conflicts: [],
  };
  const actor = { kind: 'login', platform: token.platform, deviceName: token.deviceName };
  return { apply: true, token, plan, actor, displacementsRemembered: 0, maxTombstones: 100 };
}
