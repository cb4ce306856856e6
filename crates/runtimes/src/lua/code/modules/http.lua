-- resty.http: a client for HTTP/1.1 over `ngx.socket`.
local http = { _VERSION = "0.17.1" }
http.__index = http

local DEFAULT_PORT = { http = 80, https = 443 }

-- Header lines by any case of their names.
local function headers_table()
  local lower = {}
  return setmetatable({}, {
    __index = function(t, name)
      return type(name) == "string" and rawget(t, lower[name:lower():gsub("_", "-")]) or nil
    end,
    __newindex = function(t, name, value)
      local known = lower[name:lower()]
      if not known then
        lower[name:lower()] = name
        known = name
      end
      rawset(t, known, value)
    end,
  })
end

-- `sock` is the socket under the name that extensions of lua-resty-http know.
function http.new() return setmetatable({ keepalive = true, sock = ngx.socket.tcp() }, http) end

function http:set_timeout(ms) return self:set_timeouts(ms, ms, ms) end

function http:set_timeouts(connect, send, read)
  if not self.sock then
    return nil, "not initialized"
  end
  self.sock:settimeouts(connect, send, read)
  return true
end

function http:parse_uri(uri, query_in_path)
  local scheme, host, port, path = uri:match("^(https?)://([^:/%?]+):?(%d*)(.*)$")
  if not scheme then
    scheme, host, port, path = uri:match("^(https?)://(%[[^%]]+%]):?(%d*)(.*)$")
  end
  if not scheme then
    return nil, "bad uri: " .. uri
  end
  local query = ""
  local at = path:find("?", 1, true)
  if at and query_in_path == false then
    path, query = path:sub(1, at - 1), path:sub(at + 1)
  end
  if path == "" or path:sub(1, 1) == "?" then
    path = "/" .. path
  end
  return { scheme, host, tonumber(port) or DEFAULT_PORT[scheme], path, query }
end

-- Whom to ask by way of whom, as the environment variables of that name say it elsewhere.
function http:set_proxy_options(options) self.proxies = options end

