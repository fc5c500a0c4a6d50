/** User records in forms that this version does not know: no call fails, and a block holds. */
import { afterAll, describe, expect, it } from '@jest/globals';
import { asAdmin, getUser, issue } from '../helpers/calls.ts';
import { closeServices, startService } from '../helpers/service.ts';

afterAll(closeServices);

describe('F21 whatever stands in the record of a user', () => {
  const FIELDS = ['createdAt', 'blockedUntil', 'blockedAt', 'blockReason', 'policy', 'rev'];
  const VALUES = ['', 'x', '-1', '1\u001Fx', '9'.repeat(30)];

  it('no call fails, and a block whose end cannot be read holds', async () => {
    const service = await startService();
    const answers: [string, number, string | undefined][] = [];
    for (const field of FIELDS) {
      for (const value of VALUES) {
        const userId = `user-${answers.length}`;
        await service.users.create({ tenant: 'default', userId }, 'no hash');
        await service.redis.hset(service.keys.user({ tenant: 'default', userId }), field, value);
        const patch = (body: object) => service.api.patch(`/admin/users/${userId}`).set(asAdmin).send(body);
        const tried = [
          await issue(service, userId),
          await getUser(service, userId),
          await patch({ blocked: { reason: 'test' } }),
          await patch({ blocked: null }),
        ];
        for (const { status, body } of tried) answers.push([`${field}=${value}`, status, body.code]);
        const isHeld = field === 'blockedUntil' && value !== '-1';
        expect([field, value, isHeld && tried[0]?.status !== 403]).toEqual([field, value, false]);
      }
    }
    for (const path of ['/admin/users', '/admin/blocks']) {
      const { status, body } = await service.api.get(path).set(asAdmin);
      answers.push([path, status, body.code]);
    }
    expect(answers.filter(([, status, code]) => status >= 500 && code !== 'store_unreadable')).toEqual([]);
  });
});
