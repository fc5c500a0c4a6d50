// The token checker on a running service: verdicts without I/O, staleness when the feed is cut, gaps, keys, clocks.
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { SignJWT } from 'jose';
import { createTokenChecker, type CheckerOptions, type EndedEvent } from '../../src/gateway/index.ts';
import { makeKeySet, readKeySet } from '../../src/tokens/signing-keys.ts';
import { asAdmin, bearer, createUser, issue, login, refresh, revokeAll } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, GATEWAY_KEY, startService } from '../helpers/service.ts';
import { SseClient } from '../helpers/sse.ts';
import { testRedisUrl } from '../helpers/test-redis.ts';
import { closeCheckers, countingFetch, newChecker, readyChecker, wordOf } from './checkers.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';

afterEach(() => {
  closeCheckers();
  closeProxies();
});
afterAll(closeServices);

const accessOf = (response: { body: { accessToken: string } }) => response.body.accessToken;

/** Signed by a key that Latchkey does not have. */
const forge = async (kid: string) => {
  const { privateKey } = await readKeySet(await makeKeySet('EdDSA'), 'EdDSA');
  return new SignJWT({}).setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid }).sign(privateKey);
};

const isLive = ({ type, data }: { type: string; data: Record<string, unknown> }) =>
  type === 'heartbeat' && data['live'] === true;

