-- kong.tools.*: functions of Kong's that plugins use.
local name, slot = ...
local native = slot.native
local modules = {}

local text = {}
function text.split(given, separator, max)
  local parts, at = {}, 1
  if separator == "" then
    for i = 1, #given do
      parts[i] = given:sub(i, i)
    end
    return parts
  end
  while not max or #parts < max - 1 do
    local from, to = given:find(separator, at, true)
    if not from then
      break
    end
    parts[#parts + 1] = given:sub(at, from - 1)
    at = to + 1
  end
  parts[#parts + 1] = given:sub(at)
  return parts
end
function text.strip(given) return given and (tostring(given):match("^%s*(.-)%s*$")) or "" end
function text.isplitn(given, separator) return ipairs(text.split(given, separator or " ")) end
text.isplit, text.splitn = text.isplitn, text.split
function text.bytes_to_str(octets, unit, scale)
  local power = ({ k = 1, m = 2, g = 3 })[(unit or ""):lower():sub(1, 1)]
  return power and ("%." .. (scale or 2) .. "f"):format(octets / 1024 ^ power) or tostring(octets)
end
function text.try_decode_base64(given) return native.decode_base64(given) or given end
function text.replace_dashes(given) return (given:gsub("-", "_")) end
function text.replace_dashes_lower(given) return (given:gsub("-", "_"):lower()) end
function text.starts_with(given, prefix) return given:sub(1, #prefix) == prefix end
function text.validate_utf8(given)
  local ok = ngx.re.find(tostring(given), ".*", "su")
  return ok ~= nil
end

local tables = {}
function tables.table_contains(list, wanted)
  for _, value in pairs(list or {}) do
    if value == wanted then
      return true
    end
  end
  return false
end
function tables.is_array(t) return type(t) == "table" and table.isarray(t) end
function tables.deep_copy(t, seen)
  if type(t) ~= "table" then
    return t
  end
  seen = seen or {}
  if seen[t] then
    return seen[t]
  end
  local copy = {}
  seen[t] = copy
  for key, value in pairs(t) do
    copy[tables.deep_copy(key, seen)] = tables.deep_copy(value, seen)
  end
  return setmetatable(copy, getmetatable(t))
end
tables.cycle_aware_deep_copy = tables.deep_copy
function tables.shallow_copy(t) return type(t) == "table" and table.clone(t) or t end
function tables.table_merge(first, second) return kong.table.merge(first, second) end
function tables.deep_merge(first, second)
  local merged = tables.deep_copy(first)
  for key, value in pairs(second) do
    merged[key] = type(merged[key]) == "table" and type(value) == "table" and tables.deep_merge(merged[key], value)
      or tables.deep_copy(value)
  end
  return merged
end
tables.cycle_aware_deep_merge = tables.deep_merge
function tables.concat(...)
  local all = {}
  for i = 1, select("#", ...) do
    for _, value in ipairs((select(i, ...))) do
      all[#all + 1] = value
    end
  end
  return all
end
function tables.add_error(errors, key, value)
  errors = errors or {}
  local before = errors[key]
  if before == nil then
    errors[key] = value
  else
    errors[key] = type(before) == "table" and tables.concat(before, { value }) or { before, value }
  end
  return errors
end
function tables.load_module_if_exists(module) return pcall(require, module) end
function tables.pack(...) return { n = select("#", ...), ... } end
function tables.unpack(t, from, to) return unpack(t, from or 1, to or t.n or #t) end

local uuid = { uuid = native.uuid }
function uuid.is_valid_uuid(given) return require("resty.jit-uuid").is_valid(given) end

local rand = {}
function rand.get_rand_bytes(count) return native.random(count) end
function rand.random_string() return (native.encode_base64(native.random(24)):gsub("[/+=]", "a")) end

local sha = {}
function sha.sha256_hex(given) return native.hex(native.digest("sha256", given)) end
function sha.sha256_bin(given) return native.digest("sha256", given) end
function sha.sha256_base64(given) return native.encode_base64(native.digest("sha256", given)) end
function sha.sha256_base64url(given) return native.encode_base64url(native.digest("sha256", given)) end

local ip = {}
function ip.is_valid_ipv4(given)
  local octets = { tostring(given):match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$") }
  for i = 1, 4 do
    if not octets[i] or tonumber(octets[i]) > 255 then
      return false
    end
  end
  return true
end
function ip.is_valid_ipv6(given) return tostring(given):find(":", 1, true) ~= nil and not given:find("[^%x:%.]") end
function ip.is_valid_ip(given) return ip.is_valid_ipv4(given) or ip.is_valid_ipv6(given) end
function ip.hostname_type(given)
  if ip.is_valid_ipv4(given) then
    return "ipv4"
  end
  return given:find(":[^:]*:") and "ipv6" or "name"
end

local time = { time_ns = function() return native.now() * 1e9 end }
function time.get_now_ms() return native.now() * 1000 end
time.get_updated_now, time.get_updated_now_ms = native.now, time.get_now_ms
function time.get_updated_monotonic_ms() return native.monotonic() * 1000 end

local http = {}
function http.get_mime_type(header) return type(header) == "string" and header:match("^%s*([^;]-)%s*$") or header end
function http.encode_args(args) return ngx.encode_args(args) end
function http.validate_header_name(given)
  if type(given) == "string" and given:match("^[%w%-_]+$") then
    return given
  end
  return nil, "bad header name '" .. tostring(given) .. "', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
end
function http.parse_directive_header(header)
  local directives = {}
  for part in tostring(header or ""):gmatch("[^,]+") do
    local key, value = part:match("^%s*([^=%s]+)%s*=?%s*\"?([^\"]*)\"?%s*$")
    if key then
      directives[key:lower()] = value ~= "" and (tonumber(value) or value) or true
    end
  end
  return directives
end

local uri = { escape = native.escape_uri, unescape = native.unescape_uri }
function uri.normalize(path) return path end

modules["kong.tools.string"], modules["kong.tools.table"], modules["kong.tools.uuid"] = text, tables, uuid
modules["kong.tools.rand"], modules["kong.tools.sha256"], modules["kong.tools.ip"] = rand, sha, ip
modules["kong.tools.time"], modules["kong.tools.http"], modules["kong.tools.uri"] = time, http, uri
modules["kong.tools.module"] = { load_module_if_exists = tables.load_module_if_exists }
modules["kong.tools.cjson"] = {
  encode = function(value) return native.json_encode(value) end,
  decode_with_array_mt = function(given) return native.json_decode(given, native.array_mt) end,
  array_mt = native.array_mt,
}
modules["kong.tools.timestamp"] = { get_utc = function() return math.floor(native.now()) * 1000 end,
  get_utc_ms = function() return native.now() * 1000 end }
-- The old place of all of them.
local all = {}
for _, functions in pairs { text, tables, uuid, rand, sha, ip, time, http } do
  for key, value in pairs(functions) do
    all[key] = value
  end
end
modules["kong.tools.utils"] = all

return modules[name]
