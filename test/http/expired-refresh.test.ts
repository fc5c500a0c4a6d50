/** What a refresh token is told past the end of its token: the same, whatever has become of the record. */
import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { issue, logout, refresh, statesOf } from '../helpers/calls.ts';
import { closeServices, REFRESH_SECRET, startService, type Service } from '../helpers/service.ts';

const LIFE_MS = 120_000;
const env = { LOGIN_POLICY: 'no-kick', ACCESS_TTL_SECONDS: '60', REFRESH_TTL_SECONDS: '120', IDLE_TTL_SECONDS: '120' };

let service: Service;
beforeAll(async () => {
  service = await startService({ env });
});
afterAll(closeServices);

const keyOf = (userId: string) => service.keys.tokens({ tenant: 'default', userId });
/** What Redis does when the user's last token is over. */
const dropHash = (userId: string) => service.redis.del(keyOf(userId));

async function told(refreshToken: string): Promise<string> {
  const [answer, signOut] = [await refresh(service, refreshToken), await logout(service, undefined, { refreshToken })];
  expect([answer.status, signOut.status]).toEqual([401, 401]);
  expect(signOut.body.code).toBe(answer.body.code);
  return answer.body.code;
}

async function later(ms: number, look: () => Promise<void>): Promise<void> {
  service.shiftClock(ms);
  try {
    await look();
  } finally {
    service.shiftClock(-ms);
  }
}

describe('F20 an expired refresh token is token_expired', () => {
  it.each<[string, (userId: string) => Promise<unknown>]>([
    ['while its record is there', async () => undefined],
    ['when it was the last token of its user', dropHash],
    ['when another login has cleared it away', (userId) => issue(service, userId)],
    [
      'when its user has logged in again since',
      async (userId) => {
        await dropHash(userId);
        await issue(service, userId);
      },
    ],
  ])('%s', async (how, then) => {
    const userId = how.replaceAll(' ', '-');
    const { refreshToken } = (await issue(service, userId)).body;
    await later(LIFE_MS + 1, async () => {
      await then(userId);
      expect(await told(refreshToken)).toBe('token_expired');
    });
  });

  it('and so is one that was kicked, from its own end on', async () => {
    const { refreshToken } = (await issue(service, 'kicked', { deviceId: 'd' })).body;
    await issue(service, 'kicked', { deviceId: 'd' });
    expect(await told(refreshToken)).toBe('token_replaced');
    await later(LIFE_MS + 1, async () => {
      expect(await told(refreshToken)).toBe('token_expired');
      await dropHash('kicked');
      expect(await told(refreshToken)).toBe('token_expired');
    });
  });

  it('and one that was not used for too long, also when a login has cleared it away', async () => {
    const { refreshToken, token } = (await issue(service, 'idle')).body;
    await service.redis.hset(keyOf('idle'), `${token.tokenId}:s`, service.store.now() - LIFE_MS - 1);
    // Its access token is over too, so that gateways need not be told.
    const parts = (await service.redis.hget(keyOf('idle'), `${token.tokenId}:r`))?.split('\u001F') ?? [];
    parts[1] = '1';
    await service.redis.hset(keyOf('idle'), `${token.tokenId}:r`, parts.join('\u001F'));
    expect(await told(refreshToken)).toBe('token_expired');
    await issue(service, 'idle', { platform: 'web' });
    expect(await told(refreshToken)).toBe('token_expired');
    expect(await statesOf(service, 'idle')).toEqual([
      ['ios', 'expired'],
      ['web', 'active'],
    ]);
  });

  it('before its end one that is not on record is token_unknown', async () => {
    const { refreshToken } = (await issue(service, 'lost')).body;
    await dropHash('lost');
    expect(await told(refreshToken)).toBe('token_unknown');
  });

  it('its end is under the MAC: nobody can move it', async () => {
    const { refreshToken } = (await issue(service, 'moved')).body;
    const moved = refreshToken.replace(/=\d+/, `=${service.store.now() + 10 * LIFE_MS}`);
    expect(moved).not.toBe(refreshToken);
    expect(await told(moved)).toBe('token_invalid');
    expect(await told(refreshToken.replace(/=\d+/, ''))).toBe('token_invalid');
    for (const end of ['=', '=x', '=1=2', `=${'9'.repeat(17)}`]) {
      expect(await told(refreshToken.replace(/=\d+/, end))).toBe('token_malformed');
    }
  });

  it('one of before, which does not say when it ends, is still good, and nodes of before read those of today', async () => {
    const { refreshToken, token } = (await issue(service, 'before')).body;
    const [prefix, locator = ''] = refreshToken.split('.');
    const [encoded = ''] = locator.split('=');
    const salt = (await service.redis.hget(keyOf('before'), token.tokenId))?.split('\u001F')[5] ?? '';
    const mac = createHmac('sha256', REFRESH_SECRET).update(`${salt}.${encoded}`).digest('base64url');
    expect((await refresh(service, `${prefix}.${encoded}.${mac}`)).status).toBe(200);
    // They decode the whole locator, and the decoder stops at the padding.
    const read: unknown = JSON.parse(Buffer.from(locator, 'base64url').toString('utf8'));
    expect(read).toEqual(['default', 'before', token.tokenId, 1]);
  });
});
