-- resty.mysql: a client over `ngx.socket`, of MySQL's protocol 4.1 as MariaDB and MySQL speak it.
local _, slot = ...
local native, null = slot.native, slot.null
local band, bor, bxor = bit.band, bit.bor, bit.bxor
local char, byte, concat, floor = string.char, string.byte, table.concat, math.floor
local tonumber, tostring, setmetatable = tonumber, tostring, setmetatable

local mysql = { _VERSION = "0.27" }
mysql.__index = mysql

local CONNECTED, SENT = 1, 2
-- What the client can do: databases by name, transactions, several statements and results, ways to sign in.
local CAPABILITIES, OF_TLS, OF_DATABASE = 0x000ba205, 0x0800, 0x0008
local MORE_RESULTS = 0x0008
local OK, MORE_DATA, END, NULL, ERROR = 0x00, 0x01, 0xfe, 0xfb, 0xff
local CHARSETS = { _default = 0, big5 = 1, latin1 = 8, latin2 = 9, ascii = 11, ujis = 12, sjis = 13, gb2312 = 24,
  utf8 = 33, latin5 = 30, utf8mb4 = 45, binary = 63, gbk = 28, utf8mb3 = 33 }
-- Numbers of these types are numbers of Lua, too; those of 64 bits stay texts, so that none of their digits is lost.
local NUMBERS = { [0x01] = true, [0x02] = true, [0x03] = true, [0x04] = true, [0x05] = true, [0x09] = true,
  [0x0d] = true, [0xf6] = true }

local function octets_of(number, count)
  local out = {}
  for i = 1, count do
    out[i], number = char(number % 256), floor(number / 256)
  end
  return concat(out)
end

local function number_at(text, at, count)
  local number = 0
  for i = at + count - 1, at, -1 do
    number = number * 256 + byte(text, i)
  end
  return number, at + count
end

-- A number that says itself how long it is; null is nil.
local function length_at(text, at)
  local first = byte(text, at)
  if not first or first == NULL then
    return nil, at + 1
  elseif first < NULL then
    return first, at + 1
  end
  return number_at(text, at + 1, first == 0xfc and 2 or first == 0xfd and 3 or 8)
end

local function text_at(text, at)
  local length, from = length_at(text, at)
  if not length then
    return nil, from
  end
  return text:sub(from, from + length - 1), from + length
end

