/**
 * Owns how this process reaches Redis: one server, a Cluster, Sentinels, or the embedded server's socket.
 * Must not know keys or scripts. No command waits for a connection and none is sent twice: an outage is an error at once.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { LatchkeyError } from '../contract/errors.ts';
import type { Credentials, RedisTarget } from './redis-url.ts';

/** Longest wait for a reply: an outage must be answered within a second. */
export const REPLY_WITHIN_MS = 800;
const CONNECT_TIMEOUT_MS = 2_000;
/**
 * A connection on which nothing comes back for so long, though something was asked, is given up: the other side may have
 * gone without a word, and TCP would go on waiting for a quarter of an hour.
 */
const SILENT_AFTER_MS = 5_000;
const LONGEST_RECONNECT_DELAY_MS = 1_000;

/** Characters that are worth a write of their own: Redis works on them while this turn of the loop makes more. */
const ENOUGH_FOR_A_WRITE = 8_192;

export type RedisClient = Redis | Cluster;

/** Every server that takes writes: one, or the masters of a Cluster. */
export function mastersOf(redis: RedisClient): Redis[] {
  return redis instanceof Cluster ? redis.nodes('master') : [redis];
}

type TargetOf<Kind extends RedisTarget['kind']> = Extract<RedisTarget, { readonly kind: Kind }>;

/** Begins to connect and keeps at it for ever; the caller listens to `ready` and `error`. */
export function connectRedis(target: RedisTarget): RedisClient {
  if (target.kind === 'cluster') return connectCluster(target);
  if (target.kind === 'sentinel') return connectSentinel(target);
  const common = { ...clientOptions(), ...credentialsOf(target), db: target.db };
  if (target.kind === 'socket') return new GatheringRedis({ ...common, path: target.path });
  const { host, port } = target;
  return new GatheringRedis({ ...common, ...encryption(target), host, port });
}

function connectCluster(target: TargetOf<'cluster'>): Cluster {
  const { nodes, tls, addressMap } = target;
  return new Cluster([...nodes], {
    enableOfflineQueue: false,
    maxRedirections: 3,
    retryDelayOnFailover: 50,
    retryDelayOnClusterDown: 50,
    retryDelayOnTryAgain: 50,
    clusterRetryStrategy: reconnectDelay,
    redisOptions: { ...clientOptions(), ...credentialsOf(target), ...encryption(target) },
    ...(addressMap && { natMap: addressMap }),
    // A certificate is for a name, so the name is what must be connected to.
    ...(tls && { dnsLookup: (name, found) => found(null, name) }),
  });
}

function connectSentinel(target: TargetOf<'sentinel'>): Redis {
  const { nodes, name, db, tls, addressMap, sentinelCredentials = {} } = target;
  const { username: sentinelUsername, password: sentinelPassword } = sentinelCredentials;
  const encrypted = encryption(target);
  return new GatheringRedis({
    ...clientOptions(),
    ...credentialsOf(target),
    ...encrypted,
    ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: encrypted.tls ?? {} }),
    ...(sentinelUsername && { sentinelUsername }),
    ...(sentinelPassword && { sentinelPassword }),
    ...(addressMap && { natMap: addressMap }),
    sentinels: [...nodes],
    // Else a promotion goes unnoticed for as long as the old master keeps the connection.
    failoverDetector: true,
    name,
    db,
  });
}

function encryption({ tls, tlsFiles }: Pick<TargetOf<'server'>, 'tls' | 'tlsFiles'>): Pick<RedisOptions, 'tls'> {
  return tls ? { tls: { ...tlsFiles } } : {};
}

/**
 * What is sent within one turn of the loop goes out together: in one write, or in a few when it is much. Every command is
 * still one of its own: it fails, and is answered, by itself. Replies come in the order of the commands, so nothing may pass
 * what has been gathered.
 */
