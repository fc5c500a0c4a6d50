/** Owns how the benchmark starts Latchkey and calls it: by its settings and its HTTP contract alone. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { exportJWK, generateKeyPair } from 'jose';
import { call } from './call.mjs';
import { folder, startServer } from './processes.mjs';

const POLL_MS = 5;

const secret = () => randomBytes(32).toString('hex');
const adminKey = secret();
const gatewayKey = secret();

/** One line a request is not written, as no other server here writes any. */
export const LOG_LEVEL = 'warn';

const keysFile = join(folder, 'signing-keys.json');
const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
const jwk = { ...(await exportJWK(privateKey)), alg: 'EdDSA', use: 'sig', kid: 'bench' };
writeFileSync(keysFile, JSON.stringify({ keys: [jwk] }), { mode: 0o600 });

/** As `npm start` runs it in production. Only the throttle is off: thousands of users log in from one address here. */
export async function startLatchkey(name, redis, { nodeArgs = [], env = {} } = {}) {
  const server = await startServer({
    name,
    args: [...nodeArgs, '--enable-source-maps', 'dist/main.js'],
    env: {
      LOG_LEVEL,
      ISSUER: 'http://latchkey.bench',
      REDIS_URL: redis.url,
      SIGNING_KEYS_FILE: keysFile,
      REFRESH_SECRET: secret(),
      ADMIN_API_KEY: adminKey,
      GATEWAY_API_KEY: gatewayKey,
      THROTTLE_USER_FAILURES: '0',
      THROTTLE_ADDRESS_FAILURES: '0',
      THROTTLE_USER_LOGINS: '0',
      THROTTLE_ADDRESS_LOGINS: '0',
      ...env,
    },
  });
  // It listens before it has found Redis, and says so.
  const isReady = () =>
    call(server.url, { method: 'GET', path: '/readyz' }).then(
      () => true,
      () => false,
    );
  while (!(await isReady())) await delay(POLL_MS);
  return server;
}

/** The user agent of a phone's browser, longer than what is kept of one. */
export const USER_AGENT =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1';

export const asGateway = { authorization: `Bearer ${gatewayKey}` };
const asJson = (headers) => ({ ...headers, 'content-type': 'application/json', 'user-agent': USER_AGENT });
const asForm = (headers) => ({ ...headers, 'content-type': 'application/x-www-form-urlencoded' });

/** The requests that are measured, as load.mjs takes them. */
export const requests = {
  issue: (userId, device = {}) => ({
    method: 'POST',
    path: `/admin/users/${userId}/tokens`,
    headers: asJson({ authorization: `Bearer ${adminKey}` }),
    body: JSON.stringify({ platform: 'ios', deviceId: `phone-of-${userId}`, deviceName: 'iPhone 15 Pro', ...device }),
  }),
  validate: ({ accessToken }) => ({
    method: 'GET',
    path: '/validate',
    headers: { authorization: `Bearer ${accessToken}` },
  }),
  introspect: ({ accessToken }) => ({
    method: 'POST',
    path: '/introspect',
    headers: asForm(asGateway),
    body: `token=${accessToken}`,
  }),
  createUser: (userId, password) => ({
    method: 'POST',
    path: '/admin/users',
    headers: asJson({ authorization: `Bearer ${adminKey}` }),
    body: JSON.stringify({ userId, password }),
  }),
  login: (userId, password) => ({
    method: 'POST',
    path: '/login',
    headers: asJson({}),
    body: JSON.stringify({ userId, password, platform: 'ios', deviceId: `phone-of-${userId}` }),
  }),
  putTenant: (config) => ({
    method: 'PUT',
    path: '/admin/tenants/default',
    headers: asJson({ authorization: `Bearer ${adminKey}` }),
    body: JSON.stringify(config),
  }),
};
