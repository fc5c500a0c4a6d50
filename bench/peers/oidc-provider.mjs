/**
 * oidc-provider as its documentation sets it up for production: an adapter that keeps each model in Redis under its id, with
 * its life, in one transaction. Client credentials and introspection (RFC 7662); opaque access tokens, its default.
 */
import { Redis } from 'ioredis';
import { Provider } from 'oidc-provider';

const redis = new Redis({ port: Number(process.env.REDIS_PORT), keyPrefix: 'oidc:' });

/** What this flow needs of an adapter: tokens by id. Grants, user codes and sessions do not come up in it. */
class RedisAdapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    const key = `${this.model}:${id}`;
    await redis.multi().set(key, JSON.stringify(payload)).expire(key, expiresIn).exec();
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
