/**
 * Owns what is asked of whom in the comparison of rates: Latchkey, the floors, the peers. Each subject is a server that
 * runs, and a plan of load.mjs.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { call, inParallel } from './lib/call.mjs';
import { requests, startLatchkey } from './lib/latchkey.mjs';
import { root, startServer } from './lib/processes.mjs';

const clientSecret = randomBytes(32).toString('hex');

/** Subjects of GET /validate and its like, and of all that makes tokens. */
export async function startSubjects(redis, { users, connections }) {
  const redisPort = String(redis.port);
  const latchkey = await startLatchkey('latchkey', redis);
  const floor = await startServer({ name: 'floor', args: ['bench/floors/server.mjs'], env: { REDIS_PORT: redisPort } });
  const peer = (name) =>
    startServer({
      name,
      args: [`${name}.mjs`],
      cwd: join(root, 'bench/peers'),
      env: { REDIS_PORT: redisPort, CLIENT_SECRET: clientSecret },
    });
  const oidc = await peer('oidc-provider');
  const session = await peer('express-session');

  const ours = await inParallel(users, async (n) => (await call(latchkey.url, requests.issue(`user-${n}`))).body);
  const floors = await inParallel(users, async (n) => (await call(floor.url, floorLogin(n, 'user'))).body);
  const theirs = await inParallel(users, async () => (await call(oidc.url, oidcMint)).body.access_token);
  const cookies = await inParallel(users, async (n) => {
    const { headers } = await call(session.url, { method: 'POST', path: `/login/user-${n}` });
    return headers['set-cookie'][0].split(';', 1)[0];
  });

  const chainsOf = (url, make) => async () => ({
    url,
    // From users of their own: each round begins with refresh tokens that nobody has used.
    chains: await inParallel(2 * connections, async (n) => (await call(url, make(n))).body.refreshToken),
  });
  const each = (make) => Array.from({ length: users }, (_, n) => make(n));
  return {
    // In the order in which they are measured: what is compared is next to each other, as the machine has its moods.
    checks: {
      'express-session: check': fixed(
        session.url,
        cookies.map((cookie) => ({ method: 'GET', path: '/check', headers: { cookie } })),
      ),
      'GET /validate': fixed(latchkey.url, ours.map(requests.validate)),
      'floor: validate': fixed(floor.url, floors.map(requests.validate)),
      'oidc-provider: introspection': fixed(oidc.url, theirs.map(oidcIntrospect)),
      'POST /introspect': fixed(latchkey.url, ours.map(requests.introspect)),
    },
    mints: {
      'floor: login': fixed(
        floor.url,
        each((n) => floorLogin(n)),
      ),
      'trusted issuance': fixed(
        latchkey.url,
        each((n) => requests.issue(`minted-${n}`)),
      ),
      'oidc-provider: client credentials': fixed(oidc.url, [...each(() => oidcMint)]),
      'floor: login, chained': chainsOf(floor.url, (n) => floorLogin(n)),
      'POST /token/refresh': chainsOf(latchkey.url, (n) => requests.issue(`refreshing-${n}`)),
    },
  };
}

const fixed = (url, list) => () => ({ url, requests: list });

const floorLogin = (n, kind = 'minted') => ({
  method: 'POST',
  path: '/login',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ userId: `${kind}-${n}`, platform: 'ios', deviceId: `phone-of-${kind}-${n}` }),
});

const asClient = {
  authorization: `Basic ${Buffer.from(`bench:${clientSecret}`).toString('base64')}`,
  'content-type': 'application/x-www-form-urlencoded',
};
const oidcMint = { method: 'POST', path: '/token', headers: asClient, body: 'grant_type=client_credentials' };
const oidcIntrospect = (token) => ({
  method: 'POST',
  path: '/token/introspection',
  headers: asClient,
  body: `token=${token}`,
});
