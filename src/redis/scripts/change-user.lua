-- Sets a new password, a block, or lifts one, and ends every token of the user in the same step where that is due.
-- Makes the record if there is none.
--
-- Input  KEYS 5 index of the shard's users, 6 index of its blocks
--        ARGV 5 name in the index, 6 password hash or '', 7 block: '' | set | lift, 8 its end (ms; 0 = none), 9 its reason,
--             10 actor of the user's events, then if tokens are to end: 11 code, 12 event, 13 actor
-- Output CHANGED now user (id platform …)
-- Events one for each token ended; user.password_changed, user.blocked, user.unblocked

local password, block, until_ms, reason = ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9]
local detail = detail_of(ARGV[10], '')

local function blocked_until()
  -- One that cannot be read has no end.
  local current = tonumber(redis.call('HGET', USER, 'blockedUntil') or '-1') or 0
  if current == 0 or current > NOW then return current end
end

local ended = {}
if #ARGV > 10 then ended = end_all(active_tokens(), ARGV[11], ARGV[12], ARGV[13]) end

redis.call('HSETNX', USER, 'createdAt', NOW_TEXT)
redis.call('ZADD', KEYS[5], 0, ARGV[5])
change_user()
if password ~= '' then
  redis.call('HSET', USER, 'password', password)
  emit('user.password_changed', '', '', nil, detail)
end
if block == 'set' then
  -- Of two blocks the stricter wins: without an end, else the later end.
  local current = blocked_until()
  if not current or until_ms == 0 or (current ~= 0 and until_ms >= current) then
    redis.call('ZADD', KEYS[6], 0, ARGV[5])
    redis.call('HSET', USER, 'blockedUntil', integer(until_ms), 'blockReason', reason, 'blockedAt', NOW_TEXT)
  end
  emit('user.blocked', '', '', nil, detail)
elseif block == 'lift' then
  if blocked_until() then emit('user.unblocked', '', '', nil, detail) end
  redis.call('ZREM', KEYS[6], ARGV[5])
  redis.call('HDEL', USER, 'blockedUntil', 'blockReason', 'blockedAt')
end
return { 'CHANGED', NOW, redis.call('HGETALL', USER), ended }
