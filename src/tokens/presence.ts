/**
 * Owns how gateways keep the seats of connected tokens. Must not know HTTP or Redis.
 */
import type { TokenReason } from '../contract/errors.ts';
import type { TokenId, UserKey } from '../domain/token.ts';
import type { TenantStore, TokenStore } from './store.ts';

export type Connected = UserKey & { readonly tokenId: TokenId; readonly connectionId: string };

export type PresenceResult = {
  readonly renewed: number;
  readonly refused: readonly { readonly tokenId: TokenId; readonly reason: TokenReason }[];
  /** Absent: all could be read. */
  readonly unreadable?: readonly TokenId[];
};

/** Renews the leases of connected tokens, or begins their grace. Two round trips for any number. */
export type Presence = (tokens: readonly Connected[], release: boolean) => Promise<PresenceResult>;

export function createPresence(store: TokenStore, tenants: TenantStore): Presence {
  return async (tokens, release) => {
    const names = [...new Set(tokens.map((token) => token.tenant))];
    const found = await Promise.all(names.map((tenant) => tenants.find(tenant)));
    const rules = new Map(names.map((name, index) => [name, found[index]?.config.presence]));
    // A tenant whose rules are not understood is no fault of the others.
    const unread = new Set(names.filter((_name, index) => found[index]?.unreadable.includes('presence')));
    const asked = tokens.filter((token) => !unread.has(token.tenant));
    const answers = await store.lease(
      asked.map((token) => {
        const own = rules.get(token.tenant);
        const presence = own && { leaseMs: own.leaseSeconds * 1000, graceMs: own.graceSeconds * 1000 };
        return { ...token, release, presence };
      }),
    );
    const unreadable = [
      ...tokens.filter((token) => unread.has(token.tenant)),
      ...asked.filter((_token, index) => answers[index]?.unreadable),
    ].map(({ tokenId }) => tokenId);
    return {
      renewed: answers.filter((answer) => answer.renewed).length,
      refused: answers.flatMap(({ refused }, index) => {
        const tokenId = asked[index]?.tokenId;
        return refused === undefined || tokenId === undefined ? [] : [{ tokenId, reason: refused }];
      }),
      ...(unreadable.length > 0 && { unreadable }),
    };
  };
}
