/** What the tests need to know of real processes: wait for a fact with a deadline, and who is alive. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Only for what hangs: how long a busy machine takes decides nothing. */
const HANGS_AFTER_MS = 120_000;

/** Polls until `fact` holds; returns how long that took (ms). Throws at the deadline. */
export async function until(
  what: string,
  fact: () => boolean | Promise<boolean>,
  limitMs = HANGS_AFTER_MS,
): Promise<number> {
  const startedAt = performance.now();
  while (!(await fact())) {
    if (performance.now() - startedAt > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(5);
  }
  return performance.now() - startedAt;
}

/** A zombie is not alive: it only waits for a parent to look, and in a container there may be none that does. */
export function isAlive(pid: number): boolean {
  return living().some((one) => one.pid === pid);
}

export function childrenOf(pid: number): number[] {
  return living()
    .filter(({ parent }) => parent === pid)
    .map((one) => one.pid);
}

interface LivingProcess {
  readonly pid: number;
  readonly parent: number;
}

function living(): LivingProcess[] {
  const rows = process.platform === 'linux' ? fromProc() : fromPs();
  return rows.filter(({ state }) => !state.startsWith('Z'));
}

/** Slim container images have no ps. */
function fromProc() {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids.flatMap((pid) => {
    try {
      // "pid (name) state ppid …"; the name may itself hold spaces and brackets.
      const [state = '', parent = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      return [{ pid: Number(pid), parent: Number(parent), state }];
    } catch {
      return []; // It has ended since the folder was read.
    }
  });
}

function fromPs() {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat='], { encoding: 'utf8' }).trim().split('\n');
  return rows.map((row) => {
    const [pid, parent, state = ''] = row.trim().split(/\s+/);
    return { pid: Number(pid), parent: Number(parent), state };
  });
}
