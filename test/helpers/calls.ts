/** Short forms of the calls that most tests make. Each answers the supertest response. */
import type { Response } from 'supertest';
import { ADMIN_KEY, GATEWAY_KEY, type Service } from './service.ts';

export const asAdmin = { authorization: `Bearer ${ADMIN_KEY}` };
export const asGateway = { authorization: `Bearer ${GATEWAY_KEY}` };
export const bearer = (accessToken: string) => ({ authorization: `Bearer ${accessToken}` });

export const PASSWORD = 'correct horse battery staple';

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
