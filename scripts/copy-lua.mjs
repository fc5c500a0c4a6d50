/** Copies the Lua scripts next to the compiled code that loads them; tsc leaves them out. */
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './setup.mjs';

export function copyLua() {
  const from = join(root, 'src/redis/scripts');
  if (!existsSync(from)) return;
  for (const name of readdirSync(from)) {
    if (name.endsWith('.lua')) cpSync(join(from, name), join(root, 'dist/redis/scripts', name));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) copyLua();
