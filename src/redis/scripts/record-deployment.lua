-- Writes what all nodes of a deployment agree on, where it is not on record yet, and which key signs from now on.
--
-- Input  KEYS 1 the deployment's settings
--        ARGV 1 SHARDS, 2 key that signs, 3 epoch of the feed, 4 key on record that it takes the place of, or ''
-- Output RECORDED now
-- Events none

redis.call('HSETNX', KEYS[1], 'shards', ARGV[1])
redis.call('HSETNX', KEYS[1], 'kid', ARGV[2])
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[3])
if redis.call('HGET', KEYS[1], 'kid') == ARGV[4] then redis.call('HSET', KEYS[1], 'kid', ARGV[2]) end
return { 'RECORDED', NOW }
