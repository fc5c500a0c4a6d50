/** A consumer of GET /events as a gateway would write one: keeps what it got, and can be cut off and come back. */
import { request, type ClientRequest } from 'node:http';
import { asGateway } from './calls.ts';

export type SseMessage = {
  readonly type: string;
  readonly data: Record<string, unknown>;
  readonly id: string | undefined;
};

export class SseClient {
  readonly messages: SseMessage[] = [];
  lastId: string | undefined;
  ended = false;
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  #request: ClientRequest | undefined;

  /** @param headers more of them */
  constructor(url: string, headers: Readonly<Record<string, string>> = {}) {
    this.#url = url;
    this.#headers = headers;
  }

  /** Resolves with the status when the answer begins. */
  connect(query = '', lastEventId = this.lastId): Promise<number> {
    this.ended = false;
    return new Promise((resolve, reject) => {
      const headers = {
        ...asGateway,
        ...this.#headers,
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
      };
      this.#request = request(`${this.#url}/events${query}`, { headers, agent: false }, (response) => {
        let buffered = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          const blocks = (buffered + chunk).split('\n\n');
          buffered = blocks.pop() ?? '';
          blocks.forEach((block) => this.#take(block));
        });
        response.on('error', () => {});
        response.on('close', () => {
          this.ended = true;
        });
        resolve(response.statusCode ?? 0);
      });
      this.#request.on('error', reject);
      this.#request.end();
    });
  }

  cut(): void {
    this.#request?.destroy();
  }

  /** Events alone: no heartbeats, no resets. */
  get events(): SseMessage[] {
    return this.messages.filter(({ type }) => type !== 'heartbeat' && type !== 'reset');
  }

  #take(block: string): void {
    const fields = new Map(
      block.split('\n').map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
    );
    const id = fields.get('id');
    if (id !== undefined) this.lastId = id;
    this.messages.push({
      type: fields.get('event') ?? '',
      data: JSON.parse(fields.get('data') ?? '{}') as Record<string, unknown>,
      id,
    });
  }
}
