/**
 * Owns what a start says: where it listens, and for a first try on this machine the keys and a line that works.
 */
import { resolve as absolutePath } from 'node:path';
import type { Config } from './config.ts';
import type { Logger } from './log.ts';
import type { LoadedSecrets } from './secrets.ts';

export function announce(port: number, config: Config, { secrets, isFirstStart }: LoadedSecrets, log: Logger): void {
  const { host, policy, issuer, dataDir } = config;
  log.info({ host, port, policy: policy.name, issuer }, 'listening');
  if (config.production || config.adminApiKey !== undefined) return;
  const base = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const shown = isFirstStart
    ? secrets.adminApiKey
    : `$(node -p 'require("${absolutePath(dataDir)}/secrets.json").adminApiKey')`;
  console.log(`
Latchkey listens on ${base}
${isFirstStart ? `Keys were made and are kept in ${dataDir}. Admin key: ${secrets.adminApiKey}` : `Keys are in ${dataDir}/secrets.json.`}
Sign somebody in:

  curl -s '${base}/admin/users/ada/tokens' \\
    -H "Authorization: Bearer ${shown}" \\
    -H 'Content-Type: application/json' \\
    -d '{"platform":"ios","deviceId":"phone-1","deviceName":"Ada’s phone"}'
`);
}
