-- cjson and cjson.safe: JSON.
local name, slot = ...
local native = slot.native
local pcall = pcall

local function new(safe)
  local options = { empty_as_list = false, plain_slash = false, arrays = nil }
  local json = {
    _NAME = "cjson", _VERSION = "2.1.0.14", null = slot.null,
    empty_array = setmetatable({}, native.array_mt),
    empty_array_mt = native.empty_array_mt, array_mt = native.array_mt,
  }
  function json.encode(value)
    if not safe then
      return native.json_encode(value, options.empty_as_list, options.plain_slash)
    end
    local ok, text = pcall(native.json_encode, value, options.empty_as_list, options.plain_slash)
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
    local value, err = native.json_decode(tostring(text), options.arrays)
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
  for _, setting in pairs { "encode_number_precision", "encode_sparse_array", "encode_max_depth", "decode_max_depth",
      "encode_invalid_numbers", "decode_invalid_numbers", "encode_keep_buffer", "encode_skip_unsupported_value_types",
      "encode_indent" } do
    json[setting] = function(value) return value end
  end
  json.new = function() return new(safe) end
  return json
end

return new(name == "cjson.safe")
