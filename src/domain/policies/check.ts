/**
 * Owns whether a written policy makes sense on this deployment's platforms.
 * Must not know where the policy came from: settings and admin calls ask the same question.
 */
import { checkInput, unknownValue } from '../../contract/faults.ts';
import { policySchema, type Policy } from '../../contract/policy.ts';
import { ADMIN_PLATFORM, type Platforms } from '../platform.ts';
import { allows } from './engine.ts';

export type PolicyCheck = { readonly policy: Policy } | { readonly faults: readonly string[] };

/** Reads a policy from unknown data; every fault at once, each naming the valid values where there is a list. */
export function checkPolicy(data: unknown, platforms: Platforms): PolicyCheck {
  const checked = checkInput(policySchema, data, { name: 'policy' });
  if ('faults' in checked) return checked;
  const policy = checked.data;
  const faults = policy.limits.flatMap(({ match }, index) => [
    ...unknownNames(`limits.${index}.match`, 'platform', [match.platforms, match.notPlatforms], platforms.names),
    ...unknownNames(`limits.${index}.match`, 'class', [match.classes, match.notClasses], platforms.classes),
  ]);
  const open = platforms.names.some((name) => name !== ADMIN_PLATFORM && allows(policy, name, platforms));
  if (faults.length === 0 && !open) faults.push('limits: no platform is left that may log in');
  return faults.length > 0 ? { faults } : { policy };
}

function unknownNames(
  place: string,
  what: string,
  lists: readonly (readonly string[] | undefined)[],
  known: readonly string[],
): string[] {
  const valid = known.filter((name) => name !== ADMIN_PLATFORM);
  return lists
    .flatMap((list) => list ?? [])
    .filter((name) => !valid.includes(name))
    .map((name) => `${place}: ${unknownValue(what, name, valid)}`);
}
