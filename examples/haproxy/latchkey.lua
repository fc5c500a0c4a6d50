-- http-request lua.latchkey: lets a request go on when Latchkey answers 200 to its Authorization header, with what Latchkey
-- says of the token in X-Auth-*. Everybody else gets Latchkey's own answer, or 503 when there is none.

-- The tenant "default". For another one /validate/<tenant>, for any /validate/* (then look at X-Auth-Tenant).
local VALIDATE = "http://127.0.0.1:3000/validate"

-- What the app is told. Ids are percent-encoded: they may hold any character.
local SAID = { "x-auth-user", "x-auth-tenant", "x-auth-platform", "x-auth-token-id", "x-auth-expires" }
-- What a refused device is told.
local TOLD = { "content-type", "www-authenticate", "x-auth-reason", "retry-after", "x-request-id" }

local function refuse(txn, status, headers, body)
  local reply = txn:reply({ status = status, body = body })
  for name, value in pairs(headers) do
    reply:add_header(name, value)
  end
  txn:done(reply)
end

local function ask(txn)
  local sent = txn.http:req_get_headers()
  -- Two Authorization headers are sent on as two: Latchkey refuses them.
  local headers = {}
  for _, name in ipairs({ "authorization", "x-request-id" }) do
    for _, value in pairs(sent[name] or {}) do
      headers[name] = headers[name] or {}
      table.insert(headers[name], value)
    end
  end
  return core.httpclient():get({ url = VALIDATE, headers = headers, timeout = 2000 })
end

core.register_action("latchkey", { "http-req" }, function(txn)
  local asked, answer = pcall(ask, txn)
  local status = asked and answer and answer.status or 0
  if status == 200 then
    for _, name in ipairs(SAID) do
      local values = answer.headers[name]
      if values then
        txn.http:req_set_header(name, values[0])
      end
    end
    return
  end
  if status ~= 401 and status ~= 503 then
    -- Nobody knows, so nobody passes.
    return refuse(txn, 503, { ["retry-after"] = "1" }, "")
  end
  local headers = {}
  for _, name in ipairs(TOLD) do
    local values = answer.headers[name]
    if values then
      headers[name] = values[0]
    end
  end
  if status == 503 then
    headers["retry-after"] = headers["retry-after"] or "1"
  end
  refuse(txn, status, headers, answer.body)
end)
