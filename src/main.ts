/**
 * Process entry: settings, secrets, Redis, listen, drain. The only file that may exit.
 */
import { createServer, type Server } from 'node:http';
import { resolve as absolutePath } from 'node:path';
import { createApp } from './app.ts';
import { ConfigError, loadConfig, type Config } from './config.ts';
import { LatchkeyError } from './contract/errors.ts';
import { createDelegate } from './credentials/delegate.ts';
import { drain } from './http/drain.ts';
import { createLog, type Logger } from './log.ts';
import { createPush } from './outbound/push.ts';
import { connectRedis, type RedisTarget } from './redis/connect.ts';
import { createDeployment } from './redis/deployment.ts';
import { startEmbedded } from './redis/embedded.ts';
import { openStore } from './redis/open-store.ts';
import { findRedis } from './redis/redis-binary.ts';
import { createFeed } from './tokens/feed-hub.ts';
import { createSecurityEvents } from './tokens/security-event.ts';
import type { WebhookNews } from './tokens/webhook-lane.ts';
import { createWebhooks } from './tokens/webhooks.ts';
import { loadSecrets, type LoadedSecrets } from './secrets.ts';

/** A request that has not ended by then is cut off. */
const DRAIN_LIMIT_MS = 10_000;

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  const log = createLog(config.logLevel);
  const loaded = await loadSecrets(config);
  const { target, stop: stopRedis } = await openTarget(config, log);
  const redis = connectRedis(target);
  redis.on('error', (error: unknown) => log.warn({ err: error }, 'redis connection'));

  const { keys, clock, retention, eventLog, ...stores } = openStore(redis, {
    keyPrefix: config.keyPrefix,
    shards: config.shards,
    accessTtlSeconds: config.accessTtlSeconds,
    throttle: config.throttle,
    onTouchFailed: (error) => log.debug({ err: error }, 'last seen was not noted'),
  });
  const deployment = createDeployment(redis, keys, clock, {
    kid: loaded.keys.kid,
    kids: loaded.keys.jwks.keys.map((key) => key.kid),
    strict: config.production,
    retention,
    warn: (message) => log.warn(message),
  });

  const feed = createFeed(eventLog);
  const webhooks = createWebhooks({
    ...stores,
    feed,
    eventLog,
    securityEvents: createSecurityEvents(loaded.keys, config.issuer),
    push: createPush(),
    news: newsTo(log),
  });

  let draining = false;
  const { listener } = createApp({
    config,
    secrets: loaded.secrets,
    keys: loaded.keys,
    stores,
    feed,
    readiness: { isDraining: () => draining, check: () => deployment.check() },
    log,
    ...(config.credentials.kind === 'delegate' && {
      credentials: createDelegate({ ...config.credentials, now: () => clock.now() }),
    }),
  });
  const server = createServer(listener);

  const stop = async (signal: string): Promise<void> => {
    if (draining) return;
    draining = true;
    log.info({ signal }, 'draining');
    // Listeners come back to another node with their cursors.
    feed.close();
    await Promise.all([drain(server, DRAIN_LIMIT_MS), webhooks.stop()]);
    deployment.stop();
    redis.disconnect();
    await stopRedis();
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', (signal) => void stop(signal));
  process.on('SIGINT', (signal) => void stop(signal));

  const agreed = new Promise<void>((resolve) => {
    deployment.watch({
      agreed: resolve,
      lost: (error) => log.debug({ err: error }, 'redis cannot be reached'),
      mismatch: (error) => fail(log, error),
    });
  });
  // The embedded server answers already; a remote one may come later, and until then every answer is 503.
  if (config.redis === undefined) await agreed;
  await listen(server, config);
  announce(server, config, loaded, log);
  webhooks.start();
}

async function openTarget(config: Config, log: Logger): Promise<{ target: RedisTarget; stop: () => Promise<void> }> {
  if (config.redis !== undefined) return { target: config.redis, stop: async () => {} };
  const server = await findRedis({ path: config.path, install: config.installRedis, log: (line) => console.log(line) });
  const embedded = await startEmbedded({ dataDir: config.dataDir, server, onExit: (error) => fail(log, error) });
  return { target: { kind: 'socket', path: embedded.socketPath }, stop: () => embedded.stop() };
}

function listen(server: Server, { port, host }: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
}

function announce(server: Server, config: Config, { secrets, isFirstStart }: LoadedSecrets, log: Logger): void {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : config.port;
  log.info({ host: config.host, port, policy: config.policy.name, issuer: config.issuer }, 'listening');
  if (config.production || config.adminApiKey !== undefined) return;
  const base = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
  const shown = isFirstStart
    ? secrets.adminApiKey
    : `$(node -p 'require("${absolutePath(config.dataDir)}/secrets.json").adminApiKey')`;
  console.log(`
Latchkey listens on ${base}
${isFirstStart ? `Keys were made and are kept in ${config.dataDir}. Admin key: ${secrets.adminApiKey}` : `Keys are in ${config.dataDir}/secrets.json.`}
Sign somebody in:

  curl -s '${base}/admin/users/ada/tokens' \\
    -H "Authorization: Bearer ${shown}" \\
    -H 'Content-Type: application/json' \\
    -d '{"platform":"ios","deviceId":"phone-1","deviceName":"Ada’s phone"}'
`);
}

function newsTo(log: Logger): WebhookNews {
  return {
    onRefused: (tenant, jti, error) => log.warn({ tenant, jti, error }, 'webhook: the receiver refused an event'),
    onFailed: (tenant, error, waitMs) => log.info({ tenant, error, waitMs }, 'webhook: not delivered, will try again'),
    onTrouble: (tenant, error) => log.debug({ tenant, err: error }, 'webhook: delivery is left for now'),
  };
}

function fail(log: Logger, error: Error): void {
  log.fatal({ err: error }, 'cannot go on');
  console.error(`latchkey: ${error.message}`);
  process.exit(1);
}

main().catch((error: unknown) => {
  const message = error instanceof Error ? error.message : String(error);
  console.error(error instanceof ConfigError || error instanceof LatchkeyError ? message : `latchkey: ${message}`);
  process.exit(1);
});
