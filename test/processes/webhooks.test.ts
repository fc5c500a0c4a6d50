/**
 * Webhooks of a deployment of several processes: one delivers, another takes over when it dies, and a receiver hears of
 * everything, in order per user. Redis may go away and come back meanwhile.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { freePort } from '../helpers/free-port.ts';
import { endRedis, ownRedis } from '../helpers/own-redis.ts';
import { until } from '../helpers/processes.ts';
import { closeReceivers, eventOf, startReceiver, type Receiver } from '../helpers/receiver.ts';
import {
  admin,
  endServers,
  issue,
  newDeployment,
  runNode,
  startServer,
  type ServerProcess,
} from '../helpers/server-process.ts';

/** Only for what hangs. */
const LIMIT_MS = 240_000;

afterAll(async () => {
  await endServers();
  await closeReceivers();
  await endRedis();
}, LIMIT_MS);

const stateOf = async (node: ServerProcess) =>
  (await admin(node, 'GET', '/tenants/acme/webhook')).body as unknown as { state: string; lastError?: string };
const delivering = (node: ServerProcess) =>
  until('it delivers', async () => (await stateOf(node)).state === 'delivering');

/** Ids of a user's events in the order of their first arrival: the same id again is the same event. */
const heardOf = (receiver: Receiver, userId: string) => [
  ...new Set(
    receiver.received
      .map((one) => eventOf(one))
      .flatMap((one) => (one['userId'] === userId ? [String(one['id'])] : [])),
  ),
];

const happenedTo = async (node: ServerProcess, userId: string): Promise<string[]> => {
  const { body } = await admin(node, 'GET', `/users/${userId}/history?tenant=acme`);
  return (body.events as readonly { readonly id?: string }[]).map(({ id = '' }) => id).toReversed();
};

async function heardAll(node: ServerProcess, receiver: Receiver, users: readonly string[]): Promise<void> {
  for (const user of users) {
    const happened = await happenedTo(node, user);
    await until(`all of ${user}`, () => heardOf(receiver, user).length >= happened.length);
    expect([user, heardOf(receiver, user)]).toEqual([user, happened]);
  }
}

describe('the node that delivers', () => {
  it.each([
    ['SIGKILL', 15_000],
    ['SIGTERM', 5_000],
  ] as const)(
    'ends by %s: another takes over, and nothing is missed or out of order',
    async (signal, limitMs) => {
      const { env } = newDeployment({ LOGIN_POLICY: 'single-device' });
      const receiver = await startReceiver();
      const first = await startServer({ env });
      await admin(first, 'PUT', '/tenants/acme', { webhook: { url: receiver.url } });
      await delivering(first);
      const second = await startServer({ env });
      const users = Array.from({ length: 8 }, (_, index) => `user-${index}`);
      const flow = { isOver: false };
      // At most 20 logins of a user: with their kicks that is less than a history keeps.
      const logins = users.map(async (user) => {
        for (let round = 0; round < 20 && !flow.isOver; round += 1) {
          await issue(second, user, {}, 'acme');
          await new Promise((resolve) => setTimeout(resolve, round < 10 ? 10 : 600));
        }
      });
      await until('some have come', () => receiver.received.length > 50);
      first.kill(signal);
      await first.exited;
      const before = receiver.received.length;
      const took = await until('another delivers', () => receiver.received.length > before + 5, limitMs);
      expect(took).toBeLessThan(limitMs);
      flow.isOver = true;
      await Promise.all(logins);
      await heardAll(second, receiver, users);
    },
    LIMIT_MS,
  );

  it(
    'waits out an outage of Redis, which it tells of once, and misses nothing',
    async () => {
      const redis = await ownRedis({ appendOnly: true });
      await redis.start();
      const { env } = newDeployment({ REDIS_URL: redis.url });
      const receiver = await startReceiver();
      const node = await startServer({ env });
      await admin(node, 'PUT', '/tenants/acme', { webhook: { url: receiver.url } });
      await delivering(node);
      await issue(node, 'ada', {}, 'acme');
      await until('it has come', () => receiver.received.length > 0);
      await redis.kill();
      const told = () => node.stdout().match(/^.*webhook: delivery is left.*$/gm) ?? [];
      await until('it is told', () => told().length > 0);
      expect(JSON.parse(told()[0] ?? '')).toMatchObject({ level: 40, err: { message: expect.any(String) } });
      await redis.start();
      await until('it serves', async () => (await issue(node, 'ada', {}, 'acme')).status === 200);
      await heardAll(node, receiver, ['ada']);
      // Each kind of trouble once, whatever the number of looks.
      const kinds = told().map((line) => JSON.parse(line).err.message);
      expect(kinds).toEqual([...new Set(kinds)]);
      expect(node.exit()).toBeUndefined();
    },
    LIMIT_MS,
  );
});

describe('examples/webhook-receiver', () => {
  const file = fileURLToPath(new URL('../../examples/webhook-receiver/receiver.mjs', import.meta.url));

  it('stands in README.md word for word', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    expect(readme).toContain(`\`\`\`js\n${readFileSync(file, 'utf8')}\`\`\``);
  });

  it(
    'F44 prints a kick that it has verified, refuses what is no token, and has all else sent again',
    async () => {
      const { env } = newDeployment({ LOGIN_POLICY: 'single-device' });
      const node = await startServer({ env });
      const port = await freePort();
      const url = `http://127.0.0.1:${port}/`;
      const receiver = runNode([file], {
        LATCHKEY_URL: node.url,
        ISSUER: env['ISSUER'] ?? '',
        RECEIVER_URL: url,
        PORT: String(port),
      });
      const post = (body: string) =>
        fetch(url, { method: 'POST', body }).then(
          async (response) => [response.status, await response.text()],
          () => [0],
        );
      await until('it listens', async () => (await post('x'))[0] !== 0);
      expect(await post('x')).toEqual([400, '{"err":"invalid_request"}']);
      const { body } = await issue(node, 'ada', {}, 'acme');
      // It may be the receiver that is set up wrong.
      expect(await post(body.accessToken)).toEqual([503, '']);
      await admin(node, 'PUT', '/tenants/acme', { webhook: { url: `${url}?` } });
      await until(
        'the wrong audience is not taken',
        async () => (await stateOf(node)).lastError === 'status_503',
        15_000,
      );
      await admin(node, 'PUT', '/tenants/acme', { webhook: { url } });
      await delivering(node);
      await issue(node, 'ada', { platform: 'macos' }, 'acme');
      await until('it prints', () => receiver.stdout().includes(`ada lost ${body.token.tokenId} to macos`));
      receiver.kill('SIGTERM');
    },
    LIMIT_MS,
  );
});
