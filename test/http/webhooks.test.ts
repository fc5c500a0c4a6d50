/**
 * Webhooks: what may be set, what a receiver gets, and what is done when it does not take it. Against a real receiver;
 * only the waiting after a failure is shortened.
 */
import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { loadConfig } from '../../src/config.ts';
import { EVENT_TYPES } from '../../src/contract/event-types.ts';
import { createPush } from '../../src/outbound/push.ts';
import { createFeed } from '../../src/tokens/feed-hub.ts';
import { createSecurityEvents } from '../../src/tokens/security-event.ts';
import { createWebhooks, type Webhooks } from '../../src/tokens/webhooks.ts';
import type { WebhookNews } from '../../src/tokens/webhook-lane.ts';
import { asAdmin, bearer, issue, keysUnder, revokeAll } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { answer, closeReceivers, eventOf, startReceiver, type Receiver } from '../helpers/receiver.ts';
import { closeServices, type Service, startService, unexpected } from '../helpers/service.ts';
import { signingWith } from '../helpers/signing.ts';

const ISSUER = 'http://latchkey.test';
const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
/** Of an attempt, in tests that let one hang. */
const SHORT_MS = 200;

let service: Service;
const running: Webhooks[] = [];
beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((webhooks) => webhooks.stop()));
  // The nodes of the next test deliver for its tenants alone.
  await Promise.all(named.splice(0).map((tenant) => put(tenant, {})));
});
afterAll(async () => {
  await closeServices();
  await closeReceivers();
});

/** Where webhooks lead into the public internet alone. */
let careful: Service | undefined;
const publicOnly = async () => (careful ??= await startService({ env: { WEBHOOK_TARGETS: 'public' } }));

let tenants = 0;
const named: string[] = [];
const newTenant = () => {
  named.push(`hooked-${(tenants += 1)}`);
  return `hooked-${tenants}`;
};

const get = (tenant: string) => service.api.get(`/admin/tenants/${tenant}`).set(asAdmin);
const put = (tenant: string, config: object, at = service) =>
  at.api.put(`/admin/tenants/${tenant}`).set(asAdmin).send(config);
const ask = (tenant: string) => service.api.get(`/admin/tenants/${tenant}/webhook`).set(asAdmin);
const stateOf = async (tenant: string) => (await ask(tenant)).body;

type NodeOptions = {
  readonly answerWithinMs?: number;
  readonly waitMs?: number;
  readonly at?: Service;
  /** Called when a lease has been taken, before the node hears of it. */
  readonly onTaken?: () => Promise<void>;
};
/** `pauses`: how long it was about to wait. `listens`: how often it began to follow the feed. */
type Node = {
  readonly errors: string[];
  readonly waits: number[];
  readonly pauses: number[];
  readonly refused: string[];
  listens: number;
};

/** Starts a node that delivers; it notes how long it should wait after failures, and waits no longer than a moment. */
function startNode(options: NodeOptions = {}): Node {
  const { at = service } = options;
  const node: Node = { errors: [], waits: [], pauses: [], refused: [], listens: 0 };
  const feed = createFeed(at.eventLog, unexpected);
  const news: WebhookNews = {
    onRefused: (_tenant, { jti, error }) => node.refused.push(`${jti} ${error}`),
    onFailed: (_tenant, { error }, waitMs) => {
      node.errors.push(error);
      node.waits.push(waitMs);
    },
    onTrouble: () => {},
  };
  const webhooks = createWebhooks({
    ...at,
    webhooks: {
      ...at.webhooks,
      async take(...args) {
        const begun = await at.webhooks.take(...args);
        await options.onTaken?.();
        return begun;
      },
    },
    feed: {
      ...feed,
      listen(...args) {
        node.listens += 1;
        return feed.listen(...args);
      },
    },
    securityEvents: createSecurityEvents(signingWith(at.signingKeys), ISSUER),
    push: createPush(options),
    news,
    random: () => 0,
    wait: (ms, stop) =>
      new Promise((resolve) => {
        node.pauses.push(ms);
        stop.addEventListener('abort', () => resolve(), { once: true });
        setTimeout(resolve, options.waitMs ?? 1).unref();
      }),
  });
  running.push(webhooks);
  webhooks.start();
  return node;
}

