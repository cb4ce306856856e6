-- The phases in which functions of the PDK can be called, and how the host (host/mod.rs) is asked: what is about the
-- exchange, by functions by name, while a phase runs.
local slot = ...
local native, band, bor = slot.native, bit.band, bit.bor
local type, tostring, pairs, ipairs, error = type, tostring, pairs, ipairs, error
local fmt, concat = string.format, table.concat

local phases = {
  init_worker = 0x1, certificate = 0x2, rewrite = 0x10, access = 0x20, balancer = 0x40, response = 0x80,
  header_filter = 0x200, body_filter = 0x400, log = 0x2000, preread = 0x4000, error = 0x1000000,
  admin_api = 0x10000000, ws_handshake = 0x8000, ws_client_frame = 0x10000, ws_upstream_frame = 0x20000,
  ws_close = 0x40000,
}
local in_order = { "init_worker", "certificate", "rewrite", "access", "balancer", "response", "header_filter",
  "body_filter", "log", "preread", "error", "admin_api" }
local of_websockets = { "ws_handshake", "ws_client_frame", "ws_upstream_frame", "ws_close" }

-- What can be called in access can be called in the handshake of a WebSocket, and what in log, of its messages, too.
local function of(names)
  local set = 0
  for name in names:gmatch("%S+") do
    set = bor(set, phases[name])
  end
  if band(set, phases.access) ~= 0 then
    set = bor(set, phases.ws_handshake)
  end
  if band(set, phases.log) ~= 0 then
    set = bor(set, phases.ws_client_frame, phases.ws_upstream_frame, phases.ws_close)
  end
  return set
end

-- Phases of WebSockets are named where there are no others.
local function names_of(set)
  local names = {}
  for _, list in ipairs { in_order, of_websockets } do
    for _, name in ipairs(#names == 0 and list or {}) do
      if band(set, phases[name]) ~= 0 then
        names[#names + 1] = name
      end
    end
  end
  return concat(names, ", ")
end

local function check(accepted, level)
  local phase = slot.at.bit
  if band(phase, accepted) ~= 0 then
    return
  end
  if phase == 0 then
    error(fmt("no phase in ngx.ctx.KONG_PHASE, (need one of %s)", names_of(accepted)), (level or 2) + 1)
  end
  error(fmt("function cannot be called in %s phase (only in: %s)", names_of(phase), names_of(accepted)),
    (level or 2) + 1)
end

local function host(name)
  local ask = native.ask(name)
  return function(...)
    local at = slot.at
    if not at.asks then
      error("API disabled in the context of " .. tostring(at.context), 2)
    elseif at.other then
      return at.other(name, ...)
    end
    return ask(...)
  end
end

local ANY = of("rewrite access response header_filter body_filter log error admin_api")
local AUTHENTICATED = of("access response header_filter body_filter log error admin_api")
local NOT_INIT = bit.bnot(phases.init_worker)
local CONTENT = of("rewrite access response error admin_api")
local ANSWERED = of("response header_filter body_filter log error admin_api")
local OPEN = of("rewrite access response header_filter error admin_api")
local ENDS = bor(OPEN, phases.preread)
local TO_SERVICE = of("rewrite access")
local IN_ACCESS = of("access")
local UNTIL_BALANCER = of("rewrite access balancer")

-- Functions of the host, each for certain phases.
local function namespace(prefix, accepted, names, into)
  local functions = into or {}
  for name in names:gmatch("%S+") do
    local call = host(prefix .. "." .. name)
    functions[name] = function(...)
      check(accepted)
      return call(...)
    end
  end
  return functions
end

local function is_string(value, what)
  if type(value) ~= "string" then
    error(what .. " must be a string", 3)
  end
end

local function check_max(max, what)
  if max == nil then
    return 100
  end
  if type(max) ~= "number" then
    error(what .. " must be a number", 3)
  elseif max < 1 then
    error(what .. " must be >= 1", 3)
  elseif max > 1000 then
    error(what .. " must be <= 1000", 3)
  end
  return max
end

local function check_header(name, value, level)
  if type(name) ~= "string" then
    error(fmt("invalid header name %q: got %s, expected string", tostring(name), type(name)), level + 1)
  end
  local kind = type(value)
  if kind == "table" then
    for _, item in ipairs(value) do
      if type(item) ~= "string" then
        error(fmt("invalid header value in array %q: got %s, expected string", name, type(item)), level + 1)
      end
    end
  elseif kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    error(fmt("invalid header value for %q: got %s, expected array of string, string, number or boolean", name, kind),
      level + 1)
  end
end

local function check_headers(headers)
  if type(headers) ~= "table" then
    error("headers must be a table", 3)
  end
  for name, value in pairs(headers) do
    local kind = type(value)
    if kind ~= "string" and kind ~= "table" and kind ~= "number" and kind ~= "boolean" and type(name) == "string" then
      error(fmt("invalid header value for %q: got %s, expected string, number, boolean or array of strings", name,
        kind), 3)
    end
    check_header(name, value, 3)
  end
end

slot.host = host
slot.pdk = {
  phases = phases, of = of, names_of = names_of, check = check, host = host, namespace = namespace, is_string = is_string,
  check_max = check_max, check_header = check_header, check_headers = check_headers,
  sets = {
    ANY = ANY, AUTHENTICATED = AUTHENTICATED, NOT_INIT = NOT_INIT, CONTENT = CONTENT, ANSWERED = ANSWERED, OPEN = OPEN,
    ENDS = ENDS, TO_SERVICE = TO_SERVICE, IN_ACCESS = IN_ACCESS, UNTIL_BALANCER = UNTIL_BALANCER,
  },
}
