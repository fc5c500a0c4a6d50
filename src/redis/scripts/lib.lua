-- Second part of every script on a user. Knows how a record is laid out; never what a policy is, and a platform only as
-- text to hand on. Everything that a script does is one step: no other command of Redis runs between.
--
-- The tokens hash:  <id>    seq, platform, deviceId, deviceName, createdAt, salt, ip, userAgent      written once
--                   <id>:r  expiresAt, accessExpiresAt, generation, rotatedAt, idleMs               written by refresh
--                   <id>:a  end of the access token signed last         absent = accessExpiresAt, the latest ever signed
--                   <id>:s  lastSeenAt                                                              absent = createdAt
--                   <id>:e  code, endedAt, actor                                                    present = ended
--                   <id>:l  leaseExpiresAt, graceMs, connectionId, others                           presence only
--                   <id>:n  name by which the user signed in                                        absent = userId
--                   :v, :q  version, sequence
--                   :d      times of the latest displacements by logins                             war only
--
-- A lease in <id>:l is one connection's: that which lapses last, then the others, each as "leaseExpiresAt graceMs
-- connectionId", joined by RS (30). That of a login is nobody's yet and has two parts.
--
-- A later version may add parts behind these, and fields beside them. Whoever writes a value anew keeps what it does not
-- know; a record that cannot be read is ended like any other, but never forgotten before its end is known to have passed.
--
-- KEYS of every script: 1 tokens, 2 user, 3 history, 4 event stream (all in one slot)
-- ARGV of every script: 1 tenant, 2 userId, 3 age of the oldest event kept (ms), 4 life of a history (ms)

local TOKENS, USER, HISTORY, EVENTS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local TENANT, USER_ID, EVENTS_KEPT_MS, HISTORY_KEPT_MS = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local HISTORY_LENGTH = 50
local MAX_TOMBSTONES = 100
local FIELDS_PER_TOMBSTONE = 3

-- Versions are times: neither a hash that expired and came again repeats one, nor a Redis that has lost its last second.
local function version_after(version)
  return integer(math.max(NOW_US, (tonumber(version or '0') or 0) + 1))
end

local function change_tokens()
  redis.call('HSET', TOKENS, ':v', version_after(redis.call('HGET', TOKENS, ':v')))
end

local function change_user()
  redis.call('HSET', USER, 'rev', version_after(redis.call('HGET', USER, 'rev')))
end

-- Appends to the feed and to the user's history.
-- detail: actor (kind, platform, deviceName, policy, reason), ip, conflicts, code that the device is told
local function emit(event, id, platform, exp_ms, detail)
  local exp = exp_ms and integer(math.ceil(exp_ms / 1000)) or ''
  local packed = table.concat({ event, TENANT, USER_ID, id, platform, NOW_TEXT, exp, detail }, US)
  local is_first = not told[EVENTS]
  local entry = append(EVENTS, EVENTS_KEPT_MS, packed)
  local length = redis.call('LPUSH', HISTORY, entry .. US .. packed)
  if length > HISTORY_LENGTH then redis.call('LTRIM', HISTORY, 0, HISTORY_LENGTH - 1) end
  if is_first then redis.call('PEXPIRE', HISTORY, integer(HISTORY_KEPT_MS)) end
end

-- The detail of an event that is no login.
local function detail_of(actor, code)
  return table.concat({ actor, '', '', code }, US)
end

local function forget(id)
  redis.call('HDEL', TOKENS, id, id .. ':r', id .. ':a', id .. ':s', id .. ':e', id .. ':l', id .. ':n')
end

-- Ends one token that is not ended yet. code '' leaves no tombstone, event '' tells nobody.
local function end_token(id, code, event, actor)
  local core, renewal, lease = unpack(redis.call('HMGET', TOKENS, id, id .. ':r', id .. ':l'))
  local platform, access_expires_at = part(core, 2), tonumber(part(renewal or '', 2))
  if code == '' then
    forget(id)
  else
    redis.call('HSET', TOKENS, id .. ':e', code .. US .. NOW_TEXT .. US .. actor)
    if lease then redis.call('HDEL', TOKENS, id .. ':l') end
  end
  if event ~= '' then emit(event, id, platform, access_expires_at, detail_of(actor, code)) end
