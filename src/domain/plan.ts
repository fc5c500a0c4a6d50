/**
 * Owns the form of a policy's decision: which tokens a login ends, tagged with their own platforms.
 * Must not know how it was reached or how it is carried out.
 */
import type { Platform } from './platform.ts';
import type { Token, TokenId } from './token.ts';

/** Why one token is in a plan: the policy in force (or `hard-cap`), and what it was if not the policy's own limit. */
export type Ground = {
  readonly policy: string;
  readonly reason?: 'same_device' | 'evicted' | 'lapsed' | 'expired';
  /** Time had ended the token before, whatever the reason: nobody is signed out by it. */
  readonly hadExpired?: true;
};

/**
 * What a login does to the user's other tokens. Every token stands in at most one of the three maps, under the
 * platform it was issued for. Declined: the maps are empty, nothing at all is written, `conflicts` are in the way.
 */
export type Plan = {
  readonly declined: boolean;
  /**
   * With a ground: ended without a trace, as policy `delete` says. Without one it had ended before, and is forgotten; or
   * time has ended it, and the store writes that down where somebody may still ask.
   */
  readonly delete: ReadonlyMap<TokenId, Platform>;
  /** Ended with a tombstone that tells the device who took its place. */
  readonly kick: ReadonlyMap<TokenId, Platform>;
  /** The same device's earlier token: ended with a tombstone, and never a conflict. */
  readonly replace: ReadonlyMap<TokenId, Platform>;
  /** For every token that this login ends: on what ground. */
  readonly grounds: ReadonlyMap<TokenId, Ground>;
  readonly conflicts: readonly Token[];
};
