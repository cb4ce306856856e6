-- kong.tools.*: addresses, names, and what is in heads and paths; resty.ipmatcher.
local name, slot = ...
local native = slot.native
local modules = {}

-- Networks in which an address may be: the narrowest one counts.
local matcher = {}
matcher.__index = matcher
local NO_ADDRESS = "invalid ip address, not ipv4 and ipv6"
function matcher.parse_ipv4(given) return native.address_kind(given) == 4 end
function matcher.parse_ipv6(given)
  return native.address_kind(type(given) == "string" and given:match("^%[(.*)%]$") or given) == 6
end
local function made(networks, values)
  local find, wrong = native.networks(networks)
  if not find then
    return nil, "invalid ip address: " .. wrong
  end
  return setmetatable({ find = find, values = values }, matcher)
end
function matcher.new(networks) return made(networks) end
function matcher.new_with_value(by_network)
  local networks, values = {}, {}
  for network, value in pairs(by_network) do
    networks[#networks + 1], values[#values + 1] = network, value
  end
  return made(networks, values)
end
function matcher:match(address)
  local place = self.find(address)
  if place == nil then
    return false, NO_ADDRESS
  elseif not place then
    return false
  end
  return not self.values or self.values[place]
end
function matcher:match_bin(octets)
  local address = native.address_text(octets)
  if not address then
    return nil, NO_ADDRESS
  end
  return self:match(address)
end
modules["resty.ipmatcher"] = matcher

local ip = { is_valid_ipv4 = matcher.parse_ipv4, is_valid_ipv6 = matcher.parse_ipv6 }
function ip.is_valid_ip(given) return ip.is_valid_ipv4(given) or ip.is_valid_ipv6(given) end
local function of_network(is_address, longest)
  return function(given)
    local address, length = tostring(given):match("^(.*)/(%d+)$")
    return address ~= nil and tonumber(length) <= longest and tostring(tonumber(length)) == length
      and is_address(address)
  end
end
ip.is_valid_cidr_v4, ip.is_valid_cidr_v6 = of_network(ip.is_valid_ipv4, 32), of_network(ip.is_valid_ipv6, 128)
local function either(first, second) return function(given) return first(given) or second(given) end end
ip.is_valid_cidr = either(ip.is_valid_cidr_v4, ip.is_valid_cidr_v6)
ip.is_valid_ip_or_cidr_v4 = either(ip.is_valid_ipv4, ip.is_valid_cidr_v4)
ip.is_valid_ip_or_cidr_v6 = either(ip.is_valid_ipv6, ip.is_valid_cidr_v6)
ip.is_valid_ip_or_cidr = either(ip.is_valid_ip, ip.is_valid_cidr)
function ip.hostname_type(given)
  if select(2, given:gsub(":", "")) > 1 then
    return "ipv6"
  end
  return given:gsub(":%d*$", ""):find("^[%d%.]+$") and "ipv4" or "name"
end
local function with_port(given, host, digits, what)
  if digits and tonumber(digits) > 65535 then
    return nil, "invalid port number"
  elseif not host then
    return nil, "invalid " .. what .. ": " .. given
  end
  return host, tonumber(digits)
end
function ip.normalize_ipv4(given)
  local host, digits = given:match("^([%d%.]+):(%d+)$")
  host = host or given
  local parts = {}
  for part in host:gmatch("%d+") do
    parts[#parts + 1] = tonumber(part)
  end
  local plain = host:find("^%d+%.%d+%.%d+%.%d+$") and table.concat(parts, ".")
  return with_port(given, ip.is_valid_ipv4(plain or "") and plain, digits, "ipv4 address")
end
-- All eight parts, of four digits each.
function ip.normalize_ipv6(given)
  local host, digits = given:match("^%[(.-)%]:?(%d*)$")
  return with_port(given, native.whole_ipv6(host or given), digits ~= "" and digits or nil, "ipv6 address")
end
function ip.check_hostname(given)
  local host, digits = given:match("^(.-):(%d+)$")
  host = host or given
  local valid = host:find("^[%w%-%._]+$") and not host:find("..", 1, true) and not ("." .. host .. "."):find("%-%.")
    and host:sub(1, 1) ~= "."
  return with_port(given, valid and host, digits, "hostname")
end
local normalize = { ipv4 = ip.normalize_ipv4, ipv6 = ip.normalize_ipv6, name = ip.check_hostname }
function ip.normalize_ip(given)
  local kind = ip.hostname_type(given)
  local host, port = normalize[kind](given)
  if not host then
    return nil, port
  end
  return { type = kind, host = host, port = port }
end
function ip.format_host(given, port)
  if given == nil then
    return nil, port
  end
  local host = type(given) == "table" and given.host or given
  port = type(given) == "table" and given.port or port
  if ip.hostname_type(host) == "ipv6" and host:sub(1, 1) ~= "[" then
    host = "[" .. ip.normalize_ipv6(host) .. "]"
  end
  return host .. (port and ":" .. port or "")
end
modules["kong.tools.ip"] = ip

local http = {}
http.CONTENT_TYPES = {
  CONTENT_TYPE = "Content-Type", CONTENT_TYPE_POST = "application/x-www-form-urlencoded",
  CONTENT_TYPE_JSON = "application/json", CONTENT_TYPE_FORM_DATA = "multipart/form-data",
}
-- The types of answers, by what is asked for.
local ANSWERS = {
  ["text/plain"] = "text/plain; charset=utf-8", ["text/html"] = "text/html; charset=utf-8",
  ["application/json"] = "application/json; charset=utf-8", ["application/xml"] = "application/xml; charset=utf-8",
  ["application/grpc"] = "",
}
ANSWERS.text, ANSWERS.application = ANSWERS["text/plain"], ANSWERS["application/json"]
local USUAL = ANSWERS["application/json"]
function http.get_mime_type(header, with_usual)
  local wanted = tostring(header or ""):match("^%s*([^;]-)%s*$") or tostring(header):match("^%s*([^;]*)")
  local kind, below = wanted:match("^([^/]*)/(.*)$")
  local found = kind and (below == "*" and (kind == "*" and USUAL or ANSWERS[kind]) or ANSWERS[wanted])
  if found or with_usual ~= false then
    return found or USUAL
  end
  return nil, "could not find MIME type"
end
-- The type that is accepted most gladly.
function http.get_response_type(accepted)
  local best, chosen = 0, USUAL
  accepted = type(accepted) == "table" and table.concat(accepted, ",") or accepted
  for part in (accepted or ""):gmatch("[^,]+") do
    local wanted, rest = part:match("^%s*([^;%s]+)(.*)$")
    local quality = wanted and (tonumber(rest:match("[qQ]%s*=%s*([%d%.]+)")) or 1) or 0
    if quality > best then
      best, chosen = quality, http.get_mime_type(wanted, false) or chosen
    end
  end
  return chosen
end
-- The operator's templates of errors, else Kong's; gRPC has none.
local templates = {}
function http.get_error_template(mime_type)
  local kind = tostring(mime_type or ""):match("^([%w/]+)")
  local short = kind and kind:match("^%w+/(%w+)$")
  if mime_type == "" or kind == "application/grpc" then
    return ""
  elseif not ANSWERS[kind or ""] or not short then
    return nil, "no template found for MIME type " .. (mime_type or "empty")
  end
  if not templates[kind] then
    local path = (kong.configuration or {})["error_template_" .. short]
    local file = type(path) == "string" and path ~= "" and io.open(path, "rb")
    templates[kind] = file and file:read("*a") or native.error_template(kind)
    if file then
      file:close()
    end
  end
  return templates[kind]
end
-- A list whose places are texts, or nothing.
local function listed(t)
  local list, count = {}, table.nkeys(t)
  for i = 1, count do
    local value = t[tostring(i)]
    if value == nil then
      value = t[i]
    end
    if value == nil then
      return nil
    end
    list[i] = value
  end
  return list
end
function http.decode_args(args)
  local decoded, meant = {}, { [""] = slot.null, ["true"] = true, ["false"] = false }
  for key, value in pairs(args) do
    if type(value) == "table" then
      decoded[key] = listed(value) or value
    elseif meant[value] ~= nil then
      decoded[key] = meant[value]
    else
      decoded[key] = value
    end
  end
  return decoded
end
-- Numbers come first, then names, each in order; a list is written with its places, a table with its names.
local function before(a, b)
  if type(a) == type(b) then
    return a < b
  end
  return type(a) == "number"
end
local function encode(out, key, value, raw, without_places)
  if type(value) == "table" then
    local keys = {}
    for inner in pairs(value) do
      keys[#keys + 1] = inner
    end
    table.sort(keys, before)
    for _, inner in ipairs(keys) do
      local place = type(inner) == "number" and (without_places and "[]" or "[" .. inner .. "]") or "." .. inner
      encode(out, key == nil and inner or key .. place, value[inner], raw, without_places)
    end
    return
  end
  local escape = raw and tostring or require("socket.url").escape
  if value == slot.null then
    out[#out + 1] = escape(key) .. "="
  elseif value == "" then
    out[#out + 1] = tostring(key)
  else
    out[#out + 1] = escape(tostring(key)) .. "=" .. escape(tostring(value))
  end
end
function http.encode_args(args, raw, without_places)
  local out = {}
  encode(out, nil, args, raw, without_places)
  return table.concat(out, "&")
end
function http.check_https(trusted, allow_terminated)
  if kong.request.get_scheme() == "https" then
    return true
  end
  local scheme = allow_terminated and trusted and kong.request.get_header("X-Forwarded-Proto")
  if scheme and scheme:find(",", 1, true) then
    return nil, "Only one X-Forwarded-Proto header allowed"
  end
  return scheme and scheme:lower() == "https" or false
end
function http.validate_header_name(given)
  if given == nil or given == "" then
    return nil, "no header name provided"
  elseif type(given) == "string" and given:match("^[%w%-_]+$") then
    return given
  end
  return nil, "bad header name '" .. tostring(given) .. "', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
end
function http.validate_http_token(given)
  if given == nil or given == "" then
    return nil, "no token provided"
  elseif given:find("^[^%c\127-\255 ()<>@,;:\\\"/?={}%[%]]+$") then
    return given
  end
  return nil, "contains one or more invalid characters. ASCII control characters (0-31;127), space, tab and the "
    .. "characters ()<>@,;:\\\"/?={}[] are not allowed."
end
http.validate_cookie_name = http.validate_http_token
function http.get_header(wanted, headers)
  if not headers then
    return kong.request.get_header(wanted)
  end
  for key, value in pairs(headers) do
    if key:lower() == wanted:lower() then
      return value
    end
  end
end
function http.parse_directive_header(header)
  local directives = {}
  local text = type(header) == "table" and table.concat(header, ",") or tostring(header or "")
  for part in text:gmatch("[^,]+") do
    local key, value = part:match("^%s*([^=%s]+)%s*=?%s*\"?([^\"]*)\"?%s*$")
    if key then
      directives[key:lower()] = value ~= "" and (tonumber(value) or value) or true
    end
  end
  return directives
end
-- For how many seconds a response may be kept, by what it says of that.
function http.calculate_resource_ttl(directives)
  local longest = directives and (directives["s-maxage"] or directives["max-age"])
  local expires = not longest and kong.service.response.get_header("Expires")
  local at = expires and ngx.parse_http_time(expires)
  return tonumber(longest) or (at and at - ngx.time()) or 0
end
function http.get_default_exit_body(status, message)
  local fixed = { [405] = "Method not allowed", [500] = "An unexpected error occurred", [502] = "Bad gateway" }
  local usual = { [401] = "Unauthorized", [404] = "Not found", [503] = "Service unavailable" }
  local body = status ~= 204 and (fixed[status] or message or usual[status]) or nil
  return type(body) == "string" and { message = body } or body
end
modules["kong.tools.http"] = http

-- A path with the escapes decoded that mean nothing, and without dot segments, none of which leads above the root.
local RESERVED = "[!*'();:@&=+$,/?%%#%[%]]"
local function normalize_path(path, merges_slashes)
  path = path:gsub("%%(%x%x)", function(digits)
    local char = string.char(tonumber(digits, 16))
    return char:find(RESERVED) and "%" .. digits:upper() or char
  end)
  if not path:find(".", 1, true) and not (merges_slashes and path:find("//", 1, true)) then
    return path
  end
  local rest, kept, count = path, {}, 0
  while rest:find("^%.%.?/") do
    rest = rest:gsub("^%.%.?/", "", 1)
  end
  if rest == "." or rest == ".." then
    return ""
  end
  while rest ~= "" do
    local segment = rest:match("^/?[^/]*")
    rest = rest:sub(#segment + 1)
    local is_last = rest == ""
    if segment == "/." or segment == "/.." then
      if segment == "/.." and count > 0 then
        kept[count], count = nil, count - 1
      end
      segment = is_last and "/" or nil
    elseif merges_slashes and segment == "/" and not is_last then
      segment = nil
    end
    if segment then
      count = count + 1
      kept[count] = segment
    end
  end
  return table.concat(kept)
end
modules["kong.tools.uri"] = { escape = native.escape_path, normalize = normalize_path, unescape = native.unescape_uri }

modules["kong.tools.dns"] = function() return kong.dns end
for _, client in ipairs { "kong.dns.client", "kong.resty.dns.client", "resty.dns.client" } do
  modules[client] = kong.dns
end

return modules[name]
