/** A TCP proxy between a gateway and the service, that can cut connections, swallow bytes, and change its target. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export type TcpProxy = {
  readonly url: string;
  target: string;
  /** Refuses new connections and cuts those that there are. */
  cut(): void;
  /** Keeps connections open and lets nothing through: a dead network. */
  blackhole(): void;
  heal(): void;
  /** The connections that there are carry nothing any more, and nobody is told; new ones work. */
  silence(): void;
  close(): void;
};

const proxies: TcpProxy[] = [];

export function closeProxies(): void {
  proxies.splice(0).forEach((proxy) => proxy.close());
}

export async function startProxy(target: string): Promise<TcpProxy> {
  let mode: 'open' | 'cut' | 'blackhole' = 'open';
  const sockets = new Set<Socket>();
  const silent = new WeakSet<Socket>();
  const server = createServer((near) => {
    if (mode === 'cut') {
      near.destroy();
      return;
    }
    const { hostname, port } = new URL(proxy.target);
    const far = connect(Number(port), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => {
        if (mode === 'open' && !silent.has(from)) to.write(chunk);
      });
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const cutAll = () => sockets.forEach((socket) => socket.destroy());
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const proxy: TcpProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    target,
    cut() {
      mode = 'cut';
      cutAll();
    },
    blackhole() {
      mode = 'blackhole';
    },
    heal() {
      // Bytes that were swallowed make a connection useless.
      if (mode === 'blackhole') cutAll();
      mode = 'open';
    },
    silence() {
      for (const socket of sockets) silent.add(socket);
    },
    close() {
      cutAll();
      server.close();
    },
  };
  proxies.push(proxy);
  return proxy;
}
