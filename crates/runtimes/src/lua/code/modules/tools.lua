-- kong.tools.*: functions of Kong's that plugins use.
local name, slot = ...
local native = slot.native
local modules = {}

local text = {}
-- The pieces of a text between delimiters, and how many they are; the last of `most` has the rest.
local function pieces(given, delimiter, most, is_plain)
  most = most or math.huge
  if most < 1 or given == nil then
    return {}, 0
  elseif most == 1 or delimiter == nil then
    return { given }, 1
  elseif given == "" and delimiter ~= "" then
    return { "" }, 1
  end
  local parts, count, at = {}, 0, 1
  -- Nothing is found before and behind each character.
  local past = delimiter == "" and #given + 1
  while count < most - 1 do
    local from, to
    if past then
      from = count == 0 and 1 or at + 1
      to = from - 1
    else
      from, to = given:find(delimiter, at, is_plain)
    end
    if not from or past and from > past then
      break
    end
    count = count + 1
    parts[count], at = given:sub(at, from - 1), to + 1
  end
  parts[count + 1] = given:sub(at)
  return parts, count + 1
end
local function iterated(parts, count)
  local at = 0
  return function()
    at = at + 1
    return at <= count and parts[at] or nil
  end
end
function text.splitn(given, delimiter, most) return pieces(given, delimiter, most, true) end
function text.psplitn(given, pattern, most) return pieces(given, pattern, most, false) end
function text.isplitn(given, delimiter, most) return iterated(pieces(given, delimiter, most, true)) end
function text.ipsplitn(given, pattern, most) return iterated(pieces(given, pattern, most, false)) end
local function once(given, delimiter, is_plain)
  if given == nil or delimiter == nil then
    return given, nil
  elseif delimiter == "" then
    return "", given
  end
  local from, to = given:find(delimiter, nil, is_plain)
  if not from then
    return given, nil
  end
  return given:sub(1, from - 1), given:sub(to + 1)
end
function text.split_once(given, delimiter) return once(given, delimiter, true) end
function text.psplit_once(given, pattern) return once(given, pattern, false) end
-- As Penlight does it: at blanks without a delimiter, and there is nothing in nothing.
function text.split(given, delimiter, most)
  if delimiter == "" then
    return { given }
  elseif delimiter then
    return given == "" and {} or (pieces(given, delimiter, most, true))
  end
  local parts, count = pieces((given:gsub("^%s+", "")), "%s+", most, false)
  if parts[count] == "" then
    parts[count] = nil
  end
  return parts
end
function text.strip(given) return given and (tostring(given):match("^%s*(.-)%s*$")) or "" end
function text.join(separator, list) return table.concat(list, separator) end
local UNITS = { k = { 2 ^ 10, "KiB" }, m = { 2 ^ 20, "MiB" }, g = { 2 ^ 30, "GiB" } }
function text.bytes_to_str(octets, unit, scale)
  local kind = (unit or ""):lower()
  if kind == "" or kind == "b" then
    return ("%d"):format(octets)
  end
  scale = scale or 2
  if type(scale) ~= "number" or scale < 0 then
    error("scale must be equal or greater than 0", 2)
  end
  local known = UNITS[kind]
  if not known then
    error("invalid unit '" .. unit .. "' (expected 'k/K', 'm/M', or 'g/G')", 2)
  end
  return ("%." .. scale .. "f %s"):format(octets / known[1], known[2])
end
function text.parse_ngx_size(given)
  local digits, unit = given:match("^(.-)([kKmMgG]?)$")
  return (tonumber(digits) or 0) * ({ [""] = 1, k = 2 ^ 10, m = 2 ^ 20, g = 2 ^ 30 })[unit:lower()]
end
local function decoded(given)
  return type(given) == "string" and (native.decode_base64(given) or native.decode_base64url(given)) or given
end
function text.try_decode_base64(given)
  if type(given) ~= "table" then
    return decoded(given)
  end
  for i, value in ipairs(given) do
    given[i] = decoded(value)
  end
  return given