describe('a local checker', () => {
  it('answers from memory: no call of Latchkey in the steady state', async () => {
    const service = await startService();
    const token = accessOf(await issue(service, 'ada'));
    const { fetch, calls } = countingFetch();
    const checker = await readyChecker(service.url, { fetch });
    for (let n = 0; n < 100; n += 1) {
      expect(await checker.check(token)).toMatchObject({
        active: true,
        claims: { sub: 'ada', platform: 'ios', tenant: 'default' },
      });
    }
    expect(Object.fromEntries(calls)).toEqual({
      '/events': 1,
      '/.well-known/jwks.json': 1,
      '/.well-known/oauth-authorization-server': 1,
    });
  });

  it.each([
    ['kick', 'single-device', { platform: 'web' }, 'token_kicked', { kind: 'login', platform: 'web' }],
    ['replacement', 'no-kick', { platform: 'ios', deviceId: 'd1' }, 'token_replaced', { kind: 'login' }],
  ])('hears of a %s', async (_, policy, next, reason, by) => {
    const service = await startService({ env: { LOGIN_POLICY: policy } });
    const checker = await readyChecker(service.url);
    const heard: EndedEvent[] = [];
    checker.on('ended', (event) => heard.push(event));
    const first = await issue(service, 'ada', { platform: 'ios', deviceId: 'd1' });
    expect(await wordOf(checker, accessOf(first))).toBe('active');
    await issue(service, 'ada', next);
    await until('the end', async () => (await wordOf(checker, accessOf(first))) === reason);
    expect(await checker.check(accessOf(first))).toMatchObject({ active: false, reason, endedBy: by });
    expect(heard).toEqual([expect.objectContaining({ tokenId: first.body.token.tokenId, userId: 'ada', reason })]);
  });

  it('hears of a logout, a revoke, a delete by policy and a reused refresh token', async () => {
    const service = await startService({ env: { REFRESH_GRACE_SECONDS: '0' } });
    const checker = await readyChecker(service.url);
    const policy = { limits: [{ match: {}, countBy: 'all', max: 1, overflow: 'delete' }], name: 'quiet' };
    await service.api.put('/admin/users/del/policy').set(asAdmin).send({ policy });
    const [out, rev, del, reu] = await Promise.all(['out', 'rev', 'del', 'reu'].map((user) => issue(service, user)));
    for (const one of [out, rev, del, reu]) expect(await wordOf(checker, one?.body.accessToken)).toBe('active');
    await service.api.post('/logout').set(bearer(out?.body.accessToken)).send({});
    await revokeAll(service, 'rev', '?reason=lost');
    await issue(service, 'del', { platform: 'web' });
    await refresh(service, reu?.body.refreshToken);
    await refresh(service, reu?.body.refreshToken);
    for (const [one, reason] of [
      [out, 'token_logged_out'],
      [rev, 'token_revoked'],
      [del, 'token_unknown'],
      [reu, 'refresh_reused'],
    ] as const) {
      await until(reason, async () => (await wordOf(checker, one?.body.accessToken)) === reason);
    }
  });

  it('knows of ends from before it started', async () => {
    const service = await startService();
    const token = accessOf(await issue(service, 'ada'));
    await revokeAll(service, 'ada');
    const checker = await readyChecker(service.url);
    expect(await wordOf(checker, token)).toBe('token_revoked');
  });

  it.each([
    ['another audience', { audience: 'other' }],
    ['another tenant', { tenant: 'acme' }],
  ] as [string, Partial<CheckerOptions>][])('refuses a token of %s', async (_, options) => {
    const service = await startService();
    const token = accessOf(await issue(service, 'ada'));
    const checker = await readyChecker(service.url, { audience: 'http://latchkey.test', ...options });
    expect(await wordOf(checker, token)).toBe('token_invalid');
  });

  it('has a reason for what is no token', async () => {
    const service = await startService();
    const checker = await readyChecker(service.url);
    const good = accessOf(await issue(service, 'ada'));
    const words = [undefined, '', 'rubbish', 'x'.repeat(9000), `${good.slice(0, -4)}AAAA`];
    expect(await Promise.all(words.map((token) => wordOf(checker, token)))).toEqual([
      'token_missing',
      'token_missing',
      'token_malformed',
      'token_malformed',
      'token_invalid',
    ]);
  });

  it('lets a token expire by Latchkey’s time, whatever the wall clock says', async () => {
    const service = await startService();
    const login1 = await issue(service, 'ada');
    const checker = await readyChecker(service.url);
    expect(await wordOf(checker, accessOf(login1))).toBe('active');
    const realNow = Date.now;
    // An hour ahead: a clock that was believed would have expired the token.
    Date.now = () => realNow() + 3_600_000;
    try {
      expect(await wordOf(checker, accessOf(login1))).toBe('active');
      const late = await readyChecker(service.url);
      expect(await wordOf(late, accessOf(login1))).toBe('active');
    } finally {
      Date.now = realNow;
    }
    // Latchkey's own clock does move it, for what is remembered and what is not.
    service.shiftClock(901_000);
    const after = await readyChecker(service.url);
    expect(await wordOf(after, accessOf(login1))).toBe('token_expired');
  });

  it('expires what it remembers when Latchkey’s time has come', async () => {
    const service = await startService({ env: { ACCESS_TTL_SECONDS: '10' } });
    const token = accessOf(await issue(service, 'ada'));
    const proxy = await startProxy(service.url);
    const checker = await readyChecker(proxy.url);
    expect(await wordOf(checker, token)).toBe('active');
    service.shiftClock(11_000);
    proxy.cut();
    proxy.heal();
    await until('the end', async () => (await wordOf(checker, token)) === 'token_expired');
  });

  it('takes a new signing key in, and refuses made-up keys without asking every time', async () => {
    const first = await startService();
    const proxy = await startProxy(first.url);
    const { fetch, calls } = countingFetch();
    const checker = await readyChecker(proxy.url, { fetch });
    for (let n = 0; n < 20; n += 1) expect(await wordOf(checker, await forge(`made-up-${n}`))).toBe('token_invalid');
    expect(calls.get('/.well-known/jwks.json')).toBe(1);

    const fresh = await readKeySet(await makeKeySet('EdDSA'), 'EdDSA');
    const keys = { ...fresh, jwks: { keys: [...fresh.jwks.keys, ...first.signingKeys.jwks.keys] } };
    const second = await startService({ prefix: first.prefix, keys });
    const token = accessOf(await issue(second, 'ada'));
    proxy.target = second.url;
    proxy.cut();
    proxy.heal();
    await until('the new key', async () => (await wordOf(checker, token)) === 'active');
  });
});

