-- Takes the lease of a tenant's webhook, or renews it for its owner.
--
-- Input  KEYS 1 state of the webhook, 2 tenant
--        ARGV 1 owner, 2 lease (ms), 3 version of the rules that name the webhook, 4 its address
-- Output TAKEN now state | HELD now | STALE now (the rules are others by now)
-- Events none

if redis.call('HGET', KEYS[2], 'version') ~= ARGV[3] then return { 'STALE', NOW } end
local held = redis.call('HMGET', KEYS[1], 'owner', 'until', 'url')
local owner, ends, url = held[1], tonumber(held[2] or '0'), held[3]
if owner and owner ~= ARGV[1] and ends > NOW then return { 'HELD', NOW } end
-- What the old address answered says nothing about the new one.
if url ~= ARGV[4] then redis.call('HDEL', KEYS[1], 'failures', 'lastError', 'nextAttemptAt', 'lastRefusal') end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', integer(NOW + tonumber(ARGV[2])), 'url', ARGV[4])
return { 'TAKEN', NOW, redis.call('HGETALL', KEYS[1]) }
