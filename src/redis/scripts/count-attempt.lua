-- Counts an attempt against a rate, and tells what stands in its way. An attempt that is refused is not counted.
--
-- Input  KEYS 1 the subject's counters: n, w attempts in a window and its start, of anybody or of one known device (n:, w:);
--             for each kind of failure f:, l:, a: failures, end of the lock, last failure
--        ARGV 1 attempts allowed in a window (0 = no limit), 2 window (ms), 3 '' or the device whose rate it is,
--             4 … kinds of failure to look up
-- Output ALLOWED now (ms until the rate allows, then ms until each kind's lock ends; 0 = free)
-- Events none

local limit, window_ms, whose = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local count, start = 'n' .. whose, 'w' .. whose
local waits = { 0 }
if limit > 0 then
  local counted, started = unpack(redis.call('HMGET', KEYS[1], count, start))
  if not started or tonumber(started) + window_ms <= NOW then
    counted, started = 0, NOW
    redis.call('HSET', KEYS[1], count, 0, start, NOW_TEXT)
  end
  if tonumber(counted) >= limit then
    waits[1] = tonumber(started) + window_ms - NOW
  else
    redis.call('HINCRBY', KEYS[1], count, 1)
  end
  keep_until(KEYS[1], NOW + window_ms)
end
for i = 4, #ARGV do
  waits[#waits + 1] = math.max(0, tonumber(redis.call('HGET', KEYS[1], 'l:' .. ARGV[i]) or '0') - NOW)
end
return { 'ALLOWED', NOW, waits }
