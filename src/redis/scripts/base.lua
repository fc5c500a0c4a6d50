-- First part of every script: the time, until when it may be carried out, how long keys live, and how values and events
-- are written. Knows no keys. Values are joined by US (31), which none of them may contain. Times are milliseconds by TIME.
--
-- ARGV of every script, as the last of all: its deadline (ms by TIME), which is taken off here
-- Output LATE now: the deadline had passed, nothing was done
--        an error NOPERM: the user lacks the right to one of NEEDED, the commands of the script, and nothing was done

local US = '\31'

-- A command that is refused half-way through would leave what came before it.
for _, command in ipairs(NEEDED) do
  if not redis.acl_check_cmd(command, KEYS[1]) then return redis.error_reply('NOPERM no right to ' .. command) end
end

local time = redis.call('TIME')
local NOW_US = time[1] * 1000000 + time[2]
local NOW = math.floor(NOW_US / 1000)

-- A script that lay in a buffer while Redis stood still: whoever sent it was told that it failed, and has gone on.
if NOW > tonumber(table.remove(ARGV)) then return { 'LATE', NOW } end

local function integer(number)
  return string.format('%.0f', number)
end

local NOW_TEXT = integer(NOW)

local function split(text)
  local parts, from = {}, 1
  while true do
    local at = string.find(text, US, from, true)
    if not at then
      parts[#parts + 1] = string.sub(text, from)
      return parts
    end
    parts[#parts + 1] = string.sub(text, from, at - 1)
    from = at + 1
  end
end

-- One of the values that split() gives, alone; '' where there are not so many.
local function part(text, index)
  local from = 1
  for _ = 2, index do from = (string.find(text, US, from, true) or #text) + 1 end
  local to = string.find(text, US, from, true)
  return string.sub(text, from, to and to - 1)
end

-- What a later version has written behind so many known parts of a value, to be written behind the new ones; '' if nothing.
local function added(text, known)
  local from = 0
  for _ = 1, known do
    from = string.find(text or '', US, from + 1, true)
    if not from then return '' end
  end
  return string.sub(text, from)
end

-- Lets a key live until then, by the clock that NOW is of. Never shortens its life: another node may know already of a
-- later time.
local function keep_until(key, ms)
  local at = integer(ms)
  -- To GT a key without an end lives for ever.
  if redis.call('PEXPIREAT', key, at, 'GT') == 0 then redis.call('PEXPIREAT', key, at, 'NX') end
end

-- The streams that this script has written to.
local told = {}

-- Appends a packed event to a stream, which keeps so many ms of the past, and gives readers a hint that may get lost: one
-- for all that a script appends, as readers see nothing of it before its end.
local function append(stream, kept_ms, packed)
  if told[stream] then return redis.call('XADD', stream, '*', 'e', packed) end
  told[stream] = true
  local entry = redis.call('XADD', stream, 'MINID', '~', integer(NOW - kept_ms), '*', 'e', packed)
  keep_until(stream, NOW + kept_ms)
  redis.pcall('PUBLISH', stream, entry)
  return entry
end
