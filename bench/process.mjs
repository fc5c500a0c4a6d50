/** Owns what one process of Latchkey is like under load: the loop while passwords are checked, memory, start. */
import { setTimeout as delay } from 'node:timers/promises';
import { call, inParallel } from './lib/call.mjs';
import { requests, startLatchkey } from './lib/latchkey.mjs';
import { runLoad, startRedis } from './lib/processes.mjs';

const MIB = 1024 * 1024;
const PASSWORDS_AT_ONCE = 50;

/** Delay of the event loop (ms) while so many people log in with a password at once, several times over. */
export async function measureLoopDelay({ times }) {
  const redis = await startRedis('passwords');
  const server = await startLatchkey('passwords', redis);
  const password = 'correct horse battery staple';
  await inParallel(PASSWORDS_AT_ONCE, (n) => call(server.url, requests.createUser(`user-${n}`, password)));
  await server.ask('watchLoop');
  for (let time = 0; time < times; time += 1) {
    await inParallel(PASSWORDS_AT_ONCE, (n) => call(server.url, requests.login(`user-${n}`, password)));
  }
  return server.ask('loopDelay');
}

/** Resident memory (MiB) while validations and logins come as fast as they are answered: after a warm-up, and at the end. */
export async function measureMemory({ users, seconds, connections, samples }) {
  const redis = await startRedis('rss');
  const server = await startLatchkey('rss', redis);
  const tokens = await inParallel(users, async (n) => (await call(server.url, requests.issue(`reader-${n}`))).body);
  const mixed = tokens.flatMap((token, n) => [
    ...Array.from({ length: 8 }, () => requests.validate(token)),
    requests.issue(`writer-${n}`),
    requests.introspect(token),
  ]);
  const sizes = [];
  const takeSamples = async () => {
    for (let sample = 0; sample < samples; sample += 1) {
      await delay((seconds * 1000) / (samples + 1));
      sizes.push((await server.ask('memory')).rss / MIB);
    }
  };
  const [{ rate }] = await Promise.all([
    runLoad({ url: server.url, connections, seconds, requests: mixed }),
    takeSamples(),
  ]);
  return { rate, sizes, peak: Math.max(...sizes) };
}

/** Milliseconds from the start of the process until it takes connections, with Redis there. */
export async function measureStart({ times }) {
  const redis = await startRedis('start');
  const starts = [];
  for (let time = 0; time < times; time += 1) {
    const server = await startLatchkey('start', redis);
    starts.push(server.startMs);
    await server.stop();
  }
  return starts;
}
