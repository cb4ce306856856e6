-- What `kong` and `ngx` ask of a request of the Admin API, and the answer that is put together; and the request as
-- endpoints that were written for lapis have it.
local slot = ...
local native = slot.native
local type, pairs, ipairs, error, tostring, tonumber = type, pairs, ipairs, error, tostring, tonumber

-- Names of header lines count whatever their case, and with underscores, as in OpenResty.
local function plain(name) return (tostring(name):lower():gsub("_", "-")) end

local of_headers = { __index = function(lines, name)
  return type(name) == "string" and rawget(lines, plain(name)) or nil
end }

-- The lines of a request, by name: a text, or a list of them; at most so many.
local function headers_of(asked, max, raw)
  local lines, err = {}, nil
  for i, line in ipairs(asked.headers) do
    if max and max > 0 and i > max then
      err = "truncated"
      break
    end
    local name, value = line[1], line[2]
    local before = lines[name]
    if before == nil then
      lines[name] = value
    elseif type(before) == "table" then
      before[#before + 1] = value
    else
      lines[name] = { before, value }
    end
  end
  return raw and lines or setmetatable(lines, of_headers), err
end

local function header_of(asked, name)
  name = plain(name)
  for _, line in ipairs(asked.headers) do
    if line[1] == name then
      return line[2]
    end
  end
end

local function cookies_of(asked)
  local cookies = {}
  for _, line in ipairs(asked.headers) do
    if line[1] == "cookie" then
      for name, value in line[2]:gmatch("([^=%s;]+)%s*=%s*([^;]*)") do
        cookies[ngx.unescape_uri(name)] = ngx.unescape_uri((value:gsub("%s+$", "")))
      end
    end
  end
  return cookies
end

-- Variables of nginx, as far as they say something of a request.
local function variable(asked, name)
  local prefix, rest = name:match("^(%a+)_(.+)$")
  if prefix == "http" and rest ~= "host" then
    return header_of(asked, rest)
  elseif prefix == "arg" then
    local value = asked.query[rest]
    return type(value) == "table" and value[1] or value ~= true and value or nil
  elseif prefix == "cookie" then
    return cookies_of(asked)[rest]
  end
  return asked.variables[name]
end

local function variables_of(asked)
  local line = asked.raw_path .. (asked.raw_query ~= "" and "?" .. asked.raw_query or "")
  local host = header_of(asked, "host") or "localhost"
  asked.host, asked.port = host:gsub(":%d+$", ""):lower(), tonumber(host:match(":(%d+)$"))
  local length = header_of(asked, "content-length")
  asked.variables = {
    uri = asked.path, document_uri = asked.path, request_uri = line, request_method = asked.method,
    args = asked.raw_query ~= "" and asked.raw_query or nil, query_string = asked.raw_query, scheme = "http",
    is_args = asked.raw_query ~= "" and "?" or "", remote_addr = asked.client, realip_remote_addr = asked.client,
    host = asked.host, http_host = header_of(asked, "host"), content_type = header_of(asked, "content-type"),
    content_length = length, server_port = asked.port and tostring(asked.port) or nil, server_protocol = "HTTP/1.1",
    request = ("%s %s HTTP/1.1"):format(asked.method, line),
    request_body = asked.content ~= "" and asked.content or nil,
  }
end

-- Functions that give what is known of a request.
local function ask_of(asked)
  local variables, began = asked.variables, native.now()
  local function value(result) return function() return result end end
  return {
    ["request.get_method"] = value(asked.method),
    ["request.get_path"] = value(asked.path),
    ["request.get_raw_path"] = value(asked.raw_path),
    ["request.get_path_with_query"] = value(variables.request_uri),
    ["request.get_raw_query"] = value(asked.raw_query),
    ["request.get_query"] = function() return table.clone(asked.query) end,
    ["request.get_query_arg"] = function(argument)
      local found = asked.query[argument]
      return type(found) == "table" and found[1] or found
    end,
    ["request.get_header"] = function(name) return header_of(asked, name) end,
    ["request.get_headers"] = function(max, raw) return headers_of(asked, max, raw) end,
    ["request.get_body"] = function() return asked.body end,
    ["request.get_raw_body"] = value(asked.content),
    ["request.get_scheme"] = value("http"),
    ["request.get_host"] = value(asked.host),
    ["request.get_port"] = value(asked.port),
    ["request.get_http_version"] = value(1.1),
    ["request.get_start_time"] = function() return math.floor(began * 1000) end,
    ["request.get_forwarded_scheme"] = value("http"),
    ["request.get_forwarded_host"] = value(asked.host),
    ["request.get_forwarded_port"] = value(asked.port),
    ["request.get_forwarded_path"] = value(asked.path),
    ["request.get_forwarded_prefix"] = value(nil),
    ["client.get_ip"] = value(asked.client),
    ["client.get_forwarded_ip"] = value(asked.client),
    ["client.get_protocol"] = value("http"),
    ["client.get_port"] = value(nil),
    ["client.get_forwarded_port"] = value(nil),
    ["ngx.raw_header"] = function()
      local lines = { variables.request }
      for i, line in ipairs(asked.headers) do
        lines[i + 1] = line[1] .. ": " .. line[2]
      end
      return table.concat(lines, "\r\n") .. "\r\n\r\n"
    end,
    ["ngx.workspace"] = value(asked.workspace),
    ["ngx.var"] = function(name) return variable(asked, name) end,
    ["ngx.set_var"] = function(name, given) variables[name] = given ~= nil and tostring(given) or nil end,
  }
end

-- What `kong` and `ngx` ask, and the answer.
function slot.admin_host(asked)
  if asked.body == slot.null then
    asked.body = nil
  end
  variables_of(asked)
  local answer = { headers = {} }
  local does = ask_of(asked)
  does["ngx.get_status"] = function() return answer.status or 200 end
  does["ngx.set_status"] = function(status) answer.status = status end
  does["ngx.say"] = function(text) answer.body = (answer.body or "") .. text end
  does["ngx.exit"] = function(status) answer.status = answer.status or status end
  does["response.get_status"] = does["ngx.get_status"]
  does["response.set_status"] = does["ngx.set_status"]
  -- A value is a text, a list of them, or nothing.
  local function set(name, value)
    answer.headers[name:lower()] = type(value) == "table" and value or value ~= nil and tostring(value) or nil
  end
  local function set_all(headers)
    for name, value in pairs(headers or {}) do
      set(name, value)
    end
  end
  local function header(name) return answer.headers[plain(name)] end
  does["response.get_headers"], does["ngx.response_headers"] = function() return answer.headers end, function()
    return answer.headers
  end
  does["response.get_header"], does["ngx.response_header"] = header, header
  does["response.set_header"], does["response.set_headers"] = set, set_all
  does["ngx.set_response_header"] = function(name, value) return set(plain(name), value) end
  does["response.clear_header"] = function(name) set(name, nil) end
  does["response.add_header"] = function(name, value)
    local before = answer.headers[name:lower()]
    local all = type(before) == "table" and before or { before }
    all[#all + 1] = tostring(value)
    set(name, all)
  end
  does["response.exit"] = function(status, body, headers)
    answer.status, answer.body = status, body
    set_all(headers)
  end
  does["response.error"] = function(status, message, headers)
    answer.status, answer.body = status, native.json_encode({ message = message })
    set_all(headers)
  end
  return function(what, ...)
    local f = does[what]
    if not f then
      error("kong." .. tostring(what) .. " is not there for requests of the Admin API", 2)
    end
    return f(...)
  end, answer
end

-- What lapis knows of a request, each when it is asked for.
local of_request = {
  headers = function() return ngx.req.get_headers() end,
  referer = function() return ngx.var.http_referer or "" end,
  cmd_url = function() return ngx.var.request_uri end,
  relpath = function() return ngx.var.uri end,
  scheme = function() return ngx.var.scheme end,
  port = function() return ngx.var.server_port end,
  remote_addr = function() return ngx.var.remote_addr end,
  read_body_as_string = function() return function() return ngx.req.get_body_data() end end,
}
of_request.request_uri = of_request.cmd_url

-- The endpoint's `self`.
function slot.lapis_request(asked, params, post, route)
  local parsed = { scheme = "http", host = asked.host, path = asked.raw_path, query = ngx.var.args,
    port = asked.port and tostring(asked.port) }
  local req = setmetatable({ method = asked.method, cmd_mth = asked.method, parsed_url = parsed,
    params_get = asked.query, params_post = post }, { __index = function(self, name)
    local make = of_request[name]
    local value = make and make()
    rawset(self, name, value)
    return value
  end })
  local res = { req = req, headers = ngx.header }
  function res.add_header(_, name, value) ngx.resp.add_header(name, value) end
  local self = { params = params, args = { uri = asked.query, post = post }, route_name = route, req = req, res = res,
    cookies = cookies_of(asked), options = {}, buffer = {} }
  -- Texts are content, tables say how it is answered.
  function self.write(_, ...)
    for i = 1, select("#", ...) do
      local given = (select(i, ...))
      if type(given) == "table" then
        for key, value in pairs(given) do
          if type(key) == "number" then
            self.buffer[#self.buffer + 1] = tostring(value)
          else
            self.options[key] = value
          end
        end
      elseif type(given) == "string" then
        self.buffer[#self.buffer + 1] = given
      end
    end
  end
  return self
end

-- Puts together what an endpoint has said in the way of lapis, where it has not answered otherwise.
function slot.lapis_answer(self, answer, returned)
  if answer.status ~= nil or answer.body ~= nil then
    return
  end
  self.write(self, returned)
  local options = self.options
  answer.status = tonumber(options.status) or tonumber(self.res.status)
  for name, value in pairs(type(options.headers) == "table" and options.headers or {}) do
    ngx.resp.add_header(name, value)
  end
  if options.json ~= nil then
    answer.body = native.json_encode(options.json)
  elseif options.redirect_to then
    ngx.header["Location"], answer.status = options.redirect_to, answer.status or 302
  else
    answer.body = self.res.content or #self.buffer > 0 and table.concat(self.buffer) or nil
  end
  if options.content_type or answer.body and options.json == nil and not ngx.header["Content-Type"] then
    ngx.header["Content-Type"] = options.content_type or "text/html"
  end
end
