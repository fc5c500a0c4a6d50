/**
 * Owns what a start says: where it listens, and for a first try on this machine the keys and a line that works by then.
 */
import { resolve as absolutePath } from 'node:path';
import type { Config } from './config.ts';
import type { Logger } from './log.ts';
import type { LoadedSecrets } from './secrets.ts';

/** A value that was meant for a setting of ours holds nothing. */
export function warnOfMisspelt({ misspelt }: Config, log: Logger): void {
  for (const sentence of misspelt) log.warn(sentence);
}

export function announce(port: number, { host, policy, issuer }: Config, log: Logger): void {
  log.info({ host, port, policy: policy.name, issuer }, 'listening');
}

/** A line to try, for when it works: not before Redis can be used. */
export function inviteToTry(port: number, config: Config, { secrets, isFirstStart }: LoadedSecrets): void {
  const { host, dataDir } = config;
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