local function is_exempt(list, host)
  for part in (list or ""):gmatch("[^,%s]+") do
    local suffix = part:gsub("^%*?%.?", "")
    if part == "*" or host == suffix or host:sub(-#suffix - 1) == "." .. suffix then
      return true
    end
  end
  return false
end

-- The proxy for a server: where it is, and how it knows us.
local function proxy_for(self, options, scheme)
  local proxies = options.proxy_opts or self.proxies
  local uri = proxies and proxies[scheme .. "_proxy"]
  if not uri or is_exempt(proxies.no_proxy, options.host) then
    return nil
  end
  local parsed, err = self:parse_uri(uri, false)
  return parsed, err, proxies[scheme .. "_proxy_authorization"]
end

-- Has a proxy connect us with a server, for TLS.
local function tunnel(socket, host, port, authorization)
  local name = host .. ":" .. port
  local sent, err = socket:send { "CONNECT ", name, " HTTP/1.1\r\nHost: ", name, "\r\n",
    authorization and "Proxy-Authorization: " .. authorization .. "\r\n" or "", "\r\n" }
  local line = sent and nil
  if sent then
    line, err = socket:receive("*l")
  end
  if not line then
    return nil, err
  elseif not line:find("^HTTP/1%.%d 2%d%d") then
    return nil, "failed to establish a tunnel through a proxy: " .. line
  end
  repeat
    line, err = socket:receive("*l")
  until not line or line == ""
  return line and true, err
end

-- With a table of options, or with host and port as before 0.15.
function http:connect(options, port)
  if type(options) ~= "table" then
    options = { host = options, port = port, plain = true }
  end
  local socket = self.sock
  if not socket then
    return nil, "not initialized"
  end
  local scheme = options.scheme or "http"
  local to = options.port or DEFAULT_PORT[scheme]
  local name = options.ssl_server_name or options.host
  local verifies = tostring(options.ssl_verify ~= false)
  local pool = options.pool or table.concat({ scheme, options.host, to, verifies, name }, ":")
  local proxy, err, authorization = proxy_for(self, options, scheme)
  if err then
    return nil, err
  elseif proxy then
    pool = pool .. ":" .. proxy[2] .. ":" .. proxy[3] .. ":" .. tostring(authorization)
  end
  local ok
  ok, err = socket:connect(proxy and proxy[2] or options.host, proxy and proxy[3] or to, { pool = pool })
  if ok and proxy and scheme == "https" and socket:getreusedtimes() == 0 then
    ok, err = tunnel(socket, options.host, to, authorization)
  end
  if not ok then
    return nil, err
  end
  self.through = proxy and scheme == "http" and { authorization = authorization } or nil
  if scheme == "https" then
    ok, err = socket:sslhandshake(nil, name, options.ssl_verify ~= false)
    if not ok then
      return nil, err
    end
  end
  self.host, self.port, self.scheme, self.keepalive = options.host, to, scheme, true
  return true
end

function http:ssl_handshake(session, name, verify) 
  self.scheme = "https"
  return self.sock:sslhandshake(session, name, verify)
end

function http:set_keepalive(...)
  if not self.sock then
    return nil, "not initialized"
  end
  if self.keepalive then
    return self.sock:setkeepalive(...)
  end
  self.sock:close()
  return 2, "connection must be closed"
end

function http:get_reused_times() return self.sock:getreusedtimes() end

function http:close()
  if not self.sock then
    return nil, "not initialized"
  end
  return self.sock:close()
end

local function text_of(body)
  if type(body) == "table" then
    return table.concat(body)
  elseif type(body) == "function" then
    local parts = {}
    for part in body do
      parts[#parts + 1] = part
    end
    return table.concat(parts)
  end
  return body and tostring(body)
end

function http:send_request(params)
  if not self.sock then
    return nil, "not initialized"
  end
  local method, path = params.method or "GET", params.path or "/"
  local query = params.query
  if type(query) == "table" then
    query = ngx.encode_args(query)
  end
  if query and query ~= "" then
    path = path .. (query:sub(1, 1) == "?" and "" or "?") .. query
  end
  local body = text_of(params.body)
  local target = path
  if self.through then
    local host = self.port ~= DEFAULT_PORT.http and self.host .. ":" .. self.port or self.host
    target = "http://" .. host .. path
  end
  local lines, given = { method .. " " .. target .. " HTTP/" .. (params.version or 1.1) }, {}
  for name, value in pairs(params.headers or {}) do
    given[name:lower()] = true
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      local line = name .. ": " .. tostring(one)
      if line:find("[\r\n]") then
        return nil, "a header line has a line break"
      end
      lines[#lines + 1] = line
    end
  end
  if path:find("[\r\n ]") then
    return nil, "a path has a blank"
  end
  if not given.host then
    local port = self.port ~= DEFAULT_PORT[self.scheme] and ":" .. self.port or ""
    lines[#lines + 1] = "Host: " .. tostring(self.host) .. port
  end
  if self.through and self.through.authorization and not given["proxy-authorization"] then
    lines[#lines + 1] = "Proxy-Authorization: " .. self.through.authorization
  end
  if not given["user-agent"] then
    lines[#lines + 1] = "User-Agent: lua-resty-http/" .. http._VERSION .. " (Lua) ngx_lua/10027"
  end
  if not given["content-length"] and not given["transfer-encoding"]
    and (body or method == "POST" or method == "PUT" or method == "PATCH") then
    lines[#lines + 1] = "Content-Length: " .. #(body or "")
  end
  return self.sock:send { table.concat(lines, "\r\n"), "\r\n\r\n", body or "" }
end

local function read_headers(socket)
  local headers = headers_table()
  for _ = 1, 1000 do
    local line, err = socket:receive("*l")
    if not line then
      return nil, err
    end
    if line == "" then
      return headers
    end
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if name then
      local before = headers[name]
      if type(before) == "table" then
        before[#before + 1] = value
      elseif before then
        headers[name] = { before, value }
      else
        headers[name] = value
      end
    end
  end
  return nil, "too many header lines"
end

-- Reads content piece by piece: so much as is asked for, or as there is.
local function reader(socket, res, length)
  if length == 0 then
    return function() return nil end
  end
  if length then
    local left = length
    return function(max)
      if left == 0 then
        return nil
      end
      local piece, err = socket:receive(math.min(max or left, left))
      if not piece then
        return nil, err
      end
      left = left - #piece
      return piece
    end
  end
  local encoding = res.headers["Transfer-Encoding"]
  if encoding and tostring(encoding):lower() == "chunked" then
    local ended, left = false, 0
    return function(max)
      if ended then
        return nil
      end
      if left == 0 then
        local line, err = socket:receive("*l")
        left = line and tonumber(line:match("^%x+"), 16)
        if not left then
          ended = true
          return nil, err or "unable to read chunksize"
        end
      end
      if left == 0 then
        ended = true
        local trailers, err = read_headers(socket)
        res.trailers = trailers
        return nil, err
      end
      local piece, err = socket:receive(math.min(tonumber(max) or left, left))
      if not piece then
        ended = true
        return nil, err
      end
      left = left - #piece
      if left == 0 then
        _, err = socket:receive(2)
      end
      return piece, err
    end
  end
  local ended = false
  return function(max)
    if ended then
      return nil
    elseif max then
      local piece, err, partial = socket:receive(max)
      ended = not piece
      if ended and partial and partial ~= "" then
        return partial
      end
      return piece, err ~= "closed" and err or nil
    end
    ended = true
    local all, err, partial = socket:receive("*a")
    return all or partial, err ~= "closed" and err or nil
  end
end

local function read_body(res)
  local parts = {}
  while true do
    local piece, err = res.body_reader()
    if err then
      return nil, err, table.concat(parts)
    end
    if not piece then
      break
    end
    parts[#parts + 1] = piece
  end
  res.body = table.concat(parts)
  return res.body
end

function http:read_response(params)
  local socket, status, reason, version = self.sock, nil, nil, nil
  repeat
    local line, err = socket:receive("*l")
    if not line then
      return nil, err
    end
    version, status, reason = line:match("^HTTP/(%d%.%d) (%d%d%d) ?(.*)$")
    if not status then
      return nil, "couldn't parse HTTP version from response status line: " .. line
    end
    status = tonumber(status)
    if status == 100 then
      read_headers(socket)
    end
  until status ~= 100
  local headers, err = read_headers(socket)
  if not headers then
    return nil, err
  end
  local res = { status = status, reason = reason, headers = headers, has_body = false }
  local connection = tostring(headers["Connection"] or ""):lower()
  if connection:find("close", 1, true) or (version == "1.0" and not connection:find("keep-alive", 1, true)) then
    self.keepalive = false
  end
  local length = tonumber(headers["Content-Length"])
  local bodyless = (params.method or "GET") == "HEAD" or status == 204 or status == 304 or status < 200
  if bodyless or length == 0 then
    res.body_reader = function() return nil end
  else
    res.has_body = true
    local chunked = headers["Transfer-Encoding"]
    if not length and not chunked then
      self.keepalive = false
    end
    res.body_reader = reader(socket, res, not chunked and length or nil)
  end
  res.read_body = read_body
  res.read_trailers = function(self_) return self_.trailers end
  return res
end

function http:request(params)
  local ok, err = self:send_request(params)
  if not ok then
    return nil, err
  end
  return self:read_response(params)
end

function http:request_pipeline(requests)
  local responses = {}
  for i, params in ipairs(requests) do
    local res, err = self:request(params)
    if not res then
      return nil, err
    end
    -- What is read of one stands before the next.
    local body, why = read_body(res)
    local rest = body
    res.read_body = function() return body, why end
    res.body_reader = function()
      local piece = rest
      rest = nil
      return piece ~= "" and piece or nil, why
    end
    responses[i] = res
  end
  return responses
end

function http:request_uri(uri, params)
  params = params or {}
  local parsed, err = self:parse_uri(uri, false)
  if not parsed then
    return nil, err
  end
  local scheme, host, port, path, query = parsed[1], parsed[2], parsed[3], parsed[4], parsed[5]
  local request = {}
  for name, value in pairs(params) do
    request[name] = value
  end
  request.path, request.query = params.path or path, params.query or query
  local ok
  ok, err = self:connect {
    scheme = scheme, host = host, port = port, ssl_verify = params.ssl_verify, ssl_server_name = params.ssl_server_name,
    pool = params.pool, proxy_opts = params.proxy_opts,
  }
  if not ok then
    return nil, err
  end
  local res
  res, err = self:request(request)
  if not res then
    self:close()
    return nil, err
  end
  local body
  body, err = res:read_body()
  if not body then
    self:close()
    return nil, err
  end
  res.read_body, res.body_reader = nil, nil
  if params.keepalive == false then
    self:close()
  else
    self:set_keepalive(params.keepalive_timeout, params.keepalive_pool)
  end
  return res
end

-- Reads the content of the client's request, so much at most at a time.
function http:get_client_body_reader(most, socket)
  local err
  if not socket then
    socket, err = ngx.req.socket()
    if not socket then
      return nil, err ~= "no body" and err or nil
    end
  end
  return function(max)
    local piece, why = socket:receiveany(max or most or 65536)
    return piece, why ~= "closed" and why or nil
  end
end

return http
