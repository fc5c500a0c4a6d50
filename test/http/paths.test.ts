/**
 * A path has one spelling. Proxies guard paths letter by letter (nginx: `location /admin { return 403; }`): what passes
 * such a guard under another spelling must not be served.
 */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { asAdmin, createUser, issue } from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

let fast: Service;
let routed: Service;
let accessToken: string;

beforeAll(async () => {
  fast = await startService({ unchecked: true });
  routed = await startService({ prefix: fast.prefix, unchecked: true, routerOnly: true });
  await createUser(fast, 'ada');
  ({ accessToken } = (await issue(fast, 'ada')).body);
});
afterAll(closeServices);

/** The status for a target that is sent as it stands, by both ways. */
async function statusOf(target: string, method = 'GET'): Promise<number> {
  const authorization = /admin/i.test(target) ? asAdmin.authorization : `Bearer ${accessToken}`;
  const [one, other] = await Promise.all(
    [fast, routed].map(async ({ url }) => {
      const { port } = new URL(url);
      const head = `${method} ${target} HTTP/1.1\r\nHost: latchkey.test\r\nAuthorization: ${authorization}\r\n`;
      return new Promise<number>((resolve, reject) => {
        const socket = connect(Number(port), '127.0.0.1');
        let answer = '';
        socket.setEncoding('latin1').on('data', (text: string) => (answer += text));
        socket.on('error', reject).on('close', () => resolve(Number(answer.split(' ')[1])));
        socket.write(Buffer.from(`${head}Connection: close\r\n\r\n`, 'latin1'));
      });
    }),
  );
  expect(one).toBe(other);
  return one as number;
}

describe('F6 a path has one spelling', () => {
  it.each([
    '/admin/users/ada',
    '/validate',
    '/validate?x=%ff&Y',
    '/validate/',
    '/validate/default/',
    '/validate/default/A/%62?c',
    '/tokens',
    '/healthz',
    'http://latchkey.test/admin/users/ada',
    'HTTPS://any.other/validate',
    'http://user:word@latchkey.test:99/tokens',
  ])('%s is served', async (target) => {
    expect(await statusOf(target)).toBe(200);
  });

  const spellings = [
    '/ADMIN/users/ada',
    '/Admin/users/ada',
    '/admin/Users/ada',
    '/%61dmin/users/ada',
    '/admin/user%73/ada',
  ];
  const around = ['/admin/users/ada/', '//admin/users/ada', '/./admin/users/ada', '/x/../admin/users/ada'];
  const signs = [
    '/admin\\users\\ada',
    '/admin;x/users/ada',
    '/admin/users/ada#',
    '/admin/users#/ada',
    '/admin//users/ada',
  ];
  const others = ['/Validate', '/VALIDATE/default', '/validate#', '/TOKENS', '/tokens/', '/Healthz', '/Login', '*'];

  it.each([...spellings, ...around, ...signs, ...others])('%s is 404', async (target) => {
    expect(await statusOf(target)).toBe(404);
  });

  it.each([...spellings, ...around])('http://latchkey.test%s is 404', async (path) => {
    expect(await statusOf(`http://latchkey.test${path}`)).toBe(404);
  });

  it.each([
    'foo://latchkey.test/admin/users/ada',
    'ftp://latchkey.test/validate',
    'http://latchkey.test?/admin/users/ada',
    'http://latchkey.test/?/admin/users/ada',
    'http://latchkey.test/#/admin/users/ada',
  ])('%s leads nowhere', async (target) => {
    expect(await statusOf(target)).toBe(404);
  });

  it('for every method', async () => {
    for (const method of ['HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      expect([method, await statusOf('/ADMIN/users/ada', method)]).toEqual([method, 404]);
    }
  });
});
