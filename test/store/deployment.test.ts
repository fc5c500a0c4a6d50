/** What nodes agree on with Redis, and how they keep at it: after a first start that was cut short, with a Redis that is full. */
import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, it, jest } from '@jest/globals';
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

it('a node that connects again and again beats once at a time', async () => {
  const service = await startService();
  const timers = jest.spyOn(globalThis, 'setTimeout');
  let agreed = 0;
  service.deployment.watch({ agreed: () => (agreed += 1), lost: () => {}, mismatch: () => {} });
  for (let again = 0; again < 5; again += 1) service.redis.emit('ready');
  await until('all have been answered', () => agreed === 6);
  await until('the next beat has its time', () => timers.mock.calls.some(([, ms]) => ms === 2000));
  expect(timers.mock.calls.filter(([, ms]) => ms === 2000)).toHaveLength(1);
  timers.mockRestore();
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
