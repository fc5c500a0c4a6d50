/** Redis Cluster: every script runs there. One that named keys of two slots would fail there and nowhere else. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Response } from 'supertest';
import type { RedisClient } from '../../src/redis/connect.ts';
import { defineScripts } from '../../src/redis/scripts.ts';
import {
  asAdmin,
  asGateway,
  changeUser,
  createUser,
  deleteUser,
  issue,
  login,
  refresh,
  revokeAll,
  validate,
} from '../helpers/calls.ts';
import { endRedis, ownCluster, type OwnRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

const USERS = 12;
const MINUTE_MS = 60_000;

let masters: OwnRedis[];
let service: Service;

beforeAll(async () => {
  const { url, nodes } = await ownCluster(3);
  masters = nodes;
  const env = { LOGIN_POLICY: 'single-device', THROTTLE_USER_FAILURES: '5', THROTTLE_USER_LOGINS: '60' };
  service = await startService({ redisUrl: url, env });
  await until('it serves', async () => (await issue(service, 'probe')).status === 200);
});
afterAll(async () => {
  await closeServices();
  await endRedis();
});

/** The digest by which Redis knows each script. */
function digests(): Map<string, string> {
  const found = new Map<string, string>();
  const recorder = {
    defineCommand: (name: string, { lua }: { readonly lua: string }) =>
      found.set(name, createHash('sha1').update(lua).digest('hex')),
  };
  defineScripts(recorder as unknown as RedisClient, { deadline: () => 0 });
  return found;
}

async function statusOf(answer: Promise<Response>): Promise<number> {
  return (await answer).status;
}

const put = (path: string, body: object) => service.api.put(`/admin${path}`).set(asAdmin).send(body);

/** What may happen to a user, in an order that lets all of it succeed. */
async function liveThrough(userId: string): Promise<void> {
  expect(await statusOf(createUser(service, userId))).toBe(201);
  expect(await statusOf(login(service, userId, { password: 'wrong' }))).toBe(401);
  const { body } = await login(service, userId);
  expect(await statusOf(refresh(service, body.refreshToken))).toBe(200);
  const { tokenId } = body.token;
  const tokens = [{ tenant: 'default', userId, tokenId, connectionId: 'c1' }];
  expect(await statusOf(service.api.post('/presence').set(asGateway).send({ tokens }))).toBe(200);
  expect((await login(service, userId)).body.displaced).toMatchObject([{ tokenId, state: 'kicked' }]);
  expect(await statusOf(put(`/users/${userId}/policy`, { policy: 'decline-second' }))).toBe(200);
  expect(await statusOf(issue(service, userId))).toBe(409);
  expect((await revokeAll(service, userId)).body.revoked).toHaveLength(1);
  expect(await statusOf(changeUser(service, userId, { blocked: {} }))).toBe(200);
  const user = { tenant: 'default', userId };
  await service.users.renewPasswordHash(user, 'another', 'a third');
  await service.redis.uncountAttempt(service.keys.attempts(user));
  expect(await statusOf(service.api.delete(`/admin/users/${userId}/locks`).set(asAdmin))).toBe(200);
  expect(await statusOf(service.api.get('/admin/users?limit=1').set(asAdmin))).toBe(200);
  expect(await statusOf(deleteUser(service, userId))).toBe(200);
}

/** From the rule to the first delivery, and back. */
async function deliver(tenant: string): Promise<void> {
  const url = 'http://127.0.0.1:9/';
  expect(await statusOf(put(`/tenants/${tenant}`, { webhook: { url } }))).toBe(200);
  const { webhooks, tenants } = service;
  const version = (await tenants.find(tenant))?.version ?? 0;
  expect(await webhooks.take(tenant, 'node-1', { version, url })).toMatchObject({ failures: 0 });
  expect(await webhooks.note(tenant, 'node-1', { cursor: '1', lastDeliveredAt: 1 })).toBe(true);
  await webhooks.release(tenant, 'node-1');
  expect(await webhooks.take(tenant, 'node-2', { version, url })).toMatchObject({ cursor: '1' });
  await webhooks.forget(tenant);
}

it('every script of the service runs on a Cluster, for users and tenants in all of its parts', async () => {
  expect(await statusOf(put('/tenants/default', { presence: { leaseSeconds: 60, graceSeconds: 60 } }))).toBe(200);
  const users = Array.from({ length: USERS }, (_, index) => `user-${index}`);
  await Promise.all(users.map(liveThrough));
  await Promise.all(['acme', 'initech', 'umbrella', 'hooli'].map(deliver));

  // Of a past that is not this one: nothing changes.
  await service.eventLog.renewEpoch('another');

  // Only what was seen a minute ago is noted again.
  const { body } = await issue(service, 'seen');
  service.shiftClock(MINUTE_MS);
  expect(await statusOf(validate(service, body.accessToken))).toBe(200);

  const clients = masters.map(({ url }) => new Redis(url));
  const missing = async () => {
    const all = [...digests()];
    const known = await Promise.all(
      clients.map((client) => client.script('EXISTS', ...all.map(([, digest]) => digest))),
    );
    return all.flatMap(([name], index) => (known.some((list) => (list as number[])[index] === 1) ? [] : [name]));
  };
  await until('all are known', async () => (await missing()).length === 0).catch(() => {});
  expect(await missing()).toEqual([]);
  const sizes = await Promise.all(clients.map((client) => client.dbsize()));
  for (const client of clients) client.disconnect();
  expect(Math.min(...sizes)).toBeGreaterThan(0);
});
