// What a checker asks of Latchkey, how, and what it makes of answers that are none.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { getEventListeners } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { Api } from '../../src/gateway/api.ts';
import { createCall } from '../../src/gateway/call.ts';
import { followFeed } from '../../src/gateway/feed.ts';
import { createHttpFetch } from '../../src/gateway/http-fetch.ts';
import type { CheckerOptions } from '../../src/gateway/index.ts';
import type { Settings } from '../../src/gateway/options.ts';
import { issue } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { closeProxies, startProxy } from '../helpers/tcp-proxy.ts';
import { answering, closeBetweens, startBetween } from './between.ts';
import { closeCheckers, newChecker, readyChecker, wordOf } from './checkers.ts';

const METADATA = '/.well-known/oauth-authorization-server';
const JWKS = '/.well-known/jwks.json';

let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService();
  token = (await issue(service, 'ada')).body.accessToken;
});
const closing: (() => void)[] = [];
afterEach(() => {
  closing.splice(0).forEach((close) => close());
  closeCheckers();
  closeProxies();
  closeBetweens();
});
afterAll(closeServices);

const ended = { tenant: 'default', userId: 'ada', tokenId: 't', connectionId: 'c' };

describe('F26 ready() says whether this is the right Latchkey', () => {
  it.each(['local', 'online'] as const)('not with another issuer, in %s mode, until it is right', async (mode) => {
    const between = await startBetween(service.url);
    const checker = newChecker(between.url, { mode, issuer: 'http://other.test', audience: 'http://latchkey.test' });
    await expect(checker.ready()).rejects.toMatchObject({
      name: 'GatewayIssuerError',
      message: `${between.url} is Latchkey for the issuer "http://latchkey.test"; the option issuer says "http://other.test"`,
    });
    // A good token is not called invalid for it.
    await expect(checker.check(token)).rejects.toMatchObject({ name: 'GatewayUnavailableError' });
    between.answers.set(METADATA, answering(200, { issuer: 'http://other.test' }));
    await until('it begins', () => checker.ready().then(...YES_OR_NO));
  });

  it('names the address and the cause after the time limit, and goes on trying', async () => {
    const proxy = await startProxy(service.url);
    proxy.cut();
    const refused = newChecker('http://127.0.0.1:1');
    await expect(refused.ready({ timeoutMs: 300 })).rejects.toThrow(
      /^not ready within 300 ms: Latchkey cannot be reached at http:\/\/127\.0\.0\.1:1\/events\?\S+: connect ECONNREFUSED 127\.0\.0\.1:1$/,
    );
    const checker = newChecker(proxy.url);
    await expect(checker.ready({ timeoutMs: 300 })).rejects.toThrow(`cannot be reached at ${proxy.url}/events`);
    proxy.heal();
    await checker.ready({ timeoutMs: 20_000 });
    await expect(newChecker(proxy.url).ready({ timeoutMs: 0 })).rejects.toThrow(/valid: a whole number from 1/);
  });

  it('names a host that there is not, an answer that does not come, and a status', async () => {
    const proxy = await startProxy(service.url);
    const checker = await readyChecker(proxy.url, { mode: 'online', timeoutMs: 200 });
    proxy.blackhole();
    await expect(checker.check(token)).rejects.toThrow(
      `Latchkey cannot be reached at ${proxy.url}/introspect: no answer within 200 ms`,
    );
    const nowhere = newChecker('http://latchkey.invalid', { mode: 'online' });
    await expect(nowhere.check(token)).rejects.toThrow(
      /latchkey\.invalid\/introspect: getaddrinfo E\w+ latchkey\.invalid/,
    );
    const between = await startBetween(service.url);
    between.answers.set('/introspect', answering(502, 'bad gateway'));
    const gateway = newChecker(between.url, { mode: 'online' });
    await expect(gateway.check(token)).rejects.toThrow(`Latchkey answered 502 at ${between.url}/introspect`);
  });
});

const heartbeat = (data: string) => `event: heartbeat\ndata: ${data}\n\n`;
const YES_OR_NO = [() => true, () => false] as const;

describe('F45 and F50 what every call says', () => {
  it('is that nothing is to be compressed, and who calls', async () => {
    const between = await startBetween(service.url);
    const checker = await readyChecker(between.url);
    await checker.check(token, { online: true });
    await checker.presence([ended]);
    const paths = ['/events', METADATA, JWKS, '/introspect', '/presence'];
    expect(new Set(between.requests.map(({ path }) => path))).toEqual(new Set(paths));
    for (const { headers } of between.requests) {
      expect(headers).toMatchObject({ 'accept-encoding': 'identity', 'user-agent': 'Latchkey-Gateway' });
    }
  });
});

