-- LuaSocket and LuaSec by sockets that do not keep the worker: what plugins that were written for them use.
local name, slot = ...
local native = slot.native
local modules = {}

-- A socket of LuaSocket: times are in seconds, and results as it has them.
local function tcp()
  local real = ngx.socket.tcp()
  local socket = { real = real }
  function socket:settimeout(seconds)
    real:settimeout((seconds and seconds >= 0 and seconds or 60) * 1000)
    return 1
  end
  function socket:connect(host, port) return real:connect(host, tonumber(port)) end
  function socket:send(text, from, to)
    text = text:sub(from or 1, to or -1)
    local sent, err = real:send(text)
    return sent, err, sent and nil or 0
  end
  function socket:receive(pattern, prefix)
    local text, err, partial = real:receive(pattern or "*l")
    if not text then
      return nil, err, (prefix or "") .. (partial or "")
    end
    return (prefix or "") .. text
  end
  function socket:close() return real:close() end
  function socket:setoption() return 1 end
  function socket:getfd() return -1 end
  function socket:dohandshake() return real:sslhandshake(false, self.server_name, self.verifies) end
  return socket
end

modules["socket.core"] = function()
  local core = { _VERSION = "LuaSocket 3.1.0", BLOCKSIZE = 2048, _SETSIZE = 1024, gettime = native.now, tcp = tcp }
  core.tcp4, core.tcp6 = tcp, tcp
  function core.sleep(seconds) ngx.sleep(seconds) end
  function core.udp()
    local real = ngx.socket.udp()
    return {
      settimeout = function(_, seconds) real:settimeout((seconds or 60) * 1000) end,
      setpeername = function(_, ...) return real:setpeername(...) end,
      send = function(_, text) return real:send(text) end, receive = function(_, size) return real:receive(size) end,
      close = function() return real:close() end,
    }
  end
  function core.skip(count, ...) return select(count + 1, ...) end
  function core.newtry(finish)
    return function(...)
      if not (...) then
        if finish then
          pcall(finish)
        end
        error({ (select(2, ...)) }, 0)
      end
      return ...
    end
  end
  core.try = core.newtry()
  function core.protect(f)
    local function outcome(ok, ...)
      if ok then
        return ...
      end
      local err = ...
      if type(err) == "table" then
        return nil, err[1]
      end
      error(err, 0)
    end
    return function(...) return outcome(pcall(f, ...)) end
  end
  core.dns = { gethostname = function() return native.hostname end }
  return core
end

modules["socket"] = function()
  local socket = setmetatable({}, { __index = require "socket.core" })
  function socket.connect(host, port)
    local made = tcp()
    local ok, err = made:connect(host, port)
    if not ok then
      return nil, err
    end
    return made
  end
  return socket
end

modules["mime.core"] = function()
  local function by(f) return function(text, more)
    if text == nil then
      return nil
    end
    return f(text .. (more or "")), ""
  end end
  return { b64 = by(native.encode_base64), unb64 = by(native.decode_base64) }
end

-- A request by an address, or by a table with a source and a sink.
modules["socket.http"] = function()
  local http = require "resty.http"
  local module = { TIMEOUT = 60, USERAGENT = "LuaSocket 3.1.0" }
  -- As a global, which LuaSocket makes of it.
  ltn12 = require "ltn12"
  local function lower(headers)
    local all = {}
    for key, value in pairs(headers) do
      all[key:lower()] = type(value) == "table" and table.concat(value, ", ") or value
    end
    return all
  end
  function module.request(given, body)
    local asked = type(given) == "table" and given or { url = given, body = body, method = body and "POST" or "GET" }
    if body and type(given) ~= "table" then
      asked.headers = { ["content-type"] = "application/x-www-form-urlencoded" }
    end
    local content = asked.body
    if asked.source then
      local parts = {}
      for part in asked.source do
        parts[#parts + 1] = part
      end
      content = table.concat(parts)
    end
    local client = http.new()
    client:set_timeout(module.TIMEOUT * 1000)
    local verifies = asked.verify ~= nil and asked.verify ~= "none"
    local res, err = client:request_uri(asked.url, { method = asked.method or "GET", body = content,
      headers = asked.headers, ssl_verify = verifies, keepalive = false })
    if not res then
      return nil, err
    end
    local status = "HTTP/1.1 " .. res.status .. " " .. tostring(res.reason or "")
    if type(given) == "table" then
      if asked.sink then
        asked.sink(res.body)
        asked.sink(nil)
      end
      return 1, res.status, lower(res.headers), status
    end
    return res.body, res.status, lower(res.headers), status
  end
  return module
end
modules["ssl.https"] = function() return require "socket.http" end
modules["ssl"] = function()
  return { wrap = function(socket, options)
    socket.verifies = type(options) == "table" and options.verify ~= nil and options.verify ~= "none"
    socket.sni = function(self, host) self.server_name = host end
    return socket
  end }
end

-- What reads and what writes, one piece after the other.
modules["ltn12"] = function()
  local ltn12 = { BLOCKSIZE = 2048, source = {}, sink = {}, pump = {}, filter = {} }
  function ltn12.source.empty() return function() return nil end end
  function ltn12.source.string(text)
    local at = 1
    return function()
      local piece = text:sub(at, at + ltn12.BLOCKSIZE - 1)
      at = at + ltn12.BLOCKSIZE
      return piece ~= "" and piece or nil
    end
  end
  function ltn12.sink.table(into)
    into = into or {}
    return function(piece)
      into[#into + 1] = piece
      return 1
    end, into
  end
  function ltn12.sink.null() return function() return 1 end end
  function ltn12.pump.step(source, sink)
    local piece, err = source()
    local ok, why = sink(piece, err)
    if piece and ok then
      return 1
    end
    return nil, err or why
  end
  function ltn12.pump.all(source, sink, step)
    step = step or ltn12.pump.step
    while true do
      local ok, err = step(source, sink)
      if not ok then
        return not err and 1 or nil, err
      end
    end
  end
  return ltn12
end

return modules[name]()
