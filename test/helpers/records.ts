/** Records of tokens in Redis, read and changed by hand as another version, or some damage, would have them. */
import { expect } from '@jest/globals';
import { asGateway, issue } from './calls.ts';
import type { Service } from './service.ts';

/** Between the parts of a value. */
export const US = '\u001F';

export type Held = {
  readonly userId: string;
  readonly tokenId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
};

/** @param serviceOf the one that the file has started by then */
export function recordsOf(serviceOf: () => Service) {
  let users = 0;
  const keyOf = ({ userId }: Pick<Held, 'userId'>) => serviceOf().keys.tokens({ tenant: 'default', userId });
  return {
    keyOf,

    /** Of a phone of a user of its own. */
    newToken: async (userId = `user-${(users += 1)}`): Promise<Held> => {
      const { status, body } = await issue(serviceOf(), userId, { platform: 'ios', deviceId: 'phone' });
      expect(status).toBe(200);
      const { accessToken, refreshToken, token } = body;
      return { userId, tokenId: token.tokenId, accessToken, refreshToken };
    },

    /** @param suffix of the field: '' for the record, `:r`, `:s`, … */
    field: (held: Held, suffix: string) => serviceOf().redis.hget(keyOf(held), `${held.tokenId}${suffix}`),
    setField: (held: Held, suffix: string, value: string) =>
      serviceOf().redis.hset(keyOf(held), `${held.tokenId}${suffix}`, value),

    presence: (held: Held, release = false, connectionId = 'c1') =>
      serviceOf()
        .api.post('/presence')
        .set(asGateway)
        .send({ tokens: [{ userId: held.userId, tokenId: held.tokenId, connectionId }], release }),
  };
}
