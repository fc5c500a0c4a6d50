/**
 * Makes a child process end with this one, also when this one is killed with SIGKILL and can do nothing itself.
 * The guard is a shell blocked on a pipe that only this process writes to; the kernel closes the pipe for it.
 */
import { spawn } from 'node:child_process';

export interface OrphanGuard {
  /** Names the child to end; call it in the same tick as the spawn. The child must lead its own process group. */
  watch(pid: number): void;
  /** The child has ended: its pid may soon belong to another process, so the guard must forget it. Idempotent. */
  release(): void;
}

/**
 * First line: the pid. A second line releases; end of file instead means that the app is dead.
 * TERM lets Redis write out its append-only file; KILL, to the whole group, for one that is busy: within a second.
 * $1 is a temporary folder that would otherwise be left behind, or empty.
 */
const SCRIPT = `
read -r pid || pid=
read -r released && exit 0
if [ -n "$pid" ]; then
  kill -s TERM "$pid" 2>/dev/null
  for tenth in 1 2 3 4 5 6; do
    sleep 0.1
    kill -s 0 "$pid" 2>/dev/null || break
  done
  kill -s KILL -- "-$pid" 2>/dev/null
fi
[ -z "$1" ] || rm -rf -- "$1"
`;

/** Start it before the child, so that no moment is without a guard. `folder` is removed if the app dies. */
export function startOrphanGuard(folder = ''): OrphanGuard {
  // Its own process group: Ctrl-C in a terminal must not end the guard while the app still drains.
  const guard = spawn('/bin/sh', ['-c', SCRIPT, 'latchkey-orphan-guard', folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const { stdin } = guard;
  // A guard that somebody killed shows as EPIPE here; Redis then outlives a SIGKILL, and the next start ends it.
  stdin.on('error', () => {});
  guard.on('error', () => {});
  guard.unref();
  return {
    watch: (pid) => void stdin.write(`${pid}\n`),
    release: () => {
      if (!stdin.writableEnded) stdin.end('\nreleased\n');
    },
  };
}
