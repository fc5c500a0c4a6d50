/**
 * How long the feed keeps events: longer than any access token lives, also when a tenant lengthens the life of theirs.
 */
import { afterAll, describe, expect, it } from '@jest/globals';
import { asAdmin, issue, revokeAll } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { testPrefix } from '../helpers/test-redis.ts';

afterAll(closeServices);

const MARGIN_MS = 600_000;
const HOUR_MS = 3_600_000;
/** What a node does every two seconds. */
const heartbeat = (service: Service) => service.deployment.check();

const setTtl = async (service: Service, tenant: string, ttl: object): Promise<void> => {
  expect((await service.api.put(`/admin/tenants/${tenant}`).set(asAdmin).send({ ttl })).status).toBe(200);
};

const streamOf = (service: Service, userId: string) =>
  service.keys.events(service.keys.shardOf({ tenant: 'default', userId }));

/** Puts an event of so many ms ago at the head of a user's stream, and enough behind it that trimming has a node to drop. */
async function addOldEvents(service: Service, userId: string, agoMs: number): Promise<void> {
  const at = service.store.now() - agoMs;
  const pipeline = service.redis.pipeline();
  for (let index = 0; index < 300; index += 1) pipeline.xadd(streamOf(service, userId), `${at}-${index}`, 'e', 'old');
  await pipeline.exec();
}

const oldEvents = async (service: Service, userId: string) =>
  (await service.redis.xrange(streamOf(service, userId), '-', '+')).filter(([, [, text]]) => text === 'old').length;

describe('the feed keeps events for as long as an access token lives, and a margin', () => {
  it('by the environment, while no tenant asks for more', async () => {
    const service = await startService({ env: { ACCESS_TTL_SECONDS: '3600' } });
    await setTtl(service, 't', { accessSeconds: 60 });
    expect(service.retention.keptMs()).toBe(HOUR_MS + MARGIN_MS);
    await issue(service, 'ada');
    expect(await service.redis.pttl(streamOf(service, 'ada'))).toBeGreaterThan(HOUR_MS);
  });

  it.each([
    ['the tenant', { accessSeconds: 7200 }],
    ['one platform', { platforms: { web: { accessSeconds: 7200 }, ios: { accessSeconds: 60 } } }],
  ])('by a longer life that %s has, on every node and for good', async (_whose, ttl) => {
    const prefix = testPrefix();
    const [a, b] = [await startService({ prefix }), await startService({ prefix })];
    await setTtl(a, 't', ttl);
    expect(a.retention.keptMs()).toBe(2 * HOUR_MS + MARGIN_MS);
    await heartbeat(b);
    expect(b.retention.keptMs()).toBe(2 * HOUR_MS + MARGIN_MS);
    const later = await startService({ prefix });
    expect(later.retention.keptMs()).toBe(2 * HOUR_MS + MARGIN_MS);
    // Tokens signed for so long are still about when the rule is gone.
    await setTtl(b, 't', {});
    for (const node of [a, b]) {
      await heartbeat(node);
      expect(node.retention.keptMs()).toBe(2 * HOUR_MS + MARGIN_MS);
    }
    expect(await a.redis.pttl(a.keys.longest())).toBe(-1);
  });

  it('by a longer life also where nothing new comes', async () => {
    const service = await startService();
    await issue(service, 'ada');
    await setTtl(service, 't', { accessSeconds: 7200 });
    expect(await service.redis.pttl(streamOf(service, 'ada'))).toBeGreaterThan(2 * HOUR_MS);
  });

  it('by the longest of several nodes’ and tenants’', async () => {
    const prefix = testPrefix();
    const nodes = await Promise.all(
      ['600', '5400', '900'].map((seconds) => startService({ prefix, env: { ACCESS_TTL_SECONDS: seconds } })),
    );
    await Promise.all(nodes.map((node, index) => setTtl(node, `t${index}`, { accessSeconds: 1000 + index })));
    for (const node of nodes) {
      await heartbeat(node);
      expect(node.retention.keptMs()).toBe(5_400_000 + MARGIN_MS);
    }
  });

  it('and a change that was refused lengthens nothing for longer tokens than there can be', async () => {
    const service = await startService();
    const answer = await service.api
      .put('/admin/tenants/t')
      .set(asAdmin)
      .send({ ttl: { accessSeconds: 604_801 } });
    expect(answer.status).toBe(400);
    expect(service.retention.keptMs()).toBe(900_000 + MARGIN_MS);
  });
});

describe('what that means for the streams', () => {
  it('an event is trimmed when nobody can hold its token any more', async () => {
    const service = await startService();
    await addOldEvents(service, 'ada', HOUR_MS);
    await issue(service, 'ada');
    expect(await oldEvents(service, 'ada')).toBeLessThan(300);
  });

  it('an event is there when a tenant’s token may still be held, whichever node writes next', async () => {
    const prefix = testPrefix();
    const [a, b] = [await startService({ prefix }), await startService({ prefix })];
    await setTtl(a, 't', { accessSeconds: 7200 });
    await heartbeat(b);
    await addOldEvents(a, 'ada', HOUR_MS);
    for (const node of [a, b]) {
      await issue(node, 'ada');
      await revokeAll(node, 'ada');
    }
    expect(await oldEvents(a, 'ada')).toBe(300);
    expect(await a.redis.pttl(streamOf(a, 'ada'))).toBeGreaterThan(2 * HOUR_MS);
  });
});
