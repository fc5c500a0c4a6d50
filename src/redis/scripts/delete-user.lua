-- Deletes a user's record and ends every token of the user. The tombstones stay, so that the devices can be told.
--
-- Input  KEYS 5 index of the shard's users, 6 index of its blocks; ARGV 5 name in the index, 6 code, 7 event, 8 actor
-- Output DELETED now (id platform …) | UNKNOWN now: neither a record nor an active token
-- Events one for each token ended, then user.deleted

local tokens = active_tokens()
if #tokens == 0 and redis.call('EXISTS', USER) == 0 then return { 'UNKNOWN', NOW } end
local ended = end_all(tokens, ARGV[6], ARGV[7], ARGV[8])
redis.call('DEL', USER)
redis.call('ZREM', KEYS[5], ARGV[5])
redis.call('ZREM', KEYS[6], ARGV[5])
emit('user.deleted', '', '', nil, detail_of(ARGV[8], ''))
return { 'DELETED', NOW, ended }
