// The feed when what is below it or beside it fails: trimmed streams, a Redis that restarts or fails over, a node that
// dies, consumers that do not read; and on Redis Cluster.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { createKeys } from '../../src/redis/keys.ts';
import { openStore } from '../../src/redis/open-store.ts';
import { asGateway, issue } from '../helpers/calls.ts';
import { endRedis, ownCluster, ownRedis, portOf } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { endServers, issue as issueAt, newDeployment, startServer } from '../helpers/server-process.ts';
import { closeServices, GATEWAY_KEY, startService, type Service } from '../helpers/service.ts';
import { SseClient } from '../helpers/sse.ts';
import { testPrefix, testRedisUrl } from '../helpers/test-redis.ts';

const clients: SseClient[] = [];
const connections: Redis[] = [];
const closers: (() => void)[] = [];

afterAll(async () => {
  for (const client of clients) client.cut();
  await closeServices();
  await endServers();
  for (const connection of connections) connection.disconnect();
  for (const close of closers) close();
  await endRedis();
});

function clientOf(url: string): SseClient {
  const client = new SseClient(url);
  clients.push(client);
  return client;
}

/** A consumer that has its first cursor. */
async function follow(url: string, query = '', from?: string): Promise<SseClient> {
  const client = clientOf(url);
  expect(await client.connect(query, from)).toBe(200);
  await until('the first cursor', () => client.lastId !== undefined);
  return client;
}

function redisAt(url: string): Redis {
  const redis = new Redis(url);
  redis.on('error', () => {});
  connections.push(redis);
  return redis;
}

/** Signs in so many users of this name; answers the tokens. */
async function signIn(service: Service, name: string, count: number): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: count }, (_, n) => issue(service, `${name}-${n}`)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  return answers.map(({ body }) => body.token.tokenId);
}

async function backInService(service: Service): Promise<void> {
  await until('it serves again', async () => (await issue(service, 'probe')).status === 200);
  // On a Redis that is new the epoch is written last; who listens before that is reset once.
  await service.deployment.check();
}

const tokensOf = (...seen: SseClient[]) =>
  new Set(seen.flatMap(({ events }) => events.map(({ data }) => data['tokenId'])));
const kicksOf = (...seen: SseClient[]): string[] =>
  seen
    .flatMap(({ events }) => events)
    .filter(({ type }) => type === 'token.kicked')
    .map(({ data }) => String(data['tokenId']));

const resetsOf = (client: SseClient) => client.messages.filter(({ type }) => type === 'reset').map(({ data }) => data);

const heardAll = (wanted: readonly string[], ...seen: SseClient[]) =>
  until('all events', () => wanted.every((tokenId) => tokensOf(...seen).has(tokenId)));

const KEPT_SECONDS = 5;

describe('R10 trimming takes nothing from a consumer that is not too late', () => {
  it('goes on while streams are trimmed and expire under it', async () => {
    const service = await startService();
    // Seconds of retention, on a node of its own: long enough for a reader on a busy machine.
    const accessTtlSeconds = KEPT_SECONDS - 10 * 60;
    const options = { keyPrefix: service.prefix, shards: 64, accessTtlSeconds, onTouchFailed: () => {} };
    const throttle = { userFailures: 0, addressFailures: 0, lockMs: 1, longestLockMs: 1, memoryMs: 1 };
    const stores = openStore(
      service.redis,
      { ...options, throttle: { ...throttle, userLogins: 0, addressLogins: 0, windowMs: 1 } },
      service.clock,
    );
    expect(stores.retention.keptMs()).toBe(KEPT_SECONDS * 1000);
    const forgetful = await startService({ prefix: service.prefix, override: { stores } });
    const client = await follow(service.url);
    const wanted: string[] = [];
    const kept = async () =>
      await Promise.all([...Array(64).keys()].map((n) => service.redis.exists(service.keys.events(n))));
    for (let round = 0; round < 5; round += 1) wanted.push(...(await signIn(forgetful, `round-${round}`, 50)));
    await heardAll(wanted, client);
    await until('the streams have gone', async () => (await kept()).every((count) => count === 0));
    const later = await signIn(forgetful, 'later', 20);
    await heardAll(later, client);
    expect(resetsOf(client)).toEqual([]);
    expect(client.events).toHaveLength(wanted.length + later.length);
  });

  it('resets who comes back after what it had not seen was trimmed', async () => {
    const service = await startService();
    const client = await follow(service.url);
    const cursor = client.lastId;
    client.cut();
    await signIn(service, 'missed', 5);
    for (let shard = 0; shard < 64; shard += 1) await service.redis.xtrim(service.keys.events(shard), 'MAXLEN', 0);
    service.shiftClock(service.retention.keptMs() + 10_000);
    const late = await follow(service.url, '', cursor);
    expect(late.messages[0]).toMatchObject({ type: 'reset', data: { reason: 'cursor_expired' } });
  });

  it('takes the cursor that it gave to who began at a time', async () => {
    const service = await startService();
    const client = await follow(service.url, `?from=${service.store.now() + 3_600_000}`);
    const cursor = client.lastId;
    const wanted = await signIn(service, 'ada', 3);
    await heardAll(wanted, client);
    const again = await follow(service.url, '', cursor);
    await heardAll(wanted, again);
    expect(resetsOf(again)).toEqual([]);
  });
});