/** All but what the rules say of themselves, which is the first thing that a webhook without types delivers. */
const OTHER_TYPES = EVENT_TYPES.filter((type) => type !== 'tenant.changed');

/** A tenant whose webhook is being delivered to by one node. */
async function hooked(receiver: Receiver, more: object = {}, options: NodeOptions = {}) {
  const tenant = newTenant();
  const webhook = { url: receiver.url, types: OTHER_TYPES, ...more };
  expect((await put(tenant, { webhook })).status).toBe(200);
  const node = startNode(options);
  await until('it delivers', async () => (await stateOf(tenant)).state === 'delivering');
  return { tenant, node };
}

const arrived = (receiver: Receiver, count: number) => until(`${count} SETs`, () => receiver.received.length >= count);
const typesOf = (receiver: Receiver) => receiver.received.map((one) => eventOf(one).type);

describe('what may be set', () => {
  it.each([
    { url: 'https://receiver.test/events?from=latchkey' },
    { url: 'http://127.0.0.1:8080/', types: ['token.kicked'] },
    { url: 'https://receiver.test/', types: [...EVENT_TYPES] },
  ])('%j is taken, and shown with its source', async (webhook) => {
    const tenant = newTenant();
    expect((await put(tenant, { webhook })).body.config).toEqual({ webhook });
    expect((await get(tenant)).body.effective.webhook).toEqual({ value: webhook, source: 'tenant' });
    await put(tenant, {});
    expect((await get(tenant)).body.effective.webhook).toEqual({ value: null, source: 'default' });
  });

  it('in production only https is taken', async () => {
    const strict = await startService({ override: { config: { ...loadConfig({}), production: true } } });
    const clear = await put('strict', { webhook: { url: 'http://127.0.0.1/' } }, strict);
    expect([clear.status, clear.body.detail]).toEqual([400, expect.stringContaining('webhook.url: must be https')]);
    expect((await put('strict', { webhook: { url: 'https://receiver.test/' } }, strict)).status).toBe(200);
  });
});

describe('F37 the address of a webhook', () => {
  it.each([
    'http://127.0.0.1/',
    'http://0x7f.1/',
    'http://2130706433:8080/events',
    'http://[::1]/',
    'http://[::ffff:169.254.169.254]/latest',
    'http://[64:ff9b::10.0.0.1]/',
    'http://10.0.0.1/',
    'http://localhost:3000/',
    'http://LocalHost./',
    'http://redis.localhost/',
  ])('%s is refused where only the public internet is allowed, and taken where any target is', async (url) => {
    const refused = await put('strict', { webhook: { url } }, await publicOnly());
    expect([refused.status, refused.body.code]).toEqual([400, 'invalid_request']);
    expect(refused.body.detail).toContain('is no address of the public internet, and WEBHOOK_TARGETS allows no other');
    expect((await put(newTenant(), { webhook: { url } })).status).toBe(200);
  });

  it.each(['http://1.1.1.1/', 'https://receiver.test/', 'https://[2606:4700::1111]/'])('%s is taken', async (url) => {
    expect((await put('strict', { webhook: { url } }, await publicOnly())).status).toBe(200);
  });

  it.each([
    'https://receiver.test/\n',
    'https://recei\tver.test/',
    ' https://receiver.test/',
    'https://receiver.test/\ud800',
  ])('%j is refused: what is left out when it is read would be signed', async (url) => {
    const refused = await put(newTenant(), { webhook: { url } });
    expect([refused.status, refused.body.code]).toEqual([400, 'invalid_request']);
  });

  it('is kept and signed letter by letter; in another spelling it is no new one', async () => {
    const receiver = await startReceiver(answer(503));
    const url = receiver.url.replace('http://127.0.0.1', 'HTTP://0x7f.1');
    const { tenant } = await hooked(receiver, { url }, { waitMs: 60_000 });
    expect((await get(tenant)).body.config.webhook.url).toBe(url);
    await issue(service, 'ada', {}, tenant);
    await until('it fails', async () => (await stateOf(tenant)).state === 'failing');
    expect(receiver.received[0]?.claims.aud).toBe(url);
    await put(tenant, { webhook: { url: receiver.url, types: OTHER_TYPES } });
    const next = await service.tenants.find(tenant);
    await running.pop()?.stop();
    const took = { version: next?.version ?? 0, url: receiver.url };
    expect(await service.webhooks.take(tenant, 'the next', took)).toMatchObject({
      failures: 1,
      lastError: 'status_503',
    });
  });
});

