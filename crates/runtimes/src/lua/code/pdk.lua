-- `kong`: Kong's plugin development kit. What is about the exchange is asked of the host (host/mod.rs) by
-- functions by name, while a phase runs.
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
  local phase = slot.phase
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
    if not slot.asks then
      error("API disabled in the context of " .. tostring(slot.context), 2)
    elseif slot.other then
      return slot.other(name, ...)
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

local log = {}
for _, level in ipairs { "debug", "info", "notice", "warn", "err", "crit", "alert", "emerg" } do
  log[level] = function(...) return native.log(level, ...) end
end
log.deprecation = setmetatable({ write = function(...) return native.log("warn", ...) end }, {
  __call = function(_, message, options)
    local words = tostring(message)
    if type(options) == "table" and options.after then
      words = words .. " (deprecated after " .. tostring(options.after) .. ")"
    end
    return native.log("warn", words)
  end,
})
log.inspect = setmetatable({ on = function() end, off = function() end }, {
  __call = function(_, ...) return native.inspect(...) end,
})
log.set_format = function() end
function log.new(namespace, format)
  is_string(namespace, "namespace")
  if namespace == "" then
    error("namespace cannot be an empty string", 2)
  elseif format ~= nil and type(format) ~= "string" then
    error("format must be a string if specified", 2)
  elseif format == "" then
    error("format cannot be an empty string if specified", 2)
  end
  return log
end
setmetatable(log, { __call = function(_, ...) return native.log("notice", ...) end })
local WITH_EXCHANGE = of("rewrite access balancer response header_filter body_filter log preread error")
local set_value = host("log.set_serialize_value")
function log.set_serialize_value(key, value, options)
  check(WITH_EXCHANGE)
  is_string(key, "key")
  local mode = type(options) == "table" and options.mode or "set"
  if mode ~= "set" and mode ~= "add" and mode ~= "replace" then
    error("mode must be 'set', 'add' or 'replace'", 2)
  end
  return set_value(key, value, mode)
end
namespace("log", of("log"), "serialize", log)

local client = namespace("client", AUTHENTICATED, "get_consumer_groups get_consumer_group get_protocol load_consumer")
namespace("client", NOT_INIT, "get_ip get_forwarded_ip get_port get_forwarded_port", client)
local found = {
  consumer = host("client.get_consumer"), credential = host("client.get_credential"),
  route = host("router.get_route"), service = host("router.get_service"),
  captures = host("request.get_uri_captures"), host = host("request.get_host"), workspace = host("ngx.workspace"),
  start = host("request.get_start_time"),
}
function client.get_consumer()
  check(AUTHENTICATED)
  return slot.ngx_ctx.authenticated_consumer
end
function client.get_credential()
  check(AUTHENTICATED)
  return slot.ngx_ctx.authenticated_credential
end
local authenticate = host("client.authenticate")
function client.authenticate(consumer, credential)
  check(IN_ACCESS)
  if consumer ~= nil and type(consumer) ~= "table" then
    error("consumer must be a table or nil", 2)
  elseif credential ~= nil and type(credential) ~= "table" then
    error("credential must be a table or nil", 2)
  elseif consumer == nil and credential == nil then
    error("either credential or consumer must be provided", 2)
  end
  authenticate(consumer, credential)
  local ctx = slot.ngx_ctx
  rawset(ctx, "authenticated_consumer", consumer)
  rawset(ctx, "authenticated_credential", credential)
end
local load_consumer = client.load_consumer
function client.load_consumer(id, by_username)
  if type(id) ~= "string" then
    error("consumer_id must be a string", 2)
  end
  return load_consumer(id, by_username)
end
client.tls = {}
local SHOWN = of("rewrite access balancer response log")
local BEFORE_LOG = of("rewrite access balancer response")
local chain_of_client, variable = host("client.certificate_chain"), host("ngx.var")
for _, name in ipairs { "request_client_certificate", "disable_session_reuse" } do
  client.tls[name] = function()
    check(phases.certificate)
    return slot.other("tls." .. name)
  end
end
function client.tls.set_client_ca_list(list)
  check(phases.certificate)
  return slot.other("tls.set_client_ca_list", slot.ders(list))
