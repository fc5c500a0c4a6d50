/**
 * Checks a second of the gateway's token checker in local mode, beside bare jose.jwtVerify, in one process and one run:
 * `npm run build && node bench/gateway-check.mjs`. Latchkey itself is played by a small server: metadata, a key set and a feed.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import { createTokenChecker } from '../dist/gateway/index.js';

const TOKENS = 12_800;
/** Checks that are under way at a time. */
const AT_A_TIME = 64;
const SLICE = 640;
const CACHED_TIMES = 20;
const ROUNDS = 5;

const { publicKey, privateKey } = await generateKeyPair('EdDSA', { extractable: true });
const jwk = { ...(await exportJWK(publicKey)), alg: 'EdDSA', use: 'sig', kid: 'k1' };
const heartbeat = () => `event: heartbeat\ndata: ${JSON.stringify({ at: new Date().toISOString(), live: true })}\n\n`;
const server = createServer((request, response) => {
  if (!request.url.startsWith('/events')) return response.end(JSON.stringify({ issuer, keys: [jwk] }));
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(heartbeat());
  return setInterval(() => response.write(heartbeat()), 5_000).unref();
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const tokens = await Promise.all(
  Array.from({ length: TOKENS }, (_, n) =>
    new SignJWT({ client_id: 'ios', sid: randomUUID(), tenant: 'default', platform: 'ios', device_id: `device-${n}` })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 'k1' })
      .setIssuer(issuer)
      .setAudience(issuer)
      .setSubject(`user-${n}`)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime('15m')
      .sign(privateKey),
  ),
);

const newChecker = async () => {
  const checker = createTokenChecker({ issuer, gatewayKey: 'x', mode: 'local', timeoutMs: 60_000 });
  await checker.ready();
  return checker;
};

/** Milliseconds for one call a token, so many at a time. */
async function timeOf(call, some) {
  const startedAt = performance.now();
  for (let from = 0; from < some.length; from += AT_A_TIME) {
    await Promise.all(some.slice(from, from + AT_A_TIME).map(call));
  }
  return performance.now() - startedAt;
}

const bareOptions = { issuer, audience: issuer, typ: 'at+jwt', algorithms: ['EdDSA'] };
const bare = (token) => jwtVerify(token, publicKey, bareOptions);
const ms = { bare: 0, uncached: 0, cached: 0 };
// The first round warms up. In small slices, one after the other, so that a busy machine slows all of them alike.
for (let round = 0; round <= ROUNDS; round += 1) {
  const checker = await newChecker();
  const check = (token) => checker.check(token);
  const spent = { bare: 0, uncached: 0, cached: 0 };
  for (let from = 0; from < TOKENS; from += SLICE) {
    const slice = tokens.slice(from, from + SLICE);
    const pair = [
      async () => (spent.bare += await timeOf(bare, slice)),
      async () => (spent.uncached += await timeOf(check, slice)),
    ];
    for (const measure of (from / SLICE) % 2 ? pair.toReversed() : pair) await measure();
    for (let time = 0; time < CACHED_TIMES; time += 1) spent.cached += await timeOf(check, slice);
  }
  const verdicts = await Promise.all(tokens.map(check));
  if (!verdicts.every(({ active }) => active)) throw new Error('a good token was refused');
  if (round > 0) for (const name of Object.keys(ms)) ms[name] += spent[name];
  checker.close();
}
server.closeAllConnections();
server.close();

const calls = ROUNDS * TOKENS;
const bareRate = (calls / ms.bare) * 1000;
function report(name, rate) {
  const figures = `${Math.round(rate).toLocaleString('en').padStart(10)}/s  ${(rate / bareRate).toFixed(2)} x bare`;
  console.log(`${name.padEnd(28)} ${figures}`);
}
report('bare jose.jwtVerify', bareRate);
report('local check, first time', (calls / ms.uncached) * 1000);
report('local check, remembered', ((calls * CACHED_TIMES) / ms.cached) * 1000);
