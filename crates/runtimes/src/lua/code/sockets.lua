-- `ngx.socket`: sockets that wait without keeping the worker.
local slot = ...
local native, text_of = slot.native, slot.text_of
local type, tostring, tonumber, error, setmetatable = type, tostring, tonumber, error, setmetatable

local tcp = {}
tcp.__index = tcp
ngx.socket = {}

function ngx.socket.tcp() return setmetatable({ timeouts = { 60, 60, 60 }, options = {} }, tcp) end
ngx.socket.stream = ngx.socket.tcp

function ngx.socket.connect(host, port)
  local socket = ngx.socket.tcp()
  local ok, err = socket:connect(host, port)
  if not ok then
    return nil, err
  end
  return socket
end

-- Times in milliseconds, as seconds; nil is the usual one.
local function times(connect, send, read)
  return { (connect or 60000) / 1000, (send or 60000) / 1000, (read or 60000) / 1000 }
end

local function port_of(port)
  local number = tonumber(port)
  if number and (number < 0 or number > 65535) then
    return nil, "bad port number: " .. number
  end
  return number
end

local udp = {}
udp.__index = udp

function ngx.socket.udp() return setmetatable({ timeouts = { 60, 60, 60 } }, udp) end
function udp:settimeout(ms) self.timeouts = times(ms, ms, ms) end
function udp:bind(address)
  self.own = address
  return true
end
function udp:setpeername(host, port)
  local number, err = port_of(port)
  if err then
    return nil, err
  end
  self.real = native.datagrams()
  native.own_socket(self.real)
  return slot.wait("udp.connect", self.real, host, number or 0, self.own, self.timeouts[1])
end
function udp:send(data)
  if not self.real then
    return nil, "closed"
  end
  return slot.wait("udp.send", self.real, text_of(data), self.timeouts[2])
end
function udp:receive(size)
  if not self.real then
    return nil, "closed"
  end
  return slot.wait("udp.receive", self.real, size or 65536, self.timeouts[3])
end
function udp:close()
  self.real = nil
  return 1
end

function tcp:settimeout(ms) self.timeouts = times(ms, ms, ms) end
function tcp:settimeouts(connect, send, read) self.timeouts = times(connect, send, read) end

function tcp:bind(address)
  if type(address) ~= "string" or not native.address_kind(address) then
    return nil, "bad address"
  end
  self.own = address
  return true
end

function tcp:connect(host, port, options)
  if type(port) == "table" then
    options, port = port, nil
  end
  local is_local = host:sub(1, 5) == "unix:"
  local number, err = port_of(port)
  if err then
    return nil, err
  elseif not is_local and not number then
    error("bad argument #3 to 'connect' (number expected, got " .. type(port) .. ")", 2)
  end
  options = type(options) == "table" and options or {}
  local pool = options.pool or is_local and host or host .. ":" .. tostring(port)
  self.real, self.pool, self.pool_size = nil, pool, options.pool_size
  local kept, reused = native.kept_socket(pool)
  if kept then
    native.own_socket(kept)
    self.real, self.reused = kept, reused
    return 1
  end
  local made
  made, err = slot.wait("tcp.connect", host, number, self.timeouts[1], self.own)
  if not made then
    return nil, err
  end
  native.own_socket(made)
  self.real, self.reused = made, 0
  return 1
end

local known = { keepalive = true, reuseaddr = true, ["tcp-nodelay"] = true, sndbuf = true, rcvbuf = true }

local function socket_option(self, option)
  if not self.real then
    error("socket is never created nor connected", 3)
  elseif option == nil then
    return 'missing the "option" argument'
  elseif not known[option] then
    return "unsupported option " .. tostring(option)
  end
end

function tcp:getoption(option)
  local err = socket_option(self, option)
  if err then
    return nil, err
  end
  return native.socket_option(self.real, option)
end

function tcp:setoption(option, value)
  local err = socket_option(self, option)
  if err then
    return nil, err
  elseif value == nil then
    return nil, 'missing the "value" argument'
  end
  local done
  done, err = native.socket_option(self.real, option, tonumber(value) or value and 1 or 0)
  return done and true, err
end

-- What is shown to a server that asks who this is: what `ngx.ssl` has parsed.
function tcp:setclientcert(chain, key)
  if not chain and not key then
    self.certificate = nil
    return true
  elseif not chain or not key then
    return nil, "client certificate must be supplied with corresponding private key"
  elseif type(chain) ~= "table" or not chain.certificates then
    return nil, "bad cert arg: cdata expected, got " .. type(chain)
  elseif type(key) ~= "table" or not key.der then
    return nil, "bad pkey arg: cdata expected, got " .. type(key)
  end
  self.certificate = { chain = slot.ders(chain), key = key.der }
  return true
end

function tcp:sslhandshake(session, name, verify)
  if not self.real then
    return nil, "closed"
  end
  if self.reused > 0 then
    return session == false or session or {}
  end
  local certificate = self.certificate or {}
  local ok, err = slot.wait("tcp.secure", self.real, name, verify == true, self.timeouts[1], certificate.chain,
    certificate.key)
  if not ok then
    self.real = nil
    return nil, err
  end
  -- Sessions are kept by the gateway, for all of its connections to a server.
  return session == false or session or {}
end

function tcp:tlshandshake(options)
  options = options or {}
  if options.client_cert or options.client_priv_key then
    local ok, err = self:setclientcert(options.client_cert, options.client_priv_key)
    if not ok then
      return nil, err
    end
  end
  return self:sslhandshake(options.reused_session, options.server_name, options.ssl_verify)
end

