/**
 * A name that an endpoint does not know is 400, and is named with the one that was meant: ignored, a misspelt filter would
 * widen what is done. What RFCs describe, and what proxies and tools ask, goes on ignoring it.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import {
  asAdmin,
  asGateway,
  bearer,
  createUser,
  everythingUnder,
  introspect,
  issue,
  listTokens,
  login,
  PASSWORD,
  refresh,
  revokeAll,
  statesOf,
  validate,
} from '../helpers/calls.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type Operation = { parameters?: { in: string; name: string }[]; requestBody?: { content: Record<string, unknown> } };
const { paths } = parse(readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8')) as {
  paths: Record<string, Record<Method, Operation>>;
};
const LENIENT = /^\/(validate|healthz|readyz|\.well-known|token$|introspect|revoke)/;
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  (Object.entries(methods) as [Method, Operation][]).map(([method, operation]) => ({ method, path, operation })),
);
const own = operations.filter(({ path }) => !LENIENT.test(path));

let service: Service;
let accessToken: string;
beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'no-kick', PLATFORMS: 'tv:tv' } });
  await createUser(service, 'ada');
  ({ accessToken } = (await login(service, 'ada')).body);
});
afterAll(closeServices);

const headersFor = (path: string) => (/^\/(admin|events|presence)/.test(path) ? asAdmin : bearer(accessToken));
const call = (method: Method, path: string) =>
  service.api[method](path.replaceAll(/\{\w+\}/g, 'some')).set(headersFor(path));

type Call = () => PromiseLike<{ readonly status: number; readonly body: { readonly detail?: string } }>;

/** Makes a call that must be refused with this detail, or with one that begins or goes on so. */
async function isRefused(detail: string | RegExp, made: Call): Promise<void> {
  const { status, body } = await made();
  const told = body.detail ?? '';
  const says = typeof detail === 'string' ? told.includes(detail) : detail.test(told);
  expect([status, says ? detail : told]).toEqual([400, detail]);
}

/** Nothing of what is stored may change by it. */
async function changingNothing(made: () => Promise<void>): Promise<void> {
  const before = await everythingUnder(service);
  await made();
  expect(await everythingUnder(service)).toEqual(before);
}

const refused = (detail: string | RegExp, made: Call) => changingNothing(() => isRefused(detail, made));

describe('F5 an unknown name in a query', () => {
  it.each(own.map(({ method, path }) => [method, path] as const))('of %s %s is 400', async (method, path) => {
    await changingNothing(async () => {
      for (const query of ['nonsense=1', 'nonsense', 'tenant[]=a', '=x', '__proto__=x', 'constructor=x']) {
        const name = JSON.stringify(query.split('=')[0]).replaceAll(/[[\]]/g, String.raw`\$&`);
        await isRefused(new RegExp(`query: unknown ${name}.*; valid: `), async () => {
          const made = call(method, `${path}?${query}`);
          return method === 'get' || method === 'delete' ? made : made.send(goodBody(path, method));
        });
      }
    });
  });

  it.each(
    own.flatMap(({ method, path, operation }) =>
      (operation.parameters ?? []).flatMap(({ in: where, name }) =>
        where === 'query' ? [[method, path, name] as const] : [],
      ),
    ),
  )('of %s %s, near to %s, is told the right one', async (method, path, name) => {
    // Two letters swapped, as fingers do.
    const slip = `${name[0]}${name[2]}${name[1]}${name.slice(3)}`;
    await changingNothing(async () => {
      for (const query of [`${slip}=x`, `${name}[]=x`, `${name.toUpperCase()}=x`]) {
        await isRefused(`did you mean ${name}?`, async () => {
          const made = call(method, `${path}?${query}`);
          return method === 'get' || method === 'delete' ? made : made.send(goodBody(path, method));
        });
      }
    });
  });

  it('does not widen what is ended', async () => {
    await issue(service, 'eve', { platform: 'ios' });
    await issue(service, 'eve', { platform: 'web' });
    for (const query of [
      '?platfrom=ios',
      '?platform[]=ios',
      '?clas=mobile',
      '?Platform=ios',
      '?platform=ios&platform=web',
    ]) {
      expect((await revokeAll(service, 'eve', query)).status).toBe(400);
    }
    expect(await statesOf(service, 'eve')).toEqual([
      ['ios', 'active'],
      ['web', 'active'],
    ]);
    await refused(/^query: unknown "tennant" \(did you mean tenant\?\); valid: tenant, platform, class, reason$/, () =>
      revokeAll(service, 'eve', '?tennant=acme'),
    );
  });

  it('that comes twice is 400', async () => {
    await refused('query platform: comes more than once', () =>
      listTokens(service, 'ada', '?platform=ios&platform=web'),
    );
  });

  it('that belongs into the body is sent there', async () => {
    await refused('query: unknown "tenant", which goes into the body', () =>
      service.api
        .post('/login?tenant=acme')
        .send({ userId: 'ada', password: PASSWORD, platform: 'ios', deviceId: 'd' }),
    );
  });
});

