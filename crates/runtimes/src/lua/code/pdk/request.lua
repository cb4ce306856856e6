-- `kong.request`.
local slot = ...
local pdk = slot.pdk
local type, tostring, error = type, tostring, error
local native, band = slot.native, bit.band
local check, host, namespace, check_max = pdk.check, pdk.host, pdk.namespace, pdk.check_max
local ANY, NOT_INIT, CONTENT = pdk.sets.ANY, pdk.sets.NOT_INIT, pdk.sets.CONTENT

local request = namespace("request", ANY, [[get_scheme get_host get_forwarded_scheme get_forwarded_host
  get_forwarded_port get_forwarded_path get_forwarded_prefix get_http_version get_method get_raw_path
  get_path_with_query get_raw_query get_start_time get_uri_captures]])
namespace("request", NOT_INIT, "get_port get_path", request)
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
  local at = slot.at
  if type(name) == "string" and band(at.bit, ANY) ~= 0 and not at.other then
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
local get_body, get_raw_body, receive = host("request.get_body"), host("request.get_raw_body"), slot.receive
function request.get_raw_body()
  check(CONTENT)
  receive()
  return get_raw_body()
end
function request.get_body(kind, max)
  check(CONTENT)
  if max ~= nil and tostring(kind or get_header("Content-Type")):sub(1, #FORM) == FORM then
    check_max(max, "max_args")
  end
  receive()
  return get_body(kind, max)
end

pdk.request = request
