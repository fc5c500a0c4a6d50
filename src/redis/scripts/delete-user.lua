-- Deletes a user's record and ends every token of the user. The tombstones stay, so that the devices can be told.
--
-- Input  KEYS 5 index of the shard's users, 6 index of its blocks, 7 the user's counters of attempts
--        ARGV 5 name in the indexes, 6 the same as older versions wrote it, 7 code, 8 event, 9 actor
-- Output DELETED now (id platform …) | UNKNOWN now: neither a record nor a token to end
-- Events one for each token ended, then user.deleted

local tokens = endable_tokens()
if #tokens == 0 and redis.call('EXISTS', USER) == 0 then return { 'UNKNOWN', NOW } end
local ended = end_all(tokens, ARGV[7], ARGV[8], ARGV[9])
redis.call('DEL', USER, KEYS[7])
redis.call('ZREM', KEYS[5], ARGV[5], ARGV[6])
redis.call('ZREM', KEYS[6], ARGV[5], ARGV[6])
emit('user.deleted', '', '', nil, detail_of(ARGV[9], ''))
return { 'DELETED', NOW, ended }