local function line_at(text, at)
  local stop = text:find("\0", at, true)
  return text:sub(at, (stop or #text + 1) - 1), (stop or #text) + 1
end

local function mixed(a, b)
  local out = {}
  for i = 1, #a do
    out[i] = char(bxor(byte(a, i), byte(b, (i - 1) % #b + 1)))
  end
  return concat(out)
end

local function sha1(text) return native.digest("sha1", text) end
local function sha256(text) return native.digest("sha256", text) end

-- What shows that the password is known, by the way that the server wants.
local function token_of(plugin, password, scramble)
  if password == "" then
    return ""
  elseif plugin == "mysql_native_password" then
    local once = sha1(password)
    return mixed(once, sha1(scramble .. sha1(once)))
  elseif plugin == "caching_sha2_password" then
    local once = sha256(password)
    return mixed(once, sha256(sha256(once) .. scramble))
  elseif plugin == "mysql_clear_password" then
    return password .. "\0"
  end
  return nil, "unsupported authentication plugin: " .. tostring(plugin)
end

function mysql.new()
  return setmetatable({ sock = ngx.socket.tcp() }, mysql)
end

function mysql:set_timeout(ms)
  if not self.sock then
    return nil, "not initialized"
  end
  return self.sock:settimeout(ms)
end

local function send(self, content)
  self.packet_no = (self.packet_no + 1) % 256
  return self.sock:send(octets_of(#content, 3) .. char(self.packet_no) .. content)
end

local function receive(self)
  local head, err = self.sock:receive(4)
  if not head then
    return nil, "failed to receive packet header: " .. tostring(err)
  end
  local length = number_at(head, 1, 3)
  if length == 0 then
    return nil, "empty packet"
  elseif length > self.max_packet_size then
    return nil, "packet size too big: " .. length
  end
  self.packet_no = byte(head, 4)
  local content
  content, err = self.sock:receive(length)
  if not content then
    return nil, "failed to read packet content: " .. tostring(err)
  end
  return content, byte(content, 1)
end

local function refusal(content)
  local code, at = number_at(content, 2, 2)
  local state
  if content:sub(at, at) == "#" then
    state, at = content:sub(at + 1, at + 5), at + 6
  end
  return content:sub(at), code, state
end

-- Signs in, by the way that the server has begun with or changes to.
local function authenticate(self, plugin, scramble, password)
  while true do
    local content, kind = receive(self)
    if not content then
      return nil, kind
    elseif kind == OK then
      return 1
    elseif kind == ERROR then
      return nil, refusal(content)
    elseif kind == END then
      local at = 2
      if #content == 1 then
        return nil, "the server wants passwords of before 4.1, which are not safe"
      end
      plugin, at = line_at(content, at)
      scramble = (content:sub(at):gsub("%z$", ""))
      if plugin == "mysql_clear_password" and not self.is_private then
        return nil, "the server wants the password itself, which goes over TLS only"
      end
      local token, err = token_of(plugin, password, scramble)
      if not token then
        return nil, err
      end
      local sent
      sent, err = send(self, token)
      if not sent then
        return nil, "failed to send the authentication packet: " .. tostring(err)
      end
    elseif kind == MORE_DATA and byte(content, 2) == 4 then
      -- The server has forgotten the password, and is told it: under its key, where somebody may listen.
      local sent, err
      if self.is_private then
        sent, err = send(self, password .. "\0")
      else
        sent, err = send(self, "\2")
        content, kind = receive(self)
        if not content or kind ~= MORE_DATA then
          return nil, "failed to receive the public key of the server: " .. tostring(content and refusal(content) or kind)
        end
        local pkey = require "resty.openssl.pkey"
        local key, sealed
        key, err = pkey.new(content:sub(2), { format = "PEM" })
        if key then
          sealed, err = key:encrypt(mixed(password .. "\0", scramble), pkey.PADDINGS.RSA_PKCS1_OAEP_PADDING)
        end
        if not sealed then
          return nil, "failed to encrypt the password: " .. tostring(err)
        end
        sent, err = send(self, sealed)
      end
      if not sent then
        return nil, "failed to send the authentication packet: " .. tostring(err)
      end
    elseif kind ~= MORE_DATA then
      return nil, "bad packet type: " .. tostring(kind)
    end
  end
end

local function greeting(self)
  local content, kind = receive(self)
  if not content then
    return nil, kind
  elseif kind == ERROR then
    return nil, refusal(content)
  elseif kind ~= 10 then
    return nil, "unsupported protocol version: " .. tostring(kind)
  end
  local version, at = line_at(content, 2)
  self._server_ver = version
  local scramble = content:sub(at + 4, at + 11)
  local low, high = number_at(content, at + 13, 2), number_at(content, at + 18, 2)
  local length = byte(content, at + 20) or 21
  local rest = content:sub(at + 31, at + 31 + math.max(12, length - 9) - 1)
  local plugin = line_at(content, at + 31 + math.max(13, length - 8))
  return { capabilities = low + high * 65536, scramble = scramble .. (rest:gsub("%z$", "")),
    plugin = plugin ~= "" and plugin or "mysql_native_password" }
end

function mysql:connect(options)
  local socket = self.sock
  if not socket then
    return nil, "not initialized"
  end
  self.max_packet_size, self.compact = options.max_packet_size or 1024 * 1024, options.compact_arrays
  local database, user, password = options.database or "", options.user or "", options.password or ""
  local charset = CHARSETS[options.charset or "_default"]
  if not charset then
    return nil, "charset '" .. tostring(options.charset) .. "' is not supported"
  end
  local host, port = options.host, tonumber(options.port) or 3306
  if not host and not options.path then
    return nil, 'neither "host" nor "path" options are specified'
  end
  local pool = options.pool or concat({ user, database, options.path or host .. ":" .. port }, ":")
  local pooled = { pool = pool, pool_size = options.pool_size, backlog = options.backlog }
  local ok, err
  if host then
    ok, err = socket:connect(host, port, pooled)
  else
    ok, err = socket:connect("unix:" .. options.path, pooled)
  end
  if not ok then
    return nil, "failed to connect: " .. tostring(err)
  elseif (socket:getreusedtimes() or 0) > 0 then
    self.state = CONNECTED
    return 1
  end
  self.packet_no, self.is_private = -1, not host
  local server, code, state
  server, err, code, state = greeting(self)
  if not server then
    return nil, err, code, state
  end
  local flags = CAPABILITIES + (database ~= "" and OF_DATABASE or 0)
  if options.ssl or options.ssl_verify then
    if band(server.capabilities, OF_TLS) == 0 then
      return nil, "ssl disabled on server"
    end
    flags = bor(flags, OF_TLS)
    ok, err = send(self, octets_of(flags, 4) .. octets_of(self.max_packet_size, 4) .. char(charset) .. ("\0"):rep(23))
    if ok then
      ok, err = socket:sslhandshake(false, options.ssl_server_name, options.ssl_verify)
    end
    if not ok then
      return nil, "failed to do ssl handshake: " .. tostring(err)
    end
    self.is_private = true
  end
  local plugin, token = server.plugin, nil
  token = token_of(plugin, password, server.scramble)
  if not token or plugin == "mysql_clear_password" then
    -- The server says what it wants instead.
    plugin, token = "mysql_native_password", token_of("mysql_native_password", password, server.scramble)
  end
  ok, err = send(self, concat { octets_of(flags, 4), octets_of(self.max_packet_size, 4), char(charset), ("\0"):rep(23),
    user, "\0", char(#token), token, database ~= "" and database .. "\0" or "", plugin, "\0" })
  if not ok then
    return nil, "failed to send client authentication packet: " .. tostring(err)
  end
  ok, err, code, state = authenticate(self, plugin, server.scramble, password)
  if not ok then
    return nil, err, code, state
  end
  self.state = CONNECTED
  return 1
end

function mysql:set_keepalive(...)
  if not self.sock then
    return nil, "not initialized"
  elseif self.state ~= CONNECTED then
    return nil, "cannot be reused in the current connection state: " .. tostring(self.state or "nil")
  end
  self.state = nil
  return self.sock:setkeepalive(...)
end
function mysql:get_reused_times()
  if not self.sock then
    return nil, "not initialized"
  end
  return self.sock:getreusedtimes()
end
function mysql:close()
  if not self.sock then
    return nil, "not initialized"
  end
  if self.state == CONNECTED then
    self.packet_no = -1
    send(self, "\1")
  end
  self.state = nil
  return self.sock:close()
end
function mysql:server_ver() return self._server_ver end
function mysql:set_compact_arrays(on) self.compact = on end

function mysql:send_query(query)
  if self.state ~= CONNECTED then
    return nil, "cannot send query in the current context: " .. tostring(self.state or "nil")
  end
  self.packet_no = -1
  local sent, err = send(self, "\3" .. tostring(query))
  if not sent then
    return nil, err
  end
  self.state = SENT
  return sent
end

-- A result has ended: another one may follow.
local function over(self, result, status)
  if band(status, MORE_RESULTS) ~= 0 then
    return result, "again"
  end
  self.state = CONNECTED
  return result
end

local function column_of(content)
  local at, column = 1, {}
  for _ = 1, 4 do
    _, at = text_at(content, at)
  end
  column.name, at = text_at(content, at)
  _, at = text_at(content, at)
  -- Its length, its character set, how wide it is, its type.
  column.type = byte(content, at + 7)
  return column
end

local function row_of(content, columns, is_compact)
  local row, at = {}, 1
  for i = 1, #columns do
    local value
    value, at = text_at(content, at)
    if value == nil then
      value = null
    elseif NUMBERS[columns[i].type] then
      value = tonumber(value)
    end
    row[is_compact and i or columns[i].name] = value
  end
  return row
end

local function is_end(content, kind) return kind == END and #content < 9 end

function mysql:read_result()
  if self.state ~= SENT then
    return nil, "cannot read result in the current context: " .. tostring(self.state or "nil")
  end
  local content, kind = receive(self)
  if not content then
    return nil, kind
  elseif kind == ERROR then
    self.state = CONNECTED
    return nil, refusal(content)
  elseif kind == OK then
    local result, at = {}, 2
    result.affected_rows, at = length_at(content, at)
    result.insert_id, at = length_at(content, at)
    result.server_status, at = number_at(content, at, 2)
    result.warning_count, at = number_at(content, at, 2)
    local message = content:sub(at)
    result.message = message ~= "" and message or nil
    return over(self, result, result.server_status)
  elseif kind == NULL then
    return nil, "packet type LOCAL INFILE not supported"
  end
  local columns, rows = {}, {}
  for i = 1, (length_at(content, 1)) do
    content, kind = receive(self)
    if not content then
      return nil, kind
    end
    columns[i] = column_of(content)
  end
  content, kind = receive(self)
  if not content or not is_end(content, kind) then
    return nil, content and "unexpected packet type " .. tostring(kind) .. " while eof packet is expected" or kind
  end
  while true do
    content, kind = receive(self)
    if not content then
      return nil, kind
    elseif kind == ERROR then
      self.state = CONNECTED
      return nil, refusal(content)
    elseif is_end(content, kind) then
      return over(self, rows, (number_at(content, 4, 2)))
    end
    rows[#rows + 1] = row_of(content, columns, self.compact)
  end
end

function mysql:query(query)
  local sent, err = self:send_query(query)
  if not sent then
    return nil, "failed to send query: " .. tostring(err)
  end
  return self:read_result()
end

return mysql
