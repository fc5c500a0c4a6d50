-- Tells the user's devices of a login that was declined. The tokens stay as they are.
--
-- Input  ARGV 5 platform of the login, 6 detail (actor, ip, conflicts)
-- Output RECORDED now
-- Events login.declined

emit('login.declined', '', ARGV[5], nil, ARGV[6])
return { 'RECORDED', NOW }
