-- Counts a failed password. One locks, and each after it for twice as long as the one before, up to a limit.
--
-- Input  KEYS 1 the subject's counters (count-attempt.lua)
--        ARGV 1 kind of failure, 2 number of the failure that locks first, 3 first lock (ms), 4 longest lock (ms),
--             5 how long a failure is remembered (ms)
-- Output COUNTED now (ms until the lock ends; 0 = free)
-- Events none

local kind, first_to_lock, first_ms, longest_ms, memory_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local last = tonumber(redis.call('HGET', KEYS[1], 'a:' .. kind) or '0')
if NOW - last > memory_ms then redis.call('HDEL', KEYS[1], 'f:' .. kind, 'l:' .. kind) end
local failures = redis.call('HINCRBY', KEYS[1], 'f:' .. kind, 1)
redis.call('HSET', KEYS[1], 'a:' .. kind, NOW_TEXT)
keep_until(KEYS[1], NOW + memory_ms)
if failures < first_to_lock then return { 'COUNTED', NOW, 0 } end
local lock_ms = math.min(longest_ms, first_ms * 2 ^ math.min(30, failures - first_to_lock))
redis.call('HSET', KEYS[1], 'l:' .. kind, integer(NOW + lock_ms))
keep_until(KEYS[1], NOW + lock_ms)
return { 'COUNTED', NOW, lock_ms }
