/** A client that writes bytes as it likes, where HTTP libraries would mend or refuse them. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { until } from './processes.ts';

export class RawClient {
  readonly socket: Socket;
  /** All that has come back. */
  received = '';
  /** The server has closed its side. */
  ended = false;

  private constructor(port: number) {
    // Half open: only what the server does closes the connection.
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.setEncoding('utf8').on('data', (text: string) => (this.received += text));
    this.socket.on('end', () => (this.ended = true));
    this.socket.on('error', () => {});
  }

  /** Connects to a server at this URL, or on a port. */
  static async to(server: string | number): Promise<RawClient> {
    const client = new RawClient(typeof server === 'number' ? server : Number(new URL(server).port));
    await once(client.socket, 'connect');
    return client;
  }

  /** In one packet, as far as the system does as it is told. */
  send(...lines: readonly string[]): this {
    this.socket.write(lines.join('\r\n'));
    return this;
  }

  /** Statuses of all answers so far. */
  get statuses(): number[] {
    return [...this.received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
  }

  async untilAnswered(count = 1): Promise<this> {
    await until(`${count} answers`, () => this.statuses.length >= count);
    return this;
  }

  async untilEnded(): Promise<this> {
    await until('the server closes', () => this.ended || this.socket.destroyed);
    return this;
  }

  /** What a peer sees of one that has gone. */
  async close(): Promise<void> {
    if (this.socket.destroyed) return;
    this.socket.destroy();
    await once(this.socket, 'close');
  }
}
