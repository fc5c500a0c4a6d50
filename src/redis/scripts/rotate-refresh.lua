-- Moves a token to its next refresh token, or ends it when one is used a second time.
--
-- Input  ARGV 5 tokenId, 6 generation presented, 7 grace (ms), 8 expiresAt, 9 accessExpiresAt, 10 idleMs,
--             11 code, 12 event, 13 actor of a reuse
-- Output ROTATED now generation expiresAt | REPEATED now generation expiresAt: within the grace everybody gets the same
--        successor; generation and expiresAt are those now in force
--        | REUSED now | ENDED now (the token's <id>:e) | EXPIRED now | UNREADABLE now | UNKNOWN now
-- Events the one of a reuse

local id, presented, grace_ms = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local core, stored, seen, ended = unpack(redis.call('HMGET', TOKENS, id, id .. ':r', id .. ':s', id .. ':e'))

if not core and not stored then return { 'UNKNOWN', NOW } end
if ended then return { 'ENDED', NOW, ended } end
local token = read_token(core, stored, seen)
if not token then return { 'UNREADABLE', NOW } end
local renewal = token.renewal
if is_expired(renewal, token.seen_at) then return { 'EXPIRED', NOW } end

local generation, rotated_at = tonumber(renewal[3]), tonumber(renewal[4])
local access_expires_at = integer(math.max(tonumber(ARGV[9]), tonumber(renewal[2])))

-- A generation ahead of the record was signed by us and lost by a Redis that came back without its last second.
if presented >= generation then
  local renewed = { ARGV[8], access_expires_at, integer(presented + 1), NOW_TEXT, ARGV[10] }
  redis.call('HSET', TOKENS, id .. ':r', table.concat(renewed, US) .. added(stored, 5), id .. ':s', NOW_TEXT .. added(seen, 1))
  keep_until(TOKENS, tonumber(ARGV[8]))
  return { 'ROTATED', NOW, presented + 1, tonumber(ARGV[8]) }
end
if presented == generation - 1 and NOW - rotated_at < grace_ms then
  renewal[2] = access_expires_at
  redis.call('HSET', TOKENS, id .. ':r', table.concat(renewal, US), id .. ':s', NOW_TEXT .. added(seen, 1))
  return { 'REPEATED', NOW, generation, tonumber(renewal[1]) }
end
end_all({ { id = id, platform = part(core, 2) } }, ARGV[11], ARGV[12], ARGV[13])
return { 'REUSED', NOW }
