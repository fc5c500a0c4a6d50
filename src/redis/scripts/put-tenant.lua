-- Replaces the rules of a tenant. The state of a webhook begins and ends with its rule.
--
-- Input  KEYS 1 tenant, 2 event stream of its shard, 3 state of its webhook
--        ARGV 1 tenant, 2 age of the oldest event kept (ms), 3 version expected ('' = any, 0 = none yet), 4 rules as text,
--             5 detail of the event, 6 whether the rules have a webhook ('1' or '')
-- Output CHANGED now version | MISMATCH now
-- Events tenant.changed

local current = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[3] ~= '' and ARGV[3] ~= current then return { 'MISMATCH', NOW } end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'config', ARGV[4])
-- Whoever takes it up later has to know since when it was wanted.
if ARGV[6] == '' then redis.call('DEL', KEYS[3]) else redis.call('HSETNX', KEYS[3], 'since', NOW_TEXT) end
append(KEYS[2], tonumber(ARGV[2]), table.concat({ 'tenant.changed', ARGV[1], '', '', '', NOW_TEXT, '', ARGV[5] }, US))
return { 'CHANGED', NOW, version }
