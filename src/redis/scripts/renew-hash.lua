-- Puts another hash of the same password in place of one. The version stays: no decision is another by it.
--
-- Input  KEYS 1 user; ARGV 1 hash that must be there, 2 hash in its place
-- Output RENEWED now | KEPT now
-- Events none

if redis.call('HGET', KEYS[1], 'password') ~= ARGV[1] then return { 'KEPT', NOW } end
redis.call('HSET', KEYS[1], 'password', ARGV[2])
return { 'RENEWED', NOW }
