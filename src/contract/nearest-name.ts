/**
 * Owns which of the valid names somebody meant who wrote another one. Pure.
 */

/** So many slips to a name: one in a short name, two in one of seven letters or more. */
const LETTERS_PER_SLIP = 3.5;
const MOST_SLIPS = 2;
/** As many letters from the start of a name are near to it, however long it is. */
const ENOUGH_OF_A_START = 5;

/**
 * The valid name that is nearest to the given one, or undefined when none is near. Case and separators count for nothing;
 * a letter that is missing, added, wrong or swapped with its neighbour counts as one slip, and so does an end that is
 * missing.
 *
 * @example nearestName('platfrom', ['platform', 'state']) // 'platform'
 */
export function nearestName(given: string, valid: readonly string[]): string | undefined {
  const letters = lettersOf(given);
  let nearest: string | undefined;
  let least = Math.min(MOST_SLIPS, Math.floor(letters.length / LETTERS_PER_SLIP)) + 1;
  for (const name of valid) {
    const slips = isStartOf(letters, lettersOf(name)) ? 1 : slipsBetween(letters, lettersOf(name));
    if (slips >= least) continue;
    nearest = name;
    least = slips;
  }
  return nearest;
}

function lettersOf(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

function isStartOf(letters: string, name: string): boolean {
  return letters.length >= ENOUGH_OF_A_START && letters.length < name.length && name.startsWith(letters);
}

/** Optimal string alignment distance (Damerau and Levenshtein, without a second edit of what was swapped). */
function slipsBetween(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > MOST_SLIPS) return MOST_SLIPS + 1;
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (let row = 1; row <= one.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const isSame = one[row - 1] === other[column - 1];
      const isSwapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      current[column] = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + (isSame ? 0 : 1),
        isSwapped && row > 1 && column > 1 ? at(before, column - 2) + 1 : Infinity,
      );
    }
    [before, last] = [last, current];
  }
  return at(last, other.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Infinity;
}
