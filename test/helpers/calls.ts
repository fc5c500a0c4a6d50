/** Short forms of the calls that most tests make. Each answers the supertest response. */
import type { Response } from 'supertest';
import { ADMIN_KEY, GATEWAY_KEY, type Service } from './service.ts';

export const asAdmin = { authorization: `Bearer ${ADMIN_KEY}` };
export const asGateway = { authorization: `Bearer ${GATEWAY_KEY}` };
export const bearer = (accessToken: string) => ({ authorization: `Bearer ${accessToken}` });

export const PASSWORD = 'correct horse battery staple';

/** JSON as those writers have it that write nothing but ASCII. */
export const inAscii = (json: string): string =>
  json.replaceAll(/[^ -~\n]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Options of a login; deviceId defaults to one of its own for every call. */
export type LoginBody = Readonly<Record<string, unknown>>;

let devices = 0;
const withDevice = (body: LoginBody) => ({ platform: 'ios', deviceId: `device-${(devices += 1)}`, ...body });

export const createUser = (service: Service, userId: string, tenant = 'default'): Promise<Response> =>
  service.api
    .post(`/admin/users?tenant=${encodeURIComponent(tenant)}`)
    .set(asAdmin)
    .send({ userId, password: PASSWORD });

export const login = (service: Service, userId: string, body: LoginBody = {}): Promise<Response> =>
  service.api.post('/login').send({ userId, password: PASSWORD, ...withDevice(body) });

/** Trusted issuance. */
export const issue = (service: Service, userId: string, body: LoginBody = {}, tenant = 'default'): Promise<Response> =>
  service.api
    .post(`/admin/users/${encodeURIComponent(userId)}/tokens?tenant=${encodeURIComponent(tenant)}`)
    .set(asAdmin)
    .send(withDevice(body));

export const validate = (service: Service, accessToken: string, tenant?: string): Promise<Response> =>
  service.api
    .get(tenant === undefined ? '/validate' : `/validate/${encodeURIComponent(tenant)}`)
    .set(bearer(accessToken));

export const introspect = (service: Service, token: string, tenant = '*'): Promise<Response> =>
  service.api.post('/introspect').set(asGateway).type('form').send({ token, tenant });

export const listTokens = (service: Service, userId: string, query = ''): Promise<Response> =>
  service.api.get(`/admin/users/${encodeURIComponent(userId)}/tokens${query}`).set(asAdmin);

export const revokeAll = (service: Service, userId: string, query = ''): Promise<Response> =>
  service.api.delete(`/admin/users/${encodeURIComponent(userId)}/tokens${query}`).set(asAdmin);

export const history = (service: Service, userId: string): Promise<Response> =>
  service.api.get(`/admin/users/${encodeURIComponent(userId)}/history`).set(asAdmin);

export const refresh = (service: Service, refreshToken: string): Promise<Response> =>
  service.api.post('/token/refresh').send({ refreshToken });

export type LogoutBody = { readonly scope?: 'this' | 'others' | 'all'; readonly refreshToken?: string };

/** With an access token, or with a refresh token in the body. */
export const logout = (service: Service, accessToken?: string, body: LogoutBody = {}): Promise<Response> =>
  service.api
    .post('/logout')
    .set(accessToken === undefined ? {} : bearer(accessToken))
    .send(body);

export const ownTokens = (service: Service, accessToken: string): Promise<Response> =>
  service.api.get('/tokens').set(bearer(accessToken));

export const endOwn = (service: Service, accessToken: string, tokenId: string): Promise<Response> =>
  service.api.delete(`/tokens/${tokenId}`).set(bearer(accessToken));

export const revokeToken = (service: Service, userId: string, tokenId: string, query = ''): Promise<Response> =>
  service.api.delete(`/admin/users/${encodeURIComponent(userId)}/tokens/${tokenId}${query}`).set(asAdmin);

/** RFC 7009. */
export const revokeByToken = (service: Service, token: string): Promise<Response> =>
  service.api.post('/revoke').set(asGateway).type('form').send({ token });

export const getUser = (service: Service, userId: string, tenant = 'default'): Promise<Response> =>
  service.api.get(`/admin/users/${encodeURIComponent(userId)}?tenant=${encodeURIComponent(tenant)}`).set(asAdmin);

export const changeUser = (service: Service, userId: string, change: object): Promise<Response> =>
  service.api
    .patch(`/admin/users/${encodeURIComponent(userId)}`)
    .set(asAdmin)
    .send(change);

export const deleteUser = (service: Service, userId: string): Promise<Response> =>
  service.api.delete(`/admin/users/${encodeURIComponent(userId)}`).set(asAdmin);

/** Platform and state of every token on record, oldest login first. */
export async function statesOf(service: Service, userId: string): Promise<[string, string][]> {
  const { body } = await listTokens(service, userId);
  return body.tokens.map((token: { platform: string; state: string }) => [token.platform, token.state]);
}

/** What /validate says: 200, or the reason why not. */
export async function verdict(service: Service, accessToken: string): Promise<string> {
  const answer = await validate(service, accessToken, '*');
  return answer.status === 200 ? 'good' : answer.body.code;
}

/** Types of the user's events, newest first. */
export async function eventTypes(service: Service, userId: string): Promise<string[]> {
  const { body } = await history(service, userId);
  return body.events.map((event: { type: string }) => event.type);
}

/** The user's tokens exactly as Redis holds them, byte for byte, with the time they expire at. */
export async function tokenHash(service: Service, userId: string, tenant = 'default'): Promise<unknown> {
  const key = service.keys.tokens({ tenant, userId });
  const fields = Object.entries(await service.redis.hgetall(key)).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { fields, expiresAt: await service.redis.pexpiretime(key) };
}

/** Every key of this deployment, sorted. */
export async function keysUnder(service: Service): Promise<string[]> {
  const found = new Set<string>();
  let cursor = '0';
  do {
    const [next, keys] = await service.redis.scan(cursor, 'MATCH', `${service.prefix}:*`, 'COUNT', 1000);
    for (const key of keys) found.add(key);
    cursor = next;
  } while (cursor !== '0');
  return [...found].toSorted();
}

/** Every key of this deployment with its content, so that two states can be compared. */
export async function everythingUnder(service: Service): Promise<[string, string][]> {
  const keys = await keysUnder(service);
  return Promise.all(
    keys.map(async (key): Promise<[string, string]> => {
      const dump = await service.redis.dumpBuffer(key);
      return [key, dump?.toString('base64') ?? ''];
    }),
  );
}