describe('GET /admin/tenants/{tenant}/webhook', () => {
  it('is 404 for a tenant without one', async () => {
    const answered = await ask(newTenant());
    expect([answered.status, answered.body.code]).toEqual([404, 'not_found']);
  });

  it('says `starting` until a node delivers, then how far it has come', async () => {
    const receiver = await startReceiver();
    const tenant = newTenant();
    await put(tenant, { webhook: { url: receiver.url } });
    expect((await ask(tenant)).body).toEqual({ url: receiver.url, state: 'starting', failures: 0, refused: 0 });
    startNode();
    await until('it delivers', async () => (await stateOf(tenant)).state === 'delivering');
    const before = (await stateOf(tenant)).cursor;
    await issue(service, 'ada', {}, tenant);
    await arrived(receiver, 1);
    await until('the cursor moved', async () => (await stateOf(tenant)).cursor !== before);
    expect((await ask(tenant)).body).toEqual({
      url: receiver.url,
      state: 'delivering',
      cursor: expect.stringContaining('~'),
      failures: 0,
      lastDeliveredAt: expect.stringMatching(/Z$/),
      refused: 0,
    });
  });
});

describe('what a receiver gets', () => {
  it('is a SET of RFC 8417 by RFC 8935, which the published keys verify', async () => {
    const receiver = await startReceiver();
    const { tenant } = await hooked(receiver);
    const { body } = await issue(service, 'ada', { platform: 'ios' }, tenant);
    await arrived(receiver, 1);
    const [{ method, headers, set } = {} as never] = receiver.received;
    expect([method, headers['content-type'], headers.accept]).toEqual([
      'POST',
      'application/secevent+jwt',
      'application/json',
    ]);
    const keys = createRemoteJWKSet(new URL(`${service.url}/.well-known/jwks.json`));
    const { payload, protectedHeader } = await jwtVerify(set, keys, {
      typ: 'secevent+jwt',
      issuer: ISSUER,
      audience: receiver.url,
    });
    const told = await service.api.get(`/admin/users/ada/history?tenant=${tenant}`).set(asAdmin);
    const [event] = told.body.events;
    expect(protectedHeader).toEqual({ alg: 'EdDSA', typ: 'secevent+jwt', kid: service.signingKeys.kid });
    expect(payload).toEqual({
      iss: ISSUER,
      aud: receiver.url,
      iat: expect.any(Number),
      jti: event.id,
      toe: Math.floor(Date.parse(event.at) / 1000),
      sub_id: {
        format: 'complex',
        tenant: { format: 'opaque', id: tenant },
        user: { format: 'iss_sub', iss: ISSUER, sub: 'ada' },
        session: { format: 'opaque', id: body.token.tokenId },
      },
      events: { 'urn:latchkey:event:token.issued': event },
    });
  });

  it('begins with the rules that set it, however late a node takes it up', async () => {
    const receiver = await startReceiver();
    const tenant = newTenant();
    await issue(service, 'before', {}, tenant);
    await put(tenant, { webhook: { url: receiver.url } });
    await issue(service, 'ada', {}, tenant);
    startNode();
    await arrived(receiver, 2);
    // Users go side by side, and what concerns the tenant beside them.
    expect(receiver.received.map((one) => `${eventOf(one).type} ${String(eventOf(one)['userId'])}`).toSorted()).toEqual(
      ['tenant.changed undefined', 'token.issued ada'],
    );
  });

  it('of a kick is session-revoked too, with who did it', async () => {
    const receiver = await startReceiver();
    const { tenant } = await hooked(receiver, { types: ['token.kicked'] });
    const first = await issue(service, 'ada', { platform: 'ios' }, tenant);
    await issue(service, 'ada', { platform: 'macos', deviceName: 'laptop' }, tenant);
    await arrived(receiver, 1);
    const [{ claims } = {} as never] = receiver.received;
    const by = { kind: 'login', platform: 'macos', deviceName: 'laptop', policy: 'single-device' };
    expect(claims.events['urn:latchkey:event:token.kicked']).toMatchObject({
      tokenId: first.body.token.tokenId,
      code: 'token_kicked',
      by,
    });
    expect(claims.events[SESSION_REVOKED]).toEqual({ event_timestamp: claims['toe'], initiating_entity: 'policy' });
  });

  it('of an admin’s revocation tells the reason', async () => {
    const receiver = await startReceiver();
    const { tenant } = await hooked(receiver, { types: ['token.revoked'] });
    await issue(service, 'ada', {}, tenant);
    await revokeAll(service, 'ada', `?tenant=${tenant}&reason=fraud`);
    await arrived(receiver, 1);
    expect(receiver.received[0]?.claims.events[SESSION_REVOKED]).toMatchObject({
      initiating_entity: 'admin',
      reason_admin: { en: 'fraud' },
    });
  });

  it('of a tenant has no user and no session', async () => {
    const receiver = await startReceiver();
    const { tenant } = await hooked(receiver);
    await put(tenant, { webhook: { url: receiver.url }, policy: 'no-kick' });
    await arrived(receiver, 1);
    expect(receiver.received[0]?.claims['sub_id']).toEqual({
      format: 'complex',
      tenant: { format: 'opaque', id: tenant },
    });
  });

  it('is only what the types name, and never of another tenant', async () => {
    const [mine, all] = [await startReceiver(), await startReceiver()];
    const { tenant } = await hooked(mine, { types: ['token.kicked', 'token.logged_out'] });
    const other = await hooked(all);
    await issue(service, 'ada', {}, tenant);
    await issue(service, 'bob', {}, other.tenant);
    await issue(service, 'ada', {}, tenant);
    await issue(service, 'ada', {}, tenant);
    await arrived(mine, 2);
    await arrived(all, 1);
    expect(typesOf(mine)).toEqual(['token.kicked', 'token.kicked']);
    expect(all.received.map((one) => eventOf(one))).toMatchObject([{ tenant: other.tenant, userId: 'bob' }]);
  });

  it('is in order per user, users side by side', async () => {
    let underWay = 0;
    let most = 0;
    const perUser = new Map<unknown, number>();
    const overlaps: unknown[] = [];
    const receiver = await startReceiver((response, received) => {
      const user = eventOf(received)['userId'];
      if (perUser.get(user) === 1) overlaps.push(user);
      perUser.set(user, 1);
      most = Math.max(most, (underWay += 1));
      setTimeout(() => {
        underWay -= 1;
        perUser.set(user, 0);
        answer(202)(response);
      }, 10);
    });
    const { tenant } = await hooked(receiver);
    const users = Array.from({ length: 40 }, (_, index) => `user-${index}`);
    const logins = users.map(async (user) => {
      for (let round = 0; round < 3; round += 1) await issue(service, user, {}, tenant);
    });
    await Promise.all(logins);
    // Per user: three logins, and a kick for the second and the third.
    await arrived(receiver, users.length * 5);
    for (const user of users) {
      const told = await service.api.get(`/admin/users/${user}/history?tenant=${tenant}`).set(asAdmin);
      const ids = receiver.received
        .map((one) => eventOf(one))
        .flatMap((one) => (one['userId'] === user ? [one['id']] : []));
      expect(ids).toEqual(told.body.events.map(({ id }: { id: string }) => id).toReversed());
    }
    expect(overlaps).toEqual([]);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(16);
  });
});

