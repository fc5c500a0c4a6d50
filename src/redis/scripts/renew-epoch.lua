-- Gives the feed another epoch, where the store has lost a part of its past.
--
-- Input  KEYS 1 the deployment's settings
--        ARGV 1 epoch of the past that is lost, 2 another one
-- Output RENEWED now | KEPT now: somebody was first
-- Events none

if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return { 'KEPT', NOW } end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
return { 'RENEWED', NOW }
