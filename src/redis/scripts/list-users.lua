-- A page of an index of users, in the order of the bytes of its names. Older versions wrote names percent-encoded, which is
-- another order: the first calls on an index renew all of them, so many a call, and a name that a node of an older version
-- writes after that is renewed when it is met. Nobody is left out.
--
-- Input  KEYS 1 index; ARGV 1 from, 2 to (as ZRANGE BYLEX takes them), 3 how many, 4 where the renewal goes on ('-' at first)
-- Output LISTED now (names) | RENEWING now where it goes on: to be called again with that
-- Events none

local from, to, count, go_on = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
-- In an index where all names were renewed; a tenant's name is followed by ":", so this is nobody's.
local RENEWED = '!'
local RENEWED_AT_ONCE = 1000

local function renewed(name)
  local tenant, user = string.match(name, '^(.-:)(.*)$')
  if not tenant then return name end
  local plain = string.gsub(user, '%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end)
  return tenant .. (string.gsub(plain, '%%', '%%25'))
end

local function renew(names)
  local count_renewed = 0
  for _, name in ipairs(names) do
    local today = renewed(name)
    if today ~= name then
      redis.call('ZADD', KEYS[1], 0, today)
      redis.call('ZREM', KEYS[1], name)
      count_renewed = count_renewed + 1
    end
  end
  return count_renewed
end

if redis.call('EXISTS', KEYS[1]) == 0 then return { 'LISTED', NOW, {} } end
if not redis.call('ZSCORE', KEYS[1], RENEWED) then
  local names = redis.call('ZRANGE', KEYS[1], go_on, '+', 'BYLEX', 'LIMIT', 0, RENEWED_AT_ONCE)
  renew(names)
  if #names == RENEWED_AT_ONCE then return { 'RENEWING', NOW, '(' .. names[#names] } end
  redis.call('ZADD', KEYS[1], 0, RENEWED)
end

local names
repeat
  names = redis.call('ZRANGE', KEYS[1], from, to, 'BYLEX', 'LIMIT', 0, count)
until renew(names) == 0
return { 'LISTED', NOW, names }