/** A body that the endpoint takes. */
function goodBody(path: string, method: Method): object {
  if (path === '/login') return { userId: 'ada', password: PASSWORD, platform: 'ios', deviceId: 'd' };
  if (path === '/token/refresh') return { refreshToken: 'x' };
  if (path === '/presence') return { tokens: [{ userId: 'ada', tokenId: 'x' }] };
  if (path === '/admin/users') return { userId: 'new', password: PASSWORD };
  if (path.endsWith('/tokens')) return { platform: 'ios', deviceId: 'd' };
  if (path.endsWith('/policy')) return { policy: 'single-device' };
  if (path.endsWith('/simulate'))
    return { policy: 'single-device', tokens: [], login: { platform: 'ios', deviceId: 'd' } };
  return method === 'patch' ? { password: PASSWORD } : {};
}

describe('F5 an unknown name in a body', () => {
  const taking = own.filter(({ operation }) => operation.requestBody !== undefined);

  it.each(taking.map(({ method, path }) => [method, path] as const))('of %s %s is 400', async (method, path) => {
    await refused(/^body: unknown "nonsense".*; valid: /, () =>
      call(method, path).send({ ...goodBody(path, method), nonsense: 1 }),
    );
    for (const name of Object.keys(goodBody(path, method)).filter((known) => known.length > 3)) {
      const { [name as never]: value, ...rest } = goodBody(path, method);
      const slip = `${name[0]}${name[2]}${name[1]}${name.slice(3)}`;
      await isRefused(`unknown "${slip}" (did you mean ${name}?)`, () =>
        call(method, path).send({ ...rest, [slip]: value }),
      );
    }
  });

  it.each<[method: Method, path: string, body: object, detail: string]>([
    [
      'post',
      '/login',
      { userId: 'ada', password: PASSWORD, platform: 'ios', deviceId: 'd', dryrun: true },
      'did you mean dryRun?',
    ],
    ['patch', '/admin/users/ada', { block: {} }, 'did you mean blocked?'],
    [
      'patch',
      '/admin/users/ada',
      { blocked: { untill: '2099-01-01T00:00:00Z' } },
      'blocked: unknown "untill" (did you mean until?)',
    ],
    [
      'post',
      '/admin/users',
      { userId: 'x', password: PASSWORD, tenant: 'acme' },
      '"tenant", which goes into the query',
    ],
    [
      'post',
      '/presence',
      { tokens: [{ userId: 'ada', tokenId: 'x', tennant: 'acme' }] },
      'tokens.0: unknown "tennant" (did you mean tenant?)',
    ],
    ['put', '/admin/users/ada/policy', { policy: 'single-device', ttl: {} }, 'body: unknown "ttl"; valid: policy'],
    ['put', '/admin/users/ada/policy', { policy: { name: 'a', limits: [], victim: 'x' } }, 'policy: unknown "victim"'],
    [
      'put',
      '/admin/tenants/acme',
      { ttl: { acessSeconds: 60 } },
      'ttl: unknown "acessSeconds" (did you mean accessSeconds?)',
    ],
    [
      'put',
      '/admin/tenants/acme',
      { ttl: { platforms: { web: { idleSecond: 120 } } } },
      'ttl.platforms.web: unknown "idleSecond"',
    ],
    ['put', '/admin/tenants/acme', { presense: { leaseSeconds: 1, graceSeconds: 1 } }, 'did you mean presence?'],
    [
      'post',
      '/admin/policies/simulate',
      { policy: 'single-device', tokens: [], login: { platform: 'ios', deviceId: 'd', evicts: [] } },
      'login: unknown "evicts" (did you mean evict?)',
    ],
    [
      'post',
      '/admin/policies/simulate',
      {
        policy: 'single-device',
        tokens: [{ tokenId: 'a', platform: 'ios', deviceId: 'd', x: 1 }],
        login: { platform: 'ios', deviceId: 'd' },
      },
      'tokens.0: unknown "x"',
    ],
  ])('%s %s %j', async (method, path, body, detail) => {
    await refused(detail, () => call(method, path).send(body));
  });

  const none = own.filter(({ operation }) => operation.requestBody === undefined);

  it.each(none.map(({ method, path }) => [method, path] as const))(
    'of %s %s, which takes none, is 400',
    async (method, path) => {
      await refused(/^body: none is taken here/, () => call(method, path).send({ platform: 'ios' }));
    },
  );

  it('but the chunks of a body that is empty are none', async () => {
    const status = await new Promise((resolve, reject) => {
      const headers = { ...bearer(accessToken), 'transfer-encoding': 'chunked' };
      const sent = request(`${service.url}/tokens`, { headers }, (response) => resolve(response.resume().statusCode));
      sent.on('error', reject).end();
    });
    expect(status).toBe(200);
  });
});

