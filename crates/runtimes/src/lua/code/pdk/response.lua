-- `kong.response`.
local slot = ...
local pdk = slot.pdk
local type, error, rawset, rawget = type, error, rawset, rawget
local native, band = slot.native, bit.band
local fmt, concat = string.format, table.concat
local check, host, namespace, is_string, check_max = pdk.check, pdk.host, pdk.namespace, pdk.is_string, pdk.check_max
local check_header, check_headers, phases = pdk.check_header, pdk.check_headers, pdk.phases
local ANSWERED, OPEN, ENDS = pdk.sets.ANSWERED, pdk.sets.OPEN, pdk.sets.ENDS

local response = namespace("response", ANSWERED, "get_status get_source")
local answered = { get_header = host("response.get_header"), get_headers = host("response.get_headers") }
function response.get_header(name)
  check(ANSWERED)
  if type(name) ~= "string" then
    error("header name must be a string", 2)
  end
  return answered.get_header(name)
end
function response.get_headers(max)
  check(ANSWERED)
  return answered.get_headers(check_max(max, "max_headers"))
end
-- Pieces are gathered until the last one; nothing goes on before.
function response.get_raw_body()
  check(phases.body_filter)
  local arg, ctx = ngx.arg, slot.ngx_ctx
  local pieces, piece, last = rawget(ctx, "KONG_BODY_BUFFER"), arg[1], arg[2]
  if last and not pieces then
    return piece
  end
  if type(piece) == "string" and piece ~= "" then
    pieces = pieces or {}
    pieces[#pieces + 1] = piece
    rawset(ctx, "KONG_BODY_BUFFER", pieces)
  end
  if not last then
    arg[1] = nil
    return nil
  end
  rawset(ctx, "KONG_BODY_BUFFER", nil)
  arg[1] = concat(pieces)
  return arg[1]
end
function response.set_raw_body(body)
  check(phases.body_filter)
  is_string(body, "body")
  ngx.arg[1], ngx.arg[2] = body, true
  rawset(slot.ngx_ctx, "KONG_BODY_BUFFER", nil)
end
local function status_of(code, low)
  if type(code) ~= "number" then
    error("code must be a number", 3)
  elseif code < low or code > 599 then
    error(fmt("code must be a number between %u and %u", low, 599), 3)
  end
end
-- Code that has begun to send something can change nothing of what has gone.
local function unsent()
  if slot.sent_head() then
    error("headers have already been sent", 3)
  end
end
local set_status = host("response.set_status")
function response.set_status(code)
  check(OPEN)
  unsent()
  status_of(code, 100)
  set_status(code)
end
local edits = namespace("response", OPEN, "set_header add_header clear_header set_headers")
local put_header = native.ask("response.set_line")
function response.set_header(name, value)
  local at = slot.at
  if type(name) == "string" and type(value) == "string" and band(at.bit, OPEN) ~= 0 and not at.other then
    unsent()
    return put_header(name, value)
  end
  check(OPEN)
  unsent()
  check_header(name, value, 2)
  return edits.set_header(name, value)
end
function response.add_header(name, value)
  check(OPEN)
  unsent()
  check_header(name, value, 2)
  return edits.add_header(name, value)
end
function response.clear_header(name)
  check(OPEN)
  unsent()
  if type(name) ~= "string" then
    error("header name must be a string", 2)
  end
  return edits.clear_header(name)
end
function response.set_headers(headers)
  check(OPEN)
  unsent()
  check_headers(headers)
  return edits.set_headers(headers)
end
-- What ends the phase ends the code by an error that no protected call holds up.
local function ending(f)
  return function(...)
    f(...)
    slot.over = true
    error("the phase is over", 0)
  end
end
local exit, fail = ending(host("response.exit")), ending(host("response.error"))
local OF_STREAMS = { [200] = true, [400] = true, [403] = true, [500] = true, [502] = true, [503] = true }
function response.exit(status, body, headers)
  check(ENDS)
  unsent()
  status_of(status, 100)
  if slot.at.bit == phases.preread and not OF_STREAMS[status] then
    error("unacceptable code, only 200, 400, 403, 500, 502 and 503 are accepted", 2)
  end
  if body ~= nil and type(body) ~= "string" and type(body) ~= "table" then
    error("body must be a nil, string or table", 2)
  elseif headers ~= nil and type(headers) ~= "table" then
    error("headers must be a nil or table", 2)
  elseif headers then
    check_headers(headers)
  end
  if type(body) == "table" then
    return exit(status, native.json_encode(body), headers, true, type(body.message) == "string" and body.message or nil)
  end
  return exit(status, body, headers)
end
function response.error(status, message, headers)
  check(OPEN)
  unsent()
  status_of(status, 400)
  if message ~= nil and type(message) ~= "string" and type(message) ~= "table" then
    error("message must be a nil, a string or a table", 2)
  elseif headers ~= nil and type(headers) ~= "table" then
    error("headers must be a nil or table", 2)
  elseif headers then
    check_headers(headers)
  end
  if type(message) == "table" then
    message = native.json_encode(message)
  end
  return fail(status, message, headers)
end

slot.ending = ending
pdk.response = response
