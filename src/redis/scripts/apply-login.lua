-- Carries out a login's plan, all of it or nothing.
--
-- Input  ARGV 5 version that the plan was made for, 6 tokenId, 7 record without seq, 8 renewal, 9 expiresAt,
--             10 detail of token.issued, 11 number of records to forget, their ids,
--             then for each token to end: id, code, event, actor
-- Output APPLIED now | CONFLICT now tokens user: the fresh snapshot, nothing was written
-- Events one for each token ended, then token.issued

local expected, token_id, record, renewal, expires_at, detail = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local forget_count = tonumber(ARGV[11])

-- The same login sent twice is applied once.
if redis.call('HEXISTS', TOKENS, token_id) == 1 then return { 'APPLIED', NOW } end
if version() ~= expected then
  return { 'CONFLICT', NOW, redis.call('HGETALL', TOKENS), redis.call('HGETALL', USER) }
end

for i = 12, 11 + forget_count do forget(ARGV[i]) end
for i = 12 + forget_count, #ARGV, 4 do end_token(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end

local seq = redis.call('HINCRBY', TOKENS, ':q', 1)
redis.call('HSET', TOKENS, token_id, seq .. US .. record, token_id .. ':r', renewal)
change_tokens()
keep_until(tonumber(expires_at))
if 12 + forget_count <= #ARGV then trim_tombstones() end
emit('token.issued', token_id, split(record)[1], tonumber(split(renewal)[2]), detail)
return { 'APPLIED', NOW }