describe('F5 what goes on ignoring unknown names', () => {
  it.each(operations.filter(({ path, method }) => LENIENT.test(path) && method === 'get').map(({ path }) => path))(
    'GET %s: the query is whoever’s it is',
    async (path) => {
      for (const query of ['platfrom=ios&x=1&x=2', 'x[]=%ff', '%', 'tenant=acme&tenant=b']) {
        const at = path.replace('{tenant}', 'default');
        const { status } = await service.api.get(`${at}?${query}`).set(bearer(accessToken));
        expect([query, status]).toEqual([query, 200]);
      }
    },
  );

  it('/validate, with a body and a query of the app’s own', async () => {
    const asked = service.api.post('/validate?tenant=x&tennant=y').set(bearer(accessToken)).send({ anything: 1 });
    expect((await asked).status).toBe(200);
  });

  it('the forms of RFC endpoints, where a parameter of ours comes once', async () => {
    const form = (path: string, text: string) =>
      service.api
        .post(`${path}?x=1`)
        .set(asGateway)
        .set('content-type', 'application/x-www-form-urlencoded')
        .send(text);
    const { body } = await issue(service, 'bob');
    const more = 'token_type_hint=access_token&resource=a&resource=b&x[]=1';
    expect((await form('/introspect', `token=${body.accessToken}&${more}`)).body.active).toBe(true);
    expect(
      (await form('/token', `grant_type=refresh_token&refresh_token=${body.refreshToken}&scope=a&${more}`)).status,
    ).toBe(200);
    expect((await form('/revoke', `token=${body.accessToken}&${more}`)).status).toBe(200);
    for (const [path, twice] of [
      ['/introspect', 'token=a&token=a'],
      ['/introspect', 'token=a&tenant=a&tenant=a'],
      ['/revoke', 'token=a&token=b'],
      ['/token', 'grant_type=refresh_token&grant_type=refresh_token&refresh_token=a'],
      ['/token', 'grant_type=refresh_token&refresh_token=a&refresh_token=a'],
    ] as const) {
      const answer = await form(path, twice);
      expect([answer.status, answer.body.error]).toEqual([400, 'invalid_request']);
      expect(answer.body.detail).toContain('comes more than once');
    }
  });
});

const platforms = async (query: string) =>
  (await listTokens(service, 'cleo', query)).body.tokens.map((token: { platform: string }) => token.platform);

describe('F5 GET …/tokens?class=', () => {
  it('filters as DELETE does', async () => {
    for (const platform of ['ios', 'android', 'macos', 'tv']) await issue(service, 'cleo', { platform });
    expect(await platforms('?class=mobile')).toEqual(['ios', 'android']);
    expect(await platforms('?class=mobile&platform=ios&state=active')).toEqual(['ios']);
    expect(await platforms('?class=mobile&platform=macos')).toEqual([]);
    expect(await platforms('?class=tv')).toEqual(['tv']);
    await refused(/^query class: unknown class "mobil" \(did you mean mobile\?\); valid: mobile, /, () =>
      listTokens(service, 'cleo', '?class=mobil'),
    );
  });
});

const asLogin = (platform: unknown) => login(service, 'ada', { platform });