describe('R10 the feed outlives its Redis', () => {
  it('goes on after a restart from the append-only file', async () => {
    const redis = await ownRedis({ appendOnly: true });
    await redis.start();
    const service = await startService({ redisUrl: redis.url });
    await backInService(service);
    const [staying, cut] = [await follow(service.url), await follow(service.url)];
    const before = await signIn(service, 'before', 20);
    await heardAll(before, staying);
    cut.cut();
    await redis.kill();
    expect((await issue(service, 'nobody')).status).toBe(503);
    await redis.start();
    await backInService(service);
    const after = await signIn(service, 'after', 20);
    const back = await follow(service.url, '', cut.lastId);
    await heardAll([...before, ...after], staying);
    await heardAll([...before, ...after], cut, back);
    expect([...resetsOf(staying), ...resetsOf(back)]).toEqual([]);
  });

  it.each([
    ['has everything', true],
    ['lacks the last writes', false],
  ])('goes on after a failover to a replica that %s', async (_case, isComplete) => {
    const settings = { 'repl-diskless-sync-delay': '0' };
    const [master, replica] = [await ownRedis({ settings }), await ownRedis()];
    await Promise.all([master.start(), replica.start()]);
    const proxy = await startProxy(portOf(master));
    const [onMaster, onReplica] = [redisAt(master.url), redisAt(replica.url)];
    await onReplica.replicaof('127.0.0.1', portOf(master));
    // WAIT speaks of the writes of its own connection: this one comes after all that were made before.
    const hasAll = async () => (await onMaster.incr('written')) > 0 && (await onMaster.wait(1, 100)) === 1;
    await until('the replica has joined', hasAll);
    const service = await startService({ redisUrl: `redis://127.0.0.1:${proxy.port}` });
    await backInService(service);
    const [staying, cut] = [await follow(service.url), await follow(service.url)];
    const before = await signIn(service, 'before', 20);
    await heardAll(before, staying, cut);
    cut.cut();
    await until('the replica has it', hasAll);
    if (!isComplete) await onReplica.replicaof('NO', 'ONE');
    await heardAll(await signIn(service, 'last', 20), staying);
    if (isComplete) await until('the replica has it', hasAll);
    await master.kill();
    await onReplica.replicaof('NO', 'ONE');
    proxy.switchTo(portOf(replica));
    await backInService(service);
    const lost = isComplete ? [] : ['epoch_changed'];
    await until('who was told of what is lost knows it', () => resetsOf(staying).length === lost.length);
    const after = await signIn(service, 'after', 20);
    const back = await follow(service.url, '', cut.lastId);
    await heardAll(after, staying);
    await heardAll(isComplete ? [...before, ...after] : before, cut, back);
    expect(resetsOf(staying).map((data) => data['reason'])).toEqual(lost);
    expect(resetsOf(back).map((data) => data['reason'])).toEqual(lost);
  });
});

