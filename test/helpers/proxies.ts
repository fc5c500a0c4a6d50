/**
 * Real reverse proxies of a test's own: found or installed, run on loopback in a folder of their own, ended by their pid.
 */
import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './processes.ts';

const FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];
/** Packages of Debian. */
const PACKAGES = { nginx: 'nginx-light', haproxy: 'haproxy', caddy: 'caddy' } as const;

export type ProxyName = keyof typeof PACKAGES;
export type FoundProxy = { readonly path: string } | { readonly missing: string };
export type RunningProxy = { readonly end: () => Promise<void> };

/** Installs Debian's package when there is none and this is root; otherwise says why there is none. */
export function findProxy(name: ProxyName): FoundProxy {
  const find = () => FOLDERS.map((folder) => join(folder, name)).find(isExecutable);
  const present = find();
  if (present !== undefined) return { path: present };
  if (process.env['LATCHKEY_NO_INSTALL'] === '1') return { missing: `${name} is not installed` };
  if (process.getuid?.() !== 0 || !isExecutable('/usr/bin/apt-get'))
    return { missing: `${name} is not installed, and installing it takes apt-get and root` };
  try {
    // At run level 1 the package's script does not start the system's own one.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    // Another test file may want the same at this moment.
    const one = [join(tmpdir(), 'latchkey-apt-get.lock'), '/usr/bin/apt-get', '-qq'];
    const aptGet = (...args: string[]) => execFileSync('/usr/bin/flock', [...one, ...args], { env, stdio: 'pipe' });
    aptGet('update');
    aptGet('install', '--yes', '--no-install-recommends', PACKAGES[name]);
  } catch {
    return { missing: `${name} is not installed, and apt-get could not install it` };
  }
  const installed = find();
  return installed === undefined ? { missing: `${name} was installed, but is nowhere` } : { path: installed };
}

/** How each is told its configuration, and to stay in the foreground. */
const ARGUMENTS: Readonly<Record<ProxyName, readonly string[]>> = {
  nginx: ['-p', '.', '-c', 'nginx.conf', '-e', 'stderr'],
  haproxy: ['-db', '-f', 'haproxy.cfg'],
  caddy: ['run', '--config', 'Caddyfile'],
};

/**
 * @param files by name, what stands in its folder; nginx' `servers.conf` is what stands in its `http { … }`
 * @returns when it listens on the port; rejects with its log when it has ended before
 */
export async function startProxy(
  name: ProxyName,
  found: FoundProxy,
  files: Readonly<Record<string, string>>,
  port: number,
): Promise<RunningProxy> {
  if (!('path' in found)) throw new Error(found.missing);
  const folder = mkdtempSync(join(tmpdir(), `latchkey-${name}-`));
  const all = name === 'nginx' ? { ...files, 'nginx.conf': NGINX } : files;
  for (const [file, text] of Object.entries(all)) writeFileSync(join(folder, file), text);
  const env = { PATH: process.env['PATH'], HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
  const child = spawn(found.path, ARGUMENTS[name], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const output of [child.stdout, child.stderr])
    output.setEncoding('utf8').on('data', (text: string) => (log += text));
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
  });
  const end = async () => {
    // No order to wait for: some let open connections end by themselves first.
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await until(`${name} listens`, () => {
      if (child.exitCode !== null) throw new Error(`${name} has ended:\n${log}`);
      return answers(port);
    });
  } catch (error) {
    await end();
    throw error;
  }
  return { end };
}

/** One process, with every file it writes in its own folder. */
const NGINX = `daemon off;
master_process off;
pid nginx.pid;
events {}
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join('\n  ')}
  include servers.conf;
}
`;

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
