/** How an event is sent: the connections, and the word for why a receiver could not be reached, which stays the same. */
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createSecureServer, createServer as createHttp2Server } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { createServer, type AddressInfo, type LookupFunction, type Server, type Socket } from 'node:net';
import { afterAll, describe, expect, it } from '@jest/globals';
import { publicLookup } from '../../src/outbound/public-targets.ts';
import { createPush } from '../../src/outbound/push.ts';
import { untrustedCertificate } from '../helpers/certificate.ts';

const servers: Server[] = [];
const sockets: Socket[] = [];
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

async function listening(server: Server, host = '127.0.0.1', port = 0): Promise<string> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.push(socket));
  await new Promise<void>((resolve) => {
    server.listen(port, host, resolve);
  });
  return `${host}:${(server.address() as AddressInfo).port}`;
}

const signal = () => new AbortController().signal;
const push = createPush();
const send = (url: string) => push(url, 'header.payload.signature', signal());

describe('a receiver that cannot be reached', () => {
  it.each([
    // Longer than a name may be: whoever looks it up knows that without asking anybody.
    ['whose name nobody knows', 'unknown_host', async () => `http://${'x'.repeat(64)}.invalid/`],
    [
      'whose certificate nobody else has signed',
      'bad_certificate',
      async () => `https://${await listening(createTlsServer(untrustedCertificate()))}/`,
    ],
    [
      'whose certificate is signed by a stranger',
      'bad_certificate',
      async () => `https://${await listening(createTlsServer(untrustedCertificate('stranger')))}/`,
    ],
    ['that does not speak TLS', 'bad_tls', async () => `https://${await listening(createHttpServer())}/`],
    [
      'that hangs up',
      'broken_connection',
      async () => `http://${await listening(createServer((socket) => socket.once('data', () => socket.destroy())))}/`,
    ],
    [
      'that answers no HTTP',
      'network',
      async () => `http://${await listening(createServer((socket) => socket.end('hello\r\n\r\n')))}/`,
    ],
  ])('%s: the attempt is `%s`', async (_what, error, urlOf) => {
    expect(await send(await urlOf())).toEqual({ kind: 'failed', error });
  });
});

describe('F50 a receiver that speaks HTTP/2 alone', () => {
  it.each([
    ['over TLS', 'https', () => createSecureServer(untrustedCertificate())],
    ['in the clear', 'http', () => createHttp2Server()],
  ])('%s: the attempt is `http2_only`', async (_what, scheme, make) => {
    const url = `${scheme}://${await listening(make())}/`;
    expect(await send(url)).toEqual({ kind: 'failed', error: 'http2_only' });
  });
});

/** Answers 202 when a request has come, and counts connections. */
async function counting(reply?: RequestListener) {
  const server = createHttpServer((request, response) => {
    request.resume().on('end', () => (reply ?? ((_, taken) => void taken.writeHead(202).end()))(request, response));
  });
  const heard = { connections: 0, url: '' };
  server.on('connection', () => (heard.connections += 1));
  heard.url = `http://${await listening(server)}/`;
  return heard;
}

describe('F50 the connection to a receiver', () => {
  it('is used again', async () => {
    const heard = await counting();
    const sender = createPush();
    for (let count = 0; count < 5; count += 1) await sender(heard.url, 'set', signal());
    expect(heard.connections).toBe(1);
  });

  it('is kept for a while only: then the name is looked up anew, as the receiver may have moved', async () => {
    const heard = await counting();
    const lookups: string[] = [];
    const lookup: LookupFunction = (name, _options, done) => {
      lookups.push(name);
      done(null, [{ address: '127.0.0.1', family: 4 }]);
    };
    let time = 0;
    const sender = createPush({ lookup, monotonic: () => time });
    const url = heard.url.replace('127.0.0.1', 'receiver.test');
    for (const expected of [1, 2, 3]) {
      for (let count = 0; count < 5; count += 1)
        expect(await sender(url, 'set', signal())).toEqual({ kind: 'delivered' });
      expect([heard.connections, lookups.length]).toEqual([expected, expected]);
      // What was kept ends with the next answer.
      time += 31_000;
    }
  });

  it('that the receiver had closed meanwhile is replaced at once', async () => {
    let requests = 0;
    const heard = await counting((request, response) => {
      requests += 1;
      if (requests === 2) request.socket.resetAndDestroy();
      else response.writeHead(202).end();
    });
    const sender = createPush();
    const outcomes = [await sender(heard.url, 'set', signal()), await sender(heard.url, 'set', signal())];
    expect(outcomes).toEqual([{ kind: 'delivered' }, { kind: 'delivered' }]);
    expect([heard.connections, requests]).toEqual([2, 3]);
  });

  it('that breaks anew is an attempt that failed', async () => {
    let requests = 0;
    const heard = await counting((request, response) => {
      requests += 1;
      if (requests > 1) request.socket.resetAndDestroy();
      else response.writeHead(202).end();
    });
    const sender = createPush();
    await sender(heard.url, 'set', signal());
    expect(await sender(heard.url, 'set', signal())).toEqual({ kind: 'failed', error: 'broken_connection' });
    expect(requests).toBe(3);
  });

  it.each([
    ['goes on for ever', (write: () => void) => setInterval(write, 5).unref()],
    ['stops in the middle', () => undefined],
    ['is cut off', (_write: () => void, cut: () => void) => setTimeout(cut, 5)],
  ])('is not waited for when the status is 2xx and the body %s', async (_what, go) => {
    const heard = await counting((_request, response) => {
      response.writeHead(202, { 'content-length': '1000000' }).write('x');
      const timer = go(
        () => response.write('x'),
        () => response.destroy(),
      );
      response.on('close', () => clearInterval(timer));
    });
    // An attempt that waited for the body would be late.
    const sender = createPush({ answerWithinMs: 1_500 });
    expect(await sender(heard.url, 'set', signal())).toEqual({ kind: 'delivered' });
  });

  it('names who sends', async () => {
    let agent: string | undefined;
    const heard = await counting((request, response) => {
      agent = request.headers['user-agent'];
      response.writeHead(202).end();
    });
    await send(heard.url);
    expect(agent).toBe('Latchkey');
  });
});

