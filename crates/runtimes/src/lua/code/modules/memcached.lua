-- resty.memcached: a client over `ngx.socket`.
local memcached = { _VERSION = "0.17" }
memcached.__index = memcached
local type, tonumber, tostring, setmetatable, ipairs = type, tonumber, tostring, setmetatable, ipairs

function memcached.new(_, options)
  options = options or {}
  return setmetatable({ socket = ngx.socket.tcp(), escape = options.key_transform and options.key_transform[1]
    or ngx.escape_uri, unescape = options.key_transform and options.key_transform[2] or ngx.unescape_uri }, memcached)
end

function memcached:set_timeout(ms)
  self.socket:settimeout(ms)
  return 1
end
function memcached:set_timeouts(...)
  self.socket:settimeouts(...)
  return 1
end
function memcached:connect(...) return self.socket:connect(...) end
function memcached:sslhandshake(...) return self.socket:sslhandshake(...) end
function memcached:set_keepalive(...) return self.socket:setkeepalive(...) end
function memcached:get_reused_times() return self.socket:getreusedtimes() end
function memcached:close() return self.socket:close() end

-- Sends a command; its first line, or nil and why there is none.
local function call(self, text)
  local ok, err = self.socket:send(text)
  if not ok then
    return nil, err
  end
  return self.socket:receive()
end

-- A value behind a line that says how long it is.
local function value_of(self, length)
  local value, err = self.socket:receive(tonumber(length))
  if not value then
    return nil, err
  end
  local ended
  ended, err = self.socket:receive(2)
  if not ended then
    return nil, err
  end
  return value
end

-- The values of one key, or of several.
local function fetch(self, command, keys, with_cas)
  local many, escaped = type(keys) == "table", {}
  for i, key in ipairs(many and keys or { keys }) do
    escaped[i] = self.escape(key)
  end
  if many and not escaped[1] then
    return {}
  end
  local line, err = call(self, command .. " " .. table.concat(escaped, " ") .. "\r\n")
  local found = {}
  while line and line ~= "END" do
    local key, flags, length, unique = line:match("^VALUE (%S+) (%d+) (%d+) ?(%d*)$")
    if not key then
      return nil, line
    end
    local value
    value, err = value_of(self, length)
    if not value then
      return nil, err
    end
    found[self.unescape(key)] = with_cas and { value, flags, unique } or { value, flags }
    line, err = self.socket:receive()
  end
  if not line then
    return nil, err
  end
  return found
end

function memcached:get(key)
  local found, err = fetch(self, "get", key)
  if type(key) == "table" then
    return found, found and {} or err
  elseif not found then
    return nil, nil, err
  end
  local one = found[key]
  if one then
    return one[1], one[2]
  end
end

function memcached:gets(key)
  local found, err = fetch(self, "gets", key, true)
  if not found then
    return nil, nil, nil, err
  elseif type(key) == "table" then
    return found, {}
  end
  local one = found[key]
  if one then
    return one[1], one[2], one[3]
  end
end

local function joined(value)
  if type(value) ~= "table" then
    return tostring(value)
  end
  local parts = {}
  for i, part in ipairs(value) do
    parts[i] = joined(part)
  end
  return table.concat(parts)
end

local function store(self, command, key, value, exptime, flags, unique)
  value = joined(value)
  local line, err = call(self, ("%s %s %s %s %s%s\r\n%s\r\n"):format(command, self.escape(key), flags or 0, exptime or 0,
    #value, unique and " " .. unique or "", value))
  if line == "STORED" then
    return 1
  end
  return nil, line or err
end
for _, command in ipairs { "set", "add", "replace", "append", "prepend" } do
  memcached[command] = function(self, key, value, exptime, flags)
    return store(self, command, key, value, exptime, flags)
  end
end
function memcached:cas(key, value, unique, exptime, flags) return store(self, "cas", key, value, exptime, flags, unique) end

local function told(self, text, wanted)
  local line, err = call(self, text .. "\r\n")
  if line == wanted then
    return 1
  end
  return nil, line or err
end
function memcached:delete(key) return told(self, "delete " .. self.escape(key), "DELETED") end
function memcached:touch(key, exptime) return told(self, "touch " .. self.escape(key) .. " " .. exptime, "TOUCHED") end
function memcached:flush_all(after) return told(self, "flush_all" .. (after and " " .. after or ""), "OK") end
function memcached:verbosity(level) return told(self, "verbosity " .. level, "OK") end
for _, command in ipairs { "incr", "decr" } do
  memcached[command] = function(self, key, by)
    local line, err = call(self, ("%s %s %s\r\n"):format(command, self.escape(key), by))
    if line and line:find("^%d+") then
      return tonumber(line:match("%d+"))
    end
    return nil, line or err
  end
end
function memcached:version()
  local line, err = call(self, "version\r\n")
  local version = line and line:match("^VERSION (.+)$")
  return version, not version and (line or err) or nil
end
function memcached:stats(what)
  local line, err = call(self, "stats" .. (what and " " .. what or "") .. "\r\n")
  local lines = {}
  while line and line ~= "END" do
    lines[#lines + 1] = line
    line, err = self.socket:receive()
  end
  if not line then
    return nil, err
  end
  return lines
end
function memcached:quit() return self.socket:send("quit\r\n") and 1 end

return memcached