end
function text.replace_dashes(given) return (given:gsub("-", "_")) end
function text.replace_dashes_lower(given) return (given:gsub("-", "_"):lower()) end
function text.starts_with(given, prefix) return given:sub(1, #prefix) == prefix end
-- Characters of each length, as the standard has them.
local CHARACTERS = { "^[%z\1-\127]+()", "^[\194-\223][\128-\191]()", "^\224[\160-\191][\128-\191]()",
  "^[\225-\236\238\239][\128-\191][\128-\191]()", "^\237[\128-\159][\128-\191]()",
  "^\240[\144-\191][\128-\191][\128-\191]()", "^[\241-\243][\128-\191][\128-\191][\128-\191]()",
  "^\244[\128-\143][\128-\191][\128-\191]()" }
function text.validate_utf8(given)
  local at
  given, at = tostring(given), 1
  while at <= #given do
    local after
    for _, character in ipairs(CHARACTERS) do
      after = after or given:match(character, at)
    end
    if not after then
      return false, at
    end
    at = after
  end
  return true
end

local tables = { EMPTY = setmetatable({}, { __newindex = function() error("the table is read-only", 2) end }) }
function tables.table_contains(list, wanted)
  for _, value in pairs(list or {}) do
    if value == wanted then
      return true
    end
  end
  return false
end
-- As forms have lists: their places may be texts.
function tables.is_lapis_array(t)
  if type(t) ~= "table" then
    return false
  end
  for i = 1, table.nkeys(t) do
    if t[i] == nil and t[tostring(i)] == nil then
      return false
    end
  end
  return true
end
function tables.is_array(t, mode)
  if mode == "lapis" then
    return tables.is_lapis_array(t)
  end
  if type(t) ~= "table" then
    return false
  elseif mode == "fast" then
    return table.isarray(t)
  end
  -- Without holes.
  local count, last = 0, 0
  for place in pairs(t) do
    if type(place) ~= "number" or place < 1 or place % 1 ~= 0 then
      return false
    end
    count, last = count + 1, math.max(last, place)
  end
  return count == last
end
local function copied(t, without_metatables, seen)
  if type(t) ~= "table" then
    return t
  elseif seen[t] then
    return seen[t]
  end
  local metatable = getmetatable(t)
  if metatable ~= nil and type(metatable) ~= "table" then
    -- What shows itself to nobody is everybody's.
    return t
  end
  local copy = {}
  seen[t] = copy
  for key, value in pairs(t) do
    copy[copied(key, without_metatables, seen)] = copied(value, without_metatables, seen)
  end
  return without_metatables and copy or setmetatable(copy, metatable)
end
function tables.deep_copy(t, with_metatables) return copied(t, with_metatables == false, {}) end
function tables.cycle_aware_deep_copy(t, without_metatables, _, seen) return copied(t, without_metatables, seen or {}) end
function tables.shallow_copy(t) return type(t) == "table" and table.clone(t) or t end
function tables.table_merge(first, second) return kong.table.merge(first, second) end
-- What the second has as null does not take the place of a value.
function tables.null_aware_table_merge(first, second)
  local merged = kong.table.merge(first)
  for key, value in pairs(second or {}) do
    if merged[key] == nil or value ~= slot.null then
      merged[key] = value
    end
  end
  return merged
end
function tables.table_path(t, path)
  for _, key in ipairs(path) do
    t = t[key]
    if t == nil then
      return nil
    end
  end
  return t
end
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
-- Several errors of one field are a list, which an error that is a table is not.
local several = {}
function tables.add_error(errors, key, value)
  errors = errors or {}
  local before = errors[key]
  if before == nil then
    errors[key] = value
  elseif getmetatable(before) == several then
    before[#before + 1] = value
  else
    errors[key] = setmetatable({ before, value }, several)
  end
  return errors
end
-- What is there and cannot be loaded is an error.
function tables.load_module_if_exists(module)
  local ok, found = pcall(require, module)
  if ok then
    return true, found
  elseif tostring(found):find("module '" .. module .. "' not found", 1, true) then
    return false, found
  end
  error("error loading module '" .. module .. "':\n" .. tostring(found), 2)
end
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

local time = { time_ns = native.now_ns }
function time.get_now_ms() return native.now() * 1000 end
time.get_updated_now, time.get_updated_now_ms = native.now, time.get_now_ms
function time.get_start_time_ms() return ngx.req.start_time() * 1000 end
function time.get_updated_monotonic_ms() return native.monotonic() * 1000 end

local SECONDS = { y = 31536000, M = 2592000, w = 604800, d = 86400, h = 3600, m = 60, s = 1, [""] = 1 }
-- `1h 30m`, as nginx has times.
function time.nginx_conf_time_to_seconds(given)
  local sum, rest = 0, tostring(given)
  for digits, unit in rest:gmatch("(%d+)(%a*) *") do
    sum = sum + tonumber(digits) * (SECONDS[unit] or error("bad argument #1 'str'", 2))
  end
  if rest == "" or rest:gsub("%d+%a* *", "") ~= "" then
    error("bad argument #1 'str'", 2)
  end
  return sum
end

modules["kong.tools.string"], modules["kong.tools.table"], modules["kong.tools.uuid"] = text, tables, uuid
modules["kong.tools.rand"], modules["kong.tools.sha256"], modules["kong.tools.time"] = rand, sha, time
modules["kong.tools.module"] = { load_module_if_exists = tables.load_module_if_exists }
modules["kong.tools.cjson"] = {
  encode = function(value) return native.json_encode(value) end,
  decode_with_array_mt = function(given) return native.json_decode(given, native.array_mt) end,
  array_mt = native.array_mt,
  new_array = function() return setmetatable({}, native.array_mt) end,
}

-- Times in milliseconds, and those at which what they are in began.
local timestamp = {}
function timestamp.get_utc() return math.floor(native.now()) * 1000 end
function timestamp.get_utc_ms() return native.now() * 1000 end
-- A number beyond the year 20000 is in milliseconds.
local function in_seconds(given)
  given = given or timestamp.get_utc()
  return given > 568971820800 and given / 1000 or given
end
function timestamp.get_timetable(given)
  local seconds = in_seconds(given)
  local parts = os.date("!*t", math.floor(seconds))
  parts.sec = parts.sec + seconds % 1
  function parts.timestamp() return seconds end
  return parts
end
function timestamp.get_timestamps(given)
  local seconds = math.floor(in_seconds(given))
  local parts = os.date("!*t", seconds)
  local day = seconds - seconds % 86400
  local month = day - (parts.day - 1) * 86400
  return {
    second = seconds * 1000, minute = (seconds - seconds % 60) * 1000, hour = (seconds - seconds % 3600) * 1000,
    day = day * 1000, month = month * 1000, year = (day - (parts.yday - 1) * 86400) * 1000,
  }
end
timestamp.timestamp_table_fields = { "second", "minute", "hour", "day", "month", "year" }
modules["kong.tools.timestamp"] = timestamp

local yields = {}
for kind in ("rewrite server_rewrite access content timer preread init_worker"):gmatch("%S+") do
  yields[kind] = true
end
local yield = { in_yieldable_phase = function(phase) return yields[phase or ngx.get_phase()] end }
local calls = 0
-- In a loop, others have their turn each thousand times.
function yield.yield(in_loop, phase)
  calls = in_loop and calls + 1 or 0
  if calls % 1000 == 0 and slot.at.may_wait and yield.in_yieldable_phase(phase) then
    ngx.sleep(0)
  end
end
modules["kong.tools.yield"] = yield

-- A table for one request at a time: in debugging, what is of another one is noticed.
modules["kong.tools.request_aware_table"] = { new = function()
  local content, owner = {}, nil
  local function clear() content, owner = {}, nil end
  if (kong.configuration or {}).log_level ~= "debug" then
    return setmetatable({}, { __index = { clear = table.clear }, __newindex = function(t, key, value)
      if key == "clear" then
        error("cannot set the 'clear' method of request aware table", 2)
      end
      rawset(t, key, value)
    end })
  end
  local function check()
    local id = require("kong.observability.tracing.request_id").get()
    if id and owner and id ~= owner then
      error("concurrent access from different request to shared table detected", 3)
    end
    owner = id
  end
  return setmetatable({}, {
    __index = function(_, key)
      if key == "clear" then
        return clear
      end
      check()
      return content[key]
    end,
    __newindex = function(_, key, value)
      if key == "clear" then
        error("cannot set the 'clear' method of request aware table", 2)
      end
      check()
      content[key] = value
    end,
  })
end }
modules["kong.tools.system"] = {
  get_system_infos = function() return { cores = native.workers, uname = "Linux " .. jit.arch } end,
  get_system_trusted_certs_filepath = function()
    local path = "/etc/ssl/certs/ca-certificates.crt"
    return native.file_attributes(path) and path or nil
  end,
}
modules["tablepool"] = {
  fetch = function() return {} end,
  release = function(_, t, keep)
    if not keep then
      table.clear(t)
    end
  end,
}

-- The old place of all of them.
if name == "kong.tools.utils" then
  local all = {}
  for kind in ("string table uuid rand sha256 ip time http"):gmatch("%S+") do
    for key, value in pairs(modules["kong.tools." .. kind] or require("kong.tools." .. kind)) do
      all[key] = value
    end
  end
  return all
end

return modules[name]
