/** The rules of a tenant are read afresh for every question, and one reply serves all who ask at the same moment. */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { countRoundTrips } from '../helpers/round-trips.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

describe('the rules of a tenant', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });

  it('are read once for all who ask within one turn of the loop, each tenant for itself', async () => {
    await service.tenants.put('shared', { war: { maxDisplacements: 3, windowSeconds: 60 } }, undefined);
    const asked = ['shared', 'shared', 'unset', 'shared', 'unset'];
    const { result, commands } = await countRoundTrips(service, () =>
      Promise.all(asked.map((tenant) => service.tenants.find(tenant))),
    );
    expect(commands).toEqual([['hmget', 'hmget']]);
    expect(result.map((found) => found?.version)).toEqual([1, 1, undefined, 1, undefined]);
  });

  it('are read again by who asks later, as they are by then', async () => {
    const versions: (number | undefined)[] = [];
    for (let round = 0; round < 3; round += 1) {
      versions.push((await service.tenants.find('changing'))?.version);
      await service.tenants.put('changing', {}, undefined);
    }
    expect(versions).toEqual([undefined, 1, 2]);
  });

  it('are read again after an outage: it is nobody’s answer but theirs who asked during it', async () => {
    const { redis, tenants } = await startService();
    const ended = once(redis, 'end');
    redis.disconnect();
    await expect(tenants.find('t')).rejects.toMatchObject({ code: 'store_unavailable' });
    await ended;
    await redis.connect();
    expect(await tenants.find('t')).toBeUndefined();
  });
});