describe('a receiver that does not take it', () => {
  it.each([301, 302, 307, 401, 403, 404, 408, 429, 500, 503])(
    'with %d gets it again, longer and longer after, until it is taken',
    async (status) => {
      const elsewhere = await startReceiver();
      const receiver = await startReceiver(answer(status, { location: elsewhere.url }));
      const { tenant, node } = await hooked(receiver);
      await issue(service, 'ada', {}, tenant);
      await arrived(receiver, 3);
      expect(await stateOf(tenant)).toMatchObject({
        state: 'failing',
        lastError: `status_${status}`,
        nextAttemptAt: expect.stringMatching(/Z$/),
      });
      receiver.reply = answer(202);
      await until('delivering', async () => (await stateOf(tenant)).state === 'delivering');
      expect(await stateOf(tenant)).toMatchObject({ failures: 0, lastDeliveredAt: expect.any(String) });
      expect(await stateOf(tenant)).not.toHaveProperty('lastError');
      expect(new Set(receiver.received.map(({ claims }) => claims.jti)).size).toBe(1);
      expect(node.waits.slice(0, 3)).toEqual([1_000, 2_000, 4_000].slice(0, node.waits.length));
      expect(elsewhere.received).toEqual([]);
    },
  );

  it('and does not say when to come back is waited for no longer than five minutes', async () => {
    const receiver = await startReceiver(answer(500));
    const { tenant, node } = await hooked(receiver);
    await issue(service, 'ada', {}, tenant);
    await until('many failures', () => node.waits.length >= 12);
    expect(node.waits.slice(7, 12)).toEqual([128_000, 256_000, 300_000, 300_000, 300_000]);
  });

  it('is left alone by the next node too, until it is time: the failures are not forgotten', async () => {
    const receiver = await startReceiver(answer(503, { 'retry-after': '1800' }));
    const { tenant } = await hooked(receiver, {}, { waitMs: 60_000 });
    await issue(service, 'ada', {}, tenant);
    await until('it fails', async () => (await stateOf(tenant)).state === 'failing');
    await running.pop()?.stop();
    receiver.reply = answer(500);
    const next = startNode();
    await until('it has tried', () => next.waits.length > 0);
    expect(next.pauses[0]).toBeGreaterThan(1_780_000);
    expect(next.pauses[0]).toBeLessThanOrEqual(1_800_000);
    expect(next.waits[0]).toBe(2_000);
  });

  it.each([
    ['7', 7_000],
    ['900', 900_000],
    ['86400', 3_600_000],
    ['0', 1_000],
    // By the receiver's own clock, which may be years off.
    ['Wed, 21 Oct 2015 07:28:40 GMT', 40_000],
    ['Wed, 21 Oct 2015 07:27:00 GMT', 1_000],
    ['soon', 1_000],
  ])('and says Retry-After: %s is asked again after %d ms', async (retryAfter, waitMs) => {
    const date = 'Wed, 21 Oct 2015 07:28:00 GMT';
    const receiver = await startReceiver(answer(503, { 'retry-after': retryAfter, date }));
    const { tenant, node } = await hooked(receiver);
    await issue(service, 'ada', {}, tenant);
    await until('a failure', () => node.waits.length > 0);
    expect(node.waits[0]).toBe(waitMs);
  });

  it('or does not answer in time: the attempt is a `timeout`', async () => {
    const receiver = await startReceiver(() => {});
    const { tenant } = await hooked(receiver, {}, { answerWithinMs: SHORT_MS, waitMs: 60_000 });
    await issue(service, 'ada', {}, tenant);
    await until('it fails', async () => (await stateOf(tenant)).state === 'failing');
    expect(await stateOf(tenant)).toMatchObject({ failures: 1, lastError: 'timeout' });
  });

  it('or is not there: the attempt is a `refused_connection`', async () => {
    const gone = await startReceiver();
    await closeReceivers();
    const { tenant } = await hooked(gone, {}, { waitMs: 60_000 });
    await issue(service, 'ada', {}, tenant);
    await until('it fails', async () => (await stateOf(tenant)).state === 'failing');
    expect(await stateOf(tenant)).toMatchObject({ failures: 1, lastError: 'refused_connection' });
  });

  it('or answers without an end is cut off, and its status counts', async () => {
    const receiver = await startReceiver((response) => {
      response.writeHead(202);
      const more = () => response.write('x'.repeat(65_536)) || response.once('drain', more);
      response.on('error', () => {});
      const pour = setInterval(more, 1).unref();
      response.on('close', () => clearInterval(pour));
    });
    const { tenant, node } = await hooked(receiver, { types: ['token.issued'] });
    for (let round = 0; round < 3; round += 1) await issue(service, 'ada', {}, tenant);
    await arrived(receiver, 3);
    expect(node.waits).toEqual([]);
  });

  it('for one user gets those of the others before it tries again', async () => {
    // In one shard all that happened while nobody delivered comes as one batch.
    const alone = await startService({ env: { SHARDS: '1' } });
    const receiver = await startReceiver((response, received) =>
      answer(eventOf(received)['userId'] === 'stuck' ? 500 : 202)(response),
    );
    const config = { webhook: { url: receiver.url, types: ['token.issued'] } };
    await put('acme', config, alone);
    startNode({ at: alone });
    await until('it has a cursor', async () => (await alone.webhooks.state('acme')).cursor !== undefined);
    await running.pop()?.stop();
    const others = Array.from({ length: 40 }, (_, index) => `user-${index}`);
    for (const user of ['stuck', ...others]) await issue(alone, user, {}, 'acme');
    startNode({ at: alone });
    const heard = () => new Set(receiver.received.map((one) => eventOf(one)['userId']));
    await until('the others have theirs', () => others.every((user) => heard().has(user)));
    await until('and it is tried again', () => receiver.received.length > others.length + 2);
    expect((await alone.webhooks.state('acme')).failures).toBeGreaterThan(0);
  });
});

