/**
 * POST /token, the refresh for OAuth libraries (RFC 6749), and what a refresh token is worth the second time.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import type { Response } from 'supertest';
import { eventTypes, issue, listTokens, refresh, revokeAll, statesOf, verdict } from '../helpers/calls.ts';
import { until } from '../helpers/processes.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';
import { testPrefix } from '../helpers/test-redis.ts';

afterAll(closeServices);

/** Two nodes of one deployment. */
let node: Service;
let other: Service;
beforeAll(async () => {
  const prefix = testPrefix();
  node = await startService({ prefix });
  other = await startService({ prefix });
});

let users = 0;
const newUser = () => `user-${(users += 1)}`;

const token = (service: Service, form: string | object) => service.api.post('/token').type('form').send(form);
const grant = (service: Service, refreshToken: string) =>
  token(service, { grant_type: 'refresh_token', refresh_token: refreshToken });

describe('POST /token', () => {
  it('answers the next pair of the same token, in the names of RFC 6749', async () => {
    const issued = (await issue(node, newUser(), { platform: 'web' })).body;
    const answer = await grant(other, issued.refreshToken);
    expect(answer.status).toBe(200);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: expect.any(Number),
      refresh_token: expect.any(String),
    });
    expect([899, 900]).toContain(answer.body.expires_in);
    expect(answer.body.refresh_token).not.toBe(issued.refreshToken);
    expect(decodeJwt(answer.body.access_token)).toMatchObject({ sid: issued.token.tokenId, platform: 'web' });
    expect(await verdict(node, answer.body.access_token)).toBe('good');
    // A refresh ends nothing: the older access token lives its time.
    expect(await verdict(node, issued.accessToken)).toBe('good');
    expect(await statesOf(node, issued.token.userId)).toEqual([['web', 'active']]);
  });

  it('and POST /token/refresh are two doors to the same', async () => {
    const issued = (await issue(node, newUser())).body;
    const second = (await grant(node, issued.refreshToken)).body.refresh_token;
    const third = (await refresh(other, second)).body;
    expect(third.token.tokenId).toBe(issued.token.tokenId);
    expect((await grant(node, third.refreshToken)).status).toBe(200);
  });

  it.each([
    ['no form at all', '', 'invalid_request'],
    ['no grant_type', 'refresh_token=x', 'invalid_request'],
    // RFC 6749 section 3.2: a parameter without a value is one that was left out.
    ['an empty grant_type', 'grant_type=&refresh_token=x', 'invalid_request'],
    ['no refresh_token', 'grant_type=refresh_token', 'invalid_request'],
    ['an empty refresh_token', 'grant_type=refresh_token&refresh_token=', 'invalid_request'],
    ['the password grant', 'grant_type=password&username=a&password=b', 'unsupported_grant_type'],
    ['an unknown grant', 'grant_type=refresh-token&refresh_token=x', 'unsupported_grant_type'],
  ])('with %s is refused as RFC 6749 section 5.2 says', async (_what, form, error) => {
    const answer = await token(node, form);
    expect([answer.status, answer.type, answer.body]).toEqual([
      400,
      'application/json',
      { error, error_description: expect.any(String) },
    ]);
  });

  it.each(['grant_type', 'refresh_token'])('refuses a form with two of %s', async (name) => {
    const answer = await token(node, `grant_type=refresh_token&refresh_token=x&${name}=refresh_token`);
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
  });

  it('takes a form, not JSON', async () => {
    const answer = await node.api.post('/token').send({ grant_type: 'refresh_token', refresh_token: 'x' });
    expect([answer.status, answer.body.code]).toEqual([415, 'unsupported_media_type']);
  });

  /** Leads each token to its end; then its refresh token is worth nothing, and the answer says why. */
  const ENDS: readonly (readonly [string, string, (userId: string, own: Response['body']) => Promise<string>])[] = [
    ['is not one of ours', 'token_malformed', async () => 'nonsense'],
    ['was changed', 'token_invalid', async (_user, own) => `${own.refreshToken.slice(0, -2)}xx`],
    [
      'is of a token that is gone',
      'token_unknown',
      async (userId, own) => {
        await node.redis.del(node.keys.tokens({ tenant: 'default', userId }));
        return own.refreshToken;
      },
    ],
    [
      'was revoked',
      'token_revoked',
      async (userId, own) => {
        await revokeAll(node, userId);
        return own.refreshToken;
      },
    ],
    [
      'was kicked',
      'token_kicked',
      async (userId, own) => {
        await issue(node, userId);
        return own.refreshToken;
      },
    ],
    [
      'was replaced',
      'token_replaced',
      async (userId, own) => {
        await issue(node, userId, { deviceId: own.token.deviceId });
        return own.refreshToken;
      },
    ],
    [
      'is of a blocked user',
      'user_blocked',
      async (userId, own) => {
        await node.users.change(
          { tenant: 'default', userId },
          { block: { until: null, reason: '' } },
          { kind: 'admin' },
        );
        return own.refreshToken;
      },
    ],
  ];

  it.each(ENDS)('says invalid_grant of one that %s: %s', async (_what, reason, end) => {
    const userId = newUser();
    const refreshToken = await end(userId, (await issue(node, userId)).body);
    const answer = await grant(other, refreshToken);
    expect([answer.status, answer.body]).toEqual([400, { error: 'invalid_grant', error_description: reason }]);
    // POST /token/refresh says the same in our own words.
    const own = await refresh(other, refreshToken);
    expect([own.status, own.body.code]).toEqual([401, reason]);
  });

  it('says invalid_grant of one that has expired', async () => {
    const service = await startService({ env: { REFRESH_TTL_SECONDS: '900' } });
    const { refreshToken } = (await issue(service, 'ada')).body;
    service.shiftClock(901_000);
    expect((await grant(service, refreshToken)).body).toEqual({
      error: 'invalid_grant',
      error_description: 'token_expired',
    });
  });
});