describe('F47 what is no answer is trouble, not a TypeError', () => {
  const NONSENSE = ['null', '[]', '"x"', '7', '{}', '{"status":"maintenance"}', '<html>', ''];

  it.each(['/introspect', '/presence'])('of %s', async (path) => {
    const between = await startBetween(service.url);
    const checker = await readyChecker(between.url);
    const ask = () => (path === '/presence' ? checker.presence([ended]) : checker.check(token, { online: true }));
    const more = [
      '{"renewed":1,"refused":null}',
      '{"renewed":null,"refused":[]}',
      '{"active":"yes"}',
      '{"active":true}',
    ];
    for (const text of [...NONSENSE, ...more]) {
      between.answers.set(path, answering(200, text));
      await expect(ask()).rejects.toMatchObject({ name: 'GatewayUnavailableError' });
    }
    between.answers.set(
      '/presence',
      answering(200, { renewed: 0, refused: [null, 7, { tokenId: 't', reason: 'new' }] }),
    );
    expect(await checker.presence([ended])).toEqual({
      renewed: 0,
      refused: [{ tokenId: 't', reason: 'token_invalid' }],
    });
  });

  it.each([METADATA, JWKS, '/events'])('of %s: it is not ready, and says why', async (path) => {
    const between = await startBetween(service.url);
    const texts = path === '/events' ? ['null', '{"live":true}', '{"live":true,"at":7}'].map(heartbeat) : NONSENSE;
    for (const text of texts) {
      between.answers.set(path, answering(200, text));
      const troubles: unknown[] = [];
      const checker = newChecker(between.url, { onError: (error) => troubles.push(error) });
      let isReady = false;
      checker.ready().then(
        () => (isReady = true),
        () => {},
      );
      await until('it has heard of it', () => troubles.length > 0);
      expect([troubles[0], isReady]).toEqual([
        expect.objectContaining({ name: expect.stringMatching(/^(GatewayUnavailable)?Error$/) }),
        false,
      ]);
      checker.close();
    }
  });

  it('an answer that is too long, or does not end, is given up', async () => {
    const between = await startBetween(service.url);
    const checker = await readyChecker(between.url, { mode: 'online', timeoutMs: 500 });
    between.answers.set('/introspect', answering(200, `{"active":false,"x":"${'x'.repeat(2_000_000)}"}`));
    await expect(checker.check(token)).rejects.toThrow('longer than 1048576 bytes');
    between.answers.set('/introspect', (_request, response) => void response.writeHead(200).write('{"active":'));
    await expect(checker.check(token)).rejects.toThrow('no answer within 500 ms');
    between.answers.set('/introspect', (_request, response) => void response.writeHead(503).write('not now'));
    await expect(checker.check(token)).rejects.toMatchObject({ name: 'GatewayUnavailableError' });
  });
});

describe('F48 an answer of somebody else is not believed', () => {
  it.each(['/introspect', '/presence', '/events', JWKS, METADATA])('a redirect of %s is not followed', async (path) => {
    const elsewhere = await startBetween(service.url);
    const between = await startBetween(service.url);
    const location = elsewhere.url + path;
    between.answers.set(path, answering(307, '', { location }));
    const messages: string[] = [];
    const note = (error: unknown) => messages.push((error as Error).message);
    const checker = newChecker(between.url, { onError: note });
    await Promise.all([checker.check(token, { online: true }).catch(note), checker.presence([ended]).catch(note)]);
    const told = `Latchkey answered 307 at ${between.url}${path}`;
    await until('it is told', () => messages.some((message) => message.startsWith(told)));
    expect(elsewhere.requests).toEqual([]);
  });

  it('nor with the global fetch', async () => {
    const elsewhere = await startBetween(service.url);
    const between = await startBetween(service.url);
    between.answers.set('/introspect', answering(307, '', { location: `${elsewhere.url}/introspect` }));
    const fetch = globalThis.fetch as unknown as CheckerOptions['fetch'] & {};
    await expect(newChecker(between.url, { mode: 'online', fetch }).check(token)).rejects.toThrow('answered 307');
    expect(elsewhere.requests).toEqual([]);
  });

  it('a verdict about another issuer, audience or tenant is none on this token', async () => {
    const between = await startBetween(service.url);
    const checker = await readyChecker(between.url, { mode: 'online', tenant: 'default' });
    const verdict = await checker.check(token);
    const claims = verdict.active ? verdict.claims : undefined;
    const answer = (more: object) =>
      between.answers.set('/introspect', answering(200, { active: true, ...claims, ...more }));
    answer({ iss: 'http://other.test' });
    await expect(checker.check(token)).rejects.toThrow('the verdict is of http://other.test');
    for (const more of [{ aud: 'another' }, { aud: ['another'] }, { tenant: 'acme' }]) {
      answer(more);
      expect(await wordOf(checker, token)).toBe('token_invalid');
    }
    answer({ aud: ['another', 'http://latchkey.test'] });
    expect(await wordOf(checker, token)).toBe('active');
  });
});