describe('R2 local mode: staleness is bounded, a reconnect catches up, a gap flushes', () => {
  it.each(['cut', 'blackhole'] as const)('is bounded when the feed is %s, and fails closed', async (way) => {
    const service = await startService();
    const proxy = await startProxy(service.url);
    const [kept, ended] = [accessOf(await issue(service, 'kept')), accessOf(await issue(service, 'ended'))];
    const checker = await readyChecker(proxy.url, { maxStalenessMs: 1_500, timeoutMs: 300 });
    expect([await wordOf(checker, kept), await wordOf(checker, ended)]).toEqual(['active', 'active']);
    const lastHeard = performance.now();
    proxy[way]();
    await revokeAll(service, 'ended');
    // No verdict may be older than the setting: from then on it is an error, never "active".
    const words: [number, string][] = [];
    await until('it fails closed', async () => {
      const at = performance.now() - lastHeard;
      words.push([at, await wordOf(checker, ended)]);
      return words.at(-1)?.[1] === 'GatewayUnavailableError';
    });
    expect(new Set(words.map(([, word]) => word))).toEqual(new Set(['active', 'GatewayUnavailableError']));
    const oldest = Math.max(...words.flatMap(([at, word]) => (word === 'active' ? [at] : [])));
    expect(oldest).toBeLessThanOrEqual(1_600);
    await expect(checker.check(kept)).rejects.toMatchObject({ name: 'GatewayUnavailableError', retryAfterSeconds: 1 });
    proxy.heal();
    await until('it has caught up', async () => (await wordOf(checker, ended)) === 'token_revoked');
    await until('all is well', async () => (await wordOf(checker, kept)) === 'active');
  });

  it('asks online while the feed is stale, and stops when it is fresh again', async () => {
    const service = await startService();
    const token = accessOf(await issue(service, 'ada'));
    let isFeedDown = false;
    const { fetch: real, calls } = countingFetch();
    const fetch: typeof real = (url, init) =>
      isFeedDown && url.includes('/events') ? Promise.reject(new TypeError('down')) : real(url, init);
    const cuts = new AbortController();
    const checker = await readyChecker(service.url, {
      maxStalenessMs: 1_500,
      fetch: (url, init) => fetch(url, { ...init, signal: AbortSignal.any([init.signal, cuts.signal]) }),
    });
    expect(await wordOf(checker, token)).toBe('active');
    isFeedDown = true;
    const introspections = () => calls.get('/introspect') ?? 0;
    expect(introspections()).toBe(0);
    await until('it asks', async () => (await wordOf(checker, token)) === 'active' && introspections() > 0);
    // Heard of without the feed.
    await revokeAll(service, 'ada');
    expect(await wordOf(checker, token)).toBe('token_revoked');
    const other = accessOf(await issue(service, 'bob'));
    isFeedDown = false;
    await until('it answers by itself', async () => {
      const before = introspections();
      return (await wordOf(checker, other)) === 'active' && introspections() === before;
    });
  });

  it('flushes on a gap: what it knew is asked about once, then known again', async () => {
    const service = await startService();
    const { fetch, calls } = countingFetch();
    const checker = await readyChecker(service.url, { fetch });
    let gaps = 0;
    checker.on('gap', () => {
      gaps += 1;
    });
    const [lost, kept] = [await issue(service, 'lost'), await issue(service, 'kept')];
    for (const one of [lost, kept]) expect(await wordOf(checker, accessOf(one))).toBe('active');
    // Redis comes back without a token, its end, and its epoch: no event will ever tell.
    await service.redis.del(service.keys.tokens({ tenant: 'default', userId: 'lost' }));
    await service.redis.del(service.keys.settings());
    await service.deployment.check();
    await until('the gap', () => gaps > 0);
    expect(await wordOf(checker, accessOf(lost))).toBe('token_unknown');
    await until('it answers by itself', async () => {
      const before = calls.get('/introspect') ?? 0;
      return (await wordOf(checker, accessOf(kept))) === 'active' && (calls.get('/introspect') ?? 0) === before;
    });
    expect(await wordOf(checker, accessOf(lost))).toBe('token_unknown');
    expect(gaps).toBe(1);
  });

  it('is told that it has caught up only when all shards were read', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'no-kick' } });
    await Promise.all(Array.from({ length: 200 }, (_, n) => issue(service, `user-${n}`)));
    const client = new SseClient(service.url);
    await client.connect('?from=start');
    await until('caught up', () => client.messages.some(isLive));
    const before = client.messages.slice(0, client.messages.findIndex(isLive));
    client.cut();
    expect(before[0]).toMatchObject({ type: 'heartbeat', data: { live: false } });
    expect(before.filter(({ type }) => type === 'token.issued')).toHaveLength(200);
  });

  it('gets no heartbeat from a node that cannot read the feed', async () => {
    const redis = await startProxy(testRedisUrl());
    const service = await startService({ redisUrl: redis.url.replace('http', 'redis') });
    const checker = await readyChecker(service.url, { maxStalenessMs: 1_000, timeoutMs: 1_500 });
    const token = accessOf(await issue(service, 'ada'));
    expect(await wordOf(checker, token)).toBe('active');
    redis.cut();
    await until('it fails closed', async () => (await wordOf(checker, token)) === 'GatewayUnavailableError');
    await expect(checker.check(token)).rejects.toThrow('Latchkey answered 503');
    redis.heal();
    await until('all is well', async () => (await wordOf(checker, token)) === 'active');
  });
});

