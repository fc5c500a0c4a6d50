// The packed tarball in an empty folder, without network: jose is there, every other dependency is an empty package, so
// that whatever loads one fails. Used from plain JavaScript, and type-checked.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { issue } from '../helpers/calls.ts';
import { closeServices, GATEWAY_KEY, startService } from '../helpers/service.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'latchkey-package-'));

type Manifest = { readonly dependencies: Readonly<Record<string, string>> };

function prepare(): void {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
  for (const [name, version] of Object.entries(dependencies)) {
    const place = join(folder, 'node_modules', name);
    mkdirSync(place, { recursive: true });
    if (name === 'jose') cpSync(join(root, 'node_modules/jose'), place, { recursive: true });
    else writeFileSync(join(place, 'package.json'), JSON.stringify({ name, version }));
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
}

beforeAll(async () => {
  prepare();
  await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], { cwd: root });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
  const options = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts', '--cache', join(folder, '.cache')];
  await run('npm', ['install', ...options, join(folder, tarball)], { cwd: folder });
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await closeServices();
});

const SCRIPT = `
import { createTokenChecker, GatewayUnavailableError, sentenceOf } from 'latchkey/gateway';
import { authOf, requireToken } from 'latchkey/gateway/express';
import { attachWebSocketServer, CLOSE_TOKEN_ENDED } from 'latchkey/gateway/ws';
const [url, gatewayKey, token] = process.argv.slice(2);
const checker = createTokenChecker({ issuer: 'http://latchkey.test', url, gatewayKey, mode: 'local' });
await checker.ready();
const words = [];
for (const one of [token, 'rubbish']) {
  const verdict = await checker.check(one);
  words.push(verdict.active ? verdict.claims.sub : verdict.reason);
}
checker.close();
const functions = [GatewayUnavailableError, sentenceOf, authOf, requireToken, attachWebSocketServer];
console.log(JSON.stringify([words, functions.every((one) => typeof one === 'function'), CLOSE_TOKEN_ENDED]));
`;

const TYPES = `
import { createServer } from 'node:http';
import { createTokenChecker, type EndedEvent, type TokenReason, type Verdict } from 'latchkey/gateway';
import { authOf, requireToken } from 'latchkey/gateway/express';
import { attachWebSocketServer, type GatewayServer, type GatewaySocket } from 'latchkey/gateway/ws';

const checker = createTokenChecker({ issuer: 'https://login.example.com', gatewayKey: 'x', mode: 'local' });
const verdict: Verdict = await checker.check('x');
export const who: string = verdict.active ? verdict.claims.sub : verdict.reason;
export const reason: TokenReason | undefined = verdict.active ? undefined : verdict.reason;
checker.on('ended', (event: EndedEvent) => event.endedBy?.platform?.length);
const guard = requireToken(checker, { platforms: ['ios'] });
createServer((request, response) => guard(request, response, () => response.end(authOf(request).sub)));
declare const server: GatewayServer<GatewaySocket>;
attachWebSocketServer(server, checker, { presence: true });

// @ts-expect-error no such mode
createTokenChecker({ issuer: 'https://login.example.com', gatewayKey: 'x', mode: 'lokal' });
// @ts-expect-error an inactive verdict has no claims
export const claims = verdict.claims;
// @ts-expect-error a reason is not just any text
export const other: 'token_eaten' | undefined = reason;
`;

const filesOf = (place: string) => readdirSync(place, { recursive: true }).map(String);

describe('the packed package', () => {
  it('has all of the code, and nothing of code that is gone', () => {
    const built = filesOf(join(folder, 'node_modules/latchkey/dist')).filter((file) => /\.(m?js|lua)$/.test(file));
    const sources = filesOf(join(root, 'src')).filter(
      (file) => /\.(ts|mjs|lua)$/.test(file) && !file.endsWith('.d.ts'),
    );
    expect(built.toSorted()).toEqual(sources.map((file) => file.replace(/\.ts$/, '.js')).toSorted());
  });

  it('works from plain JavaScript with jose alone', async () => {
    const service = await startService();
    const { body } = await issue(service, 'ada');
    writeFileSync(join(folder, 'app.mjs'), SCRIPT);
    const { stdout } = await run(process.execPath, ['app.mjs', service.url, GATEWAY_KEY, body.accessToken], {
      cwd: folder,
    });
    expect(JSON.parse(stdout)).toEqual([['ada', 'token_malformed'], true, 4401]);
  });

  it('has types that fit, wrong uses included', async () => {
    writeFileSync(join(folder, 'app.ts'), TYPES);
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', ...types];
    const { stdout } = await run(process.execPath, [compiler, ...options, 'app.ts'], { cwd: folder }).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe('');
  });
});
