import { afterAll, describe, expect, it } from '@jest/globals';
import { bearer, createUser, history, issue, listTokens, login, refresh, validate } from '../helpers/calls.ts';
import { closeServices, startService } from '../helpers/service.ts';

afterAll(closeServices);

describe('a login and the kick that it leads to', () => {
  it('tells the new device whom it displaced, and the old one by whom', async () => {
    const service = await startService({ env: { LOGIN_POLICY: 'single-device' } });
    expect((await createUser(service, 'ada')).status).toBe(201);
    const phone = await login(service, 'ada', { platform: 'ios', deviceName: 'Ada’s phone' });
    expect(phone.status).toBe(200);
    expect((await validate(service, phone.body.accessToken)).status).toBe(200);
    const laptop = await login(service, 'ada', { platform: 'macos', deviceName: 'Ada’s laptop' });
    expect(laptop.body.displaced).toEqual([
      {
        tokenId: phone.body.token.tokenId,
        platform: 'ios',
        deviceName: 'Ada’s phone',
        state: 'kicked',
        policy: 'single-device',
      },
    ]);
    const refused = await validate(service, phone.body.accessToken);
    expect(refused.status).toBe(401);
    expect(refused.headers['x-auth-reason']).toBe('token_kicked');
    expect(refused.body).toMatchObject({
      code: 'token_kicked',
      endedBy: { kind: 'login', platform: 'macos', deviceName: 'Ada’s laptop', policy: 'single-device' },
    });
    const listed = await listTokens(service, 'ada');
    expect(
      listed.body.tokens.map((token: { platform: string; state: string }) => [token.platform, token.state]),
    ).toEqual([
      ['ios', 'kicked'],
      ['macos', 'active'],
    ]);
    const told = await history(service, 'ada');
    expect(told.body.events.map((event: { type: string }) => event.type)).toEqual([
      'token.issued',
      'token.kicked',
      'token.issued',
    ]);
    expect((await refresh(service, phone.body.refreshToken)).body.code).toBe('token_kicked');
    const next = await refresh(service, laptop.body.refreshToken);
    expect(next.status).toBe(200);
    expect((await service.api.get('/tokens').set(bearer(next.body.accessToken))).body.tokens).toHaveLength(1);
    expect((await issue(service, 'ada', { platform: 'tv' })).status).toBe(400);
  });
});