end
function client.tls.get_full_client_certificate_chain()
  check(SHOWN)
  if variable("https") ~= "on" then
    return nil, "connection is not TLS or TLS support for Nginx not enabled"
  end
  return chain_of_client()
end
function client.tls.set_client_verify(verdict)
  check(BEFORE_LOG)
  is_string(verdict, "the value")
  if verdict ~= "SUCCESS" and verdict ~= "NONE" and verdict:sub(1, 7) ~= "FAILED:" then
    error("unknown client verify value: " .. verdict
      .. " accepted values are: \"SUCCESS\", \"NONE\" or \"FAILED:<reason>\"", 2)
  end
  rawset(slot.ngx_ctx, "CLIENT_VERIFY_OVERRIDE", verdict)
  set_value("request.tls.client_verify", verdict, "replace")
end

-- The certificates of a chain (`resty.openssl.x509.chain`, `ngx.ssl`) in DER.
function slot.ders(chain)
  local ders = {}
  for i, certificate in ipairs(type(chain) == "table" and chain.certificates or {}) do
    ders[i] = certificate.info.der
  end
  return ders
end

local request = namespace("request", ANY, [[get_scheme get_host get_forwarded_scheme get_forwarded_host
  get_forwarded_port get_forwarded_path get_forwarded_prefix get_http_version get_method get_raw_path
  get_path_with_query get_raw_query get_start_time get_uri_captures]])
namespace("request", NOT_INIT, "get_port get_path", request)
namespace("request", CONTENT, "get_raw_body", request)
local get_query_arg, get_query = host("request.get_query_arg"), host("request.get_query")
local get_header, get_headers = host("request.get_header"), host("request.get_headers")
local ask_header = native.ask("request.get_header")
function request.get_query_arg(name)
  check(ANY)
  if type(name) ~= "string" then
    error("query argument name must be a string", 2)
  end
  return get_query_arg(name)
end
function request.get_query(max)
  check(ANY)
  return get_query(check_max(max, "max_args"))
end
function request.get_header(name)
  if type(name) == "string" and band(slot.phase, ANY) ~= 0 and not slot.other then
    return ask_header(name)
  end
  check(ANY)
  if type(name) ~= "string" then
    error("header name must be a string", 2)
  end
  return get_header(name)
end
function request.get_headers(max)
  check(ANY)
  return get_headers(check_max(max, "max_headers"))
end