describe('R10 consumers move on and do not hold others up', () => {
  it('resumes at another node when its own was killed', async () => {
    const deployment = newDeployment({ GATEWAY_API_KEY: GATEWAY_KEY, LOGIN_POLICY: 'single-device' });
    const [first, second] = await Promise.all([startServer(deployment), startServer(deployment)]);
    const client = await follow(first.url);
    const tokens: string[] = [];
    for (let n = 0; n < 30; n += 1) {
      tokens.push((await issueAt(second, 'ada')).body.token.tokenId);
      if (n === 15) first.kill('SIGKILL');
    }
    await until('it is cut off', () => client.ended);
    const next = await follow(second.url, '', client.lastId);
    await until('all kicks', () => new Set(kicksOf(client, next)).size === 29);
    const unseen = kicksOf(next).filter((tokenId) => !kicksOf(client).includes(tokenId));
    expect([...kicksOf(client), ...unseen]).toEqual(tokens.slice(0, -1));
  });

  it('lets a consumer go that does not read, which then comes back for the rest', async () => {
    const events = 60_000;
    const prefix = testPrefix();
    const node = await startServer(newDeployment({ KEY_PREFIX: prefix, GATEWAY_API_KEY: GATEWAY_KEY }));
    const { body } = await issueAt(node, 'ada');
    expect(body.token.userId).toBe('ada');
    const redis = redisAt(testRedisUrl());
    await copyEvents(redis, prefix, events);
    const before = memoryOf(node.pid);

    const reader = new UnreadStream(node.port);
    const channel = createKeys(prefix, 64).events(0);
    const isServed = async () => ((await redis.pubsub('NUMSUB', channel)) as [string, number])[1] > 0;
    await until('it is served', isServed);
    await until('it is let go', async () => !(await isServed()));
    expect(memoryOf(node.pid) - before).toBeLessThan(150);

    const lastId = await reader.readToTheEnd();
    expect(reader.events).toBeGreaterThan(0);
    expect(reader.events).toBeLessThan(events);
    const back = clientOf(node.url);
    let seen = 0;
    back.messages.push = ({ type }) => (type === 'token.issued' ? (seen += 1) : seen);
    await back.connect('', lastId);
    await until('the rest', () => reader.events + seen >= events + 1);
    expect(back.ended).toBe(false);
  });
});

describe('a consumer that has gone before it was served', () => {
  it('leaves nothing behind, nor does one that asks for the head alone', async () => {
    const redis = await ownRedis();
    await redis.start();
    const service = await startService({ redisUrl: redis.url });
    await backInService(service);
    const connected = () =>
      new Promise<number>((resolve) => {
        service.server.getConnections((_error, count) => resolve(count));
      });
    await until('nobody is connected', async () => (await connected()) === 0);
    redis.freeze();
    const impatient = clientOf(service.url);
    const answer = impatient.connect().catch(() => 'cut off');
    await until('it is connected', async () => (await connected()) === 1);
    impatient.cut();
    await until('it has gone', async () => (await connected()) === 0);
    redis.thaw();
    expect(await answer).toBe('cut off');
    const keptOpen = connect((service.server.address() as AddressInfo).port, '127.0.0.1');
    closers.push(() => keptOpen.destroy());
    let head = '';
    keptOpen.setEncoding('utf8').on('data', (chunk: string) => (head += chunk));
    keptOpen.write(`HEAD /events HTTP/1.1\r\nHost: latchkey\r\nAuthorization: ${asGateway.authorization}\r\n\r\n`);
    await until('it is answered', () => head.includes('\r\n\r\n'));
    (await follow(service.url)).cut();
    const asked = redisAt(redis.url);
    const channel = service.keys.events(0);
    await until('nobody listens', async () => ((await asked.pubsub('NUMSUB', channel)) as [string, number])[1] === 0);
  });
});