describe('F7 what is valid is said', () => {
  it('of platforms, whatever their case, without the one that a login cannot use', async () => {
    const valid = 'ios, android, windows, macos, web, miniweb, linux, android-pad, ipad, harmonyos, tv';
    for (const [platform, near] of [
      ['iOS', ' (did you mean ios?)'],
      ['IPAD', ' (did you mean ipad?)'],
      ['nokia', ''],
    ] as const) {
      const { body } = await asLogin(platform);
      expect(body.detail).toBe(`platform: unknown platform "${platform}"${near}; valid: ${valid}`);
    }
    expect((await asLogin('admin')).body.code).toBe('platform_not_allowed');
    expect((await issue(service, 'ada', { platform: 'Admin' })).body.detail).toMatch(
      /"Admin" \(did you mean admin\?\).*admin, harmonyos, tv$/,
    );
    for (const wrong of [undefined, null, 7, '', ['ios']])
      expect((await asLogin(wrong)).body.detail).toContain('built in: ios, ');
  });

  const NUMBERS = 'turms-desktop-or-browser-or-mobile, or an OpenIM number (0, 1, 4, 5)';

  it('of policies, with the numbers', async () => {
    for (const policy of ['2', '77', 'single_devise']) {
      const { body } = await service.api.put('/admin/users/ada/policy').set(asAdmin).send({ policy });
      expect(body.detail).toContain(`policy: unknown policy "${policy}"`);
      expect(body.detail).toContain(NUMBERS);
    }
    const tenant = await service.api.put('/admin/tenants/acme').set(asAdmin).send({ policy: '2' });
    expect(tenant.body.detail).toContain(NUMBERS);
    const simulated = { policy: '2', tokens: [], login: { platform: 'ios', deviceId: 'd' } };
    expect((await service.api.post('/admin/policies/simulate').set(asAdmin).send(simulated)).body.detail).toContain(
      NUMBERS,
    );
  });

  it('of a policy that is sent as the body itself', async () => {
    const { status, body } = await service.api
      .put('/admin/users/ada/policy')
      .set(asAdmin)
      .send({ name: 'mine', limits: [] });
    expect([status, body.detail]).toEqual([
      400,
      'body: unknown "name", "limits"; valid: policy; policy: is missing; expected the name of a preset, the number of an ' +
        'OpenIM policy as a text, or a policy: an object of name, limits',
    ]);
  });

  it('of simulated tokens, each by its place', async () => {
    const tokens = [
      { tokenId: 'a', platform: 'ios', deviceId: 'd' },
      { tokenId: 'b', platform: 'Web', deviceId: 'e' },
    ];
    const simulated = { policy: 'single-device', tokens, login: { platform: 'ios', deviceId: 'd' } };
    const { body } = await service.api.post('/admin/policies/simulate').set(asAdmin).send(simulated);
    expect(body.detail).toContain('tokens.1.platform: unknown platform "Web" (did you mean web?); valid: ios, ');
  });
});

describe('F9 nobody is named "." or ".."', () => {
  it.each(['.', '..'])('%j as user, tenant or device is 400', async (dots) => {
    const said = '"." and ".." are steps of a path and the name of nobody';
    const device = { platform: 'ios', deviceId: 'd' };
    await refused(`userId: ${said}`, () => createUser(service, dots));
    await refused(`query tenant: ${said}`, () => createUser(service, 'ada', dots));
    await refused(`userId: ${said}`, () => login(service, dots));
    await refused(`tenant: ${said}`, () => login(service, 'ada', { tenant: dots }));
    await refused(`deviceId: ${said}`, () => login(service, 'ada', { deviceId: dots }));
    await refused(`deviceId: ${said}`, () => issue(service, 'ada', { deviceId: dots }));
    await refused(`query tenant: ${said}`, () => issue(service, 'ada', device, dots));
    await refused('login.deviceId: ', () =>
      service.api
        .post('/admin/policies/simulate')
        .set(asAdmin)
        .send({ policy: '1', tokens: [], login: { platform: 'ios', deviceId: dots } }),
    );
    const presence = { tokens: [{ userId: dots, tokenId: 'x' }] };
    await refused(`tokens.0.userId: ${said}`, () => service.api.post('/presence').set(asGateway).send(presence));
    expect((await introspect(service, accessToken, dots)).status).toBe(400);
  });

  it.each(['%2e', '%2E%2e', '%2e%2E'])('nor by way of %s in a path', async (dots) => {
    const targets = [
      `/admin/users/${dots}`,
      `/admin/users/${dots}/tokens`,
      `/admin/tenants/${dots}`,
      `/validate/${dots}`,
    ];
    for (const path of targets) expect([path, await rawStatus(path)]).toEqual([path, 400]);
  });

  it('but more dots, and dots among others, are names', async () => {
    for (const userId of ['...', '.a', 'a.', 'a..b', '. ']) expect((await issue(service, userId)).status).toBe(200);
    expect((await refresh(service, 'x')).status).toBe(401);
    expect((await validate(service, accessToken)).status).toBe(200);
  });
});

/** As it stands: URL clients would take the dots for steps. */
function rawStatus(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(service.url);
    const headers = path.startsWith('/admin') ? asAdmin : bearer(accessToken);
    const sent = request({ host: '127.0.0.1', port, path, headers }, (response) =>
      resolve(response.resume().statusCode ?? 0),
    );
    sent.on('error', reject).end();
  });
}
