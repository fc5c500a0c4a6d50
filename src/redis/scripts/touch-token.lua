-- Notes that a token was seen now. Never brings anything back, and says nothing of the token's state.
--
-- Input  ARGV 5 tokenId
-- Output TOUCHED now | SKIPPED now: ended, expired or not on record
-- Events none, and no new version

local id = ARGV[5]
local core, stored, seen, ended = unpack(redis.call('HMGET', TOKENS, id, id .. ':r', id .. ':s', id .. ':e'))
if not core or not stored or ended then return { 'SKIPPED', NOW } end
if is_expired(split(stored), tonumber(seen or part(core, 5))) then return { 'SKIPPED', NOW } end
redis.call('HSET', TOKENS, id .. ':s', NOW_TEXT)
return { 'TOUCHED', NOW }
