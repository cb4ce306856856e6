-- What copies of Kong's plugins stand on beside their own folders: libraries in C of their time, and what two of Kong's
-- plugins share.
local name, slot = ...
local type, ipairs, error, tonumber, select = type, ipairs, error, tonumber, select
local modules = {}

-- luasyslog: messages for the logger of the machine, which are handed over beside the request.
modules["lsyslog"] = function()
  local SOCKET, MONTHS = "unix:/dev/log", "JanFebMarAprMayJunJulAugSepOctNovDec"
  local lsyslog = {}
  for number, level in ipairs { "EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG" } do
    lsyslog["LOG_" .. level] = number - 1
  end
  for number, facility in ipairs { "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON",
    "AUTHPRIV", "FTP", "NTP", "SECURITY", "CONSOLE", "CLOCK", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4",
    "LOCAL5", "LOCAL6", "LOCAL7" } do
    lsyslog["FACILITY_" .. facility] = (number - 1) * 8
  end
  local ident, facility = "kong", lsyslog.FACILITY_USER
  local function deliver(_, line)
    local socket = ngx.socket.udp()
    local ok, err = socket:setpeername(SOCKET)
    if ok then
      ok, err = socket:send(line)
    end
    socket:close()
    if not ok then
      kong.log.err("syslog: ", err)
    end
  end
  function lsyslog.open(sender, where) ident, facility = sender, where or lsyslog.FACILITY_USER end
  function lsyslog.log(level, message)
    local now = os.date("*t")
    local month = MONTHS:sub(now.month * 3 - 2, now.month * 3)
    local line = ("<%d>%s %2d %02d:%02d:%02d %s[%d]: %s"):format(facility + level, month, now.day, now.hour, now.min,
      now.sec, ident, slot.native.pid, message)
    return ngx.timer.at(0, deliver, line)
  end
  function lsyslog.close() end
  return lsyslog
end

