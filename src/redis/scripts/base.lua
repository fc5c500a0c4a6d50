-- First part of every script: the time, and how values and events are written. Knows no keys.
-- Values are joined by US (31), which none of them may contain. Times are milliseconds by TIME.

local US = '\31'

local time = redis.call('TIME')
local NOW_US = time[1] * 1000000 + time[2]
local NOW = math.floor(NOW_US / 1000)

local function integer(number)
  return string.format('%.0f', number)
end

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

-- The streams that this script has written to.
local told = {}

-- Appends a packed event to a stream, which keeps so many ms of the past, and gives readers a hint that may get lost: one
-- for all that a script appends, as readers see nothing of it before its end.
local function append(stream, kept_ms, packed)
  local entry = redis.call('XADD', stream, 'MINID', '~', integer(NOW - kept_ms), '*', 'e', packed)
  if told[stream] then return entry end
  told[stream] = true
  -- Never shorter: another node may know already of a longer time.
  if redis.call('PTTL', stream) < kept_ms then redis.call('PEXPIRE', stream, integer(kept_ms)) end
  redis.call('PUBLISH', stream, entry)
  return entry
end
