-- Puts a tenant on the list of those that have a webhook (forget-webhook.lua).
--
-- Input  KEYS 1 list of the tenants that have a webhook
--        ARGV 1 tenant
-- Output LISTED now
-- Events none

redis.call('ZADD', KEYS[1], NOW_TEXT, ARGV[1])
return { 'LISTED', NOW }
