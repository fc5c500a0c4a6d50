-- Keeps a connected token's seat, or gives it up, for one connection of it. Never brings a token back.
--
-- Input  ARGV 5 tokenId, 6 renew | release, 7 lease (ms; 0 = presence is off), 8 grace (ms), 9 connectionId; a release
--             of '' is one of all connections
-- Output RENEWED now | KEPT now: the release of a connection that has no lease | ENDED now (the token's <id>:e)
--        | EXPIRED now | UNREADABLE now | UNKNOWN now
-- Events none; a new version only when a lapsed token comes back to life

local SEEN_EVERY_MS = 60000
local MAX_LEASES = 16
local id, releasing, lease_ms, grace_ms, connection = ARGV[5], ARGV[6] == 'release', tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local core, stored, seen, ended, text = unpack(redis.call('HMGET', TOKENS, id, id .. ':r', id .. ':s', id .. ':e', id .. ':l'))

if not core and not stored then return { 'UNKNOWN', NOW } end
if ended then return { 'ENDED', NOW, ended } end
local token = read_token(core, stored, seen)
if not token then return { 'UNREADABLE', NOW } end
if is_expired(token.renewal, token.seen_at) then return { 'EXPIRED', NOW } end

local parts = text and split(text) or {}

-- The one that lapses last comes first.
local function read_leases()
  local ends, grace = tonumber(parts[1]), tonumber(parts[2])
  -- Without a lease of its own the token has held its seat since it was last seen.
  if not ends or not grace then return { { ends = token.seen_at + lease_ms, grace = grace_ms } } end
  local leases = { { ends = ends, grace = grace, connection = parts[3] } }
  for other_ends, other_grace, name in string.gmatch(parts[4] or '', '(%d+) (%d+) ([^\30]*)') do
    leases[#leases + 1] = { ends = tonumber(other_ends), grace = tonumber(other_grace), connection = name }
  end
  return leases
end

local function lapses_at(lease)
  return lease.ends + lease.grace
end

-- Keeps those that have not ended, and the one that lapses last: when no connection is left, its grace is the token's.
local function write_leases(leases)
  table.sort(leases, function(a, b)
    if a.ends ~= b.ends then return a.ends > b.ends end
    return a.connection == connection and b.connection ~= connection
  end)
  local last, others = 1, {}
  for i = 2, #leases do
    if lapses_at(leases[i]) > lapses_at(leases[last]) then last = i end
  end
  for i, lease in ipairs(leases) do
    if i ~= last and lease.ends > NOW and #others < MAX_LEASES - 1 then
      others[#others + 1] = integer(lease.ends) .. ' ' .. integer(lease.grace) .. ' ' .. lease.connection
    end
  end
  local first = leases[last]
  local packed = { integer(first.ends), integer(first.grace), first.connection }
  local unknown = added(text, 4)
  if #others > 0 or unknown ~= '' then
    packed[3], packed[4] = first.connection or '', table.concat(others, '\30')
  end
  redis.call('HSET', TOKENS, id .. ':l', table.concat(packed, US) .. unknown)
end

local leases = read_leases()
if releasing then
  local found, changed = connection == '', false
  for _, lease in ipairs(leases) do
    if connection == '' or lease.connection == connection then
      found = true
      if lease_ms > 0 and lease.ends > NOW then
        lease.ends, lease.grace, changed = NOW, grace_ms, true
      end
    end
  end
  if changed then write_leases(leases) end
  return { found and 'RENEWED' or 'KEPT', NOW }
end

if lease_ms > 0 then
  if NOW > lapses_at(leases[1]) then change_tokens() end
  local renewed = { { ends = NOW + lease_ms, grace = grace_ms, connection = connection } }
  for _, lease in ipairs(leases) do
    -- That of a login was for whoever comes first.
    if lease.connection and lease.connection ~= connection then renewed[#renewed + 1] = lease end
  end
  write_leases(renewed)
elseif text then
  -- Should presence be switched on again, a lease of the past must not speak against a token that is in use.
  redis.call('HDEL', TOKENS, id .. ':l')
end
if NOW - token.seen_at >= SEEN_EVERY_MS then
  redis.call('HSET', TOKENS, id .. ':s', NOW_TEXT .. added(seen, 1))
end
return { 'RENEWED', NOW }