/** Names lead where `leads` says; 192.0.2.0/24 and the like lead nowhere in any case. */
const leadingTo =
  (...leads: readonly string[]): LookupFunction =>
  (_name, { all }, done) => {
    const addresses = leads.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (all) done(null, addresses);
    else done(null, addresses[0]?.address ?? '', addresses[0]?.family);
  };

describe('F37 a receiver outside of the public internet', () => {
  const forbidden = { kind: 'failed', error: 'private_address' };
  it.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '0',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:a9fe:a9fe]',
    '[::7f00:1]',
    '[fe80::1]',
    '[fc00::1]',
    '[fd00:ec2::254]',
    '[64:ff9b::127.0.0.1]',
    '[64:ff9b::a01:203]',
    '[64:ff9b:1::a01:203]',
    '[2002:7f00:1::]',
    '[ff02::1]',
    'localhost',
    '\uff11\uff12\uff17.0.0.1',
  ])('is never sent to: %s', async (host) => {
    const careful = createPush({ publicOnly: true });
    expect(await careful(`http://${host}:9/`, 'set', signal())).toEqual(forbidden);
  });

  it.each([['127.0.0.1'], ['::1'], ['::ffff:10.0.0.1'], ['fe80::1%eth0'], ['10.0.0.1', '169.254.169.254'], []])(
    'is not found by a name that leads to %s %s',
    async (...leads) => {
      const careful = createPush({ publicOnly: true, lookup: leadingTo(...leads) });
      expect(await careful('http://receiver.test:9/', 'set', signal())).toEqual(forbidden);
      expect(await careful('https://receiver.test:9/', 'set', signal())).toEqual(forbidden);
    },
  );

  it('is not reached by a name that is public when it is looked up first, and is not the next time', async () => {
    let requests = 0;
    const heard = await counting((_request, response) => {
      requests += 1;
      response.writeHead(202).end();
    });
    const { port } = new URL(heard.url);
    let looks = 0;
    const rebinding: LookupFunction = (name, options, done) => {
      looks += 1;
      leadingTo(looks === 1 ? '192.0.2.1' : '127.0.0.1')(name, options, done);
    };
    // Whoever looks a name up to check it, and lets the connection look it up again, is led astray.
    rebinding('receiver.test', {}, () => {});
    const careful = createPush({ publicOnly: true, lookup: rebinding });
    expect(await careful(`http://receiver.test:${port}/`, 'set', signal())).toEqual(forbidden);
    expect([looks, requests, heard.connections]).toEqual([2, 0, 0]);
  });

  it('is left out where a name has public addresses too', () => {
    const found: unknown[] = [];
    const note = (...results: unknown[]) => void found.push(results);
    const lookup = publicLookup(leadingTo('10.0.0.1', '1.1.1.1', '::1', '2606:4700::1111', '64:ff9b::1.1.1.1'));
    lookup('receiver.test', { all: true }, note);
    lookup('receiver.test', {}, note);
    const all = [
      { address: '1.1.1.1', family: 4 },
      { address: '2606:4700::1111', family: 6 },
      { address: '64:ff9b::1.1.1.1', family: 6 },
    ];
    expect(found).toEqual([
      [null, all],
      [null, '1.1.1.1', 4],
    ]);
  });

  it('is sent to where any target is allowed', async () => {
    const heard = await counting();
    expect(await send(heard.url)).toEqual({ kind: 'delivered' });
  });
});
