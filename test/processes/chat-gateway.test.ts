// The chat of examples/chat-gateway as real processes: two nodes of Latchkey, a gateway in local mode and one in online mode.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { WebSocket } from 'ws';
import { until } from '../helpers/processes.ts';
import {
  admin,
  caller,
  endServers,
  GATEWAY_KEY,
  issue,
  newDeployment,
  refresh,
  runNode,
  startServer,
  validate,
  type Answer,
  type Caller,
  type Deployment,
  type RunningProcess,
  type ServerProcess,
} from '../helpers/server-process.ts';
import { testRedisUrl } from '../helpers/test-redis.ts';

type Gateway = Caller & RunningProcess & { readonly url: string };
type Client = {
  readonly socket: WebSocket;
  readonly messages: Record<string, unknown>[];
  closed?: { readonly code: number; readonly reason: string };
};

let deployment: Deployment;
let nodes: readonly [ServerProcess, ServerProcess];
let gateways: readonly [Gateway, Gateway];
const sockets: WebSocket[] = [];
const redis = new Redis(testRedisUrl());

beforeAll(async () => {
  deployment = newDeployment({ LOGIN_POLICY: 'single-device' });
  const first = await startServer(deployment);
  nodes = [first, await startServer(deployment)];
  gateways = await Promise.all([startGateway(nodes[0], 'local'), startGateway(nodes[1], 'online')]);
});
afterAll(async () => {
  for (const socket of sockets) socket.terminate();
  redis.disconnect();
  await endServers();
});

async function startGateway(node: ServerProcess, mode: string): Promise<Gateway> {
  const running = runNode(['examples/chat-gateway/server.mjs'], {
    LATCHKEY_URL: node.url,
    ISSUER: 'http://latchkey.test',
    GATEWAY_API_KEY: GATEWAY_KEY,
    PORT: '0',
    MODE: mode,
    LEASE_INTERVAL_MS: '300',
  });
  const lineOf = () => /chat on (http:\S+)/.exec(running.stdout())?.[1];
  await until('the gateway listens', () => lineOf() !== undefined || running.exit() !== undefined);
  const url = lineOf();
  if (url === undefined) throw new Error(running.stderr());
  return { ...running, url, ...caller(url) };
}

async function connect(gateway: Gateway, { body }: Answer): Promise<Client> {
  const socket = new WebSocket(gateway.url, ['chat', `bearer.${body.accessToken}`]);
  const client: Client = { socket, messages: [] };
  sockets.push(socket);
  socket.on('error', () => {});
  socket.on('message', (data) =>
    client.messages.push(JSON.parse((data as Buffer).toString('utf8')) as Record<string, unknown>),
  );
  socket.on('close', (code, reason) => {
    client.closed = { code, reason: String(reason) };
  });
  await until('it is let in', () => client.messages.some(({ type }) => type === 'joined'));
  return client;
}

/** By the clock of Redis, ms. */
async function now(): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Number(micros) / 1000;
}

const isOpen = ({ socket }: Client) => socket.readyState === WebSocket.OPEN;
const me = (gateway: Gateway, { body }: Answer) =>
  gateway.call('GET', '/me', { headers: { authorization: `Bearer ${body.accessToken}` } });
const logout = (node: Caller, { body }: Answer, json: object = {}) =>
  node.call('POST', '/logout', { headers: { authorization: `Bearer ${body.accessToken}` }, json });
const codeOf = ({ status, body }: Answer) => `${status} ${body.code}`;

describe('a chat over two gateways', () => {
  it('throws the first device out when the second signs in, and says where and when', async () => {
    const [local, online] = gateways;
    for (const [here, there] of [
      [local, online],
      [online, local],
    ] as const) {
      const first = await connect(here, await issue(nodes[0], 'ada', { platform: 'web' }));
      const signedIn = await issue(nodes[1], 'ada', { platform: 'ios' });
      const second = await connect(there, signedIn);
      await until('the first is thrown out', () => first.closed !== undefined);
      expect(first.closed).toEqual({ code: 4401, reason: 'token_kicked' });
      const { createdAt: at } = signedIn.body.token as unknown as { createdAt: string };
      expect(first.messages.at(-1)).toMatchObject({
        type: 'token_ended',
        code: 'token_kicked',
        endedBy: { kind: 'login', platform: 'ios', policy: 'single-device' },
        text: `signed in on ios at ${at.slice(11, 16)} UTC`,
      });
      second.socket.send(JSON.stringify({ text: 'hello' }));
      await until('heard', () => second.messages.some(({ text }) => text === 'hello'));
    }
  });
});

describe('O8 logout and revoke end the token itself: REST and gateway both refuse it', () => {
  it.each(['logout', 'revoke'])('%s', async (way) => {
    const [local, online] = gateways;
    const signedIn = await issue(nodes[0], `o8-${way}`);
    const clients = [await connect(local, signedIn), await connect(online, signedIn)];
    const code = way === 'logout' ? 'token_logged_out' : 'token_revoked';
    const done = way === 'logout' ? logout(nodes[0], signedIn) : admin(nodes[0], 'DELETE', `/users/o8-${way}/tokens`);
    expect((await done).status).toBe(200);
    // From the very next call: REST on the other node, and the gateway that asks.
    expect(codeOf(await validate(nodes[1], signedIn.body.accessToken))).toBe(`401 ${code}`);
    expect(codeOf(await me(online, signedIn))).toBe(`401 ${code}`);
    await until('the local gateway has heard', async () => codeOf(await me(local, signedIn)) === `401 ${code}`);
    for (const client of clients) {
      await until('it is closed', () => client.closed !== undefined);
      expect(client.closed).toEqual({ code: 4401, reason: code });
    }
  });
});

