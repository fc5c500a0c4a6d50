// Connections to other services are kept for a time only: a changed DNS record is followed.
import { afterAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHttpFetch } from '../src/gateway/http-fetch.ts';

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

/** Tells at which address it was asked. */
async function startServer(address: string, port = 0) {
  const server = createServer((_request, response) => response.end(address));
  await new Promise<void>((resolve) => {
    server.listen(port, address, resolve);
  });
  servers.push(server);
  return server;
}

describe('F50 a kept connection has a greatest age', () => {
  it('after which the name is looked up again', async () => {
    const old = await startServer('127.0.0.1');
    const { port } = old.address() as AddressInfo;
    await startServer('127.0.0.2', port);
    let [address, now, lookups] = ['127.0.0.1', 0, 0];
    const fetch = createHttpFetch({
      monotonic: () => now,
      lookup: (_host, { all }, done) => {
        lookups += 1;
        if (all) done(null, [{ address, family: 4 }]);
        else done(null, address, 4);
      },
    });
    const ask = async () => {
      const init = { headers: {}, signal: AbortSignal.timeout(5_000), redirect: 'manual' } as const;
      const { body } = await fetch(`http://latchkey.test:${port}/`, init);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body ?? []) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    };
    expect(await ask()).toBe('127.0.0.1');
    address = '127.0.0.2';
    now = 29_000;
    expect([await ask(), lookups]).toEqual(['127.0.0.1', 1]);
    now = 31_000;
    await ask(); // The last one: it is not kept any longer.
    expect([await ask(), lookups]).toEqual(['127.0.0.2', 2]);
  });
});
