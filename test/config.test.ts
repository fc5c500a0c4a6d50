/** The settings: defaults, bounds, every fault at once, and that no message ever shows a secret. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ConfigError, loadConfig, type Config } from '../src/config.ts';
import { SETTINGS } from '../src/settings.ts';
import { presets } from '../src/domain/policies/presets.ts';
import { parseRedisUrl } from '../src/redis/redis-url.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchkey-config-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PRESET_NAMES = presets(1)
  .map(({ name }) => name)
  .join(', ');
/** 32 characters, the least. */
const SECRETS = {
  REFRESH_SECRET: 'refresh-refresh-refresh-refresh-',
  ADMIN_API_KEY: 'admin-admin-admin-admin-admin-ad',
  GATEWAY_API_KEY: 'gateway-gateway-gateway-gateway-',
};
const PRODUCTION = {
  NODE_ENV: 'production',
  REDIS_URL: 'redis://redis.example:6379',
  ISSUER: 'https://auth.example',
  SIGNING_KEYS_FILE: '/run/secrets/keys.json',
  ...SECRETS,
};

describe('defaults', () => {
  it('of an empty environment', () => {
    const { policy, platforms, ...config } = loadConfig({});
    expect(policy).toEqual(presets(30).find(({ name }) => name === 'one-per-platform'));
    expect(platforms.names).toHaveLength(11);
    expect(config).toMatchObject({
      production: false,
      host: '127.0.0.1',
      port: 3000,
      workers: 1,
      dataDir: '.latchkey',
      keyPrefix: 'lk',
      shards: 64,
      issuer: 'http://127.0.0.1:3000',
      audience: 'http://127.0.0.1:3000',
      accessTtlSeconds: 900,
      refreshTtlSeconds: 2_592_000,
      idleTtlSeconds: 0,
      refreshGraceSeconds: 10,
      maxTokensPerUser: 100,
      signingAlg: 'EdDSA',
      introspectionReasons: true,
      logLevel: 'info',
      trustProxy: false,
      passwordPolicy: 'not-common',
    });
    expect(config.redis).toBeUndefined();
  });

  it('hold no secret', () => {
    const { refreshSecret, adminApiKey, gatewayApiKey, signingKeysFile } = loadConfig({});
    expect([refreshSecret, adminApiKey, gatewayApiKey, signingKeysFile]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('stand in for empty values', () => {
    expect(loadConfig({ PORT: '', LOGIN_POLICY: '', REDIS_URL: '', REFRESH_SECRET: '' }).port).toBe(3000);
  });

  it.each([
    { env: {}, issuer: 'http://127.0.0.1:3000' },
    { env: { HOST: '::1', PORT: '80' }, issuer: 'http://[::1]:80' },
    { env: { ISSUER: 'https://auth.example' }, issuer: 'https://auth.example' },
  ])('the issuer is where we listen, unless given: $issuer', ({ env, issuer }) => {
    expect(loadConfig(env)).toMatchObject({ issuer, audience: issuer });
    expect(loadConfig({ ...env, AUDIENCE: 'chat' })).toMatchObject({ issuer, audience: 'chat' });
  });
});

describe('bounds of the numbers', () => {
  const unrelated = { REFRESH_TTL_SECONDS: '315360000' };
  it.each<{ name: string; field: keyof Config; min: number; max: number }>([
    { name: 'PORT', field: 'port', min: 0, max: 65_535 },
    { name: 'WORKERS', field: 'workers', min: 1, max: 64 },
    { name: 'SHARDS', field: 'shards', min: 1, max: 1024 },
    { name: 'ACCESS_TTL_SECONDS', field: 'accessTtlSeconds', min: 10, max: 604_800 },
    { name: 'REFRESH_TTL_SECONDS', field: 'refreshTtlSeconds', min: 60, max: 315_360_000 },
    { name: 'IDLE_TTL_SECONDS', field: 'idleTtlSeconds', min: 0, max: 315_360_000 },
    { name: 'REFRESH_GRACE_SECONDS', field: 'refreshGraceSeconds', min: 0, max: 300 },
    { name: 'MAX_PER_PLATFORM', field: 'policy', min: 1, max: 100 },
    { name: 'MAX_TOKENS_PER_USER', field: 'maxTokensPerUser', min: 1, max: 1000 },
  ])('$name: $min to $max', ({ name, field, min, max }) => {
    const base = { ...unrelated, ACCESS_TTL_SECONDS: '10' };
    for (const value of [min, max]) {
      const config = loadConfig({ ...base, LOGIN_POLICY: 'no-kick', [name]: String(value) });
      expect(field === 'policy' ? config.policy.limits[0]?.max : config[field]).toBe(value);
    }
    expect(faultsOf({ ...base, [name]: String(max + 1) })).toEqual([`${name}: at most ${max}`]);
    const below = min > 0 ? [{ value: min - 1, fault: `${name}: at least ${min}` }] : [];
    for (const { value, fault } of below) expect(faultsOf({ ...base, [name]: String(value) })).toEqual([fault]);
    for (const text of ['-1', '1.5', '1e3', '0x10', 'ten', ' 20', '20s']) {
      expect(faultsOf({ ...base, [name]: text })).toEqual([`${name}: expected a whole number from ${min} to ${max}`]);
    }
  });

  it.each([
    { env: { ACCESS_TTL_SECONDS: '900', REFRESH_TTL_SECONDS: '899' }, fault: /^ACCESS_TTL_SECONDS: .*cannot outlive/ },
    { env: { IDLE_TTL_SECONDS: '119' }, fault: /^IDLE_TTL_SECONDS: 0 \(off\) or at least 120/ },
  ])('numbers that contradict each other: $env', ({ env, fault }) => {
    expect(faultsOf(env)).toEqual([expect.stringMatching(fault)]);
  });
});

describe('forms of the texts', () => {
  it.each([
    { name: 'KEY_PREFIX', good: ['lk', 'a.b_c-d', 'x'.repeat(32)], bad: ['x'.repeat(33), 'a:b', 'a{b}', 'ä', 'a b'] },
    {
      name: 'ISSUER',
      good: ['https://auth.example/tenant', 'http://127.0.0.1:3000'],
      bad: ['auth.example', '/auth', 'javascript:1', 'https://auth.example/?a=b', 'https://auth.example/#c'],
    },
    { name: 'AUDIENCE', good: ['a'.repeat(256)], bad: ['a'.repeat(257)] },
    { name: 'REFRESH_SECRET', good: [SECRETS.REFRESH_SECRET], bad: ['x'.repeat(31)] },
    { name: 'ADMIN_API_KEY', good: [SECRETS.ADMIN_API_KEY], bad: ['x'.repeat(31)] },
    { name: 'GATEWAY_API_KEY', good: [SECRETS.GATEWAY_API_KEY], bad: ['x'.repeat(31)] },
    {
      name: 'PLATFORMS',
      good: ['tv:tv', 'tv:living-room,watch:mobile'],
      bad: ['tv', 'TV:tv', 'ios:mobile', 'a:admin'],
    },
    {
      name: 'PLATFORMS',
      good: [' tv:tv , watch:tv '],
      bad: ['tv:tv,tv:tv', 'tv:tv,', 'tv:', ',', 'tv:a:b', `${'x'.repeat(33)}:a`],
    },
  ])('$name takes $good, not $bad', ({ name, good, bad }) => {
    for (const value of good) expect(faultsOf({ [name]: value })).toEqual([]);
    for (const value of bad) expect(faultsOf({ [name]: value })).toEqual([expect.stringMatching(`^${name}: `)]);
  });

  it('PLATFORMS adds platforms, which policies may then name', () => {
    const policy = policyFile('tv.json', { name: 'tv', limits: [limitOf({ match: { platforms: ['tv'] } })] });
    const { platforms } = loadConfig({ PLATFORMS: 'tv:living-room,watch:mobile', LOGIN_POLICY: policy });
    expect(platforms.classOf('tv')).toBe('living-room');
    expect(platforms.inClass('mobile')).toEqual(['ios', 'android', 'watch']);
    expect(faultsOf({ LOGIN_POLICY: policy })).toEqual([expect.stringContaining('unknown platform "tv"; valid: ios,')]);
  });

  it.each([
    { text: 'false', trusted: false },
    { text: '0', trusted: false },
    { text: '1', trusted: 1 },
    { text: '12', trusted: 12 },
    { text: 'loopback', trusted: ['loopback'] },
    { text: 'loopback, 10.0.0.0/8,::1, fd00::/8', trusted: ['loopback', '10.0.0.0/8', '::1', 'fd00::/8'] },
  ])('TRUST_PROXY=$text', ({ text, trusted }) => {
    expect(loadConfig({ TRUST_PROXY: text }).trustProxy).toEqual(trusted);
  });
});

describe('R4 an unknown mode or setting value is refused, and the message lists the valid ones', () => {
  it.each([
    { name: 'LOGIN_POLICY', value: 'one-device', valid: PRESET_NAMES },
    { name: 'NODE_ENV', value: 'prod', valid: 'development, test, production' },
    { name: 'CREDENTIALS', value: 'ldap', valid: 'password, delegate' },
    { name: 'PASSWORD_POLICY', value: 'none', valid: 'not-common, off' },
    { name: 'SIGNING_ALG', value: 'HS256', valid: 'EdDSA, ES256, RS256' },
    { name: 'SIGNING_ALG', value: 'none', valid: 'EdDSA, ES256, RS256' },
    { name: 'LOG_LEVEL', value: 'verbose', valid: 'fatal, error, warn, info, debug, trace, silent' },
    { name: 'INTROSPECTION_REASONS', value: 'yes', valid: 'true, false' },
    { name: 'INTROSPECTION_REASONS', value: 'TRUE', valid: 'true, false' },
    { name: 'LATCHKEY_NO_INSTALL', value: 'true', valid: '0, 1' },
    { name: 'TRUST_PROXY', value: 'true', valid: 'false, the number of proxies in front, or their addresses' },
    { name: 'TRUST_PROXY', value: 'proxy.example', valid: 'loopback, 10.0.0.0/8' },
    { name: 'TRUST_PROXY', value: 'dead', valid: 'loopback, 10.0.0.0/8' },
    { name: 'TRUST_PROXY', value: '10.0.0.0/33', valid: 'loopback, 10.0.0.0/8' },
    { name: 'REDIS_URL', value: 'http://redis:6379', valid: 'redis://host:port/db, redis+cluster://h:p,h:p' },
    { name: 'SHARDS', value: 'many', valid: 'a whole number from 1 to 1024' },
  ])('$name=$value', ({ name, value, valid }) => {
    const [fault, ...more] = faultsOf({ [name]: value });
    expect(more).toEqual([]);
    expect(fault?.startsWith(`${name}: `)).toBe(true);
    expect(fault).toContain(valid);
  });
});

describe('O7 an unknown policy, an unknown platform or a cap of 0 is refused at start', () => {
  it('names the valid policies', () => {
    for (const name of ['nope', '2', '3', '6', 'One-Per-Platform', 'constructor', '__proto__']) {
      const near = name === 'One-Per-Platform' ? ' (did you mean one-per-platform?)' : '';
      expect(faultsOf({ LOGIN_POLICY: name })).toEqual([
        `LOGIN_POLICY: unknown policy "${name}"${near}; valid: ${PRESET_NAMES}, an OpenIM number (0, 1, 4, 5), or the path of a .json file`,
      ]);
    }
  });

  it.each([
    {
      what: 'an unknown platform',
      limit: { match: { platforms: ['iphone'] } },
      says: 'limits.0.match: unknown platform "iphone"; valid: ios, android, windows',
    },
    {
      what: 'an unknown class',
      limit: { match: { notClasses: ['phones'] } },
      says: 'unknown class "phones"; valid: mobile',
    },
    { what: 'a cap of 0 for everybody', limit: { max: 0 }, says: 'no platform is left that may log in' },
    { what: 'a cap below 0', limit: { max: -1 }, says: 'limits.0.max: ' },
    { what: 'a misspelled key', limit: { vicitm: 'oldest_login' }, says: '"vicitm"' },
  ])('a policy file with $what', ({ limit, says }) => {
    const path = policyFile('policy.json', { name: 'ours', limits: [limitOf(limit)] });
    expect(faultsOf({ LOGIN_POLICY: path })).toEqual([expect.stringContaining(says)]);
  });

  it('a cap of 0 a platform under no-kick', () => {
    expect(faultsOf({ LOGIN_POLICY: 'no-kick', MAX_PER_PLATFORM: '0' })).toEqual(['MAX_PER_PLATFORM: at least 1']);
    expect(faultsOf({ MAX_TOKENS_PER_USER: '0' })).toEqual(['MAX_TOKENS_PER_USER: at least 1']);
  });
});

describe('LOGIN_POLICY', () => {
  it.each(presets(30))('by name: $name', (policy) => {
    expect(loadConfig({ LOGIN_POLICY: policy.name }).policy).toEqual(policy);
  });

  it.each([
    { number: '0', name: 'no-kick' },
    { number: '1', name: 'one-per-platform' },
    { number: '4', name: 'one-per-class' },
    { number: '5', name: 'desktop-plus-one' },
  ])("by OpenIM's number: $number is $name", ({ number, name }) => {
    expect(loadConfig({ LOGIN_POLICY: number }).policy.name).toBe(name);
  });

  it('from a file', () => {
    const policy = {
      name: 'pads-too',
      limits: [limitOf({ match: { classes: ['pad'] }, max: 2, overflow: 'decline' })],
    };
    expect(loadConfig({ LOGIN_POLICY: policyFile('pads.json', policy) }).policy).toEqual(policy);
  });

  it('from a file that is not there, or is not JSON', () => {
    const missing = join(folder, 'none.json');
    expect(faultsOf({ LOGIN_POLICY: missing })).toEqual([
      `LOGIN_POLICY: ${missing} cannot be read: it does not exist (ENOENT)`,
    ]);
    writeFileSync(join(folder, 'broken.json'), '{');
    expect(faultsOf({ LOGIN_POLICY: join(folder, 'broken.json') })).toEqual([
      expect.stringMatching(/^LOGIN_POLICY: .*JSON/),
    ]);
  });
});

describe.each(['ADMIN_API_KEY', 'GATEWAY_API_KEY'])('%s', (name) => {
  it.each([
    ['a blank', 'correct horse battery staple and more'],
    ['a blank at its end', `${'k'.repeat(32)} `],
    ['a tab', `${'k'.repeat(32)}\tk`],
    ['a letter outside ASCII', 'schlüssel-schlüssel-schlüssel-schlüssel'],
    ['an emoji', '🔑'.repeat(32)],
  ])('with %s is refused, as no header could carry it, and is not repeated', (_what, key) => {
    const faults = faultsOf({ [name]: key });
    expect(faults).toEqual([`${name}: only visible ASCII characters, no blanks: callers send it in a header`]);
    expect(faults.join()).not.toContain(key.slice(0, 10));
  });

  it('may have any visible character of ASCII', () => {
    const key = String.fromCharCode(...Array.from({ length: 94 }, (_, index) => 0x21 + index));
    expect(Object.values(loadConfig({ [name]: key }))).toContain(key);
  });
});

describe('all faults at once', () => {
  it('those of single settings, of files, and of settings together', () => {
    const faults = faultsOf({
      PORT: 'http',
      LOG_LEVEL: 'loud',
      LOGIN_POLICY: 'nope',
      PLATFORMS: 'ios:mobile',
      REDIS_URL: 'nope',
      TRUST_PROXY: 'nope',
      REFRESH_TTL_SECONDS: '60',
      ADMIN_API_KEY: SECRETS.ADMIN_API_KEY,
      GATEWAY_API_KEY: SECRETS.ADMIN_API_KEY,
    });
    expect(faults.map((fault) => fault.split(':', 1).join()).toSorted()).toEqual([
      'ACCESS_TTL_SECONDS',
      'LOGIN_POLICY',
      'LOG_LEVEL',
      'PLATFORMS',
      'PORT',
      'REDIS_URL',
      'REFRESH_SECRET, ADMIN_API_KEY, GATEWAY_API_KEY, CREDENTIALS_SECRET',
      'TRUST_PROXY',
    ]);
  });

  it('stand in the message, a line each', () => {
    expect(() => loadConfig({ PORT: 'http', LOG_LEVEL: 'loud' })).toThrow(
      /^the settings are not usable:\n {2}PORT: .*\n {2}LOG_LEVEL: .*$/,
    );
  });

  it('production: every setting that is missing, along with those that are wrong', () => {
    const missing = ['REDIS_URL', 'ISSUER', 'SIGNING_KEYS_FILE', 'REFRESH_SECRET', 'ADMIN_API_KEY', 'GATEWAY_API_KEY'];
    const faults = missing.map((name) => `${name}: must be given in production`);
    expect(faultsOf({ NODE_ENV: 'production' })).toEqual(faults);
    expect(faultsOf({ NODE_ENV: 'production', PORT: 'http', LOGIN_POLICY: 'nope' })).toHaveLength(faults.length + 2);
    for (const name of missing)
      expect(faultsOf({ ...PRODUCTION, [name]: '' })).toEqual([`${name}: must be given in production`]);
  });
});

describe('production', () => {
  it('with everything given starts, and listens to everybody', () => {
    const config = loadConfig(PRODUCTION);
    expect(config).toMatchObject({ production: true, host: '0.0.0.0', issuer: 'https://auth.example' });
    expect(loadConfig({ ...PRODUCTION, HOST: '10.0.0.1' }).host).toBe('10.0.0.1');
  });

  it('F37 keeps webhooks in the public internet unless it is told otherwise', () => {
    expect(loadConfig(PRODUCTION).webhookTargets).toBe('public');
    expect(loadConfig({ ...PRODUCTION, WEBHOOK_TARGETS: 'any' }).webhookTargets).toBe('any');
    expect(loadConfig({}).webhookTargets).toBe('any');
    expect(loadConfig({ WEBHOOK_TARGETS: 'public' }).webhookTargets).toBe('public');
    expect(() => loadConfig({ WEBHOOK_TARGETS: 'private' })).toThrow('WEBHOOK_TARGETS: valid: public, any');
  });

  it.each([
    { REFRESH_SECRET: SECRETS.ADMIN_API_KEY },
    { ADMIN_API_KEY: SECRETS.GATEWAY_API_KEY },
    { GATEWAY_API_KEY: SECRETS.REFRESH_SECRET },
  ])('two secrets that are the same are refused', (env) => {
    expect(faultsOf({ ...PRODUCTION, ...env })).toEqual([expect.stringMatching(/: must differ from each other$/)]);
  });
});

describe('Q4 Q6 Q13 REDIS_URL', () => {
  it.each([
    { url: 'redis://h', target: { kind: 'server', tls: false, host: 'h', port: 6379, db: 0 } },
    { url: 'REDIS://h', target: { kind: 'server', tls: false, host: 'h', port: 6379, db: 0 } },
    { url: 'redis://h:7000/3', target: { kind: 'server', tls: false, host: 'h', port: 7000, db: 3 } },
    { url: 'redis://h/', target: { kind: 'server', tls: false, host: 'h', port: 6379, db: 0 } },
    { url: 'rediss://h:1', target: { kind: 'server', tls: true, host: 'h', port: 1, db: 0 } },
    { url: 'redis://[::1]:7000', target: { kind: 'server', tls: false, host: '::1', port: 7000, db: 0 } },
    {
      url: 'redis://ann:p%40ss%2F%3Aw%C3%B6rd@h',
      target: { kind: 'server', tls: false, host: 'h', port: 6379, db: 0, username: 'ann', password: 'p@ss/:wörd' },
    },
    {
      url: 'redis://:pass:word@h',
      target: { kind: 'server', tls: false, host: 'h', port: 6379, db: 0, password: 'pass:word' },
    },
    {
      url: 'Rediss+Cluster://u:p@a:7001,b,[::2]:7003/',
      target: {
        kind: 'cluster',
        tls: true,
        nodes: [
          { host: 'a', port: 7001 },
          { host: 'b', port: 6379 },
          { host: '::2', port: 7003 },
        ],
        username: 'u',
        password: 'p',
      },
    },
    {
      url: 'redis+sentinel://a,b:7001/m%20ain/2',
      target: {
        kind: 'sentinel',
        tls: false,
        db: 2,
        nodes: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 7001 },
        ],
        name: 'm ain',
      },
    },
    { url: 'unix:///tmp/redis.sock', target: { kind: 'socket', path: '/tmp/redis.sock', db: 0 } },
    {
      url: 'unix://u:p@/tmp/my%20redis.sock?db=3',
      target: { kind: 'socket', path: '/tmp/my redis.sock', db: 3, username: 'u', password: 'p' },
    },
  ])('$url', ({ url, target }) => {
    expect(parseRedisUrl(url)).toEqual(target);
    expect(loadConfig({ REDIS_URL: url }).redis).toEqual(target);
  });

  it.each([
    'unix://user:hunter2@tmp/redis.sock',
    'unix://user:hunter2@/tmp/redis.sock?db=x',
    'http://user:hunter2@h',
    'user:hunter2@h:6379',
    'redis://user:hunter2@',
    'redis://user:hunter2@h/one',
    'redis://user:hunter2@a,b',
    'redis://user:hunter2@h:port',
    'redis://user:hunter2@h:70000',
    'redis://user:hunter2@h,',
    'redis://user:hunter2@h?db=1',
    'redis://user:hunter2/h@host',
    'redis://user:hunter2@extra@host',
    'redis://user:hunter2%ZZ@host',
    'redis+sentinel://user:hunter2@h',
    'redis+sentinel://user:hunter2@h/',
    'redis+sentinel://user:hunter2@h/name/x',
    'redis+sentinel://user:hunter2@h/name/0/1',
    'redis+cluster://user:hunter2@h:x',
    'redis+cluster://user:hunter2@h/2',
    'redis://user:hunter2#1@h',
    'redis://user:hunter2?1@h',
    'redis://user:hun%zzter2@h',
  ])('refuses %s, and never repeats the password', (url) => {
    const faults = faultsOf({ REDIS_URL: url });
    expect(faults).toEqual([expect.stringMatching(/^REDIS_URL: ./)]);
    expect(faults.join()).not.toContain('hunter2');
  });
});

describe('Q13 what is wrong with an address is said', () => {
  it.each([
    ['redis://u:a#b@h', 'percent-encode user and password'],
    ['redis://u:a/b@h', 'percent-encode user and password'],
    ['redis://u:a@b@h', 'percent-encode user and password'],
    ['redis://u:%zz@h', 'a % that stands for itself is %25'],
    ['redis+cluster://h/2', 'a Cluster has no databases'],
    ['redis://h/x', 'a database is a number'],
    ['redis://h?db=1', 'without a query'],
    ['mysql://h', 'with rediss in place of redis for TLS'],
  ])('%s: %s', (REDIS_URL, says) => {
    expect(faultsOf({ REDIS_URL })).toEqual([expect.stringContaining(says)]);
  });
});

describe('Q4 settings that go with REDIS_URL', () => {
  const pem = join(folder, 'some.pem');
  const [tls, plain] = [{ REDIS_URL: 'rediss://h' }, { REDIS_URL: 'redis://h' }];
  const sentinel = { REDIS_URL: 'redis+sentinel://h/main' };
  beforeAll(() => writeFileSync(pem, 'PEM'));

  it('are read into its target', () => {
    const files = { REDIS_TLS_CA: pem, REDIS_TLS_CERT: pem, REDIS_TLS_KEY: pem };
    expect(loadConfig({ ...tls, ...files }).redis).toMatchObject({ tlsFiles: { ca: 'PEM', cert: 'PEM', key: 'PEM' } });
    const env = { ...sentinel, REDIS_SENTINEL_USERNAME: 'u', REDIS_SENTINEL_PASSWORD: 'p' };
    expect(loadConfig({ ...env, REDIS_ADDRESS_MAP: '10.0.0.1:6379=h:7001, [::1]:1=[::2]:2' }).redis).toMatchObject({
      sentinelCredentials: { username: 'u', password: 'p' },
      addressMap: { '10.0.0.1:6379': { host: 'h', port: 7001 }, '::1:1': { host: '::2', port: 2 } },
    });
  });

  it.each([
    [{ ...plain, REDIS_TLS_CA: pem }, 'REDIS_TLS_CA: holds for a REDIS_URL with rediss alone'],
    [{ REDIS_TLS_CA: pem }, 'REDIS_TLS_CA: holds for a REDIS_URL with rediss alone'],
    [{ ...tls, REDIS_TLS_CA: join(folder, 'none') }, 'none cannot be read: it does not exist'],
    [{ ...tls, REDIS_TLS_CERT: pem }, 'has both, REDIS_TLS_CERT and REDIS_TLS_KEY'],
    [{ ...tls, REDIS_TLS_KEY: pem }, 'has both, REDIS_TLS_CERT and REDIS_TLS_KEY'],
    [{ ...plain, REDIS_SENTINEL_PASSWORD: 'p' }, 'REDIS_SENTINEL_PASSWORD: holds for'],
    [{ ...sentinel, REDIS_SENTINEL_USERNAME: 'u' }, 'must be given with REDIS_SENTINEL_USERNAME'],
    [{ ...plain, REDIS_ADDRESS_MAP: 'a:1=b:2' }, 'REDIS_ADDRESS_MAP: holds for'],
    [{ ...sentinel, REDIS_ADDRESS_MAP: 'a:1' }, 'REDIS_ADDRESS_MAP: expected announced-host:port='],
    [{ ...sentinel, REDIS_ADDRESS_MAP: 'a=b:2' }, 'REDIS_ADDRESS_MAP: expected announced-host:port='],
  ])('%j: %s', (env, says) => {
    expect(faultsOf(env)).toEqual([expect.stringContaining(says)]);
  });
});

describe('F29 a name that is near one of ours', () => {
  it('is told, and is no fault: container platforms add names of their own', () => {
    const config = loadConfig({ ACESS_TTL_SECONDS: '60', REDISURL: 'redis://u:S3CRET@h', HOSTNAME: 'a', NODE: 'b' });
    expect(config.misspelt).toEqual([
      'ACESS_TTL_SECONDS: is no setting; was ACCESS_TTL_SECONDS meant?',
      'REDISURL: is no setting; was REDIS_URL meant?',
    ]);
    expect(config.accessTtlSeconds).toBe(900);
  });

  it('is told beside the faults that it may explain', () => {
    const { ADMIN_API_KEY, ...others } = PRODUCTION;
    expect(faultsOf({ ...others, ADMIN_APIKEY: ADMIN_API_KEY })).toEqual([
      'ADMIN_API_KEY: must be given in production',
      'ADMIN_APIKEY: is no setting; was ADMIN_API_KEY meant?',
    ]);
  });

  it('no variable that Node, npm, a shell or an orchestrator sets is near to one', () => {
    const names = [
      'HOME',
      'PATH',
      'PWD',
      'USER',
      'LANG',
      'TERM',
      'SHLVL',
      'HOSTNAME',
      'NODE',
      'NODE_OPTIONS',
      'INIT_CWD',
      'TZ',
    ];
    const injected = [
      'npm_config_loglevel',
      'KUBERNETES_PORT',
      'REDIS_PORT',
      'REDIS_SERVICE_HOST',
      'LATCHKEY_PORT',
      'EDITOR',
    ];
    const env = Object.fromEntries([...names, ...injected].map((name) => [name, 'x']));
    expect(loadConfig(env).misspelt).toEqual([]);
  });
});

describe('a message', () => {
  const marked = 'S3CRET';

  it.each(Object.keys(SECRETS))('never contains the value of %s', (name) => {
    for (const value of [marked, `${marked}-${'x'.repeat(40)}`]) {
      const others = { PORT: 'http', LOGIN_POLICY: 'nope', NODE_ENV: 'production' };
      const [longEnough, twice] = [faultsOf({ ...others, [name]: value }), bothSecrets(value)];
      expect(longEnough.length).toBeGreaterThan(2);
      expect([...longEnough, ...twice].join()).not.toContain(marked);
    }
  });

  it('never quotes a file that was taken for a policy', () => {
    const keys = join(folder, 'keys.json');
    for (const text of [marked, `{"keys":[{"d":"${marked}"}],"k":1}`, `{"d": ${marked}}`, `["${marked}"`]) {
      writeFileSync(keys, text);
      const faults = faultsOf({ LOGIN_POLICY: keys });
      expect(faults).toHaveLength(1);
      expect(faults.join()).not.toContain(marked);
    }
  });
});

describe('SETTINGS', () => {
  it('has every setting of these tests, once', () => {
    expect(SETTINGS).toEqual(expect.arrayContaining(Object.keys(PRODUCTION)));
    expect(new Set(SETTINGS).size).toBe(SETTINGS.length);
  });
});

function faultsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

function bothSecrets(value: string): readonly string[] {
  return faultsOf({ REFRESH_SECRET: value, ADMIN_API_KEY: value });
}

function policyFile(name: string, policy: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(policy));
  return path;
}

function limitOf(limit: object) {
  return { match: {}, countBy: 'all', max: 1, overflow: 'kick', ...limit };
}
