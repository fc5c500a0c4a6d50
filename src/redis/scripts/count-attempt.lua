-- Counts an attempt against a rate, and tells what stands in its way. An attempt that is refused is not counted: neither by
-- the rate, nor while a lock holds that keeps strangers out, so that who is locked out cannot use up the rate of others.
--
-- Input  KEYS 1 the subject's counters: n, w attempts in a window and its start, of anybody or of one known device (n:, w:);
--             for each kind of failure f:, l:, a: failures, end of the lock, last failure
--        ARGV 1 attempts allowed in a window (0 = no limit), 2 window (ms), 3 '' or the device whose rate it is,
--             4 how many of the kinds keep strangers out, 5 … kinds of failure to look up, those first
-- Output ALLOWED now (ms until the rate allows, then ms until each kind's lock ends; 0 = free)
-- Events none

local limit, window_ms, whose, keep_out = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local FIRST_KIND = 5
local count, start = 'n' .. whose, 'w' .. whose

local waits, is_locked = { 0 }, false
for i = FIRST_KIND, #ARGV do
  local wait = math.max(0, tonumber(redis.call('HGET', KEYS[1], 'l:' .. ARGV[i]) or '0') - NOW)
  waits[#waits + 1] = wait
  if wait > 0 and i < FIRST_KIND + keep_out then is_locked = true end
end

if limit > 0 and not is_locked then
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
return { 'ALLOWED', NOW, waits }
