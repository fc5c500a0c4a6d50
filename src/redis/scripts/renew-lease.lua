-- Keeps a connected token's seat, or gives it up. Never brings a token back.
--
-- Input  ARGV 5 tokenId, 6 renew | release, 7 lease (ms; 0 = presence is off), 8 grace (ms), 9 connectionId
-- Output RENEWED now | KEPT now: the release of an older connection | ENDED now (the token's <id>:e) | EXPIRED now | UNKNOWN now
-- Events none; a new version only when a lapsed lease comes back to life

local SEEN_EVERY_MS = 60000
local id, releasing, lease_ms, grace_ms, connection = ARGV[5], ARGV[6] == 'release', tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local core, stored, seen, ended, lease = unpack(redis.call('HMGET', TOKENS, id, id .. ':r', id .. ':s', id .. ':e', id .. ':l'))

if not core or not stored then return { 'UNKNOWN', NOW } end
if ended then return { 'ENDED', NOW, ended } end
local seen_at = tonumber(seen or part(core, 5))
if is_expired(split(stored), seen_at) then return { 'EXPIRED', NOW } end

-- Without a lease of its own the token has held its seat since it was last seen.
local parts = lease and split(lease) or { integer(seen_at + lease_ms), integer(grace_ms), '' }
if releasing then
  if parts[3] ~= connection then return { 'KEPT', NOW } end
  if lease_ms > 0 and tonumber(parts[1]) > NOW then
    redis.call('HSET', TOKENS, id .. ':l', table.concat({ NOW_TEXT, integer(grace_ms), connection }, US))
  end
  return { 'RENEWED', NOW }
end

if lease_ms > 0 then
  if NOW > tonumber(parts[1]) + tonumber(parts[2]) then change_tokens() end
  redis.call('HSET', TOKENS, id .. ':l', table.concat({ integer(NOW + lease_ms), integer(grace_ms), connection }, US))
elseif lease then
  -- Should presence be switched on again, a lease of the past must not speak against a token that is in use.
  redis.call('HDEL', TOKENS, id .. ':l')
end
if NOW - seen_at >= SEEN_EVERY_MS then redis.call('HSET', TOKENS, id .. ':s', NOW_TEXT) end
return { 'RENEWED', NOW }
