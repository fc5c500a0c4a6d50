/** A user of Redis with fewer rights than all, on a real server: what is missing is told, and nothing is done by half. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { neededCommands } from '../../src/redis/rights.ts';
import { asAdmin, changeUser, createUser, issue, listTokens, validate } from '../helpers/calls.ts';
import { endRedis, ownCluster, ownRedis, portOf, type OwnRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

/** INFO and ROLE are no must: without them some losses cannot be told from others. */
const LEAST = ['+info', '+role', ...neededCommands(false).map((name) => `+${name.toLowerCase()}`)];

let own: OwnRedis;
let admin: Redis;
beforeAll(async () => {
  own = await ownRedis();
  await own.start();
  admin = new Redis(own.url);
});
afterEach(closeServices);
afterAll(async () => {
  await closeServices();
  admin.disconnect();
  await endRedis();
});

const urlOf = (user: string) => `redis://${user}:pw@127.0.0.1:${portOf(own)}`;

/** A service whose user has these rights and no others. */
async function serviceWith(user: string, rights: readonly string[]): Promise<Service> {
  await admin.call('ACL', 'SETUSER', user, 'reset', 'on', '>pw', ...rights);
  const service = await startService({ redisUrl: urlOf(user), env: { LOGIN_POLICY: 'single-device' } });
  await until('it has a connection', () => service.redis.status === 'ready');
  return service;
}

const everything = async (prefix: string) => {
  const keys = (await admin.keys(`${prefix}:*`)).toSorted();
  return Promise.all(keys.map(async (key) => [key, await admin.dump(key)]));
};

const troubleOf = (service: Service) =>
  service.deployment.check().then(
    () => undefined,
    (error: Error) => (error.cause as Error | undefined)?.message ?? error.message,
  );

describe('Q1 a right that is missing', () => {
  it('to publish is told, with the line that grants it; logins, kicks and blocks are whole meanwhile', async () => {
    const service = await serviceWith('silent', ['~*', '+@all']);
    expect(await troubleOf(service)).toBe(
      `NOPERM its user needs more rights: ACL SETUSER <user> ~${service.prefix}:* &${service.prefix}:* +publish +subscribe`,
    );
    expect((await service.api.get('/readyz')).status).toBe(503);
    await createUser(service, 'ada');
    const first = await issue(service, 'ada', { platform: 'ios' });
    const second = await issue(service, 'ada', { platform: 'web' });
    expect(second.body.displaced).toMatchObject([{ tokenId: first.body.token.tokenId, state: 'kicked' }]);
    expect((await changeUser(service, 'ada', { blocked: {} })).status).toBe(200);
    expect((await validate(service, second.body.accessToken)).body.code).toBe('user_blocked');
  });

  it.each(['xadd', 'lpush', 'ltrim', 'pexpire', 'pexpireat', 'hset', 'hdel'])(
    'to %s leaves everything as it was: 503, and not a byte of a login, a kick or a block',
    async (command) => {
      const whole = await serviceWith('whole', ['~*', '&*', '+@all']);
      await createUser(whole, 'ada');
      await issue(whole, 'ada', { platform: 'ios' });
      const before = await everything(whole.prefix);
      await admin.call('ACL', 'SETUSER', `no-${command}`, 'reset', 'on', '>pw', '~*', '&*', '+@all', `-${command}`);
      const redisUrl = urlOf(`no-${command}`);
      const env = { LOGIN_POLICY: 'single-device' };
      const service = await startService({ redisUrl, prefix: whole.prefix, env });
      await until('it knows the time', () =>
        service.deployment.check().then(
          () => true,
          () => service.redis.status === 'ready',
        ),
      );
      expect(await troubleOf(service)).toMatch(new RegExp(`ACL SETUSER <user> .*\\+${command}$`));
      const answers = [
        await issue(service, 'ada', { platform: 'web' }),
        await changeUser(service, 'ada', { blocked: {} }),
        await service.api.delete('/admin/users/ada/tokens').set(asAdmin),
        await service.api.delete('/admin/users/ada').set(asAdmin),
      ];
      expect(answers.map(({ status, body }) => [status, body.code])).toEqual(
        answers.map(() => [503, 'store_unavailable']),
      );
      expect(await everything(whole.prefix)).toEqual(before);
    },
  );

  it('none: with the least that is needed a node agrees, and serves all that tests of the store ask', async () => {
    const prefix = 'least-rights';
    await admin.call('ACL', 'LOG', 'RESET');
    await admin.call('ACL', 'SETUSER', 'least', 'reset', 'on', '>pw', `~${prefix}:*`, `&${prefix}:*`, ...LEAST);
    const service = await startService({ redisUrl: urlOf('least'), prefix, env: { LOGIN_POLICY: 'single-device' } });
    await until('it has agreed', async () => (await troubleOf(service)) === undefined);
    expect((await service.api.get('/readyz')).status).toBe(200);
    await createUser(service, 'ada');
    const { body } = await issue(service, 'ada');
    expect((await validate(service, body.accessToken)).status).toBe(200);
    expect((await listTokens(service, 'ada')).body.tokens).toHaveLength(1);
    expect((await service.api.get('/admin/users').set(asAdmin)).status).toBe(200);
    expect((await service.api.put('/admin/tenants/acme').set(asAdmin).send({ policy: 'no-kick' })).status).toBe(200);
    expect((await service.api.delete('/admin/users/ada').set(asAdmin)).status).toBe(200);
    const log = (await admin.call('ACL', 'LOG')) as string[][];
    const refused = log.filter((entry) => entry[entry.indexOf('username') + 1] === 'least');
    expect(refused.map((entry) => entry[entry.indexOf('object') + 1])).toEqual([]);
  });

  it('on one master of a Cluster is told too', async () => {
    const { url, nodes } = await ownCluster(2);
    const clients = nodes.map((node) => new Redis(node.url));
    const [one, other] = clients;
    await one?.call('ACL', 'SETUSER', 'default', '-ltrim');
    const service = await startService({ redisUrl: url });
    await until('it is told', async () => (await troubleOf(service))?.endsWith('+ltrim') ?? false);
    await one?.call('ACL', 'SETUSER', 'default', '+ltrim');
    await until('it has agreed', async () => (await troubleOf(service)) === undefined);
    expect(await other?.call('ACL', 'WHOAMI')).toBe('default');
    for (const client of clients) client.disconnect();
  });
});
