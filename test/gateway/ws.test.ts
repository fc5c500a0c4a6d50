// WebSocket servers under a checker: who is let in, who is thrown out and how, and the leases of who stays.
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { WebSocket, WebSocketServer } from 'ws';
import type { CheckerOptions } from '../../src/gateway/index.ts';
import { attachWebSocketServer } from '../../src/gateway/ws.ts';
import { asAdmin, issue, refresh, revokeAll } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';
import { readyChecker } from './checkers.ts';
import { closeGateways, connect, isOpen, open, startGateway } from './socket-gateway.ts';

afterEach(async () => {
  await closeGateways();
  closeProxies();
});
afterAll(closeServices);

/** Another epoch: Redis was flushed, as far as the feed can tell. */
const makeGap = async (service: Service): Promise<void> => {
  await service.redis.del(service.keys.settings());
  await service.deployment.check();
};
const accessOf = (response: { body: { accessToken: string } }) => response.body.accessToken;

describe.each(['local', 'online'] as const)('a WebSocket server with a checker in %s mode', (mode) => {
  it('closes the sockets of a kicked token at once, tells why, and hears them no more', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    const gateway = await startGateway(service.url, {}, { mode });
    const first = accessOf(await issue(service, 'ada', { platform: 'ios' }));
    const [one, two] = [await open(gateway.url, first), await open(gateway.url, first)];
    const bob = await open(gateway.url, accessOf(await issue(service, 'bob')));
    await issue(service, 'ada', { platform: 'web' });
    for (const client of [one, two]) {
      await until('it is closed', () => client.closed !== undefined);
      expect(client.closed).toEqual({ code: 4401, reason: 'token_kicked' });
      expect(client.messages).toEqual([
        {
          type: 'token_ended',
          code: 'token_kicked',
          endedBy: expect.objectContaining({ kind: 'login', platform: 'web', policy: 'single-device' }),
          at: expect.stringMatching(/Z$/),
          text: expect.stringMatching(/^signed in on web at \d\d:\d\d UTC$/),
        },
      ]);
    }
    expect([isOpen(bob), gateway.admitted]).toEqual([true, ['ada', 'ada', 'bob']]);
    // The same token does not come back, and the app never sees it.
    const again = connect(gateway.url, first);
    await until('it is closed', () => again.closed !== undefined);
    expect([again.closed?.code, again.messages[0]?.['code'], gateway.admitted.length]).toEqual([
      4401,
      'token_kicked',
      3,
    ]);
  });

  it.each([
    [undefined, 'token_missing'],
    ['rubbish', 'token_malformed'],
  ])('closes a socket with the token %s', async (token, code) => {
    const service = await startService();
    const gateway = await startGateway(service.url, {}, { mode });
    const client = connect(gateway.url, token);
    await until('it is closed', () => client.closed !== undefined);
    expect([client.closed, gateway.admitted]).toEqual([{ code: 4401, reason: code }, []]);
  });

  it('closes with 1013 when it cannot know', async () => {
    const service = await startService();
    const proxy = await startProxy(service.url);
    const gateway = await startGateway(proxy.url, {}, { mode, maxStalenessMs: 1_000, timeoutMs: 200 });
    const token = accessOf(await issue(service, 'ada'));
    proxy.cut();
    await until('it cannot know', () =>
      gateway.checker.check(token).then(
        () => false,
        () => true,
      ),
    );
    const client = connect(gateway.url, token);
    await until('it is closed', () => client.closed !== undefined);
    expect([client.closed?.code, gateway.admitted]).toEqual([1013, []]);
  });
});

