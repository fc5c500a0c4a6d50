/** Every shape of Redis that an address can name, on a real server that is set up that way: a login, a verdict, a kick. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connectRedis } from '../../src/redis/connect.ts';
import { parseRedisUrl } from '../../src/redis/redis-url.ts';
import { issue, validate } from '../helpers/calls.ts';
import { untrustedCertificate } from '../helpers/certificate.ts';
import { freePort } from '../helpers/free-port.ts';
import { endRedis, ownCluster, ownRedis, ownSentinel, portOf } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

const PASSWORD = 'p@ss/word#1';
const encoded = encodeURIComponent(PASSWORD);

const folder = mkdtempSync(join(tmpdir(), 'latchkey-shapes-'));
const CERT = join(folder, 'cert.pem');
const KEY = join(folder, 'key.pem');

beforeAll(() => {
  const { cert, key } = untrustedCertificate();
  writeFileSync(CERT, cert);
  writeFileSync(KEY, key);
});
afterAll(async () => {
  await closeServices();
  await endRedis();
  rmSync(folder, { recursive: true, force: true });
});

/** As a server's settings: its own certificate is also the authority that it and its clients trust. */
const tlsOn = (port: number) => ({
  'tls-port': String(port),
  'tls-cert-file': CERT,
  'tls-key-file': KEY,
  'tls-ca-cert-file': CERT,
});
const TRUST = { REDIS_TLS_CA: CERT };
const CLIENT_CERTIFICATE = { REDIS_TLS_CERT: CERT, REDIS_TLS_KEY: KEY };

async function serviceOn(redisUrl: string, env: Readonly<Record<string, string>> = {}): Promise<Service> {
  const service = await startService({ redisUrl, env: { LOGIN_POLICY: 'single-device', ...env } });
  await until('Redis can be used', () =>
    service.deployment.check().then(
      () => true,
      () => false,
    ),
  );
  return service;
}

async function expectToServe(service: Service): Promise<void> {
  const first = await issue(service, 'ada', { platform: 'ios' });
  const second = await issue(service, 'ada', { platform: 'web' });
  expect(second.body.displaced).toMatchObject([{ tokenId: first.body.token.tokenId }]);
  expect((await validate(service, first.body.accessToken)).body.code).toBe('token_kicked');
  expect((await validate(service, second.body.accessToken)).status).toBe(200);
}

describe('Q4 Redis is reached', () => {
  it('on one server with TLS, a password and a database', async () => {
    const port = await freePort();
    const redis = await ownRedis({ settings: tlsOn(port), password: PASSWORD });
    await redis.start();
    const service = await serviceOn(`rediss://:${encoded}@localhost:${port}/3`, { ...TRUST, ...CLIENT_CERTIFICATE });
    await expectToServe(service);
    const plain = connectRedis(parseRedisUrl(`redis://:${encoded}@127.0.0.1:${portOf(redis)}/3`));
    plain.on('error', () => {});
    await until('it is in number 3', async () => (await plain.keys(`${service.prefix}:*`).catch(() => [])).length > 0);
    plain.disconnect();
  });

  it('by a client certificate where the server asks for one, and by no other', async () => {
    const port = await freePort();
    const redis = await ownRedis({ settings: { ...tlsOn(port), 'tls-auth-clients': 'yes' } });
    await redis.start();
    const url = `rediss://localhost:${port}`;
    await expectToServe(await serviceOn(url, { ...TRUST, ...CLIENT_CERTIFICATE }));
    const stranger = await startService({ redisUrl: url, env: TRUST });
    await expect(stranger.deployment.check()).rejects.toMatchObject({ code: 'store_unavailable' });
    const unsure = await startService({ redisUrl: url, env: CLIENT_CERTIFICATE });
    await expect(unsure.deployment.check()).rejects.toMatchObject({ code: 'store_unavailable' });
  });

  it('on a unix socket, with a password and a database', async () => {
    const path = join(folder, 'redis.sock');
    const redis = await ownRedis({ settings: { unixsocket: path }, password: PASSWORD });
    await redis.start();
    await expectToServe(await serviceOn(`unix://:${encoded}@${path}?db=2`));
  });

  it('on a Cluster with TLS and a password, by the names that it announces', async () => {
    const tls = { ...tlsOn(0), 'tls-cluster': 'yes', 'tls-replication': 'yes' };
    const names = { 'cluster-announce-hostname': 'localhost', 'cluster-preferred-endpoint-type': 'hostname' };
    const ports: number[] = [];
    const { nodes } = await ownCluster(3, {
      settings: { ...tls, ...names },
      password: PASSWORD,
      each: async () => {
        const port = await freePort();
        ports.push(port);
        return { 'tls-port': String(port) };
      },
    });
    expect(nodes).toHaveLength(3);
    const hosts = ports.map((port) => `localhost:${port}`).join(',');
    await expectToServe(await serviceOn(`rediss+cluster://:${encoded}@${hosts}`, { ...TRUST, ...CLIENT_CERTIFICATE }));
  });

  it('on a Cluster that announces addresses which are not those it has from here', async () => {
    const { url, nodes } = await ownCluster(1, { settings: { 'cluster-announce-ip': '192.0.2.7' } });
    const [port] = nodes.map(portOf);
    const service = await serviceOn(url, { REDIS_ADDRESS_MAP: `192.0.2.7:${port}=127.0.0.1:${port}` });
    await expectToServe(service);
  });

  it('by Sentinels with a user and a password, on a Redis with another one, in a database', async () => {
    const redis = await ownRedis({ password: PASSWORD });
    await redis.start();
    const { port } = await ownSentinel(redis, {
      lines: [`sentinel auth-pass main ${PASSWORD}`, 'user watcher on >s3ntinel allchannels allcommands'],
    });
    const env = { REDIS_SENTINEL_USERNAME: 'watcher', REDIS_SENTINEL_PASSWORD: 's3ntinel' };
    await expectToServe(await serviceOn(`redis+sentinel://:${encoded}@127.0.0.1:${port}/main/4`, env));
  });

  it('by Sentinels with TLS, on a Redis with TLS', async () => {
    const [redisPort, sentinelPort] = [await freePort(), await freePort()];
    const redis = await ownRedis({ settings: { ...tlsOn(redisPort), 'tls-replication': 'yes' } });
    await redis.start();
    const lines = Object.entries({ ...tlsOn(sentinelPort), 'tls-replication': 'yes' }).map(([k, v]) => `${k} ${v}`);
    await ownSentinel(redis, { lines, masterPort: redisPort });
    const env = { ...TRUST, ...CLIENT_CERTIFICATE, REDIS_ADDRESS_MAP: `127.0.0.1:${redisPort}=localhost:${redisPort}` };
    await expectToServe(await serviceOn(`rediss+sentinel://localhost:${sentinelPort}/main`, env));
  });
});

describe('Q6 a database that cannot be had', () => {
  it('is an outage, and never number 0', async () => {
    const redis = await ownRedis();
    await redis.start();
    const service = await startService({ redisUrl: `${redis.url}/16` });
    const told: string[] = [];
    service.redis.on('error', ({ message }) => told.push(message));
    await until('it is told again', () => told.filter((line) => line === 'ERR DB index is out of range').length > 2);
    expect((await issue(service, 'ada')).status).toBe(503);
    const plain = connectRedis(parseRedisUrl(redis.url));
    await until('the server answers', () => plain.status === 'ready');
    expect(await plain.keys('*')).toEqual([]);
    plain.disconnect();
  });
});
