/**
 * Owns one serving process: a node of the deployment with its HTTP server, and how both end. Must not know how
 * connections reach the server, nor that there are other processes.
 */
import type { Server } from 'node:http';
import { createApp } from './app.ts';
import { createDelegate } from './credentials/delegate.ts';
import { createDrain } from './http/drain.ts';
import { createHttpServer } from './http/server.ts';
import { join, type NodeParts } from './join.ts';
import { createPush } from './outbound/push.ts';
import { createFeed } from './tokens/feed-hub.ts';
import { createSecurityEvents } from './tokens/security-event.ts';
import { createSigner } from './tokens/signer.ts';
import { openSigning } from './tokens/signing.ts';
import { createWebhooks } from './tokens/webhooks.ts';
import { createWebhookNews } from './webhook-news.ts';

/** A request that has not ended by then is cut off. */
export const DRAIN_LIMIT_MS = 10_000;

export type Serving = {
  /** Does not listen yet. */
  readonly server: Server;
  /** Resolves when this node has agreed with Redis. A Redis that comes later is no fault: until then answers are 503. */
  readonly agreed: Promise<void>;
  readonly isDraining: () => boolean;
  /**
   * Takes nothing more on, finishes what there is, and leaves Redis. `emptied` says when the last connection has gone, where
   * the server has no port of its own to close.
   */
  drain(reason: object, emptied?: () => Promise<void>): Promise<void>;
};

/** Begins to serve. `onMismatch`: this process must not serve this Redis, now or any more. */
export function serve(parts: NodeParts & { readonly onMismatch: (error: Error) => void }): Serving {
  const { config, loaded, log } = parts;
  const { redis, stores, deployment, news, leave } = join(parts);
  const { clock, eventLog } = stores;
  const feed = createFeed(eventLog, (error) => log.error({ err: error }, 'feed: trouble of our own'));
  const signing = openSigning(loaded.keys);
  const webhooks = createWebhooks({
    ...stores,
    feed,
    eventLog,
    securityEvents: createSecurityEvents(signing, config.issuer),
    push: createPush({ publicOnly: config.webhookTargets === 'public' }),
    news: createWebhookNews(log),
  });
  let draining = false;
  let hasAgreed = false;
  const { listener } = createApp({
    config,
    secrets: loaded.secrets,
    keys: loaded.keys,
    signer: createSigner(signing, config.issuer, config.audience),
    stores,
    feed,
    readiness: {
      isDraining: () => draining,
      hasAgreed: () => hasAgreed,
      // Who is told that this process is ready must not be told 503 by the next call: the check is the agreement.
      async check() {
        await deployment.check();
        hasAgreed = true;
      },
    },
    log,
    ...(config.credentials.kind === 'delegate' && {
      credentials: createDelegate({ ...config.credentials, now: () => clock.now() }),
    }),
  });
  const server = createHttpServer(listener, config.keepAliveSeconds);
  const drain = createDrain(server);
  const agreed = new Promise<void>((resolve) => {
    deployment.watch({
      agreed: () => {
        hasAgreed = true;
        news.wellAgain();
        resolve();
      },
      // Without a connection nothing was asked; why there is none, the connection has told.
      lost: (error) => {
        if (redis.status === 'ready') news.trouble(error);
      },
      mismatch: parts.onMismatch,
    });
  });
  void agreed.then(() => {
    if (!draining) webhooks.start();
  });
  return {
    server,
    agreed,
    isDraining: () => draining,
    async drain(reason, emptied) {
      draining = true;
      log.info(reason, 'draining');
      // Before the feed ends: a lane that only loses the feed would keep its lease.
      const handedOver = webhooks.stop();
      // Listeners come back to another node with their cursors.
      feed.close();
      await Promise.all([drain(DRAIN_LIMIT_MS, emptied), handedOver]);
      await signing.close();
      leave();
    },
  };
}