describe('F44 a receiver that refuses', () => {
  const json = { 'content-type': 'application/json' };

  it('an event as such, with 400 and `invalid_request`: it is counted, and the next one comes', async () => {
    const receiver = await startReceiver(answer(400, json, '{"err":"invalid_request","description":"secret words"}'));
    const { tenant, node } = await hooked(receiver, { types: ['token.issued'] });
    await issue(service, 'ada', {}, tenant);
    await until('it is counted', async () => (await stateOf(tenant)).refused === 1);
    receiver.reply = answer(202);
    await issue(service, 'ada', {}, tenant);
    await arrived(receiver, 2);
    const [first, second] = receiver.received.map(({ claims }) => claims.jti);
    expect(first).not.toBe(second);
    expect(node.refused).toEqual([`${first} invalid_request`]);
    expect(node.waits).toEqual([]);
    const lastRefusal = { jti: first, error: 'invalid_request', at: expect.stringMatching(/Z$/) };
    await until('both are noted', async () => (await stateOf(tenant)).lastDeliveredAt !== undefined);
    expect(await stateOf(tenant)).toMatchObject({ state: 'delivering', refused: 1, lastRefusal });
    expect(JSON.stringify(await stateOf(tenant))).not.toContain('secret words');
  });

  it.each<[string, number, string, string | undefined]>([
    ['a proxy’s page', 400, '<html><h1>400 Bad Request</h1></html>', undefined],
    ['a page that quotes the word', 400, '<script>var answer = {"err":"invalid_request"}</script>', undefined],
    ['nothing', 400, '', undefined],
    ['another framework’s words', 400, '{"error":"invalid_request","errors":[{"err":"invalid_request"}]}', undefined],
    ['a list', 400, '[{"err":"invalid_request"}]', undefined],
    ['null', 400, 'null', undefined],
    ['broken JSON', 400, '{"err":"invalid_request"', undefined],
    ['its keys being old', 400, '{"err":"invalid_key"}', 'invalid_key'],
    ['another issuer', 400, '{"err":"invalid_issuer"}', 'invalid_issuer'],
    ['another audience', 400, '{"err":"invalid_audience"}', 'invalid_audience'],
    ['no authentication', 400, '{"err":"authentication_failed"}', 'authentication_failed'],
    ['no right', 403, '{"err":"access_denied"}', 'access_denied'],
    ['a word of its own', 400, '{"err":"not_yet_valid"}', 'not_yet_valid'],
    ['the final word under another status', 422, '{"err":"invalid_request"}', 'invalid_request'],
  ])('for %s gets the event again', async (_what, status, body, error) => {
    const receiver = await startReceiver(answer(status, json, body));
    const { tenant, node } = await hooked(receiver, { types: ['token.issued'] });
    await issue(service, 'ada', {}, tenant);
    await until('it has come again', () => receiver.received.length >= 2);
    receiver.reply = answer(202);
    await until('it is taken', async () => (await stateOf(tenant)).lastDeliveredAt !== undefined);
    expect(new Set(receiver.received.map(({ claims }) => claims.jti)).size).toBe(1);
    expect(new Set(node.errors)).toEqual(new Set([`status_${status}`]));
    const { refused, lastRefusal } = await stateOf(tenant);
    expect([refused, lastRefusal?.error]).toEqual([0, error]);
  });

  it('and ends its answer never: what it says is not known, and the event comes again', async () => {
    const receiver = await startReceiver((response) => void response.writeHead(400).write('{"err":"invalid_request"'));
    const { tenant } = await hooked(receiver, {}, { answerWithinMs: SHORT_MS, waitMs: 60_000 });
    await issue(service, 'ada', {}, tenant);
    await until('it fails', async () => (await stateOf(tenant)).state === 'failing');
    expect(await stateOf(tenant)).toMatchObject({ refused: 0, lastError: 'status_400' });
  });

  it('for good, with 410: nothing is sent for an hour, whatever it says else', async () => {
    const receiver = await startReceiver(answer(410, { ...json, 'retry-after': '1' }, '{"err":"invalid_request"}'));
    const { tenant, node } = await hooked(receiver, {}, { waitMs: 60_000 });
    await issue(service, 'ada', {}, tenant);
    await until('it fails', async () => (await stateOf(tenant)).state === 'failing');
    expect([node.errors, node.waits]).toEqual([['status_410'], [3_600_000]]);
    const { lastError, nextAttemptAt, refused } = await stateOf(tenant);
    expect([lastError, refused]).toEqual(['status_410', 0]);
    expect(Date.parse(nextAttemptAt) - service.store.now()).toBeGreaterThan(3_500_000);
    await issue(service, 'bob', {}, tenant);
    expect(receiver.received).toHaveLength(1);
  });

  it('a new address has been refused nothing yet', async () => {
    const [old, fresh] = [await startReceiver(answer(400, json, '{"err":"invalid_key"}')), await startReceiver()];
    const { tenant } = await hooked(old, {}, { waitMs: 60_000 });
    await issue(service, 'ada', {}, tenant);
    await until('it is told', async () => (await stateOf(tenant)).lastRefusal?.error === 'invalid_key');
    await put(tenant, { webhook: { url: fresh.url, types: ['token.issued'] } });
    await arrived(fresh, 1);
    expect(await stateOf(tenant)).not.toHaveProperty('lastRefusal');
  });
});

