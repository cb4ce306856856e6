-- resty.websocket: a client, and frames as it sends and reads them (RFC 6455). Servers are what the gateway is itself.
local name, slot = ...
local native = slot.native
local band, bor, bxor, rshift = bit.band, bit.bor, bit.bxor, bit.rshift
local char, byte, concat = string.char, string.byte, table.concat
local type, tostring, tonumber, setmetatable, ipairs = type, tostring, tonumber, setmetatable, ipairs
local modules = {}

local TYPES = { [0] = "continuation", [1] = "text", [2] = "binary", [8] = "close", [9] = "ping", [10] = "pong" }
local MOST_OF_CONTROL = 125

-- A text under a mask of four octets, piece by piece: a call takes a few thousand values at most.
local function masked(text, mask)
  local m = { byte(mask, 1, 4) }
  local out = {}
  for from = 1, #text, 4096 do
    local octets = { byte(text, from, from + 4095) }
    for i = 1, #octets do
      octets[i] = bxor(octets[i], m[(i - 1) % 4 + 1])
    end
    out[#out + 1] = char(unpack(octets))
  end
  return concat(out)
end

local protocol = { _VERSION = "0.13", types = TYPES }
function protocol.new_tab() return {} end

local function number_of(text)
  local number = 0
  for i = 1, #text do
    number = number * 256 + byte(text, i)
  end
  return number
end

local function octets_of(number, count)
  local out = {}
  for i = count, 1, -1 do
    out[i], number = char(number % 256), math.floor(number / 256)
  end
  return concat(out)
end

-- Reads a frame: its content, its type, and of a part of a message "again", of a close its code.
function protocol.recv_frame(socket, most, must_be_masked)
  local head, err = socket:receive(2)
  if not head then
    return nil, nil, "failed to receive the first 2 bytes: " .. tostring(err)
  end
  local first, second = byte(head, 1, 2)
  local is_last, opcode = band(first, 0x80) ~= 0, band(first, 0x0f)
  local is_masked, length = band(second, 0x80) ~= 0, band(second, 0x7f)
  if band(first, 0x70) ~= 0 then
    return nil, nil, "bad RSV1, RSV2, or RSV3 bits"
  elseif not TYPES[opcode] then
    return nil, nil, opcode < 8 and "reserved non-control frames" or "reserved control frames"
  elseif must_be_masked and not is_masked then
    return nil, nil, "frame unmasked"
  elseif opcode >= 8 and length > MOST_OF_CONTROL then
    return nil, nil, "too long payload for control frame"
  elseif opcode >= 8 and not is_last then
    return nil, nil, "fragmented control frame"
  end
  local more = length == 126 and 2 or length == 127 and 8
  if more then
    local given
    given, err = socket:receive(more)
    if not given then
      return nil, nil, "failed to receive the " .. more .. " byte payload length: " .. tostring(err)
    end
    length = number_of(given)
  end
  if length > most then
    return nil, nil, "exceeding max payload len"
  end
  local content, mask = "", nil
  if is_masked then
    mask, err = socket:receive(4)
  end
  if length > 0 and not err then
    content, err = socket:receive(length)
  end
  if err or not content then
    return nil, nil, "failed to read " .. (is_masked and "masking-len and " or "") .. "payload: " .. tostring(err)
  end
  content = mask and masked(content, mask) or content
  if opcode ~= 8 then
    return content, TYPES[opcode], not is_last and "again" or nil
  elseif length == 1 then
    return nil, nil, "close frame with a body must carry a 2-byte status code"
  elseif length == 0 then
    return "", "close", nil
  end
  return content:sub(3), "close", number_of(content:sub(1, 2))
end

function protocol.build_frame(is_last, opcode, length, content, is_masked)
  local first, mask = bor(is_last and 0x80 or 0, opcode), is_masked and 0x80 or 0
  local head
  if length <= 125 then
    head = char(first, bor(mask, length))
  elseif length <= 65535 then
    head = char(first, bor(mask, 126)) .. octets_of(length, 2)
  else
    head = char(first, bor(mask, 127)) .. octets_of(length, 8)
  end
  if not is_masked then
    return head .. content
  end
  local key = native.random(4)
  return head .. key .. masked(content, key)
end

function protocol.send_frame(socket, is_last, opcode, content, most, is_masked)
  content = content and tostring(content) or ""
  if #content > most then
    return nil, "payload too big"
  elseif opcode >= 8 and #content > MOST_OF_CONTROL then
    return nil, "too much payload for control frame"
  elseif opcode >= 8 and not is_last then
    return nil, "fragmented control frame"
  end
  local sent, err = socket:send(protocol.build_frame(is_last, opcode, #content, content, is_masked))
  if not sent then
    return nil, "failed to send frame: " .. tostring(err)
  end
  return sent
end
modules["resty.websocket.protocol"] = function() return protocol end

local client = { _VERSION = "0.13" }
client.__index = client

function client.new(_, options)
  options = options or {}
  local socket = ngx.socket.tcp()
  if options.timeout then
    socket:settimeout(options.timeout)
  end
  local most = options.max_payload_len or 65535
  return setmetatable({
    sock = socket, max_recv_len = options.max_recv_len or most, max_send_len = options.max_send_len or most,
    send_unmasked = options.send_unmasked,
  }, client)
end

-- Scheme, host or path of a socket, port, path.
local function parsed(uri)
  local scheme, rest = tostring(uri):match("^(wss?)://(.+)$")
  if not scheme then
    return nil
  end
  local socket, path = rest:match("^(unix:[^:]+):(.*)$")
  if socket then
    return scheme, socket, nil, path ~= "" and path or "/"
  end
  local host, port
  host, port, path = rest:match("^(%b[]):?(%d*)(.*)$")
  if not host then
    host, port, path = rest:match("^([^:/]+):?(%d*)(.*)$")
  end
  if not host then
    return nil
  end
  return scheme, host, tonumber(port) or scheme == "wss" and 443 or 80, path ~= "" and path or "/"
end

-- What is wrong with an answer to the handshake.
local function refusal(head, key)
  local status = head:match("^%s*HTTP/1%.1%s+(%d+)")
  if status ~= "101" then
    return "bad HTTP response status line: " .. head
  end
  local wanted = ngx.encode_base64(ngx.sha1_bin(key .. "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
  for line in head:gmatch("[^\r\n]+") do
    local field, value = line:match("^([^:]+):%s*(.-)%s*$")
    if field and field:lower() == "sec-websocket-accept" and value == wanted then
      return nil
    end
  end
  return "bad \"sec-websocket-accept\" response header"
end

local function strings(options)
  for _, option in ipairs { { "server_name", "SSL server_name" }, { "host", "custom host header" },
      { "key", "custom Sec-WebSocket-Key" } } do
    local value = options[option[1]]
    if value ~= nil and type(value) ~= "string" then
      return option[2] .. " must be a string"
    end
  end
  if options.headers ~= nil and type(options.headers) ~= "table" then
    return "custom headers must be a table"
  end
end

function client:connect(uri, options)
  local socket = self.sock
  if not socket then
    return nil, "not initialized"
  end
  options = options or {}
  local scheme, host, port, path = parsed(uri)
  if not scheme then
    return nil, "bad websocket uri"
  end
  local wrong = strings(options)
  if wrong then
    return nil, wrong
  end
  local pooled = { pool = options.pool, pool_size = options.pool_size, backlog = options.backlog }
  local ok, err
  if port then
    ok, err = socket:connect(host, port, pooled)
  else
    ok, err = socket:connect(host, pooled)
  end
  if not ok then
    return nil, "failed to connect: " .. tostring(err)
  elseif (socket:getreusedtimes() or 0) > 0 then
    return 1, nil, "connection reused"
  end
  if scheme == "wss" then
    if options.client_cert then
      assert(options.client_priv_key, "client_priv_key must be provided with client_cert")
      ok, err = socket:setclientcert(options.client_cert, options.client_priv_key)
      if not ok then
        return nil, "failed to set TLS client certificate: " .. tostring(err)
      end
    end
    ok, err = socket:sslhandshake(false, options.server_name or options.host or host, options.ssl_verify)
    if not ok then
      return nil, "ssl handshake failed: " .. tostring(err)
    end
  end
  local key = options.key or ngx.encode_base64(native.random(16))
  local lines = { "GET " .. path .. " HTTP/1.1", "Upgrade: websocket",
    "Host: " .. (options.host or port and host .. ":" .. port or "unix_sock"), "Sec-WebSocket-Key: " .. key }
  if options.protocols then
    local protocols = options.protocols
    lines[#lines + 1] = "Sec-WebSocket-Protocol: " .. (type(protocols) == "table" and concat(protocols, ",") or protocols)
  end
  lines[#lines + 1] = "Sec-WebSocket-Version: 13"
  if options.origin then
    lines[#lines + 1] = "Origin: " .. options.origin
  end
  lines[#lines + 1] = "Connection: Upgrade"
  for _, line in ipairs(options.headers or {}) do
    lines[#lines + 1] = line
  end
  ok, err = socket:send(concat(lines, "\r\n") .. "\r\n\r\n")
  if not ok then
    return nil, "failed to send the handshake request: " .. tostring(err)
  end
  local head
  head, err = socket:receiveuntil("\r\n\r\n")()
  if not head then
    return nil, "failed to receive response header: " .. tostring(err)
  end
  wrong = refusal(head, key)
  if wrong then
    return nil, wrong
  end
  return 1, nil, head
end

function client:set_timeout(ms)
  if not self.sock then
    return nil, nil, "not initialized yet"
  end
  return self.sock:settimeout(ms)
end

function client:recv_frame()
  if self.fatal then
    return nil, nil, "fatal error already happened"
  elseif not self.sock then
    return nil, nil, "not initialized yet"
  end
  local content, kind, err = protocol.recv_frame(self.sock, self.max_recv_len, false)
  -- What has come too late may still come; after anything else nobody knows where a frame begins.
  if not content and not tostring(err):find(": timeout", 1, true) then
    self.fatal = true
  end
  return content, kind, err
end

function client:send_frame(is_last, opcode, content)
  if self.fatal then
    return nil, "fatal error already happened"
  elseif self.closed then
    return nil, "already closed"
  elseif not self.sock then
    return nil, "not initialized yet"
  end
  local sent, err = protocol.send_frame(self.sock, is_last, opcode, content, self.max_send_len, not self.send_unmasked)
  if not sent then
    self.fatal = true
  end
  return sent, err
end

function client:send_continue(content) return self:send_frame(true, 0, content) end
function client:send_text(content) return self:send_frame(true, 1, content) end
function client:send_binary(content) return self:send_frame(true, 2, content) end
function client:send_ping(content) return self:send_frame(true, 9, content) end
function client:send_pong(content) return self:send_frame(true, 10, content) end
function client:send_close(code, words)
  local content
  if code then
    if type(code) ~= "number" or code % 1 ~= 0 or code < 0 or code > 0x7fff then
      return nil, "bad status code"
    end
    content = char(rshift(code, 8), band(code, 0xff)) .. (words or "")
  end
  local sent, err = self:send_frame(true, 8, content)
  self.closed = true
  return sent, err
end

function client:close()
  if self.fatal then
    return nil, "fatal error already happened"
  elseif not self.sock then
    return nil, "not initialized yet"
  end
  if not self.closed then
    local sent, err = self:send_close()
    if not sent then
      return nil, "failed to send close frame: " .. tostring(err)
    end
  end
  return self.sock:close()
end

function client:set_keepalive(...)
  if not self.sock then
    return nil, "not initialized yet"
  end
  return self.sock:setkeepalive(...)
end
modules["resty.websocket.client"] = function() return client end

modules["resty.websocket.server"] = function()
  return { _VERSION = "0.13", new = function()
    return nil, "code is not lent the client's connection; kong.websocket sees messages of a WebSocket that is proxied"
  end }
end

return modules[name]()
