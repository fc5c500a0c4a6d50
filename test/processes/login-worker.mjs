/**
 * Logs users in, over and over, until it is killed: a login and its store, without HTTP, so that two hundred of them
 * can be started. Gets REDIS_URL, KEY_PREFIX, and the users' names; says the tokenId of every login that was confirmed.
 */
import { writeSync } from 'node:fs';
import { createPlatforms } from '../../dist/domain/platform.js';
import { findPreset } from '../../dist/domain/policies/presets.js';
import { connectRedis } from '../../dist/redis/connect.js';
import { parseRedisUrl } from '../../dist/redis/redis-url.js';
import { openStore } from '../../dist/redis/open-store.js';
import { createLogin } from '../../dist/tokens/login.js';
import { createRefreshTokens } from '../../dist/tokens/refresh-token.js';
import { createRuleBook } from '../../dist/tokens/rules.js';
import { createSigner } from '../../dist/tokens/signer.js';
import { openSigning } from '../../dist/tokens/signing.js';
import { makeKeySet, readKeySet } from '../../dist/tokens/signing-keys.js';

const { REDIS_URL, KEY_PREFIX } = process.env;
const keys = await readKeySet(await makeKeySet('EdDSA'), 'EdDSA');
const redis = connectRedis(parseRedisUrl(REDIS_URL));
await new Promise((resolve) => {
  redis.once('ready', resolve);
});
const options = { keyPrefix: KEY_PREFIX, shards: 1, accessTtlSeconds: 900, throttle: {}, onTouchFailed: () => {} };
const { store, clock } = openStore(redis, options);
const [seconds, microseconds] = await redis.time();
clock.observe(seconds * 1000 + microseconds / 1000, performance.now());

const login = createLogin({
  store,
  signer: createSigner(openSigning(keys), 'http://latchkey.test', 'http://latchkey.test'),
  refreshTokens: createRefreshTokens('refresh-secret-of-the-worker-0123456789abcdef'),
  credentials: {},
  throttle: {},
  ruleBook: createRuleBook({
    policy: findPreset('single-device', 30),
    platforms: createPlatforms(),
    maxPerPlatform: 30,
    maxTokens: 100,
    refreshGraceMs: 10_000,
    ttl: { accessSeconds: 900, refreshSeconds: 2_592_000, idleSeconds: 0, maxSeconds: 0 },
    set: new Set(),
  }),
});

const platforms = ['ios', 'android', 'web', 'linux'];

async function loginForEver(userId) {
  for (let count = 0; ; count += 1) {
    const { result } = await login.trusted({
      tenant: 'default',
      userId,
      platform: platforms[count % platforms.length],
      deviceId: `device-${count}`,
      deviceName: '',
      evict: [],
      dryRun: false,
      interactive: true,
      ip: '127.0.0.1',
      userAgent: '',
    });
    writeSync(1, `${result.token.tokenId}\n`);
  }
}

await Promise.all(process.argv.slice(2).map(loginForEver));
