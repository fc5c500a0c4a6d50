// Redis Sentinel: a master that is cut off from its Sentinels, or made a replica, gets no more writes of ours, though the
// connection to it lives on.
import { afterAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { issue } from '../helpers/calls.ts';
import { endRedis, ownRedis, ownSentinel, portOf, type OwnRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService } from '../helpers/service.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';

const LIMIT_MS = 120_000;
/** The promise is three seconds from the promotion; the rest is for a machine that is busy with other tests. */
const NOTICED_MS = 3_000 + 2_000;

const clients: { disconnect(): void }[] = [];
afterAll(async () => {
  await closeServices();
  for (const client of clients) client.disconnect();
  closeProxies();
  await endRedis();
}, LIMIT_MS);

function clientOf({ url }: OwnRedis): Redis {
  const client = new Redis(url);
  client.on('error', () => {});
  clients.push(client);
  return client;
}

describe('F40 a master that Sentinels have replaced', () => {
  it(
    'gets no more writes within seconds, though it is alive and the connection to it holds',
    async () => {
      const [master, replica] = [await ownRedis(), await ownRedis()];
      await Promise.all([master.start(), replica.start()]);
      // Sentinel and replica know the master by this address, the service reaches it beside it.
      const way = await startProxy(master.url);
      const announced = Number(new URL(way.url).port);
      const [onMaster, onReplica] = [clientOf(master), clientOf(replica)];
      await onReplica.replicaof('127.0.0.1', announced);
      const isUp = async () => (await onReplica.info('replication')).includes('master_link_status:up');
      await until('the replica is up to date', isUp, 20_000);
      const lines = ['sentinel down-after-milliseconds main 500'];
      const { port } = await ownSentinel(master, { lines, masterPort: announced });
      const watching = new Redis({ host: '127.0.0.1', port });
      clients.push(watching);
      const replicasKnown = async () => ((await watching.call('SENTINEL', 'replicas', 'main')) as unknown[]).length;
      await until('the Sentinel knows the replica', async () => (await replicasKnown()) === 1, 20_000);
      const env = { REDIS_ADDRESS_MAP: `127.0.0.1:${announced}=127.0.0.1:${portOf(master)}` };
      const service = await startService({ redisUrl: `redis+sentinel://127.0.0.1:${port}/main`, env });
      await until('it serves', async () => (await issue(service, 'ada')).status === 200, 15_000);

      way.cut();
      const isPromoted = async () => (await onReplica.role())[0] === 'master';
      await until('the replica is promoted', isPromoted, 30_000);
      const tokens = (userId: string) => service.keys.tokens({ tenant: 'default', userId });
      const isNoticed = async () =>
        (await issue(service, 'bob')).status === 200 && (await onReplica.exists(tokens('bob'))) === 1;
      await until('writes go to the new master', isNoticed, NOTICED_MS);
      expect((await onMaster.role())[0]).toBe('master');
      expect((await issue(service, 'carol')).status).toBe(200);
      expect([await onReplica.exists(tokens('carol')), await onMaster.exists(tokens('carol'))]).toEqual([1, 0]);
    },
    LIMIT_MS,
  );
});

describe('F40 a master that was made a replica under a connection that lives on', () => {
  it(
    'is left, until it is a master again',
    async () => {
      const [master, other] = [await ownRedis(), await ownRedis()];
      await Promise.all([master.start(), other.start()]);
      const service = await startService({ redisUrl: master.url });
      await until('it serves', async () => (await issue(service, 'ada')).status === 200, 15_000);
      const ready = async () => (await service.api.get('/readyz')).status;
      expect(await ready()).toBe(200);
      await clientOf(master).replicaof('127.0.0.1', portOf(other));
      await until('it is noticed', async () => (await ready()) === 503, NOTICED_MS);
      await clientOf(master).replicaof('NO', 'ONE');
      await until('it serves again', async () => (await issue(service, 'ada')).status === 200, 15_000);
    },
    LIMIT_MS,
  );
});
