-- ffi-zlib and zlib: deflated content.
local name, slot = ...
local native = slot.native
local modules = {}

-- How content is wrapped, by what zlib calls the bits of the window.
local function wrapping(bits)
  return bits < 0 and "raw" or bits > 15 and "gzip" or "zlib"
end

local function gathered(input, size)
  local parts = {}
  for piece in function() return input(size) end do
    parts[#parts + 1] = piece
  end
  return table.concat(parts)
end

-- What is read piece by piece, and what is written so.
modules["ffi-zlib"] = function()
  local zlib = { _VERSION = "0.6.0", version = function() return "1.3.1" end }
  function zlib.deflateGzip(input, output, size, options)
    options = options or {}
    local out, err = native.deflate(gathered(input, size or 16384), wrapping(options.windowBits or 31), options.level)
    if not out then
      return false, err
    end
    output(out)
    return true
  end
  function zlib.inflateGzip(input, output, size, bits)
    local text = gathered(input, size or 16384)
    -- Whichever it is.
    local kind = (not bits or bits >= 32) and (text:sub(1, 2) == "\31\139" and "gzip" or "zlib") or wrapping(bits)
    local out, err = native.inflate(text, kind)
    if not out then
      return false, "INFLATE: " .. err
    end
    output(out)
    return true
  end
  return zlib
end

modules["zlib"] = function()
  local zlib = { BEST_SPEED = 1, BEST_COMPRESSION = 9, DEFAULT_COMPRESSION = -1 }
  function zlib.deflate(level, bits)
    local parts = {}
    return function(text, flush)
      parts[#parts + 1] = text
      if flush ~= "finish" then
        return "", false, 0, 0
      end
      local whole = table.concat(parts)
      local out = assert(native.deflate(whole, wrapping(bits or 15), level and level >= 0 and level or nil))
      return out, true, #whole, #out
    end
  end
  function zlib.inflate(bits)
    return function(text)
      local kind = not bits and (text:sub(1, 2) == "\31\139" and "gzip" or "zlib") or wrapping(bits)
      local out = assert(native.inflate(text, kind))
      return out, true, #text, #out
    end
  end
  return zlib
end

return modules[name]()