describe('a consumer that does not read even the end', () => {
  it('is cut off', async () => {
    const service = await startService();
    await issue(service, 'ada');
    await copyEvents(service.redis, service.prefix, 40_000);
    const connected = () =>
      new Promise<number>((resolve) => {
        service.server.getConnections((_error, count) => resolve(count));
      });
    const { port } = service.server.address() as AddressInfo;
    const reader = new UnreadStream(port);
    await until('it is connected', async () => (await connected()) === 1);
    await until('it is cut off', async () => (await connected()) === 0);
    await reader.readToTheEnd();
  });
});

describe('R13 the feed works on Redis Cluster', () => {
  it('tells of logins and kicks in all shards', async () => {
    const { url, nodes } = await ownCluster(3);
    const service = await startService({ redisUrl: url, env: { LOGIN_POLICY: 'single-device' } });
    await backInService(service);
    const client = await follow(service.url);
    const users = [...Array(60).keys()].map((n) => ({ tenant: 'default', userId: `user-${n}` }));
    const shards = new Set(users.map((user) => service.keys.shardOf(user) % 64));
    expect(shards.size).toBeGreaterThan(30);
    const first = await signIn(service, 'user', users.length);
    const second = await signIn(service, 'user', users.length);
    await heardAll([...first, ...second], client);
    await until('all kicks', () => kicksOf(client).length === first.length);
    expect(new Set(kicksOf(client))).toEqual(new Set(first));
    const back = await follow(service.url, '?from=start');
    await heardAll([...first, ...second], back);
    const sizes = await Promise.all(nodes.map((node) => redisAt(node.url).dbsize()));
    expect(Math.min(...sizes)).toBeGreaterThan(10);
  });
});

/** A port that stays while what is behind it changes: the address that operators give to a pair of servers. */
async function startProxy(target: number) {
  let current = target;
  const sockets = new Set<Socket>();
  const server = createServer((incoming) => {
    const outgoing = connect(current, '127.0.0.1');
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        incoming.destroy();
        outgoing.destroy();
      });
    }
    incoming.pipe(outgoing).pipe(incoming);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const cutAll = () => sockets.forEach((socket) => socket.destroy());
  closers.push(() => {
    server.close();
    cutAll();
  });
  return {
    port: (server.address() as AddressInfo).port,
    switchTo(port: number) {
      current = port;
      cutAll();
    },
  };
}

/** Repeats the one event that there is, in all shards. */
async function copyEvents(redis: Redis, prefix: string, count: number): Promise<void> {
  const keys = createKeys(prefix, 64);
  const home = keys.shardOf({ tenant: 'default', userId: 'ada' });
  const [entry] = await redis.xrange(keys.events(home), '-', '+');
  const packed = entry?.[1][1] ?? '';
  expect(packed).toContain('token.issued');
  for (let done = 0; done < count; done += 10_000) {
    const pipeline = redis.pipeline();
    for (let n = done; n < done + 10_000; n += 1) pipeline.xadd(keys.events(n % 64), '*', 'e', packed);
    await pipeline.exec();
  }
}

/** Resident memory of a process, MB. */
function memoryOf(pid: number): number {
  const kilobytes =
    process.platform === 'linux'
      ? /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      : execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' });
  return Number(kilobytes) / 1024;
}

/** Asks for all events and does not read a byte of them until it is told to. */
class UnreadStream {
  events = 0;
  readonly #socket: Socket;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.on('error', () => {});
    this.#socket.write(
      `GET /events?from=start HTTP/1.0\r\nHost: latchkey\r\nAuthorization: Bearer ${GATEWAY_KEY}\r\n\r\n`,
    );
  }

  /** Counts the events up to the last cursor and answers that. */
  async readToTheEnd(): Promise<string> {
    let text = '';
    this.#socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await until('the connection is closed', () => this.#socket.destroyed);
    const upTo = text.slice(0, text.lastIndexOf('\n\n'));
    const lastCursor = upTo.lastIndexOf('\nid: ');
    this.events = upTo.slice(0, lastCursor).split('\nevent: token.issued').length - 1;
    return upTo.slice(lastCursor + 5).split('\n', 1)[0] ?? '';
  }
}
