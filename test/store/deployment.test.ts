/** What nodes agree on with Redis: also after a first start that was cut short, and with a Redis that is full. */
import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, it } from '@jest/globals';
import { asAdmin, issue, revokeAll } from '../helpers/calls.ts';
import { endRedis, ownRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService } from '../helpers/service.ts';

afterAll(async () => {
  await closeServices();
  await endRedis();
});

describe('the record of the deployment', () => {
  it.each(['shards', 'kid', 'epoch'])(
    'gets its %s from the next node, where the first was ended before',
    async (field) => {
      const service = await startService();
      const settings = service.keys.settings();
      const { [field]: _lost, ...others } = await service.redis.hgetall(settings);
      await service.redis.hdel(settings, field);
      await service.deployment.check();
      const whole = await service.redis.hgetall(settings);
      expect(Object.keys(whole).toSorted()).toEqual(['epoch', 'kid', 'shards']);
      expect(whole).toMatchObject(others);
    },
  );
});

describe('a Redis that is full', () => {
  it('takes no login, but nodes stay ready for all that can still be done', async () => {
    const redis = await ownRedis();
    await redis.start();
    const service = await startService({ redisUrl: redis.url });
    const ready = async () => (await service.api.get('/readyz')).status;
    await until('ready', async () => (await ready()) === 200);
    const { body } = await issue(service, 'ada');
    await service.redis.config('SET', 'maxmemory', '1');
    // More than the server keeps free by itself.
    await expect(service.redis.set('filler', randomBytes(1024))).rejects.toThrow('OOM');
    const refused = await issue(service, 'bob');
    expect([refused.status, refused.body.code]).toEqual([503, 'store_unavailable']);
    expect(await ready()).toBe(200);
    const listed = await service.api.get('/admin/users/ada/tokens').set(asAdmin);
    expect(listed.body.tokens.map((token: { tokenId: string }) => token.tokenId)).toEqual([body.token.tokenId]);
    expect((await revokeAll(service, 'ada')).body.revoked).toHaveLength(1);
  });
});
