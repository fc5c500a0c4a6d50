/** Owns how the rate of Latchkey changes as it fills: tokens of one user, and tokens in all. */
import { call, inParallel } from './lib/call.mjs';
import { requests, startLatchkey } from './lib/latchkey.mjs';
import { startRedis } from './lib/processes.mjs';
import { measureRates } from './lib/rounds.mjs';
import { seed } from './lib/seed.mjs';

const DEVICES = 3;

/** Logins of users who hold so many tokens, each on a device that takes over its own seat: the number stays. */
export async function measureHeldTokens({ users, held, ...load }) {
  const redis = await startRedis('held');
  const { url } = await startLatchkey('held', redis, { env: { LOGIN_POLICY: 'no-kick' } });
  await inParallel(users, async (n) => {
    for (let device = 1; device <= held; device += 1) await call(url, issue('many', n, device));
    await call(url, issue('one', n, held));
  });
  const plan = (kind) => () => ({ url, requests: Array.from({ length: users }, (_, n) => issue(kind, n, held)) });
  return measureRates({ one: plan('one'), many: plan('many') }, load);
}

const issue = (kind, n, device) => requests.issue(`${kind}-${n}`, { deviceId: `device-${device}` });

/** The same requests on a store of few tokens and on one of many; those asked about are spread over all of it. */
export async function measureStoreSize({ few, many, asked, ...load }) {
  const stores = { few: await fill(few, asked), many: await fill(many, asked) };
  const subjects = (make) => Object.fromEntries(Object.entries(stores).map(([name, store]) => [name, make(store)]));
  return {
    validate: await measureRates(
      subjects(({ url, tokens }) => () => ({ url, requests: tokens.map(requests.validate) })),
      load,
    ),
    login: await measureRates(
      subjects(({ url, userIds }) => () => ({
        url,
        requests: userIds.map((userId) => requests.issue(userId, { platform: 'android' })),
      })),
      load,
    ),
  };
}

async function fill(tokens, asked) {
  const users = Math.floor(tokens / DEVICES);
  const redis = await startRedis(`size-${tokens}`);
  await seed(redis, { users });
  const { url } = await startLatchkey(`size-${tokens}`, redis);
  const userIds = Array.from({ length: asked }, (_, n) => `user-${Math.floor((n * users) / asked)}`);
  const logIn = async (n) => (await call(url, requests.issue(userIds[n], { platform: 'linux' }))).body;
  return { url, userIds, tokens: await inParallel(asked, logIn) };
}
