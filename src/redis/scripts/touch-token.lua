-- Notes that a token was seen now. Never brings anything back, and says nothing of the token's state.
--
-- Input  ARGV 5 tokenId
-- Output TOUCHED now | SKIPPED now: ended, expired, unreadable or not on record
-- Events none, and no new version

local id = ARGV[5]
local core, stored, seen, ended = unpack(redis.call('HMGET', TOKENS, id, id .. ':r', id .. ':s', id .. ':e'))
local token = not ended and read_token(core, stored, seen)
if not token or is_expired(token.renewal, token.seen_at) then return { 'SKIPPED', NOW } end
redis.call('HSET', TOKENS, id .. ':s', NOW_TEXT .. added(seen, 1))
return { 'TOUCHED', NOW }
