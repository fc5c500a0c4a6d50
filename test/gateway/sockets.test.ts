// Sockets are closed whatever fails on the way, and when nobody can say for too long whether they may be open.
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { WebSocket } from 'ws';
import { sentenceOf, type CheckerOptions } from '../../src/gateway/index.ts';
import type { AttachOptions } from '../../src/gateway/ws.ts';
import { issue, revokeAll } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService } from '../helpers/service.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';
import { answering, closeBetweens, startBetween } from './between.ts';
import { fakeClocks } from './checkers.ts';
import { closeGateways, connect, isOpen, open, startGateway } from './socket-gateway.ts';

afterEach(async () => {
  await closeGateways();
  closeProxies();
  closeBetweens();
});
afterAll(closeServices);

const accessOf = (response: { body: { accessToken: string } }) => response.body.accessToken;

describe('F24 a text that cannot be made keeps nothing open', () => {
  it.each<[string, NonNullable<AttachOptions['describe']>, string[]]>([
    ['that throws', (end) => sentenceOf(end, 'Europe/Berlim'), ['RangeError']],
    ['that is no text', () => Promise.resolve('later') as unknown as string, []],
  ])('%s: sockets are closed with the code, and no process ends', async (_, describeEnd, names) => {
    const service = await startService();
    const errors: unknown[] = [];
    const onError = (error: unknown) => {
      errors.push((error as Error).name);
      throw new Error('of the listener');
    };
    const gateway = await startGateway(service.url, { describe: describeEnd, onError });
    const token = accessOf(await issue(service, 'ada'));
    const clients = [await open(gateway.url, token), await open(gateway.url, token)];
    await revokeAll(service, 'ada');
    const refused = connect(gateway.url, 'rubbish');
    for (const client of [...clients, refused]) {
      await until('it is closed', () => client.closed !== undefined);
      const code = client === refused ? 'token_malformed' : 'token_revoked';
      expect(client.closed).toEqual({ code: 4401, reason: code });
      expect(client.messages).toEqual([expect.objectContaining({ type: 'token_ended', code, text: code })]);
    }
    expect(errors.slice(0, 1)).toEqual(names);
  });

  it('nor does a socket that fails itself', async () => {
    const service = await startService();
    const gateway = await startGateway(service.url);
    const token = accessOf(await issue(service, 'ada'));
    const [first, second] = [await open(gateway.url, token), await open(gateway.url, token)];
    (gateway.sockets[0] as WebSocket).send = () => {
      throw new Error('not now');
    };
    await revokeAll(service, 'ada');
    for (const client of [first, second]) {
      await until('it is closed', () => client.closed !== undefined);
      expect(client.closed).toEqual({ code: 4401, reason: 'token_revoked' });
    }
  });

  it('none is made for a token that is not connected here', async () => {
    const service = await startService();
    const asked: string[] = [];
    const describeEnd = ({ reason }: { readonly reason: string }) => {
      asked.push(reason);
      return 'gone';
    };
    const gateway = await startGateway(service.url, { describe: describeEnd });
    let ends = 0;
    gateway.checker.on('ended', () => (ends += 1));
    for (const user of ['ada', 'bob']) {
      await issue(service, user);
      await revokeAll(service, user);
    }
    await until('both ends are heard of', () => ends === 2);
    expect(asked).toEqual([]);
  });

  it('the sentence says on which device, and in which time zone', () => {
    const endedAt = '2026-07-01T10:32:00.000Z';
    const by = { kind: 'login', platform: 'ios', policy: 'single-device' } as const;
    const kicked = { reason: 'token_kicked', endedAt, endedBy: by } as const;
    expect([
      sentenceOf(kicked),
      sentenceOf(kicked, 'Europe/Berlin'),
      sentenceOf({ ...kicked, reason: 'token_replaced' }),
      sentenceOf({ reason: 'token_replaced', endedAt }),
      sentenceOf({ reason: 'token_revoked', endedAt, endedBy: { kind: 'admin' } }),
      sentenceOf({ reason: 'token_expired' }),
      sentenceOf({ ...kicked, endedAt: 'undefined' }),
    ]).toEqual([
      'signed in on ios at 10:32 UTC',
      'signed in on ios at 12:32 CEST',
      'signed in again on this device at 10:32 UTC',
      'Replaced by a newer login of the same device at 10:32 UTC',
      'The token was revoked at 10:32 UTC',
      'The token has expired',
      'signed in on ios',
    ]);
    expect(() => sentenceOf({ reason: 'token_expired' }, 'Europe/Berlim')).toThrow(RangeError);
  });
});

