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
    if (kick) console.log(`${jti}: ${kick.userId} lost ${kick.tokenId} to ${kick.by.platform}`);
    response.writeHead(202).end();
  } catch ({ code = '' }) {
    // 400 is for good; what is our own trouble is to be sent again.
    const isForged = code.startsWith('ERR_JWT') || code.startsWith('ERR_JWS');
    response.writeHead(isForged ? 400 : 503).end();
  }
}).listen(Number(PORT), '127.0.0.1');
