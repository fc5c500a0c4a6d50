-- Takes a tenant off the list of those that have a webhook. Whoever sets one writes the list first and the rules after
-- it: a tenant that was written a moment ago stays.
--
-- Input  KEYS 1 list of the tenants that have a webhook
--        ARGV 1 tenant, 2 how long a writer may take (ms)
-- Output FORGOTTEN now | KEPT now
-- Events none

local written = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '0')
if written > NOW - tonumber(ARGV[2]) then return { 'KEPT', NOW } end
redis.call('ZREM', KEYS[1], ARGV[1])
return { 'FORGOTTEN', NOW }