describe('F25 open sockets have a bound on staleness', () => {
  it('one of which nothing can be known for longer is closed, or marked', async () => {
    const service = await startService();
    const proxy = await startProxy(service.url);
    const { clocks, wait } = fakeClocks();
    const start = (whenStale: 'keep' | 'close') =>
      startGateway(proxy.url, { whenStale }, { maxStalenessMs: 30_000, timeoutMs: 500 }, clocks);
    const [keeping, closing] = [await start('keep'), await start('close')];
    const token = accessOf(await issue(service, 'ada'));
    const [kept, closed] = [await open(keeping.url, token), await open(closing.url, token)];
    const socket = keeping.sockets[0] as WebSocket;
    expect(keeping.attached.isStale(socket)).toBe(false);
    proxy.cut();
    // The end that neither hears of.
    await revokeAll(service, 'ada');
    wait(20_000);
    expect([keeping.attached.isStale(socket), isOpen(closed)]).toEqual([false, true]);
    wait(11_000);
    expect(keeping.attached.isStale(socket)).toBe(true);
    await until('it is closed', () => {
      wait(500);
      return closed.closed !== undefined;
    });
    expect(closed.closed).toEqual({ code: 1013, reason: 'stale' });
    expect([isOpen(kept), keeping.attached.isStale(socket)]).toEqual([true, true]);
    proxy.heal();
    await until('it is heard of', () => kept.closed !== undefined, 15_000);
    expect([kept.closed?.reason, keeping.attached.isStale(socket)]).toEqual(['token_revoked', true]);
  });

  it('one that can be asked about stays, and goes when the answer says so', async () => {
    const service = await startService();
    const between = await startBetween(service.url);
    const { clocks, wait } = fakeClocks();
    const gateway = await startGateway(between.url, { whenStale: 'close' }, { maxStalenessMs: 30_000 }, clocks);
    const [stays, goes] = await Promise.all(
      ['ada', 'bob'].map(async (user) => open(gateway.url, accessOf(await issue(service, user)))),
    );
    between.answers.set('/events', answering(503, ''));
    // As after a pause of the machine: no time was left to ask before.
    wait(60_000);
    await until('both are asked about', () => between.countOf('/introspect') >= 2);
    await revokeAll(service, 'bob');
    for (let n = 0; n < 2; n += 1) {
      const before = between.countOf('/introspect');
      wait(20_000);
      await until('they are asked about again', () => between.countOf('/introspect') > before);
    }
    await until('it is closed', () => goes?.closed !== undefined);
    expect([goes?.closed?.reason, stays?.closed]).toEqual(['token_revoked', undefined]);
  });

  it('one that is being checked while the gateway stops is not let in', async () => {
    const service = await startService();
    let goOn: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    let isHeld = false;
    const fetch: NonNullable<CheckerOptions['fetch']> = async (url, init) => {
      const answer = await globalThis.fetch(url, init);
      if (url.endsWith('/introspect') && !init.body?.includes('ready')) {
        isHeld = true;
        await gate;
      }
      return answer;
    };
    const gateway = await startGateway(service.url, { presence: true }, { mode: 'online', fetch });
    const client = connect(gateway.url, accessOf(await issue(service, 'ada')));
    await until('its verdict is good, and on the way', () => isHeld);
    await gateway.attached.close();
    goOn?.();
    await until('it is closed', () => client.closed !== undefined);
    expect([client.closed?.code, gateway.admitted]).toEqual([1013, []]);
  });

  it('sleep of the machine counts', async () => {
    const service = await startService();
    const proxy = await startProxy(service.url);
    const { clocks, sleep } = fakeClocks();
    const gateway = await startGateway(proxy.url, {}, {}, clocks);
    await open(gateway.url, accessOf(await issue(service, 'ada')));
    proxy.cut();
    sleep(31_000);
    expect(gateway.attached.isStale(gateway.sockets[0] as WebSocket)).toBe(true);
  });
});
