/**
 * Owns where Redis is: at the given address, or a server of our own that ends with this process.
 */
import { ConfigError, type Config } from './config.ts';
import { startEmbedded } from './redis/embedded.ts';
import { findRedis } from './redis/redis-binary.ts';
import type { RedisTarget } from './redis/redis-url.ts';
import { isSystemError, reasonOf } from './system-errors.ts';

export type OpenRedis = {
  readonly target: RedisTarget;
  /** Ends a server of our own. */
  stop(): Promise<void>;
};

/** `onExit`: a server of our own has ended by itself. */
export async function openRedis(config: Config, onExit: (error: Error) => void): Promise<OpenRedis> {
  if (config.redis !== undefined) return { target: config.redis, stop: async () => {} };
  const server = await findRedis({ path: config.path, install: config.installRedis, log: (line) => console.log(line) });
  const embedded = await startEmbedded({ dataDir: config.dataDir, server, onExit }).catch((error: unknown) => {
    if (!isSystemError(error)) throw error;
    throw new ConfigError([`DATA_DIR: ${error.path ?? config.dataDir} cannot be used: ${reasonOf(error)}`], {
      cause: error,
    });
  });
  return { target: { kind: 'socket', path: embedded.socketPath, db: 0 }, stop: () => embedded.stop() };
}
