-- Renews the lease of a webhook for its owner, and notes how far the delivery has come. A lease that has run out is
-- renewed as long as nobody else has taken it: then nobody else has delivered either.
--
-- Input  KEYS 1 state of the webhook
--        ARGV 1 owner, 2 lease (ms), 3 how many more events were refused, from 4 field, value, … ('' = remove the field)
-- Output NOTED now | LOST now
-- Events none

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return { 'LOST', NOW } end
redis.call('HSET', KEYS[1], 'until', integer(NOW + tonumber(ARGV[2])))
if ARGV[3] ~= '0' then redis.call('HINCRBY', KEYS[1], 'refused', ARGV[3]) end
for index = 4, #ARGV, 2 do
  if ARGV[index + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[index])
  else
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
end
return { 'NOTED', NOW }
