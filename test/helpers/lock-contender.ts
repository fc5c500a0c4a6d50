/**
 * Takes and gives back a data lock until it has had it 25 times: `lock-contender.ts <folder>`. While it holds the lock
 * it makes a marker file that must not exist yet. Prints how often the marker did exist: two holders at a time.
 */
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { acquireDataLock } from '../../src/redis/data-lock.ts';

const [folder = ''] = process.argv.slice(2);
const marker = join(folder, 'marker');
let taken = 0;
let shared = 0;

while (taken < 25) {
  await turn();
  try {
    const lock = acquireDataLock(join(folder, 'lock'), folder);
    taken += 1;
    shared += markIsNew() ? 0 : 1;
    await turn();
    rmSync(marker, { force: true });
    lock.release();
  } catch (error) {
    if (!(error as Error).message.includes('is in use')) throw error;
  }
}
console.log(String(shared));

function markIsNew(): boolean {
  try {
    closeSync(openSync(marker, 'wx'));
    return true;
  } catch {
    return false;
  }
}
