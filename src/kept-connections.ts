/**
 * Owns how long a connection to another service is kept: only a new one looks its name up again, so a service that has moved
 * is found within the greatest age. Must not know who is called.
 */
import { Agent as HttpAgent, type AgentOptions } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';

const GREATEST_AGE_MS = 30_000;
/** Less than servers wait before they close a connection themselves. */
const IDLE_MS = 4_000;

export type ConnectionOptions = {
  /** Monotonic ms, by which connections age. */
  readonly monotonic?: () => number;
  /** How names become addresses; as the operating system says when not given. */
  readonly lookup?: LookupFunction;
};

/** By the protocol of a URL. */
export type Agents = Readonly<Record<string, HttpAgent>>;

export function createAgents(options: ConnectionOptions = {}): Agents {
  const agents = agentsWith({ keepAlive: true, timeout: IDLE_MS }, options);
  for (const agent of Object.values(agents)) keepOnlyYoung(agent, options.monotonic ?? (() => performance.now()));
  return agents;
}

/** Whose connections are all new: for what has met a kept one that was broken. */
export function createFreshAgents(options: ConnectionOptions = {}): Agents {
  return agentsWith({ keepAlive: false }, options);
}

function agentsWith(keeping: AgentOptions, { lookup }: ConnectionOptions): Agents {
  const options = { ...keeping, ...(lookup && { lookup }) };
  // RFC 7301 section 3.2: of all protocols HTTP/1.1 alone is offered.
  return { 'http:': new HttpAgent(options), 'https:': new HttpsAgent({ ...options, ALPNProtocols: ['http/1.1'] }) };
}

/** Node asks the agent about each connection that has become free. Its age counts from the first time. */
function keepOnlyYoung(agent: HttpAgent, monotonic: () => number): void {
  const firstFreeAt = new WeakMap<Duplex, number>();
  const keep = agent.keepSocketAlive.bind(agent);
  agent.keepSocketAlive = (socket) => {
    const since = firstFreeAt.get(socket) ?? monotonic();
    firstFreeAt.set(socket, since);
    return monotonic() - since < GREATEST_AGE_MS ? keep(socket) : undefined;
  };
}
