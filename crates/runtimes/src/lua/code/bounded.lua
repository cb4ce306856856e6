-- Functions of the gateway run to their end, and no hook counts what they do. So the time that code has is looked at
-- before each that has much to do: a loop over them ends, too.
local slot = ...
local native = slot.native
local type, ipairs = type, ipairs

-- What is not much, in octets.
local LITTLE = 65536

local function is_much(value) return type(value) == "string" and #value > LITTLE end

for _, name in ipairs { "digest", "hmac", "crc32", "cipher", "hkdf", "encode_base64", "decode_base64",
  "encode_base64url", "decode_base64url", "escape_uri", "unescape_uri", "decode_args", "hex", "unhex", "json_decode",
  "find_plain" } do
  local real = native[name]
  native[name] = function(first, second, ...)
    if is_much(first) or is_much(second) or is_much((...)) then
      native.check_time()
    end
    return real(first, second, ...)
  end
end

-- What these have to do does not show before they are through.
for _, name in ipairs { "deflate", "inflate", "pbkdf2", "json_encode" } do
  local real = native[name]
  native[name] = function(...)
    native.check_time()
    return real(...)
  end
end
