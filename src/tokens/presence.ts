/**
 * Owns how gateways keep the seats of connected tokens. Must not know HTTP or Redis.
 */
import type { TokenReason } from '../contract/errors.ts';
import type { TokenId, UserKey } from '../domain/token.ts';
import type { LeaseChange, TenantStore, TokenStore } from './store.ts';
import { UNREADABLE, unlessUnreadable } from './stored-rules.ts';

export type Connected = UserKey & { readonly tokenId: TokenId; readonly connectionId: string };

export type PresenceResult = {
  readonly renewed: number;
  readonly refused: readonly { readonly tokenId: TokenId; readonly reason: TokenReason }[];
  /** Absent: all could be read. */
  readonly unreadable?: readonly TokenId[];
};

/** Renews the leases of connected tokens, or begins their grace. Two round trips for any number. */
export type Presence = (tokens: readonly Connected[], release: boolean) => Promise<PresenceResult>;

type Rule = LeaseChange['presence'] | typeof UNREADABLE;

export function createPresence(store: TokenStore, tenants: TenantStore): Presence {
  /** A rule that this version does not understand is no fault of the other tenants. */
  async function ruleOf(tenant: string): Promise<Rule> {
    const found = await unlessUnreadable(tenants.find(tenant), UNREADABLE);
    if (found === UNREADABLE || found?.unreadable.includes('presence')) return UNREADABLE;
    const own = found?.config.presence;
    return own && { leaseMs: own.leaseSeconds * 1000, graceMs: own.graceSeconds * 1000 };
  }

  return async (tokens, release) => {
    const names = [...new Set(tokens.map((token) => token.tenant))];
    const rules = new Map(await Promise.all(names.map(async (name) => [name, await ruleOf(name)] as const)));
    const changes = tokens.flatMap((token) => {
      const presence = rules.get(token.tenant);
      return presence === UNREADABLE ? [] : [{ ...token, release, presence }];
    });
    const answers = await store.lease(changes);
    const unreadable = [
      ...tokens.filter(({ tenant }) => rules.get(tenant) === UNREADABLE),
      ...changes.filter((_change, index) => answers[index]?.unreadable),
    ].map(({ tokenId }) => tokenId);
    return {
      renewed: answers.filter((answer) => answer.renewed).length,
      refused: answers.flatMap(({ refused }, index) => {
        const tokenId = changes[index]?.tokenId;
        return refused === undefined || tokenId === undefined ? [] : [{ tokenId, reason: refused }];
      }),
      ...(unreadable.length > 0 && { unreadable }),
    };
  };
}
