/**
 * One private Redis for the whole test run, or the one that TEST_REDIS_URL names. Tests keep apart by key prefix.
 * Jest loads this file as CommonJS: no import.meta, no top-level await, here and in what it imports.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedis } from '../../src/redis/redis-binary.ts';
import { startRedisProcess } from '../../src/redis/redis-process.ts';
import { freePort } from './free-port.ts';

declare global {
  /** Handed to the teardown, which runs in the same process. */
  var endTestRedis: (() => Promise<void>) | undefined;
}

export default async function globalSetup(): Promise<void> {
  if (process.env['TEST_REDIS_URL']) return;
  const server = await findRedis({
    path: process.env['PATH'] ?? '',
    install: process.env['LATCHKEY_NO_INSTALL'] !== '1',
    log: (line) => process.stderr.write(`${line}\n`),
  });
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  const host = '127.0.0.1';
  const port = await freePort(host);
  const redis = await startRedisProcess({
    server,
    args: serverArguments({ host, port, folder }),
    address: { host, port },
    logFile: join(folder, 'redis.log'),
    temporaryFolder: folder,
  });
  globalThis.endTestRedis = async () => {
    await redis.end();
    rmSync(folder, { recursive: true, force: true });
  };
  // Set before jest forks its workers, which inherit it.
  process.env['TEST_REDIS_URL'] = `redis://${host}:${port}`;
}

function serverArguments({ host, port, folder }: { host: string; port: number; folder: string }): string[] {
  const settings = {
    bind: host,
    port: String(port),
    dir: folder,
    save: '',
    appendonly: 'no',
    'maxmemory-policy': 'noeviction',
    'hash-max-listpack-value': '512',
    // Tests make Redis slow, or its clock-dependent state visible, with DEBUG.
    'enable-debug-command': 'yes',
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}
