-- cjson and cjson.safe: JSON.
local name, slot = ...
local native = slot.native
local pcall, select, type, error, tostring, tonumber = pcall, select, type, error, tostring, tonumber

local function new(safe, is_own)
  local options = { empty_as_list = false, plain_slash = false, arrays = nil, decode_depth = 1000 }
  -- What is written how: as Kong sets it for all, or as lua-cjson has it from the beginning.
  local written = { max_depth = 1000, precision = is_own and 14 or 16, invalid = false, convert = false, ratio = 2,
    safe = is_own and 10 or 2 ^ 15 }
  local json = {
    _NAME = "cjson", _VERSION = "2.1.0.14", null = slot.null,
    empty_array = setmetatable({}, native.array_mt),
    empty_array_mt = native.empty_array_mt, array_mt = native.array_mt,
  }
  function json.encode(...)
    if select("#", ...) ~= 1 then
      error("bad argument #1 to 'encode' (expected 1 argument)", 2)
    end
    local value = (...)
    if not safe then
      return native.json_encode(value, options.empty_as_list, options.plain_slash, written)
    end
    local ok, text = pcall(native.json_encode, value, options.empty_as_list, options.plain_slash, written)
    if not ok then
      return nil, tostring(text)
    end
    return text
  end
  function json.decode(text)
    if type(text) ~= "string" and type(text) ~= "number" then
      local words = "bad argument #1 to 'decode' (string expected, got " .. type(text) .. ")"
      if safe then
        return nil, words
      end
      error(words, 2)
    end
    local value, err = native.json_decode(tostring(text), options.arrays, options.decode_depth)
    if err then
      if safe then
        return nil, err
      end
      error(err, 2)
    end
    return value
  end
  function json.encode_empty_table_as_object(on)
    options.empty_as_list = on == false
    return on
  end
  function json.encode_escape_forward_slash(on)
    options.plain_slash = on == false
    return on
  end
  function json.decode_array_with_array_mt(on)
    options.arrays = on and native.array_mt or nil
    return on
  end
  -- What a number may be set to; without one, what it is.
  local function numeric(of, field, least, most, name)
    return function(value)
      if value ~= nil then
        if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
          error(("bad argument #1 to '%s' (expected integer between %d and %d)"):format(name, least, most), 2)
        end
        of[field] = value
      end
      return of[field]
    end
  end
  json.encode_max_depth = numeric(written, "max_depth", 1, 2147483647, "encode_max_depth")
  json.decode_max_depth = numeric(options, "decode_depth", 1, 2147483647, "decode_max_depth")
  json.encode_number_precision = numeric(written, "precision", 1, 16, "encode_number_precision")
  function json.encode_sparse_array(convert, ratio, safe_)
    if convert ~= nil then
      written.convert = convert == true or convert == "on"
    end
    written.ratio, written.safe = tonumber(ratio) or written.ratio, tonumber(safe_) or written.safe
    return written.convert, written.ratio, written.safe
  end
  function json.encode_invalid_numbers(how)
    if how ~= nil then
      written.invalid = how == "null" and how or how == true or how == "on"
    end
    return written.invalid
  end
  for _, setting in pairs { "decode_invalid_numbers", "encode_keep_buffer", "encode_skip_unsupported_value_types",
      "encode_indent" } do
    json[setting] = function(value) return value end
  end
  json.new = function() return new(safe, true) end
  return json
end

return new(name == "cjson.safe")
