-- Gives the lease of a webhook back. The rest of its state stays for the next owner.
--
-- Input  KEYS 1 state of the webhook
--        ARGV 1 owner
-- Output RELEASED now | LOST now
-- Events none

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return { 'LOST', NOW } end
redis.call('HDEL', KEYS[1], 'owner', 'until')
return { 'RELEASED', NOW }