local FORM = "application/x-www-form-urlencoded"
local get_body = host("request.get_body")
function request.get_body(kind, max)
  check(CONTENT)
  if max ~= nil and tostring(kind or get_header("Content-Type")):sub(1, #FORM) == FORM then
    check_max(max, "max_args")
  end
  return get_body(kind, max)
end

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
local set_status = host("response.set_status")
function response.set_status(code)
  check(OPEN)
  status_of(code, 100)
  set_status(code)
end
local edits = namespace("response", OPEN, "set_header add_header clear_header set_headers")
local put_header = native.ask("response.set_header")
function response.set_header(name, value)
  if type(name) == "string" and type(value) == "string" and band(slot.phase, OPEN) ~= 0 and not slot.other then
    return put_header(name, value)
  end
  check(OPEN)
  check_header(name, value, 2)
  return edits.set_header(name, value)
end
function response.add_header(name, value)
  check(OPEN)
  check_header(name, value, 2)
  return edits.add_header(name, value)
end
function response.clear_header(name)
  check(OPEN)
  if type(name) ~= "string" then
    error("header name must be a string", 2)
  end
  return edits.clear_header(name)
end
function response.set_headers(headers)
  check(OPEN)
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
function response.exit(status, body, headers)
  check(ENDS)
  status_of(status, 100)
  if body ~= nil and type(body) ~= "string" and type(body) ~= "table" then
    error("body must be a nil, string or table", 2)
  elseif headers ~= nil and type(headers) ~= "table" then
    error("headers must be a nil or table", 2)
  elseif headers then
    check_headers(headers)
  end
  if type(body) == "table" then
    headers = headers or {}
    return exit(status, native.json_encode(body), headers, true)
  end
  return exit(status, body, headers)
end
function response.error(status, message, headers)
  check(OPEN)
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

local service = namespace("service", IN_ACCESS, "set_upstream")
namespace("service", of("rewrite access balancer preread"),
  "set_tls_verify set_tls_verify_depth set_tls_cert_key set_tls_verify_store", service)
local to = namespace("service", IN_ACCESS, "set_retries set_timeouts")
namespace("service", of("rewrite access balancer preread"), "set_target", to)
local set_upstream = service.set_upstream
function service.set_upstream(name)
  check(IN_ACCESS)
  is_string(name, "host")
  if not set_upstream(name) then
    return nil, "could not find an Upstream named '" .. name .. "'"
  end
  return true
end
function service.set_target(name, port)
  if type(name) ~= "string" then
    error("host must be a string", 2)
  elseif type(port) ~= "number" or port % 1 ~= 0 then
    error("port must be an integer", 2)
  elseif port < 0 or port > 65535 then
    error("port must be an integer between 0 and 65535: given " .. port, 2)
  end
  return to.set_target(name, port)
end
function service.set_retries(retries)
  if type(retries) ~= "number" or retries % 1 ~= 0 then
    error("retries must be an integer", 2)
  elseif retries < 0 or retries > 32767 then
    error("retries must be an integer between 0 and 32767: given " .. retries, 2)
  end
  return to.set_retries(retries)
end
function service.set_timeouts(connect, write, read)
  local given = { connect_timeout = connect, write_timeout = write, read_timeout = read }
  for _, name in ipairs { "connect_timeout", "write_timeout", "read_timeout" } do
    local value = given[name]
    if type(value) ~= "number" or value % 1 ~= 0 then
      error(name .. " must be an integer", 2)
    elseif value < 1 or value > 2147483646 then
      error(name .. " must be an integer between 1 and 2147483646: given " .. value, 2)
    end
  end
  return to.set_timeouts(connect, write, read)
end

local sent = namespace("service.request", UNTIL_BALANCER,
  "set_scheme set_path set_header add_header set_raw_body disable_tls")
namespace("service.request", TO_SERVICE,
  "set_raw_query set_method set_query clear_query_arg clear_header set_headers set_body enable_buffering", sent)
local outgoing = setmetatable({}, { __index = sent })
function outgoing.set_scheme(scheme)
  is_string(scheme, "scheme")
  if scheme ~= "http" and scheme ~= "https" then
    error("invalid scheme: " .. scheme, 2)
  end
  return sent.set_scheme(scheme)
end
function outgoing.set_path(path)
  is_string(path, "path")
  if path:sub(1, 1) ~= "/" then
    error("path must start with /", 2)
  end
  return sent.set_path(path)
end
function outgoing.set_raw_query(query)
  is_string(query, "query")
  return sent.set_raw_query(query)
end
function outgoing.set_method(method)
  is_string(method, "method")
  if not ngx["HTTP_" .. method] then
    error("invalid method: " .. method, 2)
  end
  return sent.set_method(method)
end
function outgoing.set_query(args)
  if type(args) ~= "table" then
    error("args must be a table", 2)
  end
  return sent.set_query(args)
end
function outgoing.clear_query_arg(name)
  if type(name) ~= "string" then
    error("query argument name must be a string", 2)
  end
  return sent.clear_query_arg(name)
end
local send_header = native.ask("service.request.set_header")
function outgoing.set_header(name, value)
  if type(name) == "string" and type(value) == "string" and band(slot.phase, UNTIL_BALANCER) ~= 0 then
    return send_header(name, value)
  end
  check_header(name, value, 2)
  return sent.set_header(name, value)
end
function outgoing.add_header(name, value)
  check_header(name, value, 2)
  return sent.add_header(name, value)
end
function outgoing.clear_header(name)
  if type(name) ~= "string" then
    error("header must be a string", 2)
  end
  return sent.clear_header(name)
end
function outgoing.set_headers(headers)
  check_headers(headers)
  return sent.set_headers(headers)
end
function outgoing.set_raw_body(body)
  is_string(body, "body")
  return sent.set_raw_body(body)
end
-- Parts of `multipart/form-data` in the order of their names, with a boundary that is in none of them.
local function parts_of(args, boundary)
  local names, texts = {}, {}
  for name, value in pairs(args) do
    if type(name) ~= "string" then
      error(fmt("invalid key %q: got %s, expected string", tostring(name), type(name)), 3)
    elseif type(value) ~= "string" and type(value) ~= "number" and type(value) ~= "boolean" then
      error(fmt("invalid value %q: got %s, expected string, number or boolean", name, type(value)), 3)
    end
    names[#names + 1], texts[name] = name, tostring(value)
  end
  table.sort(names)
  local out = {}
  for i, name in ipairs(names) do
    if boundary and texts[name]:find("\n--" .. boundary, 1, true) then
      boundary = nil
    end
    out[i] = "\r\nContent-Disposition: form-data; name=\"" .. name .. "\"\r\n\r\n" .. texts[name] .. "\r\n"
  end
  local line = "--" .. (boundary or native.hex(native.random(16)))
  return line .. concat(out, line) .. (#out > 0 and line or "") .. "--\r\n", line:sub(3)
end
function outgoing.set_body(args, kind)
  check(TO_SERVICE)
  if type(args) ~= "table" then
    error("args must be a table", 2)
  elseif kind ~= nil and type(kind) ~= "string" then
    error("mime must be a string", 2)
  end
  kind = kind or get_header("Content-Type")
  if not kind then
    return nil, "content type was neither explicitly given as an argument or received as a header"
  end
  local plain = kind:match("^[^;]*")
  if plain == "multipart/form-data" then
    local body, boundary = parts_of(args, kind:match('boundary="([^"]*)') or kind:match("boundary=(.*)"))
    sent.set_raw_body(body)
    sent.set_header("Content-Type", plain .. "; boundary=" .. boundary)
  elseif plain == "application/json" or plain == "application/x-www-form-urlencoded" then
    sent.set_body(args, kind)
  else
    error("unsupported content type " .. kind, 2)
  end
  return true
end
service.request = {}
for _, functions in ipairs { sent, outgoing } do
  for name, f in pairs(functions) do
    service.request[name] = f
  end
end
local came = namespace("service.response", ANSWERED, "get_status get_header get_headers get_raw_body get_body")
service.response = came
local service_header, service_headers = came.get_header, came.get_headers
function came.get_header(name)
  check(ANSWERED)
  is_string(name, "name")
  return service_header(name)
end
function came.get_headers(max)
  check(ANSWERED)
  return service_headers(check_max(max, "max_headers"))
end

-- A side of a WebSocket. What code does with a message, it sees at once.
local function side(name, phase)
  local sees = phases[phase]
  local functions = namespace("websocket." .. name, sees, "get_frame drop_frame")
  namespace("websocket." .. name, phases.ws_handshake, "set_max_payload_size", functions)
  local asked = namespace("websocket." .. name, sees, "set_frame_data set_status close")
  local function status_of(status, what)
    if status ~= nil and (type(status) ~= "number" or status % 1 ~= 0 or status < 1000 or status > 4999) then
      error(what .. " must be an integer between 1000 and 4999", 3)
    end
  end
  local function text_of(text, what)
    if text ~= nil and type(text) ~= "string" then
      error(what .. " must be a string", 3)
    end
  end
  function functions.set_frame_data(data)
    check(sees)
    is_string(data, "data")
    return asked.set_frame_data(data)
  end
  function functions.set_status(status)
    check(sees)
    status_of(status, "status")
    return asked.set_status(status)
  end
  function functions.close(status, message, peer_status, peer_message)
    check(sees)
    status_of(status, "status")
    text_of(message, "message")
    status_of(peer_status, "peer_status")
    text_of(peer_message, "peer_message")
    return asked.close(status, message, peer_status, peer_message)
  end
  return functions
end
local websocket = { client = side("client", "ws_client_frame"), upstream = side("upstream", "ws_upstream_frame") }
slot.frame = native.ask("websocket.get_frame")

local memory = { b = 0, k = 1, m = 2, g = 3 }
local function in_unit(octets, unit, scale)
  unit, scale = unit or "b", scale or 2
  local power = memory[unit:sub(1, 1):lower()]
  if type(scale) ~= "number" then
    error("scale must be a number", 3)
  elseif scale < 0 then
    error("scale must be equal or greater than 0", 3)
  elseif not power then
    error("invalid unit '" .. unit .. "' (expected 'k/K', 'm/M', or 'g/G')", 3)
  end
  if power == 0 then
    return octets
  end
  local suffix = ({ "KiB", "MiB", "GiB" })[power]
  return fmt("%." .. scale .. "f %s", octets / 1024 ^ power, suffix)
end

local null_span = setmetatable({}, { __index = function() return function(self) return self end end })

kong = {
  version = "3.10.0",
  version_num = 3010000,
  client = client,
  cluster = { get_id = function() return native.node_id end },
  ctx = setmetatable({}, {
    __index = function(_, name)
      if name == "core" then
        return slot.ngx_ctx
      end
      if name == "shared" or name == "plugin" then
        return slot[name]
      end
    end,
    __newindex = function() error("kong.ctx has 'shared' and 'plugin' only", 2) end,
    __metatable = false,
  }),
  ip = { is_trusted = native.is_trusted },
  log = log,
  nginx = {
    get_subsystem = function() return slot.phase_name == "preread" and "stream" or "http" end,
    get_statistics = function() return native.statistics() end,
  },
  node = {
    get_hostname = function() return native.hostname end,
    get_id = function() return native.node_id end,
    get_memory_stats = function(unit, scale)
      local octets = in_unit(collectgarbage("count") * 1024, unit, scale)
      return { workers_lua_vms = { { pid = native.pid, http_allocated_gc = octets } }, lua_shared_dicts = {} }
    end,
  },
  plugin = { get_id = function() return slot.plugin_id end },
  request = request,
  response = response,
  router = namespace("router", AUTHENTICATED, "get_route get_service"),
  service = service,
  table = {},
  tracing = setmetatable({
    start_span = function() return null_span end,
    create_span = function() return null_span end,
    active_span = function() return nil end,
    get_root_span = function() return nil end,
    set_active_span = function() end,
    process_span = function() end,
    get_sampling_decision = function() return false end,
  }, { __index = function() return function() end end }),
  telemetry = { log = function() return true end },
  websocket = websocket,
}

-- The settings of the node.
setmetatable(kong, { __index = function(t, name)
  if name == "configuration" then
    local configuration = native.configuration() or {}
    -- Secrets are masked always.
    setmetatable(configuration, { __index = { remove_sensitive = function() return configuration end } })
    rawset(t, name, configuration)
    return configuration
  end
end })

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

-- What bundled plugins tell others in `kong.ctx.shared`, and are told by them.
local groups, token = host("client.authenticated_groups"), host("client.authenticated_token")
local set_groups = host("client.set_authenticated_groups")
local function set(ctx, name, value)
  if name == "authenticated_groups" and slot.asks and (value == nil or type(value) == "table") then
    set_groups(value)
  else
    rawset(ctx, name, value)
  end
end
slot.of_plugins = { __newindex = set, __index = function(_, name)
  if name == "authenticated_groups" and slot.asks then
    return groups()
  elseif name == "authenticated_jwt_token" and slot.asks then
    return token()
  end
end }

-- What authentication has found is in `ngx.ctx`, too, as Kong's own plugins have it.
slot.of_exchange = { __newindex = function(ctx, name, value)
  set(ctx, name, value)
  -- So plugins of long ago say who calls.
  if (name == "authenticated_consumer" or name == "authenticated_credential") and slot.asks then
    authenticate(ctx.authenticated_consumer, ctx.authenticated_credential)
  end
end, __index = function(ctx, name)
  if slot.phase == 0 then
    return nil
  end
  local value
  if name == "KONG_PHASE" then
    return slot.phase
  elseif not slot.asks then
    return nil
  elseif name == "authenticated_groups" then
    value = groups()
  elseif name == "authenticated_consumer" then
    value = found.consumer()
  elseif name == "authenticated_credential" then
    value = found.credential()
  elseif name == "route" then
    value = found.route()
  elseif name == "service" then
    value = found.service()
  elseif name == "router_matches" then
    local captures = found.captures()
    value = captures and { uri_captures = captures.named, host = found.host() }
    for place, text in pairs(captures and captures.unnamed or {}) do
      value.uri_captures[place] = text
    end
  elseif name == "workspace" then
    value = found.workspace()
  elseif name == "KONG_PROCESSING_START" or name == "KONG_REWRITE_START" then
    value = found.start()
  end
  return value
end }

slot.host, slot.ending = host, ending