-- lua_pack: numbers and texts as octets. Numbers are the machine's unless `<` or `>` says otherwise.
modules["lua_pack"] = function()
  local SIZES = { c = 1, b = 1, C = 1, h = 2, H = 2, i = 4, I = 4, l = 8, L = 8 }
  local SIGNED = { c = true, h = true, i = true, l = true }
  local LENGTHS = { p = 1, P = 2, a = 8 }
  local function no_such(code) error("bad code '" .. code .. "': it is not there in this version", 3) end
  local function octets(value, size, is_big)
    local out = {}
    value = value < 0 and value + 2 ^ (8 * size) or value
    for place = 1, size do
      out[is_big and size + 1 - place or place] = string.char(value % 256)
      value = math.floor(value / 256)
    end
    return table.concat(out)
  end
  local function number(text, at, code, is_big)
    local size, value = SIZES[code], 0
    if at + size - 1 > #text then
      return nil
    end
    for place = 0, size - 1 do
      value = value * 256 + text:byte(is_big and at + place or at + size - 1 - place)
    end
    return SIGNED[code] and value >= 2 ^ (8 * size - 1) and value - 2 ^ (8 * size) or value
  end
  local pack = {}
  function pack.pack(format, ...)
    local out, is_big, at = {}, false, 0
    for code in format:gmatch("%S") do
      if code == "<" or code == "=" or code == ">" then
        is_big = code == ">"
      else
        at = at + 1
        local value = (select(at, ...))
        if SIZES[code] then
          out[#out + 1] = octets(tonumber(value), SIZES[code], is_big)
        elseif code == "z" then
          out[#out + 1] = value .. "\0"
        elseif code == "A" then
          out[#out + 1] = value
        elseif LENGTHS[code] then
          out[#out + 1] = octets(#value, LENGTHS[code], is_big) .. value
        else
          no_such(code)
        end
      end
    end
    return table.concat(out)
  end
  -- Where the next octet is, and the values as far as the text goes.
  function pack.unpack(text, format, at)
    local values, is_big = {}, false
    at = at or 1
    for code, count in format:gmatch("(%D)(%d*)") do
      for _ = 1, code == "A" and 1 or tonumber(count) or 1 do
        local value
        if code == "<" or code == "=" or code == ">" then
          is_big = code == ">"
        elseif SIZES[code] then
          value = number(text, at, code, is_big)
          at = value and at + SIZES[code] or at
        elseif code == "z" then
          local last = text:find("\0", at, true)
          value = last and text:sub(at, last - 1)
          at = last and last + 1 or at
        elseif code == "A" then
          local size = tonumber(count) or 1
          value = at + size - 1 <= #text and text:sub(at, at + size - 1) or nil
          at = value and at + size or at
        elseif LENGTHS[code] then
          local as = code == "p" and "C" or code == "P" and "H" or "L"
          local size = number(text, at, as, is_big)
          local from = at + SIZES[as]
          value = size and from + size - 1 <= #text and text:sub(from, from + size - 1) or nil
          at = value and from + size or at
        elseif code ~= " " and code ~= "," then
          no_such(code)
        end
        if value == nil and not code:find("[<=> ,]") then
          return at, unpack(values)
        end
        values[#values + 1] = value
      end
    end
    return at, unpack(values)
  end
  return pack
end

-- What pre-function and post-function are made of: code of each phase, which may hand out a function that goes on.
modules["kong.plugins.pre-function._handler"] = function()
  local PHASES = { "certificate", "rewrite", "access", "header_filter", "body_filter", "log" }
  local made = setmetatable({}, { __mode = "k" })
  local function functions_of(config, phase)
    local own = made[config]
    if not own then
      own = {}
      made[config] = own
    end
    if not own[phase] then
      own[phase] = {}
      for i, code in ipairs(type(config[phase]) == "table" and config[phase] or {}) do
        own[phase][i] = require("kong.tools.sandbox").sandbox(code)
      end
    end
    return own[phase]
  end
  return function(priority)
    local handler = { PRIORITY = priority, VERSION = require("kong.meta").version }
    for _, phase in ipairs(PHASES) do
      handler[phase] = function(_, config)
        local functions = functions_of(config, phase)
        for i, f in ipairs(functions) do
          local result = f()
          if type(result) == "function" then
            functions[i] = result
            result()
          end
        end
      end
    end
    return handler
  end
end

modules["kong.plugins.pre-function._schema"] = function()
  return function(plugin)
    local typedefs = require "kong.db.schema.typedefs"
    local code = { type = "string", custom_validator = function(text)
      local _, err = loadstring(text)
      return err == nil, err and "error parsing " .. plugin .. ": " .. err
    end }
    local fields, checks = {}, {}
    for i, phase in ipairs { "certificate", "rewrite", "access", "header_filter", "body_filter", "log" } do
      fields[i] = { [phase] = { type = "array", required = true, default = {}, elements = code } }
      checks[i] = "config." .. phase
    end
    return { name = plugin, fields = { { consumer = typedefs.no_consumer }, { protocols = typedefs.protocols },
      { config = { type = "record", fields = fields } } }, entity_checks = { { at_least_one_of = checks } } }
  end
end

-- lua-resty-luasocket's client, which is for code that cannot wait: what waits here is the gateway's.
modules["resty.luasocket.http"] = function() return require "resty.http" end

-- Messages of AWS' event streams (application/vnd.amazon.eventstream).
modules["kong.tools.aws_stream"] = function()
  local stream = {}
  stream.__index = stream
  function stream:new(chunk, is_hex)
    if #chunk < (is_hex and 32 or 16) then
      return nil, "cannot parse a chunk less than 16 bytes long"
    end
    return setmetatable({ text = is_hex and slot.native.unhex(chunk) or chunk, read_count = 0 }, stream)
  end
  function stream:next_utf_8(count)
    local text = self.text:sub(1, count)
    self.text, self.read_count = self.text:sub(count + 1), self.read_count + count
    return text
  end
  function stream:next_bytes(count) return slot.native.hex(self:next_utf_8(count)) end
  function stream:next_int(size)
    if size < 8 then
      return nil, nil, "cannot work on integers smaller than 8 bits long"
    end
    local digits = self:next_bytes(size / 8)
    return tonumber(digits, 16), digits
  end
  function stream:next_message()
    if #self.text == 0 then
      return false
    end
    self.read_count = 0
    local size, of_headers = self:next_int(32), self:next_int(32)
    self:next_int(32)
    local last, headers = 12 + (of_headers or 0), {}
    while of_headers and self.read_count < last and #self.text > 0 do
      local key = self:next_utf_8(self:next_int(8))
      local kind = self:next_int(8)
      local value
      if kind == 0 or kind == 1 then
        value = kind == 0
      elseif kind == 7 then
        value = self:next_utf_8(self:next_int(16) or 0)
      else
        return nil, "failed parse - unsupported header type: " .. tostring(kind)
      end
      headers[key] = value
    end
    local rest = (size or 0) - self.read_count - 4
    if rest < 0 or #self.text < rest + 4 then
      return nil, "the message is not complete"
    end
    local body = self:next_utf_8(rest)
    self:next_int(32)
    self.read_count = 0
    return { headers = headers, body = body }
  end
  return stream
end

return modules[name]()
