-- Forgets all failures and attempts of a subject, and with them its locks. Answers what there was.
--
-- Input  KEYS 1 the subject's counters (count-attempt.lua)
-- Output LIFTED now counters
-- Events none

local counters = redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1])
return { 'LIFTED', NOW, counters }