describe('a change holds without a restart', () => {
  it('a new address and new types; the cursor goes on, the failures do not', async () => {
    const [old, fresh] = [await startReceiver(answer(500)), await startReceiver()];
    const { tenant } = await hooked(old, {}, { waitMs: 60_000 });
    await issue(service, 'ada', {}, tenant);
    await until('it fails', async () => (await stateOf(tenant)).state === 'failing');
    await put(tenant, { webhook: { url: fresh.url, types: ['token.issued'] } });
    await until('the event comes to the new address', () => fresh.received.length > 0);
    expect(typesOf(fresh)).toEqual(['token.issued']);
    expect(await stateOf(tenant)).toMatchObject({ url: fresh.url, failures: 0 });
  });

  it('removed, it gets nothing more, and nothing of its state is left', async () => {
    const receiver = await startReceiver();
    const { tenant } = await hooked(receiver, { types: ['token.issued'] });
    await issue(service, 'ada', {}, tenant);
    await arrived(receiver, 1);
    await put(tenant, {});
    expect((await stateOf(tenant)).code).toBe('not_found');
    expect((await keysUnder(service)).filter((key) => key.endsWith(`webhook:${tenant}`))).toEqual([]);
    const witness = await startReceiver();
    const { tenant: another } = await hooked(witness);
    // By then every node has looked again.
    await until('looked', async () => (await stateOf(another)).state === 'delivering');
    await until('it has stopped', async () => {
      const before = receiver.received.length;
      await issue(service, 'ada', {}, tenant);
      await issue(service, 'ada', {}, another);
      await arrived(witness, witness.received.length + 1);
      return receiver.received.length === before;
    });
    expect((await keysUnder(service)).filter((key) => key.endsWith(`webhook:${tenant}`))).toEqual([]);
  });
});

