/**
 * Owns what the user of this service must be allowed to in Redis, and how what is missing is told. Must not know what the
 * commands are for.
 */
import { Cluster } from 'ioredis';
import { LatchkeyError } from '../contract/errors.ts';
import { answerOf, mastersOf, type RedisClient } from './connect.ts';
import type { Keys } from './keys.ts';
import { commandsOfScripts } from './scripts.ts';

/** What is sent beside the scripts, each with a key as its first argument. */
const SENT = ['HGET', 'HGETALL', 'HMGET', 'LRANGE', 'XRANGE', 'XREVRANGE', 'ZMSCORE', 'ZRANGE'];
/** By which scripts are sent, without keys here: Redis 7.0 looks for as many as their second argument says. */
const EVALS = ['EVAL', 'EVALSHA'];
/** How ioredis learns where the slots of a Cluster are. */
const OF_CLUSTER = ['CLUSTER|INFO', 'CLUSTER|SLOTS'];
const ON_CHANNELS = ['PUBLISH', 'SUBSCRIBE'];

/**
 * Answers those commands that the user may not send; Lua sees the rights of who called it (ACL of Redis 7). Each is asked
 * about with arguments of the form that it takes: with fewer Redis reads beyond them.
 * ARGV 1 a key, 2 a channel, 3 … commands that take a key
 */
const ASK = `
local missing = {}
local function ask(name, ...)
  if not redis.acl_check_cmd(...) then missing[#missing + 1] = name end
end
for i = 3, #ARGV do ask(ARGV[i], ARGV[i], ARGV[1]) end
ask('EVAL', 'EVAL', '', '0')
ask('EVALSHA', 'EVALSHA', '', '0')
ask('PUBLISH', 'PUBLISH', ARGV[2], '')
ask('SUBSCRIBE', 'SUBSCRIBE', ARGV[2])
`;
const ASK_OF_CLUSTER = `
for _, name in ipairs({ 'INFO', 'SLOTS' }) do ask('CLUSTER|' .. name, 'CLUSTER', name) end
`;

/** Commands that a user needs to whom all else is forbidden, for the line of ACL that grants them. */
export function neededCommands(isCluster: boolean): string[] {
  return [...new Set([...withKey(), ...EVALS, ...ON_CHANNELS, ...(isCluster ? OF_CLUSTER : [])])].toSorted();
}

function withKey(): string[] {
  return [...commandsOfScripts(), ...SENT];
}

/**
 * Throws `store_unavailable` where a right is missing on any master; its cause has all of them, as ACL SETUSER takes them.
 * One round trip to each.
 */
export async function assertRights(redis: RedisClient, keys: Keys): Promise<void> {
  const script = `${ASK}${redis instanceof Cluster ? ASK_OF_CLUSTER : ''}return missing`;
  const missing = await Promise.all(
    mastersOf(redis).map((master) =>
      answerOf(master.eval(script, 0, keys.settings(), keys.events(0), ...withKey()) as Promise<string[]>),
    ),
  );
  const all = [...new Set(missing.flat())].toSorted();
  if (all.length === 0) return;
  const channels = all.some((name) => ON_CHANNELS.includes(name)) ? [`&${keys.prefix}:*`] : [];
  const rights = [`~${keys.prefix}:*`, ...channels, ...all.map((name) => `+${name.toLowerCase()}`)];
  const cause = new Error(`NOPERM its user needs more rights: ACL SETUSER <user> ${rights.join(' ')}`);
  throw new LatchkeyError('store_unavailable', { cause });
}
