/**
 * Owns the keys and secrets of this process: given ones in production, otherwise made once and kept in the data folder.
 * Making is atomic: of two first starts at a time one makes them and both use the same. Must not know what they protect.
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Secrets } from './app.ts';
import { ConfigError, type Config } from './config.ts';
import { isSystemError, reasonOf } from './system-errors.ts';
import { makeKeySet, readKeySet, type SigningKeys } from './tokens/signing-keys.ts';

const SECRET_BYTES = 32;

export type LoadedSecrets = {
  readonly secrets: Secrets;
  readonly keys: SigningKeys;
  /** True when this very start made the secrets: the moment to show them. */
  readonly isFirstStart: boolean;
};

type SecretsConfig = Pick<
  Config,
  'production' | 'dataDir' | 'signingKeysFile' | 'signingAlg' | 'refreshSecret' | 'adminApiKey' | 'gatewayApiKey'
>;

/** Throws a ConfigError that names the setting, the file and what is wrong with it, never its content. */
export async function loadSecrets(config: SecretsConfig): Promise<LoadedSecrets> {
  const { refreshSecret, adminApiKey, gatewayApiKey, signingKeysFile, signingAlg } = config;
  const given = refreshSecret !== undefined && adminApiKey !== undefined && gatewayApiKey !== undefined;
  if (!given || signingKeysFile === undefined) {
    if (config.production) throw new Error('keys and secrets must be given in production');
    await of('DATA_DIR', () => mkdir(config.dataDir, { recursive: true, mode: 0o700 }));
  }
  const made = given
    ? undefined
    : await of('DATA_DIR', () => readOrMake(join(config.dataDir, 'secrets.json'), async () => makeSecrets()));
  const stored = (made?.data ?? {}) as Partial<Secrets>;
  const inDataDir = join(config.dataDir, `signing-keys-${signingAlg}.json`);
  const keys =
    signingKeysFile === undefined
      ? await of('DATA_DIR', async () => readKeys((await readOrMake(inDataDir, () => makeKeySet(signingAlg))).data))
      : await of('SIGNING_KEYS_FILE', async () => readKeys(await readJson(signingKeysFile)));
  return {
    secrets: {
      refreshSecret: refreshSecret ?? textOf(stored.refreshSecret),
      adminApiKey: adminApiKey ?? textOf(stored.adminApiKey),
      gatewayApiKey: gatewayApiKey ?? textOf(stored.gatewayApiKey),
    },
    keys,
    isFirstStart: made?.isNew ?? false,
  };

  function readKeys(data: unknown): Promise<SigningKeys> {
    return readKeySet(data, signingAlg).catch((error: unknown) => {
      throw new Error(`${signingKeysFile ?? inDataDir} ${error instanceof Error ? error.message : ''}`, {
        cause: error,
      });
    });
  }
}

/** What goes wrong in between is told by the name of the setting that mends it. */
async function of<T>(setting: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const path = isSystemError(error) && error.path !== undefined ? `${error.path} cannot be used: ` : '';
    throw new ConfigError([`${setting}: ${path}${reasonOf(error)}`], { cause: error });
  }
}

function makeSecrets(): Secrets {
  return { refreshSecret: makeSecret(), adminApiKey: makeSecret(), gatewayApiKey: makeSecret() };
}

function makeSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function textOf(value: unknown): string {
  // Shorter than any that is made: an empty one would let everybody in.
  if (typeof value !== 'string' || value.length < SECRET_BYTES)
    throw new Error('secrets.json in the data folder is damaged: remove it to have new secrets made');
  return value;
}

/** The file appears whole or not at all: it is written aside and linked into its place, where the first one wins. */
async function readOrMake(file: string, make: () => Promise<object>) {
  const existing = await readJson(file).catch(ignoreMissing);
  if (existing !== undefined) return { data: existing, file, isNew: false };
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, `${JSON.stringify(await make(), null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  try {
    await link(draft, file);
    return { data: await readJson(file), file, isNew: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return { data: await readJson(file), file, isNew: false };
  } finally {
    await rm(draft, { force: true });
  }
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The parser's own message would quote the content.
    throw new Error(`${file} is not valid JSON`);
  }
}
