-- What Lua code in configurations sees of the gateway: Kong's `kong` and the part of OpenResty's `ngx` that it needs.
--
-- `slot.call` is there while a phase runs: it asks the host (host/mod.rs) for everything that is about the exchange.
local slot = ...
local real_pcall, real_xpcall = pcall, xpcall
local rep = string.rep
local resume = coroutine.resume

local function host(name)
  return function(...)
    local call = slot.call
    if not call then
      error("kong." .. name .. " is not there outside of a phase", 2)
    end
    return call(name, ...)
  end
end

-- A phase that was answered, or has taken too long, is over: no protected call goes on after that.
local function checked(...)
  local call = slot.call
  if call and call("over") then
    error("the phase is over", 0)
  end
  return ...
end

function pcall(...) return checked(real_pcall(...)) end
function xpcall(...) return checked(real_xpcall(...)) end
function coroutine.resume(...) return checked(resume(...)) end

local longest = 16 * 1024 * 1024
function string.rep(text, count, ...)
  if type(count) == "number" and #tostring(text) * count > longest then
    error("string.rep: the result is too long", 2)
  end
  return rep(text, count, ...)
end

local function namespace(prefix, names)
  local functions = {}
  for name in names:gmatch("%S+") do
    functions[name] = host(prefix .. "." .. name)
  end
  return functions
end

local log = namespace("log", "debug info notice warn err crit alert emerg set_serialize_value serialize inspect")
setmetatable(log, { __call = function(_, ...) return log.notice(...) end })

kong = {
  version = "3.10.0",
  version_num = 3010000,
  client = namespace("client", [[get_ip get_forwarded_ip get_port get_forwarded_port get_consumer get_credential
    get_protocol get_consumer_groups get_consumer_group]]),
  ctx = setmetatable({}, {
    __index = function(_, name) return slot[name] end,
    __newindex = function() error("kong.ctx has 'shared' and 'plugin' only", 2) end,
    __metatable = false,
  }),
  ip = namespace("ip", "is_trusted"),
  log = log,
  node = namespace("node", "get_hostname"),
  request = namespace("request", [[get_scheme get_host get_port get_forwarded_scheme get_forwarded_host
    get_forwarded_port get_forwarded_path get_http_version get_method get_path get_raw_path get_path_with_query
    get_raw_query get_query_arg get_query get_header get_headers get_raw_body get_body get_start_time
    get_uri_captures]]),
  response = namespace("response", [[get_status get_header get_headers get_source set_status set_header add_header
    clear_header set_headers get_raw_body set_raw_body exit error]]),
  router = namespace("router", "get_route get_service"),
  service = namespace("service", "set_upstream set_target"),
  table = {},
}
kong.service.request = namespace("service.request", [[set_scheme set_path set_raw_query set_method set_query set_header
  add_header clear_header set_headers set_raw_body set_body]])
kong.service.response = namespace("service.response", "get_status get_header get_headers")

function kong.table.new() return {} end

function kong.table.clear(t)
  for name in pairs(t) do
    t[name] = nil
  end
end

function kong.table.merge(first, second)
  local merged = {}
  for name, value in pairs(first or {}) do
    merged[name] = value
  end
  for name, value in pairs(second or {}) do
    merged[name] = value
  end
  return merged
end

local null = slot.null
local logged = { [8] = log.debug, [7] = log.info, [6] = log.notice, [5] = log.warn, [4] = log.err, [3] = log.crit,
  [2] = log.alert, [1] = log.emerg }

