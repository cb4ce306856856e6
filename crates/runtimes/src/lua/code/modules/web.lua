-- resty.upload, resty.cookie, resty.url: what requests carry.
local name = ...
local type, error, setmetatable, tonumber, concat = type, error, setmetatable, tonumber, table.concat
local modules = {}

-- Reads the parts of a form piece by piece.
modules["resty.upload"] = function()
  local upload = { _VERSION = "0.11" }
  upload.__index = upload
  function upload.new(_, size)
    local kind = ngx.var.http_content_type
    kind = type(kind) == "table" and kind[1] or kind
    local boundary = kind and (kind:match(";%s*[Bb][Oo][Uu][Nn][Dd][Aa][Rr][Yy]=\"([^\"]+)\"")
      or kind:match(";%s*[Bb][Oo][Uu][Nn][Dd][Aa][Rr][Yy]=([^\",;]+)"))
    if not boundary then
      return nil, "no boundary defined in Content-Type"
    end
    local socket, err = ngx.req.socket()
    if not socket then
      return nil, err
    end
    return setmetatable({ socket = socket, size = size or 4096, state = "preamble",
      to_first = socket:receiveuntil("--" .. boundary), to_next = socket:receiveuntil("\r\n--" .. boundary) }, upload)
  end
  function upload:set_timeout(ms) self.socket:settimeout(ms) end

  -- What follows a boundary: another part, or the end.
  local function after_boundary(self)
    local mark, err = self.socket:receive(2)
    if not mark then
      return nil, nil, err
    elseif mark == "--" then
      self.state = "eof"
      return true
    elseif mark ~= "\r\n" then
      return nil, nil, "bad boundary"
    end
    self.state = "header"
    return true
  end

  function upload:read()
    if self.state == "eof" then
      return "eof"
    end
    if self.state == "preamble" then
      local _, err = self.to_first()
      if err then
        return nil, nil, err
      end
      local ok, _, why = after_boundary(self)
      if not ok then
        return nil, nil, why
      elseif self.state == "eof" then
        return "eof"
      end
    end
    if self.state == "header" then
      local line, err = self.socket:receive()
      if not line then
        return nil, nil, err
      elseif line ~= "" then
        local key, value = line:match("^([^:%s]+):%s*(.+)$")
        return "header", key and { key, value, line } or line
      end
      self.state = "body"
    end
    local piece, err = self.to_next(self.size)
    if err then
      return nil, nil, err
    elseif piece then
      if piece ~= "" then
        return "body", piece
      end
      return self:read()
    end
    local ok, _, why = after_boundary(self)
    if not ok then
      return nil, nil, why
    end
    return "part_end"
  end
  return upload
end

modules["resty.cookie"] = function()
  local cookie = { _VERSION = "0.1.0" }
  cookie.__index = cookie
  function cookie.new() return setmetatable({}, cookie) end
  function cookie:get_all()
    if not self.all then
      local line = ngx.var.http_cookie
      if not line then
        return nil, "no cookie found in the current request"
      end
      self.all = {}
      for key, value in line:gmatch("%s*([^=;%s]+)%s*=%s*([^;]*)") do
        value = value:match("^(.-)%s*$")
        self.all[key] = value:match("^\"(.*)\"$") or value
      end
    end
    return self.all
  end
  function cookie:get(key)
    local all, err = self:get_all()
    if not all then
      return nil, err
    end
    return all[key]
  end
  local ATTRIBUTES = { { "expires", "Expires" }, { "max_age", "Max-Age" }, { "domain", "Domain" }, { "path", "Path" },
    { "samesite", "SameSite" }, { "extension" } }
  function cookie:set(given)
    if type(given) ~= "table" then
      return nil, "expecting a table containing at least \"key\" and \"value\" fields"
    elseif not given.key or given.value == nil then
      return nil, "missing field \"" .. (given.key and "value" or "key") .. "\""
    end
    if given.max_age then
      given.expires = ngx.cookie_time(ngx.time() + given.max_age)
    end
    local parts = { given.key .. "=" .. tostring(given.value) }
    for _, attribute in ipairs(ATTRIBUTES) do
      local value = given[attribute[1]]
      if value then
        parts[#parts + 1] = attribute[2] and attribute[2] .. "=" .. value or value
      end
    end
    if given.secure then
      parts[#parts + 1] = "Secure"
    end
    if given.httponly then
      parts[#parts + 1] = "HttpOnly"
    end
    local line, lines = concat(parts, "; "), ngx.header["Set-Cookie"]
    lines = type(lines) == "table" and lines or { lines }
    for _, other in ipairs(lines) do
      if other == line then
        return true
      end
    end
    lines[#lines + 1] = line
    ngx.header["Set-Cookie"] = lines
    return true
  end
  return cookie
end

modules["resty.url"] = function()
  local PORTS = { http = 80, https = 443 }
  local url = { _VERSION = "0.3.5" }
  function url.default_port(scheme) return PORTS[scheme] end
  function url.split(text, protocol)
    local scheme, authority, path = text:match("^([%w+.-]+)://([^/?#]*)(.*)$")
    if not scheme or protocol and not scheme:find("^" .. protocol) then
      return nil, "invalid endpoint"
    end
    local info, host = authority:match("^(.*)@(.*)$")
    host = host or authority
    local user, password = (info or ""):match("^([^:]*):?(.*)$")
    local bare, port = host:match("^(.*):(%d+)$")
    local function some(part) return part ~= "" and part or nil end
    return { scheme, some(user), some(password), bare or host, tonumber(port), some(path) }
  end
  function url.parse(text, protocol)
    local parts, err = url.split(text, protocol)
    if not parts then
      return nil, err
    end
    return { scheme = parts[1], user = parts[2], password = parts[3], host = parts[4], port = parts[5], path = parts[6] }
  end
  function url.join(...)
    local out = ""
    for i = 1, select("#", ...) do
      local part = tostring((select(i, ...)))
      if out == "" or part == "" then
        out = out .. part
      else
        out = out:gsub("/+$", "") .. "/" .. part:gsub("^/+", "")
      end
    end
    return out
  end
  return url
end

return modules[name]()