class GatheringRedis extends Redis {
  /** What has not been written yet, and the connection that it was meant for: no other one is sent it. */
  #gathered: { text: string; readonly stream: Redis['stream'] } | undefined;
  /** In the form in which the client takes the place where a pipeline gathers its commands. */
  readonly #gatherer = {
    isPipeline: true as const,
    destination: { redis: this },
    write: (data: string | Buffer) => this.#gather(data),
  };

  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>): unknown {
    if (stream === undefined && this.status === 'ready') return super.sendCommand(command, this.#gatherer);
    // A pipeline, or the client while it connects, writes by itself.
    this.#flush();
    return super.sendCommand(command, stream);
  }

  /** Without its database a connection would go on in number 0: it is given up, and the client says why. */
  override async select(...args: Parameters<Redis['select']>): Promise<'OK'> {
    try {
      return await super.select(...args);
    } catch (error) {
      this.disconnect(true);
      throw error;
    }
  }

  #gather(data: string | Buffer): void {
    const { stream } = this;
    if (typeof data !== 'string') {
      this.#flush();
      stream.write(data);
    } else if (this.#gathered?.stream === stream) {
      this.#gathered.text += data;
      if (this.#gathered.text.length >= ENOUGH_FOR_A_WRITE) this.#flush();
    } else {
      this.#gathered = { text: data, stream };
      setImmediate(() => this.#flush());
    }
  }

  #flush(): void {
    const gathered = this.#gathered;
    this.#gathered = undefined;
    if (gathered?.stream.writable) gathered.stream.write(gathered.text);
  }
}

/**
 * The prefix of a reply that says "not now" or "not you", not "wrong": the store is out, the command was not carried out.
 * Those of the second line are for who set Redis up, and are told in the log.
 */
const OUTAGE_REPLY = new RegExp(
  '^(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|OOM|MISCONF|NOREPLICAS|BUSY|UNBLOCKED|' +
    'NOAUTH|WRONGPASS|NOPERM|MOVED|ASK|CROSSSLOT|ERR max number of clients)\\b',
);

/**
 * Awaits an answer of Redis. Whatever keeps it from coming is `store_unavailable`; an answer that complains of our own
 * command is a fault in this program and stays what it is.
 *
 * A process that has no time to read takes its own lag for an outage when the timer comes up before the socket. So the
 * timer only asks; what has arrived by then is read first.
 */
export function answerOf<T>(call: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const tooLate = new Error(`no reply within ${REPLY_WITHIN_MS} ms`);
      setImmediate(() => setImmediate(() => reject(outageOf(tooLate))));
    }, REPLY_WITHIN_MS);
    call.then(
      (answer) => {
        clearTimeout(timer);
        resolve(answer);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(outageOf(error));
      },
    );
  });
}

/** Whether a failed answer says that this user may not ask (ACL): for who can do without. */
export function isForbidden(error: unknown): boolean {
  const { cause } = (error ?? {}) as { readonly cause?: unknown };
  return cause instanceof Error && cause.message.startsWith('NOPERM');
}

function outageOf(error: unknown): unknown {
  const isReply = error instanceof Error && error.name === 'ReplyError';
  // Under this name another version keeps something else.
  if (isReply && error.message.startsWith('WRONGTYPE')) return new LatchkeyError('store_unreadable', { cause: error });
  if (isReply && !OUTAGE_REPLY.test(error.message)) return error;
  return new LatchkeyError('store_unavailable', { cause: error });
}

function clientOptions(): Omit<RedisOptions, 'replyMapping'> {
  return {
    enableOfflineQueue: false,
    // It asks for INFO, which users of managed services may not; LOADING is an outage by itself.
    enableReadyCheck: false,
    // CLIENT SETINFO is one more right that nothing else needs.
    disableClientInfo: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 1,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENT_AFTER_MS,
    retryStrategy: reconnectDelay,
    // A master that became a replica refuses writes: find the new master. The command itself is not sent again.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  };
}

function reconnectDelay(attempt: number): number {
  return Math.min(50 * attempt, LONGEST_RECONNECT_DELAY_MS);
}

function credentialsOf({ username, password }: Credentials): Credentials {
  return { ...(username && { username }), ...(password && { password }) };
}
