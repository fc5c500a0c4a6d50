/**
 * Owns every key name and the shard of every user. All keys of a user and the stream that tells of them share one hash
 * slot, so one script may touch them all on Redis Cluster. Must not know what the keys hold.
 */
import { hash } from 'node:crypto';
import calculateSlot from 'cluster-key-slot';
import type { UserKey } from '../domain/token.ts';

/** Hash slots of a Redis Cluster. */
const SLOTS = 16_384;

export type Keys = {
  /** Of the names of all keys and channels. */
  readonly prefix: string;
  readonly shards: number;
  /** Shard of a user, 0 … shards-1. */
  shardOf(user: UserKey): number;
  /** Hash: the user's tokens, their version and sequence. Expires with the last token. */
  tokens(user: UserKey): string;
  /** Hash: password, block, policy of their own. No expiry. */
  user(user: UserKey): string;
  /** List: what happened to the user's tokens, newest first. Expires. */
  history(user: UserKey): string;
  /** Stream: the events of a shard. Trimmed by age, and expires. */
  events(shard: number): string;
  /** Sorted set: the users of a shard, as {@link Keys.listed}. No expiry. */
  users(shard: number): string;
  /** Sorted set: the blocked users of a shard, as {@link Keys.listed}. No expiry. */
  blocked(shard: number): string;
  /** Hash: failed and counted logins of a user. Expires. */
  attempts(user: UserKey): string;
  /** Hash: the same of an address. Expires. */
  addressAttempts(address: string): string;
  /** Hash: the rules of a tenant. No expiry. */
  tenant(tenant: string): string;
  /** Stream that tells of a tenant's rules. */
  tenantEvents(tenant: string): string;
  /** Hash: how far the webhook of a tenant has come, and who delivers. Lives as long as the rules name a webhook. */
  webhook(tenant: string): string;
  /** Sorted set: the tenants that have a webhook, and maybe more, by when that was written (ms). No expiry. */
  webhooks(): string;
  /** Hash: what every node of a deployment must agree on. No expiry. */
  settings(): string;
  /** Sorted set: the largest figures that were ever in force in this deployment. No expiry. */
  longest(): string;
  /** Name of a user within keys; older versions had it in indexes too. */
  member(user: UserKey): string;
  /** Name of a user in an index: sorts by tenant, then by the code points of the userId, as bytes of UTF-8 do. */
  listed(user: UserKey): string;
  /** Where a tenant's names in an index begin and end, as ZRANGE BYLEX takes it; after that user where one is given. */
  listedRange(tenant: string, after: string | undefined): readonly [from: string, to: string];
  /** The user whom a name in an index stands for. */
  userOf(listed: string): UserKey;
};

/**
 * @param prefix separates deployments on one Redis (KEY_PREFIX)
 * @param shards number of hash tags that users are spread over (SHARDS); must never change within a deployment
 */
export function createKeys(prefix: string, shards: number): Keys {
  const tags = evenTags(shards);
  let latest: { readonly user: UserKey; readonly member: string; readonly shard: number } | undefined;
  // The keys of one user are asked for in a row.
  const placeOf = (user: UserKey) => {
    if (latest?.user === user) return latest;
    const member = memberOf(user);
    latest = { user, member, shard: hash32(member) % shards };
    return latest;
  };
  const shardOf = (user: UserKey) => placeOf(user).shard;
  const shardOfTenant = (tenant: string) => hash32(memberPrefix(tenant)) % shards;
  const inShard = (shard: number, name: string) => `${prefix}:{${tags[shard]}}:${name}`;
  const ofUser = (kind: string) => (user: UserKey) => {
    const { shard, member } = placeOf(user);
    return inShard(shard, `${kind}:${member}`);
  };
  return {
    prefix,
    shards,
    shardOf,
    tokens: ofUser('t'),
    user: ofUser('u'),
    history: ofUser('h'),
    events: (shard) => inShard(shard, 'events'),
    users: (shard) => inShard(shard, 'users'),
    blocked: (shard) => inShard(shard, 'blocked'),
    attempts: ofUser('a'),
    addressAttempts: (address) => `${prefix}:a:${address}`,
    tenant: (tenant) => inShard(shardOfTenant(tenant), `tenant:${encodeURIComponent(tenant)}`),
    tenantEvents: (tenant) => inShard(shardOfTenant(tenant), 'events'),
    webhook: (tenant) => inShard(shardOfTenant(tenant), `webhook:${encodeURIComponent(tenant)}`),
    webhooks: () => `${prefix}:webhooks`,
    settings: () => `${prefix}:settings`,
    longest: () => `${prefix}:longest`,
    member: memberOf,
    listed: listedOf,
    listedRange: (tenant, after) => {
      const from = after === undefined ? `[${memberPrefix(tenant)}` : `(${listedOf({ tenant, userId: after })}`;
      // ";" follows on ":".
      return [from, `(${encodeURIComponent(tenant)};`];
    },
    userOf: (listed) => {
      const end = listed.indexOf(':');
      return {
        tenant: decodeURIComponent(listed.slice(0, end)),
        userId: listed.slice(end + 1).replaceAll('%25', '%'),
      };
    },
  };
}

function memberPrefix(tenant: string): string {
  return `${encodeURIComponent(tenant)}:`;
}

function memberOf({ tenant, userId }: UserKey): string {
  return memberPrefix(tenant) + encodeURIComponent(userId);
}

/** Only "%" is written in another way, so that what an older version wrote percent-encoded is known by its "%". */
function listedOf({ tenant, userId }: UserKey): string {
  return memberPrefix(tenant) + userId.replaceAll('%', '%25');
}

function hash32(text: string): number {
  return Number.parseInt(hash('sha1', text, 'hex').slice(0, 8), 16);
}

/** One tag a shard, each the smallest number whose hash slot lies in the shard's even part of the slots. */
function evenTags(shards: number): readonly string[] {
  const tags: string[] = [];
  let missing = shards;
  for (let candidate = 0; missing > 0; candidate += 1) {
    const shard = Math.floor((calculateSlot(String(candidate)) * shards) / SLOTS);
    if (tags[shard] !== undefined) continue;
    tags[shard] = String(candidate);
    missing -= 1;
  }
  return tags;
}