local request = kong.request
ngx = {
  null = null, OK = 0, ERROR = -1, DECLINED = -5,
  STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,
  HTTP_OK = 200, HTTP_CREATED = 201, HTTP_NO_CONTENT = 204, HTTP_MOVED_PERMANENTLY = 301, HTTP_MOVED_TEMPORARILY = 302,
  HTTP_NOT_MODIFIED = 304, HTTP_BAD_REQUEST = 400, HTTP_UNAUTHORIZED = 401, HTTP_FORBIDDEN = 403, HTTP_NOT_FOUND = 404,
  HTTP_INTERNAL_SERVER_ERROR = 500, HTTP_SERVICE_UNAVAILABLE = 503,
  arg = {},
  now = host("ngx.now"),
  update_time = function() end,
  time = function() return math.floor(ngx.now()) end,
  get_phase = host("ngx.get_phase"),
  encode_base64 = host("ngx.encode_base64"),
  decode_base64 = host("ngx.decode_base64"),
  escape_uri = host("ngx.escape_uri"),
  unescape_uri = host("ngx.unescape_uri"),
  log = function(level, ...) return (logged[level] or log.err)(...) end,
  exit = function(status) return kong.response.exit(status) end,
  header = setmetatable({}, {
    __index = function(_, name) return kong.response.get_header(name) end,
    __newindex = function(_, name, value)
      if value == nil then
        return kong.response.clear_header(name)
      end
      return kong.response.set_header(name, value)
    end,
  }),
  var = setmetatable({}, { __index = function(_, name) return host("ngx.var")(name) end }),
  req = {
    get_method = request.get_method,
    get_headers = request.get_headers,
    get_uri_args = request.get_query,
    get_body_data = request.get_raw_body,
    read_body = function() end,
    http_version = request.get_http_version,
    start_time = function() return request.get_start_time() / 1000 end,
    set_header = kong.service.request.set_header,
    clear_header = kong.service.request.clear_header,
    set_method = kong.service.request.set_method,
    set_uri_args = function(args)
      if type(args) == "table" then
        return kong.service.request.set_query(args)
      end
      return kong.service.request.set_raw_query(tostring(args))
    end,
    set_uri = kong.service.request.set_path,
    set_body_data = kong.service.request.set_raw_body,
  },
}
setmetatable(ngx, {
  __index = function(_, name)
    if name == "status" then
      return kong.response.get_status()
    elseif name == "ctx" then
      return slot.ngx_ctx
    end
  end,
  __newindex = function(ngx, name, value)
    if name == "status" then
      return kong.response.set_status(value)
    end
    rawset(ngx, name, value)
  end,
})

-- What sandboxed code sees: these names and no others. The tables are everybody's, so that nobody may change them.
local function guarded(real, names)
  local seen
  if names then
    seen = {}
    for name in names:gmatch("%S+") do
      seen[name] = real[name]
    end
  else
    seen = real
  end
  return setmetatable({}, {
    __index = seen,
    __newindex = function(_, name) error("cannot set '" .. tostring(name) .. "' of a table that is everybody's", 2) end,
    __metatable = false,
    __call = getmetatable(real) and getmetatable(real).__call and function(_, ...) return real(...) end,
  })
end

local sandbox = {
  _VERSION = _VERSION, assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall,
  print = log.notice, select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
  xpcall = xpcall,
  bit = guarded(bit),
  coroutine = guarded(coroutine),
  io = guarded({ type = io.type }),
  math = guarded(math),
  os = guarded(os, "clock date difftime time"),
  string = guarded(string),
  table = guarded(table),
}
local namespaces = {}
for name, value in pairs(kong) do
  namespaces[name] = type(value) == "table" and name ~= "ctx" and guarded(value) or value
end
local of_service = { set_upstream = kong.service.set_upstream, set_target = kong.service.set_target }
of_service.request, of_service.response = guarded(kong.service.request), guarded(kong.service.response)
namespaces.service = guarded(of_service)
sandbox.kong = guarded(namespaces)
sandbox.ngx = setmetatable({}, {
  __index = ngx,
  __newindex = function(_, name, value)
    if name ~= "status" then
      error("cannot set 'ngx." .. tostring(name) .. "'", 2)
    end
    ngx.status = value
  end,
  __metatable = false,
})

-- Tables by way of `setmetatable` are the code's own business, but not those of others.
local real_setmetatable, real_getmetatable = setmetatable, getmetatable
sandbox.getmetatable = function(value)
  if type(value) == "string" then
    return nil
  end
  return real_getmetatable(value)
end
sandbox.setmetatable = real_setmetatable

return sandbox
