/**
 * Owns what the log says of webhooks: what operators have to mend is a warning, and what goes on is told rarely. Nothing of
 * an event's content passes here. Must not know how events are delivered.
 */
import type { Logger } from './log.ts';
import type { WebhookNews } from './tokens/webhook-lane.ts';

/** How often trouble that goes on is told again. */
const AGAIN_AFTER_MS = 60_000;
/** So many kinds of trouble at a time are told apart. */
const MAX_KINDS = 100;

type Told = { readonly at: number; untold: number };

/**
 * @param now milliseconds that only grow
 *
 * @example createWebhooks({ …, news: createWebhookNews(log) })
 */
export function createWebhookNews(log: Logger, now = () => performance.now()): WebhookNews {
  /** By what went wrong: an outage of Redis is one trouble, however many tenants have a webhook. */
  const told = new Map<string, Told>();

  /** How often it was passed over in silence since it was told last; undefined: it is too soon to tell it again. */
  function untoldOf(kind: string): number | undefined {
    const last = told.get(kind);
    if (last !== undefined && now() - last.at < AGAIN_AFTER_MS) {
      last.untold += 1;
      return undefined;
    }
    for (const [other, { at }] of told) if (now() - at >= AGAIN_AFTER_MS) told.delete(other);
    if (told.size >= MAX_KINDS) return undefined;
    told.set(kind, { at: now(), untold: 0 });
    return last?.untold ?? 0;
  }

  return {
    // Each is an event that the receiver will never have.
    onRefused: (tenant, { jti, error }) => log.warn({ tenant, jti, error }, 'webhook: the receiver refused an event'),

    onFailed(tenant, { error, refusal }, waitMs) {
      if (error !== 'status_410') {
        log.info({ tenant, error, refusal, waitMs }, 'webhook: not delivered, will try again');
        return;
      }
      log.warn({ tenant, error, waitMs }, 'webhook: the receiver says that it is gone; nothing is sent until then');
    },

    onTrouble(tenant, error) {
      const untold = untoldOf(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
      if (untold === undefined) return;
      log.warn({ tenant, err: error, untold }, 'webhook: delivery is left for now');
    },
  };
}
