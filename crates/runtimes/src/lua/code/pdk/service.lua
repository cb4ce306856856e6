-- `kong.service`, with what it is sent and what came of it.
local slot = ...
local pdk = slot.pdk
local type, tostring, pairs, ipairs, error, setmetatable = type, tostring, pairs, ipairs, error, setmetatable
local native, band = slot.native, bit.band
local fmt, concat = string.format, table.concat
local check, host, namespace, is_string, check_max = pdk.check, pdk.host, pdk.namespace, pdk.is_string, pdk.check_max
local check_header, check_headers, of = pdk.check_header, pdk.check_headers, pdk.of
local ANSWERED, TO_SERVICE, IN_ACCESS = pdk.sets.ANSWERED, pdk.sets.TO_SERVICE, pdk.sets.IN_ACCESS
local UNTIL_BALANCER = pdk.sets.UNTIL_BALANCER

local CONNECTS = of("rewrite access balancer preread")
local service = namespace("service", IN_ACCESS, "set_upstream")
local to = namespace("service", IN_ACCESS, "set_retries set_timeouts")
namespace("service", CONNECTS, "set_target", to)
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
  check(CONNECTS)
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
  check(IN_ACCESS)
  if type(retries) ~= "number" or retries % 1 ~= 0 then
    error("retries must be an integer", 2)
  elseif retries < 0 or retries > 32767 then
    error("retries must be an integer between 0 and 32767: given " .. retries, 2)
  end
  return to.set_retries(retries)
end
function service.set_timeouts(connect, write, read)
  check(IN_ACCESS)
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

local on_retry = namespace("service", IN_ACCESS, "set_target_retry_callback").set_target_retry_callback
function service.set_target_retry_callback(callback)
  check(IN_ACCESS)
  if type(callback) ~= "function" then
    error("retry_callback must be a function", 2)
  end
  on_retry(callback, slot.own.id)
end

local secured = namespace("service", CONNECTS,
  "set_tls_verify set_tls_verify_depth set_tls_cert_key set_tls_verify_store")
-- A key of `ngx.ssl`, or of `resty.openssl.pkey`, in DER.
local function der_of(key)
  if type(key) ~= "table" then
    return nil
  end
  return key.der or type(key.tostring) == "function" and key:tostring("private", "DER") or nil
end
function service.set_tls_cert_key(chain, key)
  check(CONNECTS)
  if type(chain) ~= "table" or type(chain.certificates) ~= "table" then
    error("chain must be a parsed cdata object", 2)
  end
  local der = der_of(key)
  if not der then
    error("key must be a parsed cdata object", 2)
  end
  return secured.set_tls_cert_key(slot.ders(chain), der)
end
function service.set_tls_verify(on)
  check(CONNECTS)
  if type(on) ~= "boolean" then
    error("argument must be a boolean", 2)
  end
  return secured.set_tls_verify(on)
end
function service.set_tls_verify_depth(depth)
  check(CONNECTS)
  if type(depth) ~= "number" then
    error("argument must be a number", 2)
  end
  return secured.set_tls_verify_depth(math.floor(depth))
end
function service.set_tls_verify_store(store)
  check(CONNECTS)
  if type(store) ~= "table" then
    error("argument must be a resty.openssl.x509.store object", 2)
  end
  return secured.set_tls_verify_store(slot.ders(store))
end

local sent = namespace("service.request", UNTIL_BALANCER,
  "set_scheme set_path set_header add_header set_raw_body")
namespace("service.request", of("balancer preread"), "disable_tls enable_tls", sent)
namespace("service.request", TO_SERVICE,
  "set_raw_query set_method set_query clear_query_arg clear_header set_headers set_body enable_buffering", sent)
local outgoing = setmetatable({}, { __index = sent })
function outgoing.set_scheme(scheme)
  check(UNTIL_BALANCER)
  is_string(scheme, "scheme")
  if scheme ~= "http" and scheme ~= "https" then
    error("invalid scheme: " .. scheme, 2)
  end
  return sent.set_scheme(scheme)
end
function outgoing.set_path(path)
  check(UNTIL_BALANCER)
  is_string(path, "path")
  if path:sub(1, 1) ~= "/" then
    error("path must start with /", 2)
  end
  return sent.set_path(path)
end
function outgoing.set_raw_query(query)
  check(TO_SERVICE)
  is_string(query, "query")
  return sent.set_raw_query(query)
end
function outgoing.set_method(method)
  check(TO_SERVICE)
  is_string(method, "method")
  if not ngx["HTTP_" .. method] then
    error("invalid method: " .. method, 2)
  end
  return sent.set_method(method)
end
function outgoing.set_query(args)
  check(TO_SERVICE)
  if type(args) ~= "table" then
    error("args must be a table", 2)
  end
  return sent.set_query(args)
end
function outgoing.clear_query_arg(name)
  check(TO_SERVICE)
  if type(name) ~= "string" then
    error("query argument name must be a string", 2)
  end
  return sent.clear_query_arg(name)
end
local send_header = native.ask("service.request.set_line")
function outgoing.set_header(name, value)
  if type(name) == "string" and type(value) == "string" and band(slot.at.bit, UNTIL_BALANCER) ~= 0 then
    return send_header(name, value)
  end
  check(UNTIL_BALANCER)
  check_header(name, value, 2)
  return sent.set_header(name, value)
end
function outgoing.add_header(name, value)
  check(UNTIL_BALANCER)
  check_header(name, value, 2)
  return sent.add_header(name, value)
end
function outgoing.clear_header(name)
  check(TO_SERVICE)
  if type(name) ~= "string" then
    error("header must be a string", 2)
  end
  return sent.clear_header(name)
end
function outgoing.set_headers(headers)
  check(TO_SERVICE)
  check_headers(headers)
  return sent.set_headers(headers)
end
function outgoing.set_raw_body(body)
  check(UNTIL_BALANCER)
  is_string(body, "body")
  return sent.set_raw_body(body)
end
local get_header = host("request.get_header")
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
  elseif plain == "application/json" then
    local encoded, body = pcall(native.json_encode, args)
    if not encoded then
      return nil, tostring(body)
    end
    sent.set_raw_body(body)
    sent.set_header("Content-Type", kind)
  elseif plain == "application/x-www-form-urlencoded" then
    local encoded, why = pcall(sent.set_body, args, kind)
    if not encoded then
      return nil, tostring(why)
    end
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

pdk.service = service
