/** Runs Node in the foreground as if it were this process: same terminal, same signals, same way to end. */
import { spawn } from 'node:child_process';
import { root } from './setup.mjs';

const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP'];

export function runNode(args) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });
  const forward = (signal) => child.kill(signal);
  for (const signal of FORWARDED) process.on(signal, forward);
  child.on('error', (error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    for (const name of FORWARDED) process.removeListener(name, forward);
    // Ended by the same signal, so that the shell and npm see what really happened.
    if (signal) process.kill(process.pid, signal);
    else process.exitCode = code ?? 1;
  });
}