describe('F50 connections', () => {
  it.each([
    ['local', '/events'],
    ['online', '/introspect'],
  ] as const)('a 403 of a proxy says nothing of the key, in %s mode', async (mode, path) => {
    const between = await startBetween(service.url);
    between.answers.set(path, answering(403, { code: 'forbidden', message: 'by the proxy' }));
    const troubles: Error[] = [];
    const checker = newChecker(between.url, { mode, onError: (error) => troubles.push(error as Error) });
    const ready = checker.ready();
    await until('it has heard of it', () => troubles.length > 0);
    expect(troubles[0]).toMatchObject({
      name: 'GatewayUnavailableError',
      message: expect.stringContaining('answered 403'),
    });
    between.answers.delete(path);
    await ready;
  });

  it('a reset on a kept connection is tried again at once, by a new one', async () => {
    let isBroken = false;
    const seen: number[] = [];
    const server = createServer((request, response) => {
      const isKept = seen.includes(request.socket.remotePort ?? 0);
      seen.push(request.socket.remotePort ?? 0);
      if (isBroken && isKept) request.socket.resetAndDestroy();
      else response.end('ok');
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const fetch = createHttpFetch();
    const get = async () => {
      const { status, body } = await fetch(url, {
        headers: {},
        signal: AbortSignal.timeout(5_000),
        redirect: 'manual',
      });
      for await (const _ of body ?? []);
      return status;
    };
    await Promise.all([get(), get(), get()]);
    isBroken = true;
    expect(await Promise.all([get(), get()])).toEqual([200, 200]);
  });

  it('an answer that is there leaves neither its time limit nor a listener behind', async () => {
    const signals: AbortSignal[] = [];
    const fetch: CheckerOptions['fetch'] & {} = (_url, { signal }) => {
      signals.push(signal);
      const body = Readable.from([Buffer.from('{}')]);
      return Promise.resolve({ status: signals.length === 1 ? 200 : 503, headers: new Headers(), body });
    };
    const timeoutMs = 100;
    const call = createCall({ url: 'http://latchkey.test', timeoutMs, fetch } as Settings);
    const startedAt = performance.now();
    expect(await call.json('/', { headers: {} })).toEqual({});
    await expect(call.json('/', { headers: {} })).rejects.toThrow('answered 503');
    const entries = () => signals.map((signal) => [getEventListeners(signal, 'abort').length, signal.aborted]);
    const nothing = [
      [0, false],
      [0, false],
    ];
    expect(entries()).toEqual(nothing);
    await until('their time is over', () => performance.now() - startedAt > 2 * timeoutMs);
    expect(entries()).toEqual(nothing);
  });

  it('leave nothing behind on the signal that stops the feed', async () => {
    const stop = new AbortController();
    closing.push(() => stop.abort());
    let connections = 0;
    const api = {
      events: (_query: string, _id: string | undefined, signal: AbortSignal) => {
        connections += 1;
        return new Promise<never>((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      },
    } as unknown as Api;
    const on = { onEvent() {}, onHeartbeat() {}, onReset() {}, onTrouble() {} };
    const query = { from: 'start', tenant: undefined, maxStalenessMs: 30_000, timeoutMs: 30_000 } as const;
    const following = followFeed(api, query, on, stop.signal);
    const entries = () => [getEventListeners(stop.signal, 'abort').length, ...dependentsOf(stop.signal)];
    const before = entries();
    for (let n = 2; n <= 50; n += 1) {
      following.restart();
      await until('it connects anew', () => connections === n);
    }
    expect(entries()).toEqual(before);
  });
});

/** Node keeps what AbortSignal.any() has made of a signal in sets of its own. */
function dependentsOf(signal: AbortSignal): number[] {
  const parts = Object.getOwnPropertySymbols(signal).map(
    (name) => (signal as unknown as Record<symbol, unknown>)[name],
  );
  return parts.filter((part): part is Set<unknown> => part instanceof Set).map(({ size }) => size);
}