it('a node that stops while it takes a webhook up gives it back at once, and delivers nothing', async () => {
  const receiver = await startReceiver();
  const tenant = newTenant();
  await put(tenant, { webhook: { url: receiver.url } });
  const gate = new EventEmitter();
  startNode({
    async onTaken() {
      await once(gate, 'open');
    },
  });
  await until('it has the lease', () => gate.listenerCount('open') > 0);
  const stopped = running.pop()?.stop();
  gate.emit('open');
  await stopped;
  expect(receiver.received).toEqual([]);
  const { version = 0 } = (await service.tenants.find(tenant)) ?? {};
  expect(await service.webhooks.take(tenant, 'the next', { version, url: receiver.url })).toBeDefined();
});

describe('a receiver that was away for too long', () => {
  it('is told that it missed something, and goes on from there', async () => {
    const receiver = await startReceiver();
    const tenant = newTenant();
    await put(tenant, { webhook: { url: receiver.url, types: ['token.issued'] } });
    // As it stands after a long absence: a cursor of another past.
    await service.redis.hset(service.keys.webhook(tenant), 'cursor', 'another-past~0~0*1s');
    startNode();
    await arrived(receiver, 1);
    expect(receiver.received[0]?.claims).toMatchObject({
      jti: expect.stringMatching(/^reset-/),
      events: { 'urn:latchkey:event:feed.reset': { reason: 'epoch_changed' } },
    });
    await issue(service, 'ada', {}, tenant);
    await arrived(receiver, 2);
    expect(typesOf(receiver)).toEqual(['feed.reset', 'token.issued']);
  });

  it('that never takes one event is told so once the feed no longer keeps it', async () => {
    const alone = await startService();
    const receiver = await startReceiver((response, received) =>
      answer(eventOf(received).type === 'feed.reset' ? 202 : 500)(response),
    );
    await put('acme', { webhook: { url: receiver.url, types: OTHER_TYPES } }, alone);
    startNode({ at: alone, waitMs: 20 });
    await until('it has a cursor', async () => (await alone.webhooks.state('acme')).cursor !== undefined);
    await issue(alone, 'ada', {}, 'acme');
    await arrived(receiver, 5);
    expect(new Set(typesOf(receiver))).toEqual(new Set(['token.issued']));
    alone.shiftClock(alone.retention.keptMs() + 60_000);
    await until('the reset', () => typesOf(receiver).includes('feed.reset'));
    const reset = receiver.received.find((one) => eventOf(one).type === 'feed.reset');
    expect(reset?.claims.events).toEqual({ 'urn:latchkey:event:feed.reset': { reason: 'cursor_expired' } });
    await until('it delivers', async () => (await alone.webhooks.state('acme')).failures === 0);
  });
});

