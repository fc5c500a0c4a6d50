-- Counts a failed password, once for each kind. One locks, and each after it for twice as long as the one before, up to a limit.
-- The first kind is the narrowest. What was under way when its lock began is counted by it alone, so that a burst that one
-- network sends at once does not lock all of them.
--
-- Input  KEYS 1 the subject's counters (count-attempt.lua)
--        ARGV 1 first lock (ms), 2 longest lock (ms), 3 how long a failure is remembered (ms),
--             4 … kind of failure, number of the failure that locks first, kind, number, …
-- Output COUNTED now (ms until the last of these locks ends; 0 = free)
-- Events none

local first_ms, longest_ms, memory_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- There is a kind for every network: beyond so many fields, those that are forgotten are removed.
local MANY_FIELDS = 400

local function forget_old()
  local flat = redis.call('HGETALL', KEYS[1])
  local all = {}
  for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
  for field, last in pairs(all) do
    local kind = string.match(field, '^a:(.*)$')
    if kind and NOW - tonumber(last) > memory_ms and tonumber(all['l:' .. kind] or '0') <= NOW then
      redis.call('HDEL', KEYS[1], 'f:' .. kind, 'l:' .. kind, 'a:' .. kind)
    end
  end
end

local function count(kind, first_to_lock)
  local last = tonumber(redis.call('HGET', KEYS[1], 'a:' .. kind) or '0')
  if NOW - last > memory_ms then redis.call('HDEL', KEYS[1], 'f:' .. kind, 'l:' .. kind) end
  local failures = redis.call('HINCRBY', KEYS[1], 'f:' .. kind, 1)
  redis.call('HSET', KEYS[1], 'a:' .. kind, NOW_TEXT)
  if failures < first_to_lock then return 0 end
  local lock_ms = math.min(longest_ms, first_ms * 2 ^ math.min(30, failures - first_to_lock))
  redis.call('HSET', KEYS[1], 'l:' .. kind, integer(NOW + lock_ms))
  return lock_ms
end

if redis.call('HLEN', KEYS[1]) > MANY_FIELDS then forget_old() end
local was_locked = tonumber(redis.call('HGET', KEYS[1], 'l:' .. ARGV[4]) or '0') > NOW
local longest = 0
for i = 4, was_locked and 4 or #ARGV, 2 do longest = math.max(longest, count(ARGV[i], tonumber(ARGV[i + 1]))) end
keep_until(KEYS[1], NOW + math.max(memory_ms, longest))
return { 'COUNTED', NOW, longest }
