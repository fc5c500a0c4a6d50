/**
 * The text of openapi.yaml. The endpoints are declared without a store behind them: nothing is called.
 */
import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { createApp } from '../src/app.ts';
import { loadConfig } from '../src/config.ts';
import { openapiDocument } from '../src/http/openapi.ts';
import { createLog } from '../src/log.ts';
import { makeKeySet, readKeySet } from '../src/tokens/signing-keys.ts';

export async function renderOpenapi(): Promise<string> {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const { endpoints } = createApp({
    config: loadConfig({}),
    secrets: { refreshSecret: '', adminApiKey: '', gatewayApiKey: '' },
    keys: await readKeySet(await makeKeySet('EdDSA'), 'EdDSA'),
    signer: {} as never,
    stores: {} as never,
    feed: {} as never,
    readiness: {} as never,
    log: createLog('silent'),
  });
  return `# Made by "npm run openapi" from the endpoints in src/http. Do not edit.\n${stringify(openapiDocument(endpoints, version), { lineWidth: 120, aliasDuplicateObjects: false })}`;
}
