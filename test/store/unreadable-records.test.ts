/** Records that this version cannot read, as a far version or some damage left them: no verdict, no seat, no deletion. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  asAdmin,
  asGateway,
  createUser,
  history,
  introspect,
  issue,
  listTokens,
  refresh,
  revokeAll,
  revokeToken,
  validate,
} from '../helpers/calls.ts';
import { recordsOf, US, type Held } from '../helpers/records.ts';
import { closeServices, startService, type Service } from '../helpers/service.ts';

afterAll(closeServices);

let service: Service;
const { newToken, keyOf, field, setField, presence } = recordsOf(() => service);

beforeAll(async () => {
  service = await startService({ env: { LOGIN_POLICY: 'decline-second' } });
});

describe('F21 a record that cannot be read', () => {
  const damages: [string, (held: Held) => Promise<unknown>][] = [
    ['a record in another form', (held) => setField(held, '', '{"v":2}')],
    [
      'a renewal in another form',
      async (held) => setField(held, ':r', `${await field(held, ':r')}`.replace(/\d+$/, 'off')),
    ],
    ['a last seen in another form', (held) => setField(held, ':s', 'yesterday')],
    [
      'a record of too few parts',
      async (held) => setField(held, '', (await field(held, ''))?.split(US).slice(0, 7).join(US) ?? ''),
    ],
  ];

  it.each(damages)('%s: no verdict, no seat, and nobody is kept out', async (_what, damage) => {
    const held = await newToken();
    await damage(held);
    const told = await validate(service, held.accessToken);
    expect([told.status, told.body.code, told.headers['retry-after']]).toEqual([503, 'store_unreadable', '5']);
    for (const answer of [await refresh(service, held.refreshToken), await introspect(service, held.accessToken)]) {
      expect([answer.status, answer.body.code]).toEqual([503, 'store_unreadable']);
    }
    expect((await presence(held)).body).toEqual({ renewed: 0, refused: [], unreadable: [held.tokenId] });
    expect((await listTokens(service, held.userId)).body).toEqual({ tokens: [], unreadable: [held.tokenId] });

    const kept = await Promise.all(['', ':r', ':s'].map((suffix) => field(held, suffix)));
    const next = await issue(service, held.userId, { platform: 'ios', deviceId: 'phone' });
    expect([next.status, next.body.displaced]).toEqual([200, []]);
    expect(await Promise.all(['', ':r', ':s'].map((suffix) => field(held, suffix)))).toEqual(kept);
  });

  it.each(damages)('%s: what ends all ends it too', async (_what, damage) => {
    const held = await newToken();
    await createUser(service, held.userId);
    await damage(held);
    const { body } = await service.api
      .patch(`/admin/users/${held.userId}`)
      .set(asAdmin)
      .send({ blocked: { reason: 'test' } });
    expect(body.revoked).toMatchObject([{ tokenId: held.tokenId }]);
    expect((await validate(service, held.accessToken)).status).toBe(401);
    expect((await history(service, held.userId)).body.events).toMatchObject([
      { type: 'user.blocked' },
      { type: 'token.revoked', tokenId: held.tokenId, code: 'user_blocked' },
      { type: 'token.issued' },
    ]);
  });

  it('is ended by its id', async () => {
    const held = await newToken();
    await setField(held, '', '{"v":2}');
    expect((await revokeToken(service, held.userId, held.tokenId)).body.revoked).toMatchObject([
      { tokenId: held.tokenId },
    ]);
  });

  it('is removed by a login when its end is known and has passed, and not before', async () => {
    const held = await newToken();
    await setField(held, '', '{"v":2}');
    const renewal = (await field(held, ':r'))?.split(US) ?? [];
    const ends = (expiresAt: number, accessExpiresAt: number) =>
      setField(held, ':r', [expiresAt, accessExpiresAt, ...renewal.slice(2)].join(US));
    const logsIn = async () => {
      await revokeAll(service, held.userId);
      await service.redis.hdel(keyOf(held), `${held.tokenId}:e`);
      expect((await issue(service, held.userId, { platform: 'web' })).status).toBe(200);
      return field(held, '');
    };
    const now = service.clock.now();
    await ends(now - 1000, now + 60_000);
    expect(await logsIn()).toBe('{"v":2}');
    await service.redis.hdel(keyOf(held), `${held.tokenId}:r`);
    expect(await logsIn()).toBe('{"v":2}');
    await ends(now - 1000, now - 2000);
    expect(await logsIn()).toBeNull();
  });

  it('does not stand in the way of clearing tombstones away', async () => {
    const { userId } = await newToken();
    const key = keyOf({ userId });
    const tombstones = Array.from({ length: 120 }, (_, index) => [
      [`old-${index}`, '{"v":2}'],
      [`old-${index}:r`, index % 2 === 0 ? '{"v":2}' : ['0', '1', '1', '0', '0'].join(US)],
      [`old-${index}:e`, index % 3 === 0 ? '{"v":2}' : ['token_revoked', '1', 'admin'].join(US)],
    ]).flat(2);
    await service.redis.hset(key, tombstones);
    expect((await revokeAll(service, userId)).status).toBe(200);
    const left = (await service.redis.hkeys(key)).filter((name) => /^old-\d+:r$/.test(name));
    expect(left.filter((name) => Number(/\d+/.exec(name)?.[0]) % 2 === 0)).toHaveLength(60);
    expect(left.length).toBeLessThan(120);
  });

  it('fields that belong to no record are no token', async () => {
    const held = await newToken();
    await service.redis.hset(keyOf(held), 'gone:z', 'x', 'gone:s', '1', 'gone:e', 'x', 'gone:l', 'x', ':z', 'x');
    expect((await listTokens(service, held.userId)).body.tokens).toHaveLength(1);
    expect((await presence({ ...held, tokenId: 'gone' })).body.refused).toMatchObject([{ reason: 'token_unknown' }]);
    expect((await revokeAll(service, held.userId)).body.revoked).toHaveLength(1);
  });

  it('faults stay with their token in a batch of presence', async () => {
    const [good, bad] = [await newToken(), await newToken()];
    await setField(bad, '', '{"v":2}');
    const tokens = [bad, good].map(({ userId, tokenId }) => ({ userId, tokenId, connectionId: 'c1' }));
    const { status, body } = await service.api.post('/presence').set(asGateway).send({ tokens });
    expect([status, body]).toEqual([200, { renewed: 1, refused: [], unreadable: [bad.tokenId] }]);
  });
});

describe('F21 whatever stands in the hash of a user', () => {
  const FIELDS = ['', ':r', ':s', ':e', ':l', ':n', ':a'];
  const OWN_FIELDS = [':q', ':v', ':d'];
  const VALUES = ['', 'x', '-1', US, `1${US}x`, '9'.repeat(30)];

  it('no call fails, and nobody is kept from logging in', async () => {
    const answers: [string, number, string | undefined][] = [];
    for (const [index, name] of [...FIELDS, ...OWN_FIELDS].entries()) {
      for (const value of VALUES) {
        const held = await newToken();
        const isOwn = index >= FIELDS.length;
        await service.redis.hset(keyOf(held), isOwn ? name : `${held.tokenId}${name}`, value);
        const tried = [
          await validate(service, held.accessToken),
          await presence(held),
          await presence(held, true),
          await refresh(service, held.refreshToken),
          await listTokens(service, held.userId),
          await issue(service, held.userId, { platform: 'web', dryRun: true }),
          await issue(service, held.userId, { platform: 'ios', deviceId: 'phone' }),
          await revokeAll(service, held.userId),
          await issue(service, held.userId, { platform: 'web' }),
        ];
        for (const { status, body } of tried) answers.push([`${name}=${value}`, status, body.code]);
        expect([name, value, tried.at(-1)?.status]).toEqual([name, value, 200]);
      }
    }
    const failed = answers.filter(([, status, code]) => status >= 500 && code !== 'store_unreadable');
    expect(failed).toEqual([]);
  });
});
