/**
 * A tiny app on an embedded Redis, for tests that kill it: `embedded-app.ts <dataDir> <server as JSON>`.
 * Prints one line of JSON: {"socketPath"} when up, or {"refused"} with the reason. SIGTERM stops it in order; SIGINT is
 * taken and nothing done, as by an app that is draining.
 */
import { startEmbedded } from '../../src/redis/embedded.ts';
import type { RedisServer } from '../../src/redis/redis-binary.ts';

const [dataDir = '', server = ''] = process.argv.slice(2);

try {
  const embedded = await startEmbedded({
    dataDir,
    server: JSON.parse(server) as RedisServer,
    onExit: (error) => console.log(JSON.stringify({ exited: error.message })),
  });
  process.on('SIGINT', () => {});
  process.once('SIGTERM', () => void embedded.stop());
  console.log(JSON.stringify({ socketPath: embedded.socketPath }));
} catch (error) {
  console.log(JSON.stringify({ refused: (error as Error).message }));
}
