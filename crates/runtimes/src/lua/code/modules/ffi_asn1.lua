-- Functions of OpenSSL for ASN.1 by `ffi.C`, as clients of LDAP call them: pieces of DER are read and written.
local _, slot = ...
local char = string.char
local octets_of, put = slot.ffi_octets, slot.ffi_put
local tonumber, type = tonumber, type
local INTEGER, OCTET_STRING, ENUMERATED = 2, 4, 10
local C = {}

local function length_of(size)
  if size < 0x80 then
    return char(size)
  end
  local digits = ""
  while size > 0 do
    digits, size = char(size % 256) .. digits, math.floor(size / 256)
  end
  return char(0x80 + #digits) .. digits
end

local function header(is_constructed, size, tag, class)
  local first = class + (is_constructed and 0x20 or 0)
  if tag < 31 then
    return char(first + tag) .. length_of(size)
  end
  local digits = char(tag % 128)
  tag = math.floor(tag / 128)
  while tag > 0 do
    digits, tag = char(0x80 + tag % 128) .. digits, math.floor(tag / 128)
  end
  return char(first + 31) .. digits .. length_of(size)
end

-- The header at the beginning of a text: first octet, tag, size of content, size of the header; nil: there is none.
local function read_header(text)
  local first, at = text:byte(1), 2
  if not first then
    return nil
  end
  local tag = first % 32
  if tag == 31 then
    tag = 0
    repeat
      local octet = text:byte(at)
      if not octet or at > 5 then
        return nil
      end
      tag, at = tag * 128 + octet % 128, at + 1
    until octet < 0x80
  end
  local size = text:byte(at)
  at = at + 1
  if not size or size == 0x80 then
    return nil
  elseif size > 0x80 then
    local digits = size - 0x80
    size = 0
    if digits > 4 or at + digits - 1 > #text then
      return nil
    end
    for place = at, at + digits - 1 do
      size = size * 256 + text:byte(place)
    end
    at = at + digits
  end
  return first, tag, size, at - 1
end

local FAILED = 0x80
function C.ASN1_get_object(from, size, tag, class, most)
  local first, number, content, before = read_header(octets_of(from[0]):sub(1, tonumber(most)))
  if not first then
    return FAILED
  end
  size[0], tag[0], class[0] = content, number, first - first % 64
  from[0] = from[0] + before
  local is_constructed = first % 64 >= 32
  return (is_constructed and 0x20 or 0) + (before + content > tonumber(most) and FAILED or 0)
end
function C.ASN1_put_object(to, is_constructed, size, tag, class)
  put(to[0], header(tonumber(is_constructed) ~= 0, tonumber(size), tonumber(tag), tonumber(class)))
end
function C.ASN1_object_size(is_constructed, size, tag)
  return #header(tonumber(is_constructed) ~= 0, tonumber(size), tonumber(tag), 0) + tonumber(size)
end

local function integer_octets(value)
  value = tonumber(value)
  local size = 1
  while value < -2 ^ (8 * size - 1) or value >= 2 ^ (8 * size - 1) do
    size = size + 1
  end
  value = value < 0 and value + 2 ^ (8 * size) or value
  local digits = ""
  for _ = 1, size do
    digits, value = char(value % 256) .. digits, math.floor(value / 256)
  end
  return digits
end
local function integer_of(digits)
  local value = 0
  for place = 1, #digits do
    value = value * 256 + digits:byte(place)
  end
  return #digits > 0 and digits:byte(1) >= 0x80 and value - 2 ^ (8 * #digits) or value
end

local function nothing() end
for kind, tag in pairs { ASN1_INTEGER = INTEGER, ASN1_ENUMERATED = ENUMERATED, ASN1_OCTET_STRING = OCTET_STRING } do
  C[kind .. "_new"] = function() return { octets = "" } end
  C[kind .. "_free"] = nothing
  C[kind .. "_get"] = function(object) return integer_of(object.octets) end
  C[kind .. "_set"] = function(object, value)
    object.octets = integer_octets(value)
    return 1
  end
  C["d2i_" .. kind] = function(_, from, most)
    local text = octets_of(from[0]):sub(1, tonumber(most))
    local first, number, size, before = read_header(text)
    if not first or first >= 0x40 or number ~= tag or before + size > #text then
      return nil
    end
    from[0] = type(from[0]) == "table" and from[0] + (before + size) or from[0]
    return { octets = text:sub(before + 1, before + size) }
  end
  C["i2d_" .. kind] = function(object, to)
    local text = header(false, #object.octets, tag, 0) .. object.octets
    if to and to[0] == nil then
      to[0] = text
    elseif to then
      put(to[0], text)
    end
    return #text
  end
end
C.ASN1_STRING_free, C.ASN1_STRING_new = nothing, C.ASN1_OCTET_STRING_new
function C.ASN1_STRING_set(object, data, size)
  object.octets = octets_of(data):sub(1, tonumber(size) >= 0 and tonumber(size) or nil)
  return 1
end
function C.ASN1_STRING_length(object) return #object.octets end
function C.ASN1_STRING_get0_data(object) return object.octets end
C.ASN1_STRING_data = C.ASN1_STRING_get0_data

return C