describe('L6 refresh reuse after the grace ends the token; a lost response or two at once log nobody out', () => {
  it('gives a client whose response was lost the same successor again', async () => {
    const { refreshToken, token: own } = (await issue(node, newUser())).body;
    const lost = await refresh(node, refreshToken);
    const again = await refresh(other, refreshToken);
    expect([again.status, again.body.refreshToken]).toEqual([200, lost.body.refreshToken]);
    expect(again.body.token.tokenId).toBe(own.tokenId);
    const next = await refresh(node, again.body.refreshToken);
    expect(next.status).toBe(200);
    for (const answer of [lost, again, next]) expect(await verdict(other, answer.body.accessToken)).toBe('good');
  });

  it.each([
    ['on one node', () => [node, node]],
    ['on two nodes', () => [node, other]],
  ])('refreshes twenty times at once, %s: one successor, nobody is logged out', async (_where, nodesOf) => {
    const userId = newUser();
    const nodes = nodesOf();
    let { refreshToken } = (await issue(node, userId)).body;
    for (let round = 0; round < 5; round += 1) {
      const doors = [refresh, grant];
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          (doors[index % 2] ?? refresh)(nodes[(index >> 1) % 2] ?? node, refreshToken),
        ),
      );
      expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200));
      const successors = new Set(answers.map(({ body }) => body.refreshToken ?? body.refresh_token));
      expect(successors.size).toBe(1);
      const accessTokens = answers.map(({ body }) => body.accessToken ?? body.access_token);
      expect(new Set(accessTokens).size).toBe(20);
      for (const accessToken of accessTokens) expect(await verdict(node, accessToken)).toBe('good');
      [refreshToken] = [...successors];
    }
    expect(await eventTypes(node, userId)).toEqual(['token.issued']);
  });

  it('ends the token when the grace is over, with its own reason and one event', async () => {
    const prefix = testPrefix();
    const env = { REFRESH_GRACE_SECONDS: '1' };
    const [a, b] = [await startService({ prefix, env }), await startService({ prefix, env })];
    const { refreshToken, token: own } = (await issue(a, 'ada')).body;
    const successor = (await refresh(a, refreshToken)).body;
    // Every answer before is the same successor: asking does not lengthen the grace.
    const successors = new Set([successor.refreshToken]);
    let last: Response = await refresh(b, refreshToken);
    await until('the grace is over', async () => {
      last = await refresh(b, refreshToken);
      if (last.status === 200) successors.add(last.body.refreshToken);
      return last.status !== 200;
    });
    expect([...successors]).toEqual([successor.refreshToken]);
    expect([last.status, last.body.code]).toEqual([401, 'refresh_reused']);
    // The thief and the owner are out alike, everywhere.
    for (const service of [a, b]) {
      expect(await verdict(service, successor.accessToken)).toBe('refresh_reused');
      expect((await refresh(service, successor.refreshToken)).body.code).toBe('refresh_reused');
      expect((await grant(service, refreshToken)).body.error_description).toBe('refresh_reused');
    }
    expect(await statesOf(a, 'ada')).toEqual([['ios', 'revoked']]);
    const [listed] = (await listTokens(a, 'ada')).body.tokens;
    expect(listed).toMatchObject({ tokenId: own.tokenId, endedBy: { kind: 'system', reason: 'refresh_reused' } });
    expect(await eventTypes(a, 'ada')).toEqual(['token.revoked', 'token.issued']);
  });

  it('ends the token at once when the refresh token is older than the last but one', async () => {
    const userId = newUser();
    const first = (await issue(node, userId)).body.refreshToken;
    const second = (await refresh(node, first)).body.refreshToken;
    const third = (await refresh(node, second)).body;
    expect((await refresh(other, first)).body.code).toBe('refresh_reused');
    expect((await refresh(other, third.refreshToken)).body.code).toBe('refresh_reused');
  });

  it('touches nothing for a forged refresh token of any generation', async () => {
    const { refreshToken, accessToken } = (await issue(node, newUser())).body;
    const second = (await refresh(node, refreshToken)).body.refreshToken;
    for (const real of [refreshToken, second]) {
      expect((await refresh(other, `${real.slice(0, -2)}xx`)).body.code).toBe('token_invalid');
    }
    expect(await verdict(node, accessToken)).toBe('good');
    expect((await refresh(node, second)).status).toBe(200);
  });

  it('with REFRESH_GRACE_SECONDS=0 any second use ends the token', async () => {
    const service = await startService({ env: { REFRESH_GRACE_SECONDS: '0' } });
    const { refreshToken } = (await issue(service, 'ada')).body;
    const [one, two] = await Promise.all([refresh(service, refreshToken), refresh(service, refreshToken)]);
    expect(new Set([one.status, two.status])).toEqual(new Set([200, 401]));
    const winner = one.status === 200 ? one : two;
    expect(await verdict(service, winner.body.accessToken)).toBe('refresh_reused');
    expect(await eventTypes(service, 'ada')).toEqual(['token.revoked', 'token.issued']);
  });
});
