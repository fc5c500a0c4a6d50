/**
 * oidc-provider as its documentation sets it up for production: a Redis adapter that stores each model under its id with
 * its life, client credentials, introspection (RFC 7662). Opaque access tokens, its default.
 */
import { Redis } from 'ioredis';
import { Provider } from 'oidc-provider';

const redis = new Redis({ port: Number(process.env.REDIS_PORT), keyPrefix: 'oidc:', enableAutoPipelining: true });

/** What this flow needs of an adapter: tokens by id. Grants, user codes and sessions do not come up in it. */
class RedisAdapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    await redis.set(`${this.model}:${id}`, JSON.stringify(payload), 'EX', expiresIn);
  }

  async find(id) {
    const stored = await redis.get(`${this.model}:${id}`);
    return stored === null ? undefined : JSON.parse(stored);
  }

  async destroy(id) {
    await redis.del(`${this.model}:${id}`);
  }
}

const client = {
  client_id: 'bench',
  client_secret: process.env.CLIENT_SECRET,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};
const provider = new Provider('http://127.0.0.1', {
  adapter: RedisAdapter,
  clients: [client],
  features: {
    introspection: { enabled: true },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
  },
  ttl: { ClientCredentials: 900 },
});
provider.listen(Number(process.env.PORT), '127.0.0.1');
