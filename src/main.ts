/**
 * Process entry: settings and secrets, then one process that serves, or the primary of several, or one of its workers.
 * The only file that may exit.
 */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { announce, inviteToTry, warnOfMisspelt } from './announce.ts';
import { ConfigError, loadConfig, type Config } from './config.ts';
import { LatchkeyError } from './contract/errors.ts';
import { checkFit, FIRST_ANSWER_MS } from './join.ts';
import { createLog, type Logger } from './log.ts';
import { openRedis } from './open-redis.ts';
import { loadSecrets } from './secrets.ts';
import { DRAIN_LIMIT_MS, serve } from './serve.ts';
import { isSystemError, reasonOf } from './system-errors.ts';
import { linkToPrimary } from './workers/link.ts';
import { WORKER_ARGUMENT } from './workers/messages.ts';
import { createWorkers } from './workers/primary.ts';

/**
 * V8 looks for garbage among old objects when there are so many percent more of them. Left to itself it waits, now and then,
 * until they are four times as many: memory would rise and fall by half.
 */
const HEAP_GROWTH_PERCENT = 60;
/** For a worker to end by itself, after what it had to drain. */
const WORKER_MARGIN_MS = 2_000;

async function main(): Promise<void> {
  const config = loadConfig(process.env);
  await (config.workers === 1 ? runAlone(config) : runPrimary(config));
}

async function runAlone(config: Config): Promise<void> {
  const log = createLog(config.logLevel);
  warnOfMisspelt(config, log);
  const loaded = await loadSecrets(config);
  // Who ends the process may end Redis too: then what is under way is still answered.
  let isEnding = false;
  const redis = await openRedis(config, (error) => {
    if (!isEnding) fail(log, error);
  });
  const serving = serve({ config, loaded, target: redis.target, log, onMismatch: (error) => fail(log, error) });
  onSignal(async (signal) => {
    if (isEnding) return;
    isEnding = true;
    await serving.drain({ signal });
    await redis.stop();
    log.info('stopped');
    process.exit(0);
  });
  // The embedded server answers already; a remote one may come later, and until then every answer is 503.
  if (config.redis === undefined) await serving.agreed;
  const port = await listen(serving.server, config).catch((error: unknown) => {
    throw listenFault(error, config);
  });
  announce(port, config, log);
  await serving.agreed;
  inviteToTry(port, config, loaded);
}

async function runPrimary(config: Config): Promise<void> {
  const log = createLog(config.logLevel).child({ pid: process.pid });
  warnOfMisspelt(config, log);
  const loaded = await loadSecrets(config);
  let port = config.port;
  let isEnding = false;
  const end = async (code: number): Promise<void> => {
    isEnding = true;
    await workers.drain();
    await redis.stop();
    log.info('stopped');
    process.exit(code);
  };
  const refuse = (sentence: string): void => {
    if (isEnding) return;
    complain(log, { reason: sentence }, sentence);
    void end(1);
  };
  const redis = await openRedis(config, (error) => refuse(sentenceOf(error)));
  const workers = createWorkers({
    count: config.workers,
    entry: fileURLToPath(import.meta.url),
    args: redis.target.kind === 'socket' ? [redis.target.path] : [],
    log,
    drainLimitMs: DRAIN_LIMIT_MS + WORKER_MARGIN_MS,
    onServing: () => announce(port, config, log),
    onAgreed: () => inviteToTry(port, config, loaded),
    onRefused: refuse,
  });
  onSignal((signal) => {
    if (isEnding) return;
    log.info({ signal }, 'draining');
    void end(0);
  });
  try {
    await checkFit({ config, loaded, target: redis.target, log });
    if (!isEnding) port = await workers.start(config.port, config.host);
  } catch (error) {
    refuse(sentenceOf(listenFault(error, config)));
  }
}

async function runWorker(socketPath: string | undefined): Promise<void> {
  const link = linkToPrimary();
  const refuse = async (error: unknown): Promise<void> => {
    await link.refuse(sentenceOf(error));
    process.exit(1);
  };
  try {
    const config = loadConfig(process.env);
    const log = createLog(config.logLevel).child({ pid: process.pid });
    const loaded = await loadSecrets(config);
    const target = config.redis ?? { kind: 'socket', path: socketPath ?? '', db: 0 };
    const serving = serve({ config, loaded, target, log, onMismatch: (error) => void refuse(error) });
    void link.isToDrain.then(async (reason) => {
      await serving.drain({ reason }, link.emptied);
      process.exit(0);
    });
    // The others serve meanwhile: nobody should be told 503 only because this one is new.
    await Promise.race([serving.agreed, delay(FIRST_ANSWER_MS, undefined, { ref: false })]);
    link.serve(serving.server);
    await serving.agreed;
    link.tellAgreed();
  } catch (error) {
    await refuse(error);
  }
}

function listen(server: Server, { port, host }: Config): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}

/** A port or an address that cannot be had is told by the name of its setting. */
function listenFault(error: unknown, { port, host }: Config): unknown {
  if (!isSystemError(error)) return error;
  const isPort = error.code === 'EADDRINUSE' || error.code === 'EACCES';
  const subject = isPort ? `PORT: ${port} on ${host}` : `HOST: ${host}`;
  return new ConfigError([`${subject} cannot be listened on: ${reasonOf(error)}`]);
}

function onSignal(listener: (signal: string) => void): void {
  process.on('SIGTERM', listener);
  process.on('SIGINT', listener);
}

/** As people read it: complaints about settings and codes speak for themselves. */
function sentenceOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return error instanceof ConfigError || error instanceof LatchkeyError ? message : `latchkey: ${message}`;
}

function complain(log: Logger, why: object, sentence: string): void {
  log.fatal(why, 'cannot go on');
  console.error(sentence);
}

function fail(log: Logger, error: Error): void {
  complain(log, { err: error }, sentenceOf(error));
  process.exit(1);
}

setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
const [, , role, socketPath] = process.argv;
(role === WORKER_ARGUMENT ? runWorker(socketPath) : main()).catch((error: unknown) => {
  console.error(sentenceOf(error));
  process.exit(1);
});
