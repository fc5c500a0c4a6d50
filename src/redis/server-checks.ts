/**
 * Owns what every Redis server must be like before tokens are kept there: its version, and that it never evicts. Must not
 * know what is kept.
 */
import type { Redis } from 'ioredis';
import { answerOf, isForbidden, mastersOf, type RedisClient } from './connect.ts';

const MIN_MAJOR_VERSION = 7;

/** This node must not serve this Redis: no retry makes it right. */
export class DeploymentMismatch extends Error {
  override readonly name = 'DeploymentMismatch';
}

export type ServerChecks = {
  /** Looks at every master. Throws a DeploymentMismatch for one that must not be used, `store_unavailable` for an outage. */
  check(redis: RedisClient): Promise<void>;
  /** After an outage: what is wrong is told again. */
  tellAgain(): void;
};

export type ServerCheckOptions = {
  /** Refuse at the start what may lose tokens, instead of warning. */
  readonly strict: boolean;
  readonly warn: (message: string) => void;
};

/** Once a node serves, what changes is a warning: to end then would keep everybody out. */
export function createServerChecks({ strict, warn }: ServerCheckOptions): ServerChecks {
  let isFirst = true;
  let told: string | undefined;
  return {
    async check(redis) {
      const found = await Promise.all(mastersOf(redis).map(lossRiskOf));
      const risk = found.find((one) => one !== undefined);
      if (risk !== undefined && strict && isFirst) throw new DeploymentMismatch(risk);
      if (risk !== undefined && risk !== told) warn(risk);
      told = risk;
      isFirst = false;
    },
    tellAgain() {
      told = undefined;
    },
  };
}

/** A sentence, when this server may lose tokens, or nobody can know. */
async function lossRiskOf(redis: Redis): Promise<string | undefined> {
  await assertVersion(redis);
  const policy = await evictionPolicyOf(redis);
  if (policy === 'noeviction') return undefined;
  if (policy !== undefined) {
    return `Redis may evict tokens: maxmemory-policy is "${policy}", it must be "noeviction"`;
  }
  return 'whether Redis may evict tokens cannot be checked: its user needs +info (ACL SETUSER <user> +info)';
}

/** Lua tells the version to who may not ask for INFO, from 7.0 on. */
async function assertVersion(redis: Redis): Promise<void> {
  const version = String(await answerOf(redis.eval("return redis.REDIS_VERSION or 'older'", 0)));
  if (Number.parseInt(version, 10) >= MIN_MAJOR_VERSION) return;
  throw new DeploymentMismatch(`Redis ${MIN_MAJOR_VERSION}.0 or newer is needed; this one is ${version}`);
}

/** Undefined when the user may not ask, or the server does not say. */
async function evictionPolicyOf(redis: Redis): Promise<string | undefined> {
  const info = await answerOf(redis.info('memory')).catch((error: unknown) => {
    if (!isForbidden(error)) throw error;
    return '';
  });
  return /maxmemory_policy:(\S+)/.exec(info)?.[1];
}
