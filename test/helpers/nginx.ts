/**
 * A real nginx of a test's own: found or installed, run on loopback in a folder of its own, ended by its pid.
 */
import { execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './processes.ts';

const PROGRAMS = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx', '/opt/homebrew/bin/nginx'];

export type FoundNginx = { readonly path: string } | { readonly missing: string };

/** Installs Debian's package when there is none and this is root; otherwise says why there is none. */
export function findNginx(): FoundNginx {
  const present = PROGRAMS.find(isExecutable);
  if (present !== undefined) return { path: present };
  if (process.env['LATCHKEY_NO_INSTALL'] === '1') return { missing: 'nginx is not installed' };
  if (process.getuid?.() !== 0 || !isExecutable('/usr/bin/apt-get'))
    return { missing: 'nginx is not installed, and installing it takes apt-get and root' };
  try {
    // At run level 1 the package's script does not start the system's nginx.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    const aptGet = (...args: string[]) => execFileSync('/usr/bin/apt-get', ['-qq', ...args], { env, stdio: 'pipe' });
    aptGet('update');
    aptGet('install', '--yes', '--no-install-recommends', 'nginx-light');
  } catch {
    return { missing: 'nginx is not installed, and apt-get could not install it' };
  }
  const installed = PROGRAMS.find(isExecutable);
  return installed === undefined ? { missing: 'nginx was installed, but is nowhere' } : { path: installed };
}

export type RunningNginx = { readonly end: () => Promise<void> };

/** @param servers what stands in `http { … }`; resolves when nginx listens on the port */
export async function startNginx(path: string, servers: string, port: number): Promise<RunningNginx> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-nginx-'));
  writeFileSync(join(folder, 'nginx.conf'), wholeConfig(servers));
  const child = spawn(path, ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
  });
  const end = async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await until('nginx listens', () => {
      if (child.exitCode !== null) throw new Error(`nginx has ended:\n${log}`);
      return answers(port);
    });
  } catch (error) {
    await end();
    throw error;
  }
  return { end };
}

/** One process in the foreground, with every file it writes in its own folder. */
function wholeConfig(servers: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`);
  return `daemon off;
master_process off;
pid nginx.pid;
events {}
http {
  access_log off;
  ${temporary.join('\n  ')}
${servers}
}
`;
}

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
