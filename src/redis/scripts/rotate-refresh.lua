-- Moves a token to its next refresh token, or ends it when one is used a second time.
--
-- Input  ARGV 5 tokenId, 6 generation presented, 7 grace (ms), 8 expiresAt, 9 accessExpiresAt, 10 idleMs,
--             11 code, 12 event, 13 actor of a reuse
-- Output ROTATED now generation expiresAt idleMs accessExpiresAt | REPEATED, likewise: within the grace everybody gets the
--        same successor; all are those now in force, accessExpiresAt at most what was asked for
--        | REUSED now | ENDED now (the token's <id>:e) | EXPIRED now | UNREADABLE now | UNKNOWN now
-- Events the one of a reuse

local id, presented, grace_ms = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local fields = redis.call('HMGET', TOKENS, id, id .. ':r', id .. ':s', id .. ':e', id .. ':a')
local core, stored, seen, ended, last_signed = unpack(fields)

if not core and not stored then return { 'UNKNOWN', NOW } end
if ended then return { 'ENDED', NOW, ended } end
local token = read_token(core, stored, seen)
if not token then return { 'UNREADABLE', NOW } end

local renewal = token.renewal
local latest, generation, rotated_at = tonumber(renewal[2]), tonumber(renewal[3]), tonumber(renewal[4])
-- A generation ahead of the record was signed by us and lost by a Redis that came back without its last second.
local is_next = presented >= generation
local is_repeat = presented == generation - 1 and NOW - rotated_at < grace_ms
local is_reuse = not is_next and not is_repeat

if is_expired(renewal, token.seen_at) and not (is_reuse and latest > NOW) then return { 'EXPIRED', NOW } end
if is_reuse then
  end_all({ { id = id, platform = token.platform } }, ARGV[11], ARGV[12], ARGV[13])
  return { 'REUSED', NOW }
end
if is_next then
  renewal[1], renewal[3], renewal[4], renewal[5] = ARGV[8], integer(presented + 1), NOW_TEXT, ARGV[10]
  keep_until(TOKENS, tonumber(ARGV[8]))
end

-- No access token ends after what ends its token; exp is a whole second.
local expires_at, idle_ms = tonumber(renewal[1]), tonumber(renewal[5])
local last = idle_ms > 0 and math.min(expires_at, NOW + idle_ms) or expires_at
local signed = math.min(tonumber(ARGV[9]), math.floor(last / 1000) * 1000)
renewal[2] = integer(math.max(signed, latest))
redis.call('HSET', TOKENS, id .. ':r', table.concat(renewal, US), id .. ':s', NOW_TEXT .. added(seen, 1))
if signed < latest then
  redis.call('HSET', TOKENS, id .. ':a', integer(signed) .. added(last_signed, 1))
elseif last_signed then
  redis.call('HDEL', TOKENS, id .. ':a')
end
return { is_next and 'ROTATED' or 'REPEATED', NOW, tonumber(renewal[3]), expires_at, idle_ms, signed }
