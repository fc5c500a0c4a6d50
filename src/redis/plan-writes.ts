/**
 * Owns how a login's plan is told to its script: what to forget, what time has ended, what to end, and what must stand as
 * it was read.
 * Must not know how the plan was reached.
 */
import { CAUSES, type Cause, type Token, type TokenId } from '../domain/token.ts';
import type { Decision } from '../tokens/store.ts';
import { displacementsOf } from '../tokens/war.ts';
import { packActor, packRenewal } from './codec.ts';

type Applied = Pick<Decision & { readonly apply: true }, 'plan' | 'actor'>;

/**
 * @param tokens as the plan was made for
 * @returns how many tokens the login displaces, and the last arguments of apply-login.lua
 */
export function planWrites(
  { plan, actor }: Applied,
  tokens: readonly Token[],
): { displaced: number; writes: (string | number)[] } {
  const { kick, replace, grounds } = plan;
  const gone = [...plan.delete.keys()];
  // A deleted one without a ground had ended before.
  const deleted = gone.filter((tokenId) => grounds.has(tokenId));
  const before = gone.filter((tokenId) => !grounds.has(tokenId));
  const expired = new Set(tokens.filter(({ end }) => end === undefined).map(({ tokenId }) => tokenId));
  const asRead = tokens.filter((token) => isUndoneByUse(token, plan));
  const end = (cause: Cause, tokenIds: Iterable<TokenId>) => {
    const { code, event } = CAUSES[cause];
    const codeToDevice = cause === 'delete' ? '' : code;
    return [...tokenIds].flatMap((id) => [id, codeToDevice, event, packActor({ ...actor, ...grounds.get(id) })]);
  };
  return {
    displaced: displacementsOf(plan),
    writes: [
      ...list(before.filter((tokenId) => !expired.has(tokenId))),
      ...list(before.filter((tokenId) => expired.has(tokenId))),
      CAUSES.expire.code,
      CAUSES.expire.event,
      BY_TIME,
      asRead.length,
      ...asRead.flatMap((token) => [token.tokenId, packRenewal(token), token.lastSeenAt]),
      ...end('replace', replace.keys()),
      ...end('kick', kick.keys()),
      ...end('delete', deleted),
    ],
  };
}

const BY_TIME = packActor({ kind: CAUSES.expire.kind });

function list(tokenIds: readonly TokenId[]): readonly (string | number)[] {
  return [tokenIds.length, ...tokenIds];
}

/** What time alone has ended or loosened, a refresh or a use may have brought back since, and neither is a new version. */
function isUndoneByUse({ tokenId, end }: Token, { delete: gone, grounds }: Applied['plan']): boolean {
  const ground = grounds.get(tokenId);
  if (end !== undefined) return false;
  return ground === undefined ? gone.has(tokenId) : ground.reason === 'lapsed' || ground.reason === 'expired';
}
