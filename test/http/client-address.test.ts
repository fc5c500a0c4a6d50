/** Whose address a request has: what a trusted proxy says of it when that is an address, its peer's otherwise. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createUser } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

const PASSWORD = 'correct horse battery staple';
const PEER = '127.0.0.1';

afterAll(closeServices);

let devices = 0;
const loginFrom = (service: Service, forwardedFor: string, password = PASSWORD) =>
  service.api
    .post('/login')
    .set('X-Forwarded-For', forwardedFor)
    .send({ userId: 'ada', password, platform: 'ios', deviceId: `phone-${(devices += 1)}` });

describe.each([
  ['the fast lane', false],
  ['the router', true],
])('by %s', (_lane, routerOnly) => {
  let byHops: Service;
  let byNames: Service;
  beforeAll(async () => {
    byHops = await startService({ env: { TRUST_PROXY: '1' }, routerOnly });
    byNames = await startService({ env: { TRUST_PROXY: 'loopback,10.0.0.0/8' }, routerOnly });
    await Promise.all([byHops, byNames].map((service) => createUser(service, 'ada')));
  });

  it.each([
    ['198.51.100.8', '198.51.100.8'],
    ['198.51.100.8:51234', '198.51.100.8'],
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['::ffff:198.51.100.8', '198.51.100.8'],
    ['[::FFFF:198.51.100.8]:443', '198.51.100.8'],
    ['::ffff:c633:6408', '198.51.100.8'],
    ['0:0:0:0:0:FFFF:c633:6408', '198.51.100.8'],
    ['64:ff9b::c633:6408', '198.51.100.8'],
    ['2001:0DB8:0:0::0001', '2001:db8::1'],
    ['0198.51.100.8', PEER],
    ['3325256712', PEER],
    ['203.0.113.9, 198.51.100.8:51234', '198.51.100.8'],
    ['unknown', PEER],
    ['198.51.100.8:', PEER],
    ['198.51.100.8:http', PEER],
    ['198.51.100.256', PEER],
    ['[198.51.100.8', PEER],
    ['fe80::1%eth0', PEER],
  ])('X-Forwarded-For: %s is %s', async (forwardedFor, ip) => {
    for (const service of [byHops, byNames]) {
      expect((await loginFrom(service, forwardedFor)).body.token.ip).toBe(ip);
    }
  });

  it('no long text is kept as an address', async () => {
    for (const long of ['x'.repeat(3_000), `fe80::1%${'a'.repeat(3_000)}`]) {
      expect((await loginFrom(byHops, long)).body.token.ip).toBe(PEER);
      expect((await loginFrom(byNames, long)).body.token.ip).toBe(PEER);
    }
  });

  it('a trusted proxy is known with its port too', async () => {
    const { body } = await loginFrom(byNames, '203.0.113.9:4711, 10.1.2.3:8080');
    expect(body.token.ip).toBe('203.0.113.9');
  });

  it('F16 a trusted proxy is known in every spelling of its address', async () => {
    const { body } = await loginFrom(byNames, '203.0.113.9, ::ffff:a01:203, [::ffff:10.1.2.3]:8080');
    expect(body.token.ip).toBe('203.0.113.9');
  });

  it('another port is no other address: its guesses are counted together', async () => {
    const env = { TRUST_PROXY: '1', THROTTLE_ADDRESS_FAILURES: '3', THROTTLE_USER_FAILURES: '0' };
    const service = await startService({ env, routerOnly });
    await createUser(service, 'ada');
    const statuses: number[] = [];
    for (let port = 40_001; port <= 40_004; port += 1)
      statuses.push((await loginFrom(service, `198.51.100.8:${port}`, 'wrong')).status);
    expect(statuses).toEqual([401, 401, 401, 429]);
  });
});
