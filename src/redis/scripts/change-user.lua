-- Sets a new password, a block, or lifts one, and ends every token of the user in the same step where that is due.
-- Makes the record if there is none, but not for a block that is to be lifted. A new password lifts the throttle's locks.
--
-- Input  KEYS 5 index of the shard's users, 6 index of its blocks, 7 the user's counters of attempts
--        ARGV 5 name in the indexes, 6 the same as older versions wrote it, 7 password hash or '', 8 block: '' | set | lift,
--             9 its end (ms; 0 = none), 10 its reason, 11 actor of the user's events, then if tokens are to end: 12 code,
--             13 event, 14 actor
-- Output CHANGED now user (id platform …) | PAST now: the block's end is over | UNKNOWN now: no record, and nothing to lift
-- Events one for each token ended; user.password_changed, user.blocked, user.unblocked, where that has changed

local password, block, until_ms, reason = ARGV[7], ARGV[8], tonumber(ARGV[9]), ARGV[10]
local detail = detail_of(ARGV[11], '')

if block == 'set' and until_ms ~= 0 and until_ms <= NOW then return { 'PAST', NOW } end
if block == 'lift' and password == '' and redis.call('HEXISTS', USER, 'createdAt') == 0 then return { 'UNKNOWN', NOW } end

local function blocked_until()
  -- One that cannot be read has no end.
  local current = tonumber(redis.call('HGET', USER, 'blockedUntil') or '-1') or 0
  if current == 0 or current > NOW then return current end
end

-- Of two blocks the stricter wins: without an end, else the later end. Of two that end together the later reason.
local function is_stricter()
  local current = blocked_until()
  if not current then return true end
  if current == until_ms then return reason ~= (redis.call('HGET', USER, 'blockReason') or '') end
  return until_ms == 0 or (current ~= 0 and until_ms > current)
end

local ended = {}
if #ARGV > 11 then ended = end_all(endable_tokens(), ARGV[12], ARGV[13], ARGV[14]) end

redis.call('HSETNX', USER, 'createdAt', NOW_TEXT)
redis.call('ZADD', KEYS[5], 0, ARGV[5])
change_user()
if password ~= '' then
  redis.call('HSET', USER, 'password', password)
  redis.call('DEL', KEYS[7])
  emit('user.password_changed', '', '', nil, detail)
end
if block == 'set' and is_stricter() then
  redis.call('ZADD', KEYS[6], 0, ARGV[5])
  redis.call('HSET', USER, 'blockedUntil', integer(until_ms), 'blockReason', reason, 'blockedAt', NOW_TEXT)
  emit('user.blocked', '', '', nil, detail)
elseif block == 'lift' then
  if blocked_until() then emit('user.unblocked', '', '', nil, detail) end
  redis.call('ZREM', KEYS[6], ARGV[5], ARGV[6])
  redis.call('HDEL', USER, 'blockedUntil', 'blockReason', 'blockedAt')
end
return { 'CHANGED', NOW, redis.call('HGETALL', USER), ended }