describe('L3 a copied token is dead after the logout, on every node and gateway', () => {
  it('replays the access and the refresh token', async () => {
    const [local, online] = gateways;
    const signedIn = await issue(nodes[0], 'l3');
    // The copies are known to both gateways.
    for (const gateway of gateways) expect((await me(gateway, signedIn)).status).toBe(200);
    await logout(nodes[0], signedIn);
    for (const node of nodes) {
      expect(codeOf(await validate(node, signedIn.body.accessToken))).toBe('401 token_logged_out');
      expect(codeOf(await refresh(node, signedIn.body.refreshToken))).toBe('401 token_logged_out');
    }
    expect(codeOf(await me(online, signedIn))).toBe('401 token_logged_out');
    await until('the local gateway has heard', async () => (await me(local, signedIn)).status === 401);
    const replayed = new WebSocket(local.url, ['chat', `bearer.${signedIn.body.accessToken}`]);
    sockets.push(replayed);
    let closed: number | undefined;
    replayed.on('close', (code) => {
      closed = code;
    });
    await until('it is closed', () => closed === 4401);
  });
});

describe('T13 an admin ends tokens by user, platform, class or one by one: every gateway follows', () => {
  it.each([
    ['user', '', ['ios', 'web', 'windows']],
    ['platform', '?platform=ios', ['ios']],
    ['class', '?class=desktop', ['windows']],
    ['token', '', ['web']],
  ])('by %s', async (way, query, ended) => {
    const user = `t13-${way}`;
    await admin(nodes[0], 'PUT', `/users/${user}/policy`, { policy: 'no-kick' });
    const platforms = ['ios', 'web', 'windows'];
    const logins = await Promise.all(platforms.map((platform) => issue(nodes[0], user, { platform })));
    const clients = await Promise.all(logins.map((login, n) => connect(gateways[n % 2 === 0 ? 0 : 1], login)));
    const path = way === 'token' ? `/${logins[1]?.body.token.tokenId}` : query;
    const { body } = await admin(nodes[1], 'DELETE', `/users/${user}/tokens${path}`);
    const wanted = logins
      .filter((_, n) => ended.includes(platforms[n] ?? ''))
      .map(({ body: one }) => one.token.tokenId);
    expect(body.revoked.map(({ tokenId }) => tokenId).toSorted()).toEqual(wanted.toSorted());
    for (const [n, login] of logins.entries()) {
      const isEnded = ended.includes(platforms[n] ?? '');
      expect((await validate(nodes[0], login.body.accessToken)).status).toBe(isEnded ? 401 : 200);
      const client = clients[n] as Client;
      await until('it is closed or not', () => (client.closed !== undefined) === isEnded);
      expect(client.closed?.reason).toBe(isEnded ? 'token_revoked' : undefined);
    }
  });
});

describe('T8 a gateway that is killed frees its seats after lease and grace', () => {
  it('declines before that with Retry-After, and lets in after, while another platform keeps its lease', async () => {
    const [leaseSeconds, graceSeconds] = [2, 1];
    await admin(nodes[0], 'PUT', '/tenants/default', {
      policy: { name: 'seats', limits: [{ match: {}, countBy: 'platform', max: 1, overflow: 'decline' }] },
      presence: { leaseSeconds, graceSeconds },
    });
    const doomed = await startGateway(nodes[0], 'local');
    const [phone, desktop] = [await issue(nodes[0], 't8'), await issue(nodes[0], 't8', { platform: 'windows' })];
    await connect(doomed, phone);
    const stays = await connect(gateways[1], desktop);
    const tryPhone = () => issue(nodes[1], 't8', { platform: 'ios', deviceId: 'another' });
    // Longer than a first lease: it is the gateway that keeps the seat.
    const connectedAt = await now();
    await until(
      'a lease and its grace',
      async () => (await now()) > connectedAt + 1000 * (leaseSeconds + graceSeconds + 1),
    );
    expect((await tryPhone()).status).toBe(409);

    doomed.kill('SIGKILL');
    await doomed.exited;
    const declined = await tryPhone();
    const { code, conflicts } = declined.body as unknown as { code: string; conflicts: { leaseExpiresAt: string }[] };
    expect([declined.status, code]).toEqual([409, 'login_declined']);
    expect(Number(declined.headers['retry-after'])).toBeLessThanOrEqual(leaseSeconds + graceSeconds);
    const freeAt = Date.parse(conflicts[0]?.leaseExpiresAt ?? '') + graceSeconds * 1000;
    expect(freeAt - (await now())).toBeLessThanOrEqual(1000 * (leaseSeconds + graceSeconds));
    await until('lease and grace are over', async () => (await now()) > freeAt + 1);
    expect((await tryPhone()).status).toBe(200);
    // The other platform's seat is as it was.
    expect(isOpen(stays)).toBe(true);
    expect((await issue(nodes[0], 't8', { platform: 'windows', deviceId: 'another' })).status).toBe(409);
  });
});