end

-- What is known of a token that has not ended, in numbers: seq, platform, renewal (the parts of <id>:r), seen_at. nil for a
-- record that cannot be read.
local function read_token(core, stored, seen)
  if not core or not stored then return end
  local parts, renewal = split(core), split(stored)
  local seq, seen_at = tonumber(parts[1]), tonumber(seen and part(seen, 1) or parts[5])
  if #parts < 8 or not seq or not seen_at or not tonumber(parts[5]) then return end
  for i = 1, 5 do
    if not tonumber(renewal[i]) then return end
  end
  return { seq = seq, platform = parts[2], renewal = renewal, seen_at = seen_at }
end

-- Whether time has ended a token. renewal: the parts of <id>:r; seen_at: <id>:s, else createdAt.
local function is_expired(renewal, seen_at)
  local idle = tonumber(renewal[5])
  return NOW >= tonumber(renewal[1]) or (idle > 0 and NOW >= seen_at + idle)
end

-- When nothing of a token can be presented any more, as far as <id>:r can be read.
local function end_of_life(stored)
  local expires_at, access_expires_at = tonumber(part(stored or '', 1)), tonumber(part(stored or '', 2))
  return expires_at and access_expires_at and math.max(expires_at, access_expires_at)
end

-- The tokens that an end reaches, oldest first: id, seq, platform. They are active, or time has ended them and an access
-- token of theirs may still be presented: a gateway that checks by itself has not been told. One that cannot be read may be
-- active to another version.
local function endable_tokens()
  local flat, all, found = redis.call('HGETALL', TOKENS), {}, {}
  for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
  for id, core in pairs(all) do
    if not string.find(id, ':', 1, true) and not all[id .. ':e'] then
      local token = read_token(core, all[id .. ':r'], all[id .. ':s'])
      if token then
        if tonumber(token.renewal[2]) > NOW or not is_expired(token.renewal, token.seen_at) then
          found[#found + 1] = { id = id, seq = token.seq, platform = token.platform }
        end
      elseif (end_of_life(all[id .. ':r']) or NOW + 1) > NOW then
        found[#found + 1] = { id = id, seq = tonumber(part(core, 1)) or 0, platform = part(core, 2) }
      end
    end
  end
  table.sort(found, function(a, b) return a.seq < b.seq end)
  return found
end

-- At most so many tombstones a user: the oldest go first, but none whose last access token may still be presented.
local function trim_tombstones(max)
  if redis.call('HLEN', TOKENS) <= max * FIELDS_PER_TOMBSTONE then return end
  local flat, all, ended = redis.call('HGETALL', TOKENS), {}, {}
  for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
  for field, value in pairs(all) do
    if string.sub(field, -2) == ':e' then
      local id = string.sub(field, 1, -3)
      ended[#ended + 1] = { id = id, at = tonumber(part(value, 2)) or 0, seq = tonumber(part(all[id] or '0', 1)) or 0 }
    end
  end
  table.sort(ended, function(a, b) return a.at < b.at or (a.at == b.at and a.seq < b.seq) end)
  for i = 1, #ended - max do
    local id = ended[i].id
    if (tonumber(part(all[id .. ':r'] or '', 2)) or NOW + 1) <= NOW then forget(id) end
  end
end

-- Ends each of these tokens and tells which: id, platform, id, platform, …
local function end_all(tokens, code, event, actor)
  local ended = {}
  for _, token in ipairs(tokens) do
    end_token(token.id, code, event, actor)
    ended[#ended + 1] = token.id
    ended[#ended + 1] = token.platform
  end
  if #tokens > 0 then
    change_tokens()
    trim_tombstones(MAX_TOMBSTONES)
  end
  return ended
end
