-- Carries out a login's plan, all of it or nothing.
--
-- Input  ARGV 5 version that the plan was made for, 6 tokenId, 7 record without seq, 8 renewal, 9 expiresAt,
--             10 detail of token.issued, 11 lease or '', 12 displacements to note, 13 how many are remembered (0 = none),
--             14 tombstones to keep at most, 15 login name or '', 16 number of records to forget, their ids,
--             then number of tokens that time has ended, their ids, code, event and actor of that end,
--             then number of tokens that must stand as they were read, for each: id, <id>:r, last seen,
--             then for each token to end: id, code, event, actor
-- Output APPLIED now | CONFLICT now tokens user: the fresh snapshot, nothing was written
-- Events one for each token ended, and for each that time has ended if an access token of it may still be presented; then
--        token.issued

local expected, token_id, record, renewal, expires_at, detail = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local lease, displacements, remembered = ARGV[11], tonumber(ARGV[12]), tonumber(ARGV[13])
local max_tombstones, login_name = tonumber(ARGV[14]), ARGV[15]

local expired_from = 17 + tonumber(ARGV[16])
local expired_to = expired_from + tonumber(ARGV[expired_from])
local expired_code, expired_event, expired_by = ARGV[expired_to + 1], ARGV[expired_to + 2], ARGV[expired_to + 3]
local read_from = expired_to + 4
local end_from = read_from + 1 + 3 * tonumber(ARGV[read_from])

-- By their numbers: a later version may have added to them, and a number can be written in several ways.
local PARTS_OF_RENEWAL = 5
local function is_as_read(renewal_now, renewal)
  for i = 1, PARTS_OF_RENEWAL do
    if tonumber(part(renewal_now or '', i)) ~= tonumber(part(renewal, i)) then return false end
  end
  return true
end

-- Whether a refresh or a use has brought back one that time had ended or loosened. Neither changes the version.
local function is_any_back()
  for i = read_from + 1, end_from - 1, 3 do
    local id, renewal, seen_at = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local core, renewal_now, seen_now = unpack(redis.call('HMGET', TOKENS, id, id .. ':r', id .. ':s'))
    local seen = seen_now and part(seen_now, 1) or part(core or '', 5)
    if not is_as_read(renewal_now, renewal) or tonumber(seen) ~= tonumber(seen_at) then return true end
  end
  return false
end

-- Of a token that time has ended. Gateways are told while one may take an access token of it; it leaves a tombstone for as
-- long as it can be asked about.
local function clear_away(id)
  local renewal = split(redis.call('HGET', TOKENS, id .. ':r'))
  local may_be_presented = tonumber(renewal[2]) > NOW
  if may_be_presented or tonumber(renewal[1]) > NOW then
    end_token(id, expired_code, may_be_presented and expired_event or '', expired_by)
  else
    forget(id)
  end
end

local held, version, last_seq = unpack(redis.call('HMGET', TOKENS, token_id, ':v', ':q'))
-- The same login sent twice is applied once.
if held then return { 'APPLIED', NOW } end
if (version or '0') .. '-' .. (redis.call('HGET', USER, 'rev') or '0') ~= expected or is_any_back() then
  return { 'CONFLICT', NOW, redis.call('HGETALL', TOKENS), redis.call('HGETALL', USER) }
end
-- Where the last one cannot be read it goes on from the time, which is beyond any count of logins.
local last = tonumber(part(last_seq or '0', 1))
local seq = integer((last and last >= 0 and last < 8e15 and last or NOW_US) + 1)
local next_version = version_after(version)

for i = 17, expired_from - 1 do forget(ARGV[i]) end
for i = expired_from + 1, expired_to do clear_away(ARGV[i]) end
for i = end_from, #ARGV, 4 do end_token(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end

redis.call('HSET', TOKENS, token_id, seq .. US .. record, token_id .. ':r', renewal, ':q', seq, ':v', next_version)
if lease ~= '' then redis.call('HSET', TOKENS, token_id .. ':l', lease) end
if login_name ~= '' then redis.call('HSET', TOKENS, token_id .. ':n', login_name) end
if remembered > 0 and displacements > 0 then
  local known = redis.call('HGET', TOKENS, ':d')
  local times = known and split(known) or {}
  for _ = 1, displacements do times[#times + 1] = NOW_TEXT end
  redis.call('HSET', TOKENS, ':d', table.concat(times, US, math.max(1, #times - remembered + 1)))
end
-- The hash lives as long as its last token; each token's own end is in its record.
keep_until(TOKENS, tonumber(expires_at))
if end_from <= #ARGV or expired_to > expired_from then trim_tombstones(max_tombstones) end
emit('token.issued', token_id, part(record, 1), tonumber(part(renewal, 2)), detail)
return { 'APPLIED', NOW }
