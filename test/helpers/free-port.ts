/** Ports for servers of tests. */
import { createServer } from 'node:net';

/** Below those that systems give to clients and to who asks for any port: nobody takes it before the server is started. */
const FIRST = 10_240;
const COUNT = 20_000;

/** A port of loopback that nobody listens on, and that no client is given. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (await isFree(host, port)) return port;
  }
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer().once('error', () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}