describe('R10 a gateway that was cut off misses no end', () => {
  it('hears of 275 ends over 12 cuts, in order per user, from its cursor on', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    const proxy = await startProxy(service.url);
    const { fetch } = countingFetch();
    const cursors: (string | undefined)[] = [];
    const checker = await readyChecker(proxy.url, {
      fetch(url, init) {
        if (url.includes('/events')) cursors.push(init.headers['last-event-id']);
        return fetch(url, init);
      },
    });
    const heard: EndedEvent[] = [];
    checker.on('ended', (event) => heard.push(event));
    const wanted = new Map<string, string[]>();
    for (let round = 0; round < 12; round += 1) {
      const users = Array.from({ length: 25 }, (_, n) => `user-${n}`);
      const logins = Promise.all(users.map((user) => issue(service, user, { platform: round % 2 ? 'ios' : 'web' })));
      proxy.cut();
      proxy.heal();
      for (const { body } of await logins)
        wanted.set(body.token.userId, [...(wanted.get(body.token.userId) ?? []), body.token.tokenId]);
    }
    // Of each user all but the last was kicked.
    await until('all of them', () => new Set(heard.map(({ tokenId }) => tokenId)).size >= 25 * 11, 15_000);
    for (const [userId, tokenIds] of wanted) {
      const ends = heard.filter((event) => event.userId === userId).map(({ tokenId }) => tokenId);
      expect([...new Set(ends)]).toEqual(tokenIds.slice(0, -1));
    }
    expect(cursors[0]).toBeUndefined();
    expect(cursors.length).toBeGreaterThan(1);
    expect(cursors.slice(1).every((cursor) => cursor?.includes('~'))).toBe(true);
  });
});

describe('a reset of the feed', () => {
  it.each([
    ['local', 'connected'],
    ['local', 'cut off'],
    ['online', 'connected'],
    ['online', 'cut off'],
  ] as const)('hides no end from a checker in %s mode that is %s right after it', async (mode, way) => {
    const service = await startService();
    const proxy = await startProxy(service.url);
    const { fetch, calls } = countingFetch();
    let goOn: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const checker = await readyChecker(proxy.url, {
      mode,
      async fetch(url, init) {
        // Whoever connects again comes too late to see the end happen.
        if (url.includes('/events') && calls.has('/events')) await gate;
        return fetch(url, init);
      },
    });
    const heard: EndedEvent[] = [];
    let gaps = 0;
    checker.on('ended', (event) => heard.push(event));
    checker.on('gap', () => {
      gaps += 1;
    });
    // Online mode begins with a gap: it knows of nothing that was before.
    const before = mode === 'online' ? 1 : 0;
    await until('it follows', () => calls.has('/events') && gaps === before);
    const { body } = await issue(service, 'ada');
    // Another epoch: Redis was flushed.
    await service.redis.del(service.keys.settings());
    await service.deployment.check();
    await until('the gap', () => gaps > before);
    if (way === 'cut off') proxy.cut();
    await revokeAll(service, 'ada');
    proxy.heal();
    goOn?.();
    await until('the end', () => heard.length > 0);
    expect(heard[0]).toMatchObject({ tokenId: body.token.tokenId, reason: 'token_revoked' });
    expect(gaps).toBe(before + 1);
  });

  it('is followed by all that is kept where the checker remembers ends itself', async () => {
    const service = await startService();
    const checker = await readyChecker(service.url);
    const heard: string[] = [];
    checker.on('ended', ({ tokenId }) => heard.push(tokenId));
    const { tokenId } = (await issue(service, 'ada')).body.token;
    await revokeAll(service, 'ada');
    await until('the end', () => heard.length > 0);
    await service.redis.del(service.keys.settings());
    await service.deployment.check();
    await until('the end again', () => heard.length > 1);
    expect(heard).toEqual([tokenId, tokenId]);
  });
});