describe('a receiver that is slower than the events', () => {
  it('holds up to a thousand of them in memory; the rest stays in the feed, and comes in order', async () => {
    const held: ServerResponse[] = [];
    const receiver = await startReceiver((response) => void held.push(response));
    const { tenant, node } = await hooked(receiver, { types: ['token.issued'] });
    const users = Array.from({ length: 30 }, (_, index) => `user-${index}`);
    const logins = users.map(async (user) => {
      for (let round = 0; round < 45; round += 1) await issue(service, user, { deviceId: 'one' }, tenant);
    });
    await Promise.all(logins);
    receiver.reply = answer(202);
    for (const response of held) answer(202)(response);
    await until(
      'all have come',
      () => new Set(receiver.received.map(({ claims }) => claims.jti)).size === 45 * 30,
      20_000,
    );
    expect(node.listens).toBeGreaterThan(1);
    for (const user of users) {
      const told = await service.api.get(`/admin/users/${user}/history?tenant=${tenant}`).set(asAdmin);
      const issued = told.body.events.filter(({ type }: { type: string }) => type === 'token.issued');
      const heard = receiver.received
        .map((one) => eventOf(one))
        .flatMap((one) => (one['userId'] === user ? [one['id']] : []));
      const latest = issued.map(({ id }: { id: string }) => id).toReversed();
      expect(heard.slice(-latest.length)).toEqual(latest);
    }
  });
});

describe('a SET', () => {
  it('is no access token', async () => {
    const receiver = await startReceiver();
    const { tenant } = await hooked(receiver);
    await issue(service, 'ada', {}, tenant);
    await arrived(receiver, 1);
    const refused = await service.api.get('/validate/*').set(bearer(receiver.received[0]?.set ?? ''));
    expect([refused.status, refused.body.code]).toEqual([401, 'token_invalid']);
  });
});
