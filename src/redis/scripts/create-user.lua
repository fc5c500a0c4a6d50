-- Makes a user's record, if there is none, and lifts the throttle's locks: the password is a new one.
--
-- Input  KEYS 5 index of the shard's users, 6 the user's counters of attempts; ARGV 5 name in the index, 6 password hash
-- Output CREATED now user | EXISTS now
-- Events none

if redis.call('HEXISTS', USER, 'createdAt') == 1 then return { 'EXISTS', NOW } end
redis.call('HSET', USER, 'password', ARGV[6], 'createdAt', NOW_TEXT)
change_user()
redis.call('ZADD', KEYS[5], 0, ARGV[5])
redis.call('DEL', KEYS[6])
return { 'CREATED', NOW, redis.call('HGETALL', USER) }
