-- Makes a user's record, if there is none.
--
-- Input  KEYS 5 index of the shard's users; ARGV 5 name in the index, 6 password hash
-- Output CREATED now user | EXISTS now
-- Events none

if redis.call('HEXISTS', USER, 'createdAt') == 1 then return { 'EXISTS', NOW } end
redis.call('HSET', USER, 'password', ARGV[6], 'createdAt', NOW_TEXT)
change_user()
redis.call('ZADD', KEYS[5], 0, ARGV[5])
return { 'CREATED', NOW, redis.call('HGETALL', USER) }
