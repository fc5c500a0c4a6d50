/** Keys and secrets of a process: made once and kept from others, or the given ones and nothing else. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { createLocalJWKSet, decodeProtectedHeader, generateKeyPair, exportJWK, jwtVerify, type JWK } from 'jose';
import { loadConfig } from '../src/config.ts';
import { loadSecrets, type LoadedSecrets } from '../src/secrets.ts';
import { makeKeySet, readKeySet, SIGNING_ALGORITHMS, type SigningKeys } from '../src/tokens/signing-keys.ts';
import { signerWith } from './helpers/signing.ts';

const ISSUER = 'https://auth.example';
const GIVEN = {
  REFRESH_SECRET: 'refresh-refresh-refresh-refresh-',
  ADMIN_API_KEY: 'admin-admin-admin-admin-admin-ad',
  GATEWAY_API_KEY: 'gateway-gateway-gateway-gateway-',
};
/** Members of a JWK that are nobody else's business (RFC 7518 section 6). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

const root = mkdtempSync(join(tmpdir(), 'latchkey-secrets-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folders = 0;
/** A data folder that is not there yet. */
const newFolder = () => join(root, `data-${(folders += 1)}`);

const load = (env: Readonly<Record<string, string>>): Promise<LoadedSecrets> => loadSecrets(loadConfig(env));
const permissionsOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe('without given ones, keys and secrets', () => {
  it('are made at the first start and kept for the next ones', async () => {
    const DATA_DIR = newFolder();
    const first = await load({ DATA_DIR });
    const second = await load({ DATA_DIR });
    expect([first.isFirstStart, second.isFirstStart]).toEqual([true, false]);
    expect(second.secrets).toEqual(first.secrets);
    expect(second.keys.kid).toBe(first.keys.kid);
    expect(second.keys.jwks).toEqual(first.keys.jwks);
  });

  it('are long, and differ from each other and between deployments', async () => {
    const all = await Promise.all([load({ DATA_DIR: newFolder() }), load({ DATA_DIR: newFolder() })]);
    const secrets = all.flatMap((loaded) => Object.values(loaded.secrets));
    expect(new Set(secrets).size).toBe(6);
    for (const secret of secrets) expect(Buffer.from(secret, 'base64url').length).toBeGreaterThanOrEqual(32);
    expect(all[0]?.keys.kid).not.toBe(all[1]?.keys.kid);
  });

  it('can be read by nobody else', async () => {
    const DATA_DIR = newFolder();
    await load({ DATA_DIR });
    expect(permissionsOf(DATA_DIR)).toBe('700');
    expect(readdirSync(DATA_DIR).toSorted()).toEqual(['secrets.json', 'signing-keys-EdDSA.json']);
    for (const file of readdirSync(DATA_DIR)) expect(permissionsOf(join(DATA_DIR, file))).toBe('600');
  });

  it('are the same for 20 first starts at a time, and only one of them made them', async () => {
    const DATA_DIR = newFolder();
    const all = await Promise.all(Array.from({ length: 20 }, () => load({ DATA_DIR })));
    const [first, ...others] = all as [LoadedSecrets, ...LoadedSecrets[]];
    for (const { secrets, keys } of others) {
      expect(secrets).toEqual(first.secrets);
      expect(keys.jwks).toEqual(first.keys.jwks);
    }
    expect(all.filter((loaded) => loaded.isFirstStart)).toHaveLength(1);
    expect(readdirSync(DATA_DIR)).toHaveLength(2);
    await expect(load({ DATA_DIR })).resolves.toMatchObject({ secrets: first.secrets, isFirstStart: false });
  });

  it('of another algorithm are other keys, beside the old ones', async () => {
    const DATA_DIR = newFolder();
    const before = await load({ DATA_DIR });
    const other = await load({ DATA_DIR, SIGNING_ALG: 'ES256' });
    const after = await load({ DATA_DIR });
    expect(other.keys.algorithm).toBe('ES256');
    expect(other.secrets).toEqual(before.secrets);
    expect(after.keys.kid).toBe(before.keys.kid);
  });
});

