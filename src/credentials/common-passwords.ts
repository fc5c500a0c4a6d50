/**
 * Owns which passwords so many people have that they are guessed first: the list of @zxcvbn-ts/language-common (MIT), about
 * fifty thousand from public leaks. Must not know who asks.
 */

/** Shorter ones are refused before anybody asks. */
const MIN_LENGTH = 8;

let known: Promise<ReadonlySet<string>> | undefined;

/** Whether the whole password is on the list, whatever its case. The first call loads the list, some ten milliseconds. */
export async function isCommonPassword(password: string): Promise<boolean> {
  known ??= load();
  return (await known).has(password.toLowerCase());
}

async function load(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  return new Set(dictionary['passwords-common'].filter((password) => password.length >= MIN_LENGTH));
}
