/**
 * The floors: bare node:http doing the least that each job needs, with the same libraries and none of the care.
 * GET /validate: a cached JWT check and one auto-pipelined HGET. POST /login and /token/refresh: JSON parse, one EdDSA
 * signature, two round trips to Redis.
 */
import { hash, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { Redis } from 'ioredis';
import { generateKeyPair, jwtVerify, SignJWT } from 'jose';

const redis = new Redis({ port: Number(process.env.REDIS_PORT), enableAutoPipelining: true });
const { publicKey, privateKey } = await generateKeyPair('EdDSA');
const verified = new Map();
const LIFE_SECONDS = 900;

async function claimsOf(token) {
  const digest = hash('sha256', token, 'base64url');
  const known = verified.get(digest);
  if (known !== undefined) return known;
  const { payload } = await jwtVerify(token, publicKey, { issuer: 'floor', audience: 'floor', typ: 'at+jwt' });
  verified.set(digest, payload);
  return payload;
}

async function validate(request, response) {
  const claims = await claimsOf(request.headers.authorization.slice('Bearer '.length));
  const record = await redis.hget(`t:${claims.sub}`, claims.sid);
  if (record === null || claims.exp * 1000 <= Date.now()) return response.writeHead(401).end();
  return response
    .writeHead(200, {
      'X-Auth-User': encodeURIComponent(claims.sub),
      'X-Auth-Tenant': claims.tenant,
      'X-Auth-Platform': claims.platform,
      'X-Auth-Token-Id': claims.sid,
      'X-Auth-Expires': claims.exp,
      'Content-Length': 0,
    })
    .end();
}

async function login(request, response) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  const { userId = 'u', platform = 'ios', deviceId = 'd' } = JSON.parse(text);
  await redis.hgetall(`t:${userId}`);
  const sid = randomBytes(16).toString('base64url');
  const accessToken = await new SignJWT({ client_id: platform, sid, tenant: 'default', platform, device_id: deviceId })
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 'floor' })
    .setIssuer('floor')
    .setAudience('floor')
    .setSubject(userId)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime(`${LIFE_SECONDS}s`)
    .sign(privateKey);
  const tokens = `t:${userId}`;
  await redis.multi().del(tokens).hset(tokens, sid, `${platform}:${deviceId}`).expire(tokens, LIFE_SECONDS).exec();
  const body = JSON.stringify({ accessToken, refreshToken: sid, expiresIn: LIFE_SECONDS, tokenType: 'Bearer' });
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body);
}

const server = createServer((request, response) =>
  request.method === 'GET' ? validate(request, response) : login(request, response),
);
server.listen(Number(process.env.PORT), '127.0.0.1');
// In order, so that a profile (node --cpu-prof) is written.
process.on('SIGTERM', () => process.exit());
