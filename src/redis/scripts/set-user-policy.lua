-- Sets or removes the policy of one user, which goes before the tenant's.
--
-- Input  ARGV 5 the policy as text, or '' to remove it
-- Output CHANGED now
-- Events none; a new version, so that a login under way decides again

if ARGV[5] ~= '' then
  redis.call('HSET', USER, 'policy', ARGV[5])
  change_user()
elseif redis.call('HDEL', USER, 'policy') == 1 then
  change_user()
  -- Nothing is left but the revision: the user never had a record.
  if redis.call('HLEN', USER) == 1 then redis.call('DEL', USER) end
end
return { 'CHANGED', NOW }