describe('an online checker', () => {
  it('asks every time, and shares the question only within one turn', async () => {
    const service = await startService();
    const token = accessOf(await issue(service, 'ada'));
    const { fetch, calls } = countingFetch();
    const checker = await readyChecker(service.url, { mode: 'online', fetch });
    const before = calls.get('/introspect') ?? 0;
    const words = await Promise.all(Array.from({ length: 10 }, () => wordOf(checker, token)));
    expect(words).toEqual(Array.from({ length: 10 }, () => 'active'));
    expect(calls.get('/introspect')).toBe(before + 1);
    await revokeAll(service, 'ada');
    expect(await wordOf(checker, token)).toBe('token_revoked');
    expect(calls.get('/events')).toBeUndefined();
  });

  it('gives nobody the answer to a question that was sent before he asked', async () => {
    const service = await startService();
    const token = accessOf(await issue(service, 'ada'));
    const { fetch } = countingFetch();
    let isAnswered = false;
    let letGo: (() => void) | undefined;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const checker = await readyChecker(service.url, {
      mode: 'online',
      async fetch(url, init) {
        const answer = await fetch(url, init);
        const isFirst = !isAnswered && init.body?.includes(token);
        isAnswered ||= isFirst === true;
        if (isFirst) await held;
        return answer;
      },
    });
    const early = wordOf(checker, token);
    await until('a good verdict is on its way', () => isAnswered);
    await revokeAll(service, 'ada');
    expect(await Promise.race([wordOf(checker, token), early])).toBe('token_revoked');
    letGo?.();
    expect(await early).toBe('active');
  });

  it('fails closed when nobody answers', async () => {
    const service = await startService();
    const proxy = await startProxy(service.url);
    const checker = await readyChecker(proxy.url, { mode: 'online', timeoutMs: 200 });
    const token = accessOf(await issue(service, 'ada'));
    for (const way of ['cut', 'blackhole'] as const) {
      proxy[way]();
      expect(await wordOf(checker, token)).toBe('GatewayUnavailableError');
      proxy.heal();
      await until('all is well', async () => (await wordOf(checker, token)) === 'active');
    }
  });

  it('has a verdict without reasons where they are switched off', async () => {
    const service = await startService({ env: { INTROSPECTION_REASONS: 'false' } });
    await createUser(service, 'ada');
    const token = accessOf(await login(service, 'ada'));
    const checker = await readyChecker(service.url, { mode: 'online' });
    await revokeAll(service, 'ada');
    expect(await checker.check(token)).toEqual({ active: false, reason: 'token_invalid' });
  });
});

describe('R4 wrong options are refused with the valid ones', () => {
  const good = { issuer: 'http://latchkey.test', gatewayKey: GATEWAY_KEY, mode: 'local' };
  it.each([
    [{ mode: 'lokal' }, /mode: "lokal".*valid: local, online/],
    [{ maxStalenessMs: 10 }, /maxStalenessMs: 10; valid: a whole number from 1000 to 3600000/],
    [{ maxStaleness: 10 }, /unknown option maxStaleness; valid: issuer, url,/],
    [{ url: 'ftp://x' }, /valid: an http or https URL/],
    [{ gatewayKey: '' }, /gatewayKey: valid/],
    [{ cacheSize: 0 }, /cacheSize: 0; valid/],
  ])('%j', (wrong, message) => {
    expect(() => createTokenChecker({ ...good, ...wrong } as CheckerOptions)).toThrow(message);
  });

  it('and so is an event that there is not', async () => {
    const service = await startService();
    const checker = await readyChecker(service.url, { mode: 'online' });
    expect(() => checker.on('kicked' as 'ended', () => {})).toThrow(/valid: ended, gap/);
  });

  it('a gateway key that Latchkey does not take is said at ready()', async () => {
    const service = await startService();
    const errors: unknown[] = [];
    const checker = newChecker(service.url, { gatewayKey: 'wrong', onError: (error) => errors.push(error) });
    await expect(checker.ready()).rejects.toThrow('refuses this gateway key');
    expect(await wordOf(checker, 'x.y.z')).toBe('GatewayKeyRefusedError');
    expect(errors.length).toBeGreaterThan(0);
  });
});
