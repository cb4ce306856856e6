-- resty.redis: a client over `ngx.socket`.
local redis = { _VERSION = "0.30" }

local function read(socket)
  local line, err = socket:receive("*l")
  if not line then
    return nil, err
  end
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "+" then
    return rest
  elseif kind == "-" then
    return false, rest
  elseif kind == ":" then
    return tonumber(rest)
  elseif kind == "$" then
    local size = tonumber(rest)
    if size < 0 then
      return ngx.null
    end
    local text
    text, err = socket:receive(size)
    if not text then
      return nil, err
    end
    socket:receive(2)
    return text
  elseif kind == "*" then
    local count = tonumber(rest)
    if count < 0 then
      return ngx.null
    end
    local items = {}
    for i = 1, count do
      local item, why = read(socket)
      if item == nil then
        return nil, why
      end
      items[i] = item == false and { false, why } or item
    end
    return items
  end
  return nil, "unknown prefix: \"" .. kind .. "\""
end

local function command(words)
  local parts = { "*" .. #words .. "\r\n" }
  for i = 1, #words do
    local word = tostring(words[i])
    parts[#parts + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
  end
  return table.concat(parts)
end

local function flat(name, ...)
  local words = { name }
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if type(value) == "table" then
      for _, item in ipairs(value) do
        words[#words + 1] = item
      end
    else
      words[#words + 1] = value
    end
  end
  return words
end

-- A connection that is subscribed is no good to who takes it from the pool next.
local SUBSCRIBING = { subscribe = true, psubscribe = true, ssubscribe = true }
local ENDING = { unsubscribe = true, punsubscribe = true, sunsubscribe = true }
local function noted(self, answer)
  if self.subscribed and type(answer) == "table" and ENDING[answer[1]] and answer[3] == 0 then
    self.subscribed = false
  end
  return answer
end

local function call(self, name, ...)
  self.subscribed = self.subscribed or SUBSCRIBING[name:lower()] or false
  if not self.socket then
    return nil, "not initialized"
  end
  local text = command(flat(name, ...))
  if self.pipelined then
    self.pipelined[#self.pipelined + 1] = text
    return true
  end
  local ok, err = self.socket:send(text)
  if not ok then
    return nil, err
  end
  local answer, why = read(self.socket)
  return noted(self, answer), why
end

local methods = {}

-- What is not there is a command: `pipelined` always is.
function redis.new() return setmetatable({ socket = ngx.socket.tcp(), pipelined = false, subscribed = false }, redis) end
function methods:set_timeout(ms) return self.socket:settimeout(ms) end
function methods:set_timeouts(...) return self.socket:settimeouts(...) end

function methods:connect(host, port, options)
  if type(port) == "table" then
    options, port = port, nil
  end
  options, self.subscribed = options or {}, false
  port = port or 6379
  options.pool = options.pool or table.concat({ host, port, tostring(options.ssl), tostring(options.server_name),
    tostring(options.ssl_verify) }, ":")
  local ok, err = self.socket:connect(host, port, options)
  if not ok then
    return nil, err
  end
  if options.ssl then
    ok, err = self.socket:sslhandshake(false, options.server_name, options.ssl_verify)
    if not ok then
      return nil, "failed to do ssl handshake: " .. tostring(err)
    end
  end
  return 1
end

function methods:set_keepalive(...)
  if self.subscribed then
    return nil, "subscribed state"
  end
  return self.socket:setkeepalive(...)
end
function methods:get_reused_times() return self.socket:getreusedtimes() end
function methods:close() return self.socket:close() end
function methods:init_pipeline() self.pipelined = {} end
function methods:cancel_pipeline() self.pipelined = false end

function methods:commit_pipeline()
  local texts = self.pipelined
  if not texts then
    return nil, "no pipeline"
  end
  self.pipelined = false
  local ok, err = self.socket:send(texts)
  if not ok then
    return nil, err
  end
  local answers = {}
  for i = 1, #texts do
    local answer, why = read(self.socket)
    if answer == nil then
      return nil, why
    end
    answers[i] = answer == false and { false, why } or answer
  end
  return answers
end

function methods:hmset(key, ...)
  local first = ...
  if type(first) ~= "table" then
    return call(self, "hmset", key, ...)
  end
  local words = {}
  for name, value in pairs(first) do
    words[#words + 1], words[#words + 2] = name, value
  end
  return call(self, "hmset", key, words)
end

function methods:array_to_hash(list)
  local hash = {}
  for i = 1, #list, 2 do
    hash[list[i]] = list[i + 1]
  end
  return hash
end

function methods:read_reply()
  if not self.subscribed then
    return nil, "not subscribed"
  end
  local answer, err = read(self.socket)
  return noted(self, answer), err
end
function redis.add_commands() end
function redis.register_module_prefix() end

function redis.__index(_, name)
  local method = methods[name]
  if not method then
    method = function(self, ...) return call(self, name, ...) end
    methods[name] = method
  end
  return method
end

return redis