describe('attachWebSocketServer', () => {
  it('does not act on what a peer says after its end', async () => {
    const service = await startService();
    const gateway = await startGateway(service.url);
    const client = await open(gateway.url, accessOf(await issue(service, 'ada')));
    client.socket.send('before');
    await until('heard', () => gateway.said.length === 1);
    // A peer that ignores the close goes on talking.
    client.socket.pause();
    await revokeAll(service, 'ada');
    await until('closing', () => gateway.sockets[0]?.readyState !== WebSocket.OPEN);
    client.socket.send('after');
    await until('cut off', () => gateway.sockets[0]?.readyState === WebSocket.CLOSED);
    expect(gateway.said).toEqual(['before']);
  });

  it('does not let a token in that ended while it was being checked', async () => {
    const service = await startService();
    const { body } = await issue(service, 'ada');
    let isAnswered = false;
    let goOn: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const fetch: NonNullable<CheckerOptions['fetch']> = async (url, init) => {
      const answer = await globalThis.fetch(url, init);
      if (url.endsWith('/introspect') && init.body?.includes(body.accessToken)) {
        isAnswered = true;
        await gate;
      }
      return answer;
    };
    const gateway = await startGateway(service.url, {}, { mode: 'online', fetch });
    let hasEnded = false;
    gateway.checker.on('ended', () => {
      hasEnded = true;
    });
    const client = connect(gateway.url, body.accessToken);
    await until('its verdict is good, and on the way', () => isAnswered);
    await revokeAll(service, 'ada');
    await until('it has ended', () => hasEnded);
    goOn?.();
    await until('it is closed', () => client.closed !== undefined);
    expect([client.closed?.reason, gateway.admitted]).toEqual(['token_revoked', []]);
  });

  it('takes the token of a browser from its subprotocols, or from where the app says', async () => {
    const service = await startService();
    const token = accessOf(await issue(service, 'ada'));
    const byProtocol = await startGateway(service.url);
    const client = connect(byProtocol.url, undefined, ['chat', `bearer.${token}`]);
    await until('it is open', () => isOpen(client));
    expect(client.socket.protocol).toBe('chat');
    const byQuery = await startGateway(service.url, { tokenFrom: ({ url }) => url?.slice('/?'.length) });
    const other = connect(`${byQuery.url}/?${token}`);
    await until('it is open', () => isOpen(other));
    expect([byProtocol.admitted, byQuery.admitted]).toEqual([['ada'], ['ada']]);
  });

  it('ends a socket with its access token, unless it is renewed', async () => {
    const service = await startService({ env: { ACCESS_TTL_SECONDS: '10' } });
    const proxy = await startProxy(service.url);
    const gateway = await startGateway(proxy.url);
    const [renewed, left] = [await issue(service, 'renewed'), await issue(service, 'left')];
    const [stays, goes] = [await open(gateway.url, accessOf(renewed)), await open(gateway.url, accessOf(left))];
    service.shiftClock(8_000);
    const next = accessOf(await refresh(service, renewed.body.refreshToken));
    const socket = gateway.sockets[0] as WebSocket;
    expect(await gateway.attached.renew(socket, accessOf(left))).toBe(false);
    expect(await gateway.attached.renew(socket, 'rubbish')).toBe(false);
    expect(await gateway.attached.renew(socket, next)).toBe(true);
    service.shiftClock(5_000);
    proxy.cut();
    proxy.heal();
    await until('it is closed', () => goes.closed !== undefined);
    expect([goes.closed, isOpen(stays)]).toEqual([{ code: 4401, reason: 'token_expired' }, true]);
  });

  it('asks again about every socket when ends may have been missed', async () => {
    const service = await startService();
    const gateway = await startGateway(service.url);
    const lost = await open(gateway.url, accessOf(await issue(service, 'lost')));
    const kept = await open(gateway.url, accessOf(await issue(service, 'kept')));
    await service.redis.del(service.keys.tokens({ tenant: 'default', userId: 'lost' }));
    await makeGap(service);
    await until('it is closed', () => lost.closed !== undefined);
    expect([lost.closed, isOpen(kept)]).toEqual([{ code: 4401, reason: 'token_unknown' }, true]);
  });

  it.each([
    ['true', 'token_expired'],
    ['false', 'token_invalid'],
  ])(
    'ends only the socket whose own access token has expired when it asks again, reasons: %s',
    async (reasons, reason) => {
      const service = await startService({ env: { ACCESS_TTL_SECONDS: '10', INTROSPECTION_REASONS: reasons } });
      const gateway = await startGateway(service.url, {}, { mode: 'online' });
      const { body } = await issue(service, 'ada');
      const old = await open(gateway.url, body.accessToken);
      service.shiftClock(8_000);
      const renewed = await open(gateway.url, accessOf(await refresh(service, body.refreshToken)));
      // The gateway does not know yet that it is so late: only the answer of Latchkey can tell.
      service.shiftClock(5_000);
      await makeGap(service);
      await until('it is closed', () => old.closed !== undefined);
      expect(old.closed).toEqual({ code: 4401, reason });
      expect(gateway.attached.authOf(gateway.sockets[1] as WebSocket)?.sub).toBe('ada');
      expect([isOpen(renewed), renewed.messages]).toEqual([true, []]);
    },
  );

  it.each([
    ['lets a socket go on', 'good', undefined],
    ['ends a socket', 'lost', { code: 4401, reason: 'token_unknown' }],
  ] as const)('%s that was renewed while its old token was asked about: the next is %s', async (_, next, closed) => {
    const service = await startService({ env: { ACCESS_TTL_SECONDS: '10' } });
    const { body } = await issue(service, 'ada');
    const asked: string[] = [];
    let isHeld = false;
    let goOn: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const fetch: NonNullable<CheckerOptions['fetch']> = async (url, init) => {
      const answer = await globalThis.fetch(url, init);
      if (!url.endsWith('/introspect')) return answer;
      const token = new URLSearchParams(init.body).get('token') ?? '';
      asked.push(token);
      if (isHeld && token === body.accessToken) await gate;
      return answer;
    };
    const gateway = await startGateway(service.url, {}, { mode: 'online', fetch });
    const client = await open(gateway.url, body.accessToken);
    const socket = gateway.sockets[0] as WebSocket;
    service.shiftClock(8_000);
    const nextToken = accessOf(await refresh(service, body.refreshToken));
    service.shiftClock(5_000);
    isHeld = true;
    const askedOld = () => asked.filter((token) => token === body.accessToken).length;
    const before = askedOld();
    await makeGap(service);
    await until('the verdict on the old one is on its way', () => askedOld() > before);
    expect(await gateway.attached.renew(socket, nextToken)).toBe(true);
    if (next === 'lost') await service.redis.del(service.keys.tokens({ tenant: 'default', userId: 'ada' }));
    goOn?.();
    const askedNext = () => asked.filter((token) => token === nextToken).length;
    await until('the next one is asked about too', () => askedNext() > 1 || client.closed !== undefined);
    if (closed !== undefined) await until('it is closed', () => client.closed !== undefined);
    expect([client.closed, gateway.attached.authOf(socket)?.sub]).toEqual([closed, closed ? undefined : 'ada']);
  });

  it('R4 refuses options that there are not', async () => {
    const service = await startService();
    const checker = await readyChecker(service.url);
    const attach = (options: object) => () =>
      attachWebSocketServer(new WebSocketServer({ noServer: true }), checker, options);
    expect(attach({ presense: true })).toThrow(/valid: tokenFrom, presence, whenStale, describe, onError/);
    expect(attach({ presence: { leaseIntervalMs: 1 } })).toThrow(/leaseIntervalMs: 1; valid/);
    expect(attach({ whenStale: 'shut' })).toThrow(/whenStale: "shut" is not known; valid: keep, close/);
  });
});

