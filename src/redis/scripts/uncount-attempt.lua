-- Takes back an attempt that was counted (count-attempt.lua) and refused by something else.
--
-- Input  KEYS 1 the subject's counters
-- Output UNCOUNTED now
-- Events none

if tonumber(redis.call('HGET', KEYS[1], 'n') or '0') > 0 then redis.call('HINCRBY', KEYS[1], 'n', -1) end
return { 'UNCOUNTED', NOW }
