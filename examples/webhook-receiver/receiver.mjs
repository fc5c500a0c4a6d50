import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const { LATCHKEY_URL, ISSUER, RECEIVER_URL, PORT } = process.env;
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', LATCHKEY_URL));
const expected = { issuer: ISSUER, audience: RECEIVER_URL, typ: 'secevent+jwt' };

createServer(async (request, response) => {
  try {
    const { jti, events } = (await jwtVerify(await text(request), keys, expected)).payload;
    const kick = events['urn:latchkey:event:token.kicked'];
    if (kick) console.log(`${jti}: ${kick.userId} lost ${kick.tokenId} to ${kick.by?.platform}`);
    response.writeHead(202).end();
  } catch ({ code = 'unknown' }) {
    // Only what is no token at all is refused for good. A wrong key, issuer or audience may be our own mistake: send it again.
    const isNoToken = code === 'ERR_JWS_INVALID' || code === 'ERR_JWT_INVALID';
    console.error(`not taken: ${code}`);
    response.writeHead(isNoToken ? 400 : 503, { 'Content-Type': 'application/json' });
    response.end(isNoToken ? '{"err":"invalid_request"}' : '');
  }
}).listen(Number(PORT), '127.0.0.1');