const setLease = (service: Service, presence: object) =>
  service.api.put('/admin/tenants/default').set(asAdmin).send({ policy: 'decline-second', presence });
const canLogIn = async (service: Service) => (await issue(service, 'ada', { platform: 'web' })).status === 200;

describe('presence of a WebSocket server', () => {
  it('keeps a seat while a socket is open, and gives it up when the last one closes', async () => {
    const service = await startService();
    await setLease(service, { leaseSeconds: 1, graceSeconds: 0 });
    const gateway = await startGateway(service.url, { presence: { leaseIntervalMs: 200 } });
    const token = accessOf(await issue(service, 'ada'));
    const [one, two] = [await open(gateway.url, token), await open(gateway.url, token)];
    const openedAt = service.store.now();
    // Longer than a lease: it was renewed.
    await until('a lease and a half', () => service.store.now() - openedAt > 1_500);
    expect(await canLogIn(service)).toBe(false);
    two.socket.close();
    await until('it is closed', () => two.closed !== undefined);
    const closedAt = service.store.now();
    await until('a lease and a half', () => service.store.now() - closedAt > 1_500);
    expect(await canLogIn(service)).toBe(false);
    one.socket.close();
    await until('the seat is free', () => canLogIn(service));
  });

  it('releases at once, without waiting for the lease to lapse', async () => {
    const service = await startService();
    await setLease(service, { leaseSeconds: 600, graceSeconds: 0 });
    const gateway = await startGateway(service.url, { presence: { leaseIntervalMs: 500 } });
    const client = await open(gateway.url, accessOf(await issue(service, 'ada')));
    const isHeld = async () => {
      const { body } = await issue(service, 'ada', { platform: 'web', dryRun: true });
      return (body.conflicts as { leaseExpiresAt?: string }[])[0]?.leaseExpiresAt !== undefined;
    };
    await until('the lease is held', isHeld);
    client.socket.close();
    await until('the seat is free', () => canLogIn(service));
  });

  it('closes the socket of a token that presence refuses', async () => {
    const service = await startService();
    const gateway = await startGateway(service.url, { presence: { leaseIntervalMs: 200 } });
    const client = await open(gateway.url, accessOf(await issue(service, 'ada')));
    // Gone without an event.
    await service.redis.del(service.keys.tokens({ tenant: 'default', userId: 'ada' }));
    await until('it is closed', () => client.closed !== undefined);
    expect(client.closed).toEqual({ code: 4401, reason: 'token_unknown' });
  });

  it('tells why presence refused a token, not that the access token has expired since', async () => {
    const service = await startService({ env: { ACCESS_TTL_SECONDS: '10' } });
    const gateway = await startGateway(service.url, { presence: { leaseIntervalMs: 200 } });
    const client = await open(gateway.url, accessOf(await issue(service, 'ada')));
    service.shiftClock(11_000);
    await service.redis.del(service.keys.tokens({ tenant: 'default', userId: 'ada' }));
    await until('it is closed', () => client.closed !== undefined);
    expect(client.closed).toEqual({ code: 4401, reason: 'token_unknown' });
  });

  it('tells who did it also when presence hears of a kick before the feed does', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    const { fetch } = globalThis;
    const never = new Promise<never>(() => {});
    let isFeedHeld = false;
    const gateway = await startGateway(
      service.url,
      { presence: { leaseIntervalMs: 200 } },
      {
        async fetch(url, init) {
          const answer = await fetch(url, init);
          if (!url.includes('/events') || answer.body === null) return answer;
          return { ...pick(answer), body: holding(answer.body, () => (isFeedHeld ? never : undefined)) };
        },
      },
    );
    const client = await open(gateway.url, accessOf(await issue(service, 'ada')));
    isFeedHeld = true;
    await issue(service, 'ada', { platform: 'web' });
    await until('it is closed', () => client.closed !== undefined);
    expect(client.messages[0]).toMatchObject({ code: 'token_kicked', endedBy: { kind: 'login', platform: 'web' } });
  });
});

type Answer = Awaited<ReturnType<NonNullable<CheckerOptions['fetch']>>>;

function pick({ status, headers }: Response): Omit<Answer, 'body'> {
  return { status, headers };
}

async function* holding(body: AsyncIterable<Uint8Array>, wait: () => Promise<never> | undefined) {
  for await (const chunk of body) {
    await wait();
    yield chunk;
  }
}