function tcp:send(...)
  if not self.real then
    return nil, "closed"
  end
  return slot.wait("tcp.send", self.real, text_of(...), self.timeouts[2])
end

function tcp:receive(pattern)
  if not self.real then
    return nil, "closed"
  end
  return slot.wait("tcp.receive", self.real, pattern or "*l", self.timeouts[3])
end

function tcp:receiveany(max)
  if not self.real then
    return nil, "closed"
  end
  return slot.wait("tcp.receive_any", self.real, max, self.timeouts[3])
end

function tcp:receiveuntil(pattern, options)
  local inclusive, ended = type(options) == "table" and options.inclusive or false, false
  return function(size)
    if not self.real then
      return nil, "closed"
    end
    if not size then
      return slot.wait("tcp.receive_until", self.real, pattern, inclusive, self.timeouts[3])
    end
    if ended then
      ended = false
      return nil, nil, nil
    end
    local piece, err, partial = slot.wait("tcp.receive_piece", self.real, pattern, size, self.timeouts[3])
    ended = piece ~= nil and #piece < size
    return piece, err, partial
  end
end

function tcp:setkeepalive(timeout, size)
  if not self.real then
    return nil, "closed"
  end
  local real = self.real
  self.real = nil
  size = size or self.pool_size or 30
  return native.keep_socket(real, self.pool, (timeout or 60000) / 1000, size, (self.reused or 0) + 1)
end

function tcp:getreusedtimes()
  if not self.real then
    return nil, "closed"
  end
  return self.reused
end

function tcp:close()
  if not self.real then
    return nil, "closed"
  end
  native.close_socket(self.real)
  self.real = nil
  return 1
end

-- The content of the request as a socket, which `lua-resty-upload` reads: it is all here already.
local content = {}
content.__index = content

function content:settimeout() end
function content:settimeouts() end
function content:getoption() return nil, "the content of a request has no options" end

-- So much of what is left, without what follows it.
local function take(self, length, skipped)
  local piece = self.text:sub(self.at, self.at + length - 1)
  self.at = self.at + length + (skipped or 0)
  return piece
end

local function rest(self) return #self.text - self.at + 1 end

function content:receive(pattern)
  pattern = pattern or "*l"
  local size = tonumber(pattern)
  if size then
    if size <= rest(self) then
      return take(self, size)
    end
  elseif pattern == "*a" or pattern == "a" then
    return take(self, rest(self))
  elseif pattern == "*l" or pattern == "l" then
    local found = self.text:find("\n", self.at, true)
    if found then
      return (take(self, found - self.at, 1):gsub("\r", ""))
    end
  else
    error("bad argument #1 to 'receive' (bad pattern argument)", 2)
  end
  return nil, "closed", take(self, rest(self))
end

function content:receiveany(max)
  if rest(self) == 0 then
    return nil, "closed"
  end
  return take(self, math.min(rest(self), max or rest(self)))
end

function content:receiveuntil(pattern, options)
  local inclusive, ended = type(options) == "table" and options.inclusive or false, false
  if pattern == "" then
    return nil, "pattern is empty"
  end
  return function(size)
    if ended then
      ended = false
      return nil, nil, nil
    end
    local found = self.text:find(pattern, self.at, true)
    if not found then
      if size and size < rest(self) then
        return take(self, size)
      end
      return nil, "closed", take(self, rest(self))
    end
    local length = found - self.at
    if size and size <= length then
      return take(self, size)
    end
    ended = size ~= nil
    if inclusive then
      return take(self, length + #pattern)
    end
    return take(self, length, #pattern)
  end
end

-- The connection of a stream's client, in `preread`: what is received there does not reach the service, what is peeked
-- at does.
local client = {}
client.__index = client

function client:settimeout(ms) self.timeouts = times(ms, ms, ms) end
function client:settimeouts(connect, send, read) self.timeouts = times(connect, send, read) end
function client:send(...) return slot.wait("client.send", self.real, text_of(...), self.timeouts[2]) end
function client:receive(pattern) return slot.wait("client.receive", self.real, pattern or "*l", self.timeouts[3]) end
function client:receiveany(max) return slot.wait("client.receive_any", self.real, max, self.timeouts[3]) end
function client:peek(size)
  size = tonumber(size)
  if not size or size < 1 then
    error("bad argument #1 to 'peek' (bytes should be positive integer)", 2)
  end
  return slot.wait("client.peek", self.real, size, self.timeouts[3])
end
function client:receiveuntil(pattern, options)
  local inclusive = type(options) == "table" and options.inclusive or false
  local ended = false
  return function(size)
    if not size then
      return slot.wait("client.receive_until", self.real, pattern, inclusive, self.timeouts[3])
    elseif ended then
      ended = false
      return nil, nil, nil
    end
    local piece, err, partial = slot.wait("client.receive_piece", self.real, pattern, size, self.timeouts[3])
    ended = piece ~= nil and #piece < size
    return piece, err, partial
  end
end

local client_socket = slot.host("request.client_socket")

function ngx.req.socket(raw)
  if slot.at.context == "preread_by_lua*" then
    local real = client_socket()
    if not real then
      return nil, "there is no connection here: a session of datagrams has none"
    end
    return setmetatable({ real = real, timeouts = times() }, client)
  end
  if raw then
    return nil, "the connection of a client is not handed out: the gateway frames what is sent on it"
  end
  local text, err = kong.request.get_raw_body()
  if not text then
    return nil, err or "no body"
  elseif text == "" then
    return nil, "no body"
  end
  return setmetatable({ text = text, at = 1 }, content)
end