describe('given ones', () => {
  it('win over those that were made', async () => {
    const DATA_DIR = newFolder();
    const made = await load({ DATA_DIR });
    const { secrets } = await load({ DATA_DIR, ADMIN_API_KEY: GIVEN.ADMIN_API_KEY });
    expect(secrets).toEqual({ ...made.secrets, adminApiKey: GIVEN.ADMIN_API_KEY });
  });

  it('are enough by themselves: no folder is made', async () => {
    const DATA_DIR = newFolder();
    const SIGNING_KEYS_FILE = await keysFile('given.json', await makeKeySet('EdDSA'));
    const { secrets, isFirstStart } = await load({ DATA_DIR, SIGNING_KEYS_FILE, ...GIVEN });
    expect(Object.values(secrets).toSorted()).toEqual(Object.values(GIVEN).toSorted());
    expect([isFirstStart, existsSync(DATA_DIR)]).toEqual([false, false]);
  });

  it.each(['SIGNING_KEYS_FILE', ...Object.keys(GIVEN)])('must all be there in production: %s', async (name) => {
    const DATA_DIR = newFolder();
    const config = loadConfig({ DATA_DIR, ...GIVEN, SIGNING_KEYS_FILE: join(root, 'given.json'), [name]: '' });
    await expect(loadSecrets({ ...config, production: true })).rejects.toThrow('must be given in production');
    expect(existsSync(DATA_DIR)).toBe(false);
  });
});

describe('a damaged file is refused, and the error never quotes it', () => {
  const marker = 'S3CRET';
  it.each([
    { file: 'secrets.json', text: `{"refreshSecret": "${marker}` },
    { file: 'secrets.json', text: marker },
    { file: 'secrets.json', text: `{"refreshSecret": "${marker}", "adminApiKey": "${marker}"}` },
    { file: 'secrets.json', text: `{"refreshSecret": "", "adminApiKey": "", "gatewayApiKey": ""}` },
    { file: 'secrets.json', text: 'null' },
    { file: 'secrets.json', text: '' },
    { file: 'signing-keys-EdDSA.json', text: `{"keys": [{"d": "${marker}"` },
    { file: 'signing-keys-EdDSA.json', text: `{"keys": "${marker}"}` },
    { file: 'signing-keys-EdDSA.json', text: '{"keys": []}' },
    { file: 'signing-keys-EdDSA.json', text: `{"keys": [{"kty": "OKP", "crv": "Ed25519", "d": "${marker}"}]}` },
    {
      file: 'signing-keys-EdDSA.json',
      text: `{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "${marker}"}]}`,
    },
    { file: 'signing-keys-EdDSA.json', text: `{"keys": [{"kty": "oct", "k": "${marker}", "kid": "a"}]}` },
    { file: 'signing-keys-EdDSA.json', text: `{"keys": ["${marker}"]}` },
    { file: 'signing-keys-EdDSA.json', text: `["${marker}"]` },
  ])('$file: $text', async ({ file, text }) => {
    const DATA_DIR = newFolder();
    await load({ DATA_DIR });
    writeFileSync(join(DATA_DIR, file), text);
    const error: unknown = await load({ DATA_DIR }).then(
      () => 'taken',
      (refusal: unknown) => refusal,
    );
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toContain(file);
    expect(inspect(error, { depth: 9 })).not.toContain(marker);
    expect(readFileSync(join(DATA_DIR, file), 'utf8')).toBe(text);
  });

  it('one that cannot be read is not taken for one that is missing', async () => {
    const DATA_DIR = newFolder();
    await load({ DATA_DIR });
    const file = join(DATA_DIR, 'secrets.json');
    rmSync(file);
    // A folder in its place fails for every user, root included, as a missing permission would not.
    mkdirSync(file);
    await expect(load({ DATA_DIR })).rejects.toThrow(/EISDIR/);
  });
});

/** A file where a folder is expected. */
const aFile = () => {
  const folder = newFolder();
  mkdirSync(folder);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  return file;
};

describe('F29 a file or folder that cannot be used is told by the name of its setting', () => {
  it.each([
    { SIGNING_KEYS_FILE: () => join(newFolder(), 'none.json'), says: 'none.json cannot be used: it does not exist' },
    { SIGNING_KEYS_FILE: () => join(aFile(), 'keys.json'), says: 'a part of its path is no folder' },
    { SIGNING_KEYS_FILE: aFile, says: 'file is not valid JSON' },
    { DATA_DIR: aFile, says: 'file cannot be used: ' },
    { DATA_DIR: () => join(aFile(), 'data'), says: 'a part of its path is no folder' },
  ])('$says', async ({ says, ...setting }) => {
    const [[name, path] = ['', () => '']] = Object.entries(setting);
    const refused = load({ DATA_DIR: newFolder(), [name]: path() });
    await expect(refused).rejects.toThrow(new RegExp(`^the settings are not usable:\\n {2}${name}: .*${says}`));
  });
});

