/**
 * Owns what the log says while Redis cannot be used: once what is wrong and with which host, then rarely, and once that it is
 * over. Must not know what Redis is asked.
 */
import type { Logger } from './log.ts';
import type { RedisTarget } from './redis/redis-url.ts';
import { reasonOf } from './system-errors.ts';

/** How often an outage that goes on is told again. */
const AGAIN_AFTER_MS = 60_000;

export type RedisNews = {
  /** A connection failed, or what was asked over one. */
  readonly trouble: (error: unknown) => void;
  /** Redis has answered all that a node needs. */
  readonly wellAgain: () => void;
};

/** What Redis and its client say, in words that tell what to do. */
const SENTENCES: readonly (readonly [RegExp, string])[] = [
  [/^LOADING\b/, 'it is still loading its data'],
  [/^NOAUTH\b/, 'it wants a password, and REDIS_URL has none'],
  [/^WRONGPASS\b/, 'it refuses the user or the password in REDIS_URL'],
  [/^MOVED\b/, 'it is part of a Cluster: REDIS_URL is to begin with redis+cluster:// or rediss+cluster://'],
  [/DB index is out of range/, 'it has no database of the number in REDIS_URL'],
  [/^All sentinels are unreachable/, 'no Sentinel can be reached'],
  [/^Connection is closed|^Stream isn't writeable/, 'no connection can be made'],
];

/** @param now milliseconds that only grow */
export function createRedisNews(log: Logger, target: RedisTarget, now = () => performance.now()): RedisNews {
  const redis = nameOf(target);
  /** Since when, and when each reason was told last: attempts that fail in turn for several reasons are no news. */
  let outage: { readonly since: number; readonly toldAt: Map<string, number> } | undefined;
  return {
    trouble(error) {
      const reason = troubleOf(error);
      outage ??= { since: now(), toldAt: new Map() };
      if (now() - (outage.toldAt.get(reason) ?? -Infinity) < AGAIN_AFTER_MS) return;
      outage.toldAt.set(reason, now());
      const forSeconds = Math.round((now() - outage.since) / 1000);
      log.error({ redis, reason, forSeconds }, 'Redis cannot be used: what needs it is answered 503');
    },
    wellAgain() {
      if (outage === undefined) return;
      log.info({ redis, afterSeconds: Math.round((now() - outage.since) / 1000) }, 'Redis can be used again');
      outage = undefined;
    },
  };
}

/** Where Redis is, without user and password. */
function nameOf(target: RedisTarget): string {
  if (target.kind === 'socket') return target.path;
  const hosts = target.kind === 'server' ? [target] : target.nodes;
  return hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',');
}

/** The cause that says most: a client of several hosts wraps what the last of them said. */
function troubleOf(error: unknown): string {
  const inner = innermostOf(error);
  const message = reasonOf(inner);
  return SENTENCES.find(([form]) => form.test(message))?.[1] ?? message;
}

function innermostOf(error: unknown): unknown {
  const { lastNodeError, cause } = (error ?? {}) as { readonly lastNodeError?: unknown; readonly cause?: unknown };
  const inner = lastNodeError ?? cause;
  return inner === undefined ? error : innermostOf(inner);
}
