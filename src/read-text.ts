/** Owns how a file that a setting names is read. Must not know what is in it. */
import { readFileSync } from 'node:fs';
import { reasonOf } from './system-errors.ts';

/** Throws a RangeError that names the file and says why it cannot be read. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new RangeError(`${file} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}