describe('signing keys', () => {
  it.each(SIGNING_ALGORITHMS)(
    '%s: signs what the published keys verify, and publishes nothing private',
    async (alg) => {
      const DATA_DIR = newFolder();
      const { keys } = await load({ DATA_DIR, SIGNING_ALG: alg });
      const token = await signedBy(keys);
      expect(decodeProtectedHeader(token)).toEqual({ alg, typ: 'at+jwt', kid: keys.kid });
      await expect(verifiedBy(keys, token)).resolves.toBe('u1');
      expect(keys.jwks.keys).toHaveLength(1);
      for (const jwk of keys.jwks.keys) {
        expect(jwk).toMatchObject({ alg, use: 'sig', kid: keys.kid });
        expect(Object.keys(jwk).filter((member) => PRIVATE_MEMBERS.includes(member))).toEqual([]);
      }
      const stored = JSON.parse(readFileSync(join(DATA_DIR, `signing-keys-${alg}.json`), 'utf8')) as { keys: JWK[] };
      const parts: Record<string, unknown> = { ...stored.keys[0] };
      const privateParts = PRIVATE_MEMBERS.map((member) => parts[member]).filter((part) => part !== undefined);
      for (const part of privateParts) expect(JSON.stringify(keys.jwks)).not.toContain(part);
      expect(stored.keys[0]?.d).toBeDefined();
    },
  );

  it('rotation: the first key signs, all of them verify', async () => {
    const [older, newer] = [await makeKeySet('EdDSA'), await makeKeySet('EdDSA')];
    const before = await load({ DATA_DIR: newFolder(), SIGNING_KEYS_FILE: await keysFile('before.json', older) });
    const both = { keys: [...newer.keys, ...older.keys] };
    const after = await load({ DATA_DIR: newFolder(), SIGNING_KEYS_FILE: await keysFile('after.json', both) });

    const [old, fresh] = [await signedBy(before.keys), await signedBy(after.keys)];
    expect(decodeProtectedHeader(fresh).kid).toBe(newer.keys[0]?.kid);
    expect(after.keys.jwks.keys.map((jwk) => jwk.kid)).toEqual([newer.keys[0]?.kid, older.keys[0]?.kid]);
    await expect(verifiedBy(after.keys, old)).resolves.toBe('u1');
    await expect(verifiedBy(after.keys, fresh)).resolves.toBe('u1');
    await expect(verifiedBy(before.keys, fresh)).rejects.toThrow('no applicable key');
  });

  it('rotation: the older key may be public, and of another algorithm', async () => {
    const older = await readKeySet(await makeKeySet('RS256'), 'RS256');
    const newer = await makeKeySet('EdDSA');
    const after = await readKeySet({ keys: [...newer.keys, ...older.jwks.keys] }, 'EdDSA');
    await expect(verifiedBy(after, await signedBy(older))).resolves.toBe('u1');
  });

  it.each([
    {
      what: 'the first key is public',
      set: async () => (await readKeySet(await makeKeySet('EdDSA'), 'EdDSA')).jwks,
      says: 'the first key must be private',
    },
    {
      what: 'the first key is for another algorithm',
      set: () => makeKeySet('ES256'),
      says: 'the first key is for ES256, but SIGNING_ALG is EdDSA',
    },
    {
      what: 'a key is for an algorithm that we do not have',
      set: async () => withAlg('HS256'),
      says: 'valid: EdDSA, ES256, RS256',
    },
    {
      what: 'a key does not fit its algorithm',
      set: async () => withAlg('ES256'),
      says: 'key 1 cannot be read as a key for ES256',
    },
    {
      what: 'two keys have one kid',
      set: async () => twice(await makeKeySet('EdDSA')),
      says: 'two keys have the same kid',
    },
    { what: 'an RSA key is short', set: () => shortRsa(), says: 'less than 2048 bits' },
  ])('are refused when $what', async ({ set, says }) => {
    await expect(readKeySet(await set(), 'EdDSA')).rejects.toThrow(says);
  });
});

async function signedBy(keys: SigningKeys): Promise<string> {
  const token = { tenant: 'default', userId: 'u1', tokenId: 't1', platform: 'ios', deviceId: 'd1' };
  return signerWith(keys, ISSUER).sign({ ...token, accessExpiresAt: Date.now() + 600_000 }, Date.now());
}

async function verifiedBy(keys: SigningKeys, token: string): Promise<string | undefined> {
  const { payload } = await jwtVerify(token, createLocalJWKSet({ keys: [...keys.jwks.keys] }), { issuer: ISSUER });
  return payload.sub;
}

async function keysFile(name: string, set: object): Promise<string> {
  const file = join(root, name);
  writeFileSync(file, JSON.stringify(set));
  chmodSync(file, 0o600);
  return file;
}

async function withAlg(alg: string) {
  const { keys } = await makeKeySet('EdDSA');
  return { keys: keys.map((jwk) => ({ ...jwk, alg })) };
}

function twice({ keys }: { keys: JWK[] }) {
  return { keys: [...keys, ...keys] };
}

async function shortRsa() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = await exportJWK(privateKey);
  const modulus = Buffer.from(jwk.n ?? '', 'base64url').subarray(0, 128);
  return { keys: [{ ...jwk, n: modulus.toString('base64url'), alg: 'RS256' }] };
}
