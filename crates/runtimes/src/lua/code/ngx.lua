-- The part of OpenResty's `ngx` that plugins use.
local slot = ...
local native, host = slot.native, slot.host
local type, tostring, tonumber, pairs, ipairs, error, rawset = type, tostring, tonumber, pairs, ipairs, error, rawset
local floor = math.floor
local null = slot.null

local levels = { [0] = "emerg", "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug" }
local variable, set_variable = host("ngx.var"), host("ngx.set_var")
local response_header, response_headers = host("ngx.response_header"), host("ngx.response_headers")
local put_response_header, say = host("ngx.set_response_header"), host("ngx.say")
local send, has_sent_head = host("ngx.send"), host("ngx.has_sent_head")
local request_header, request_headers = host("request.get_header"), host("request.get_headers")
local request_query, raw_body, receive = host("request.get_query"), host("request.get_raw_body"), slot.receive
local exit, set_status, get_status = slot.ending(host("ngx.exit")), host("ngx.set_status"), host("ngx.get_status")
-- What is said goes to the client when code flushes it. From the first piece on the head is as good as gone: what is set
-- of it afterwards is not looked at, as in nginx.
local has_anyone_said = false
local function sent_head()
  -- Most code says nothing, and need not ask whether it has.
  if not has_anyone_said then
    return false
  end
  local at = slot.at
  return at.other == nil and at.asks and has_sent_head()
end
slot.sent_head = sent_head
local function too_late(what)
  slot.raw_log("err", 3, "attempt to set ", what, " after sending out response headers")
end
local function set_response_header(name, value)
  if sent_head() then
    return too_late("ngx.header." .. tostring(name))
  end
  return put_response_header(name, value)
end
local function put_out(what, waits)
  if slot.at.other ~= nil then
    return 1
  end
  has_anyone_said = true
  local why
  if waits and slot.at.may_wait then
    why = slot.wait_for(function(number) return send(what, number) end)
  else
    why = send(what)
  end
  if type(why) == "string" then
    return nil, why
  end
  return 1
end
local function write(text)
  has_anyone_said = true
  local why = say(text)
  if type(why) == "string" then
    return nil, why
  end
  return 1
end
local to = function(name) return host("service.request." .. name) end
local set_header, clear_header = to("set_header"), to("clear_header")
local set_query, set_raw_query, set_method = to("set_query"), to("set_raw_query"), to("set_method")
local set_body, set_host = to("set_raw_body"), host("ngx.set_host")
local start_time = host("request.get_start_time")

local function request_body()
  receive()
  return raw_body()
end

-- What of a request is shown at most is a setting, where code does not say; code is told that there is more, and so is
-- who reads the log.
local function told(what, ...)
  if select(2, ...) == "truncated" then
    kong.log.notice(what, " truncated")
  end
  return ...
end

local function truncated(what, setting, max, f, ...)
  max = max == 0 and 1000 or max or tonumber(kong.configuration[setting]) or 100
  return told(what, f(max, ...))
end

local function decode(max, text) return native.decode_args(text, max) end

-- Text of nested lists, as `ngx.say` and `ngx.print` put it.
local function flat(out, value, level)
  local kind = type(value)
  if kind == "table" then
    local last, count = 0, 0
    for key in pairs(value) do
      if type(key) ~= "number" or key < 1 or key ~= floor(key) then
        error("bad argument (non-array table found)", 3)
      end
      last, count = key > last and key or last, count + 1
    end
    -- Holes are printed, too, as far as they are no more than a mistake.
    if last > 10 * count + 1000 then
      error("bad argument (the array has too many holes)", 3)
    end
    for i = 1, last do
      flat(out, value[i], level + 1)
    end
  elseif kind == "string" or kind == "number" then
    out[#out + 1] = tostring(value)
  elseif kind == "nil" or kind == "boolean" then
    out[#out + 1] = tostring(value)
  elseif value == null then
    out[#out + 1] = "null"
  else
    error("bad argument (string, number, boolean, nil, ngx.null, or array table expected, but got " .. kind .. ")", 3)
  end
end

local function text_of(...)
  local out = {}
  for i = 1, select("#", ...) do
    flat(out, (select(i, ...)), 1)
  end
  return table.concat(out)
end

local NO_LOCATIONS = "there are no locations to ask; resty.http asks servers"

local constants = {
  OK = 0, ERROR = -1, AGAIN = -2, DONE = -4, DECLINED = -5, null = null,
  STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,
  HTTP_GET = 2, HTTP_HEAD = 4, HTTP_POST = 8, HTTP_PUT = 16, HTTP_DELETE = 32, HTTP_MKCOL = 64, HTTP_COPY = 128,
  HTTP_MOVE = 256, HTTP_OPTIONS = 512, HTTP_PROPFIND = 1024, HTTP_PROPPATCH = 2048, HTTP_LOCK = 4096,
  HTTP_UNLOCK = 8192, HTTP_PATCH = 16384, HTTP_TRACE = 32768,
  HTTP_CONTINUE = 100, HTTP_SWITCHING_PROTOCOLS = 101, HTTP_OK = 200, HTTP_CREATED = 201, HTTP_ACCEPTED = 202,
  HTTP_NO_CONTENT = 204, HTTP_PARTIAL_CONTENT = 206, HTTP_SPECIAL_RESPONSE = 300, HTTP_MOVED_PERMANENTLY = 301,
  HTTP_MOVED_TEMPORARILY = 302, HTTP_SEE_OTHER = 303, HTTP_NOT_MODIFIED = 304, HTTP_TEMPORARY_REDIRECT = 307,
  HTTP_PERMANENT_REDIRECT = 308, HTTP_BAD_REQUEST = 400, HTTP_UNAUTHORIZED = 401, HTTP_PAYMENT_REQUIRED = 402,
  HTTP_FORBIDDEN = 403, HTTP_NOT_FOUND = 404, HTTP_NOT_ALLOWED = 405, HTTP_NOT_ACCEPTABLE = 406,
  HTTP_REQUEST_TIMEOUT = 408, HTTP_CONFLICT = 409, HTTP_GONE = 410, HTTP_UPGRADE_REQUIRED = 426,
  HTTP_TOO_MANY_REQUESTS = 429, HTTP_CLOSE = 444, HTTP_ILLEGAL = 451, HTTP_INTERNAL_SERVER_ERROR = 500,
  HTTP_METHOD_NOT_IMPLEMENTED = 501, HTTP_NOT_IMPLEMENTED = 501, HTTP_BAD_GATEWAY = 502,
  HTTP_SERVICE_UNAVAILABLE = 503, HTTP_GATEWAY_TIMEOUT = 504, HTTP_VERSION_NOT_SUPPORTED = 505,
  HTTP_INSUFFICIENT_STORAGE = 507,
}

-- Where Kong runs its own phases.
local where = {
  certificate = "ssl_cert", ws_handshake = "access", ws_client_frame = "content", ws_upstream_frame = "content",
  ws_close = "log",
}

-- Variables of the node and the time.
local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
local function iso8601() return (os.date("%Y-%m-%dT%H:%M:%S%z"):gsub("%d%d$", ":%0")) end
local variables = {
  hostname = function() return native.hostname end,
  nginx_version = function() return "1.27.1" end,
  server_name = function() return "kong" end,
  time_iso8601 = iso8601,
  time_local = function() return os.date("%d/%b/%Y:%H:%M:%S %z") end,
  pipe = function() return "." end,
  request_completion = function() return slot.at.name == "log" and "OK" or "" end,
}

-- Where there is nothing that could be answered, or ended.
local NO_ANSWER = { init_worker = true, certificate = true, header_filter = true, body_filter = true, log = true,
  timer = true }
local NO_END = { init_worker = true, body_filter = true, log = true }
local function answers()
  if NO_ANSWER[slot.at.name] then
    error("API disabled in the context of " .. tostring(slot.at.context), 3)
  end
end
local function ends()
  if NO_END[slot.at.name] then
    error("API disabled in the context of " .. tostring(slot.at.context), 3)
  end
end

function print(...) slot.raw_log("notice", 3, ...) end

ngx = {
  arg = setmetatable({}, { __metatable = false }),
  now = native.now,
  time = function() return floor(native.now()) end,
  update_time = function() end,
  today = function() return os.date("%Y-%m-%d") end,
  localtime = function() return os.date("%Y-%m-%d %H:%M:%S") end,
  utctime = function() return os.date("!%Y-%m-%d %H:%M:%S") end,
  http_time = function(seconds) return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds) end,
  cookie_time = function(seconds) return os.date("!%a, %d-%b-%y %H:%M:%S GMT", seconds) end,
  parse_http_time = native.parse_http_time,
  get_phase = function() return where[slot.at.name] or slot.at.name end,
  encode_base64 = native.encode_base64,
  decode_base64 = native.decode_base64,
  escape_uri = native.escape_uri,
  unescape_uri = native.unescape_uri,
  md5 = function(text) return native.hex(native.digest("md5", text or "")) end,
  md5_bin = function(text) return native.digest("md5", text or "") end,
  sha1_bin = function(text) return native.digest("sha1", text or "") end,
  hmac_sha1 = function(key, text) return native.hmac("sha1", key, text) end,
  crc32_short = native.crc32,
  crc32_long = native.crc32,
  encode_args = native.encode_args,
  decode_args = function(text, max) return truncated("decode args", "lua_max_uri_args", max, decode, text) end,
  quote_sql_str = function(text)
    local escapes = { ["\0"] = "\\0", ["\n"] = "\\n", ["\r"] = "\\r", ["\26"] = "\\Z", ["\\"] = "\\\\", ["'"] = "\\'",
      ['"'] = '\\"' }
    return "'" .. text:gsub("[%z\n\r\26\\'\"]", escapes) .. "'"
  end,
  log = function(level, ...) slot.raw_log(levels[level] or "err", 3, ...) end,
  is_subrequest = false,
  config = setmetatable({
    debug = false, nginx_version = 1027001, ngx_lua_version = 10027,
    prefix = function() return native.prefix end,
    nginx_configure = function() return "" end,
  }, { __index = function(_, name) return name == "subsystem" and slot.subsystem() or nil end }),
  worker = {
    pid = function() return native.pid end,
    pids = function() return { native.pid } end,
    id = native.worker,
    count = function() return native.workers end,
    exiting = native.is_ending,
  },
  thread = slot.thread,
  sleep = function(given)
    -- Times may come as texts.
    local seconds = tonumber(given)
    if not seconds or seconds < 0 then
      error("invalid sleep duration \"" .. tostring(given) .. "\"", 2)
    end
    slot.wait("sleep", seconds)
  end,
  say = function(...)
    answers()
    return write(text_of(...) .. "\n")
  end,
  print = function(...)
    answers()
    return write(text_of(...))
  end,
  flush = function(waits)
    answers()
    return put_out("flush", waits)
  end,
  eof = function()
    answers()
    return put_out("eof")
  end,
  send_headers = function()
    answers()
    if not sent_head() then
      put_out("head")
    end
    return 1
  end,
  on_abort = function() return nil, "lua_check_client_abort is off" end,
  exit = function(status)
    ends()
    -- Who declines has no answer: the phase is over.
    return exit(status == -5 and 0 or status)
  end,
  redirect = function(target, status)
    answers()
    if status and not REDIRECTS[status] then
      error("only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, "
        .. "ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed", 2)
    elseif sent_head() then
      error("attempt to call ngx.redirect after sending out the headers", 2)
    end
    set_response_header("Location", target)
    return exit(status or 302)
  end,
  exec = function()
    error("ngx.exec: there are no locations to go to; kong.service.request.set_path says what a service is asked for", 2)
  end,
  location = {
    capture = function() error("ngx.location.capture: " .. NO_LOCATIONS, 2) end,
    capture_multi = function() error("ngx.location.capture_multi: " .. NO_LOCATIONS, 2) end,
  },
  header = setmetatable({}, {
    __index = function(_, name) return response_header(name) end,
    __newindex = function(_, name, value) return set_response_header(name, value) end,
    __metatable = false,
  }),
  resp = {
    get_headers = function(max, raw)
      return truncated("response headers", "lua_max_resp_headers", max, response_headers, raw == true)
    end,
    add_header = host("response.add_header"),
  },
  var = setmetatable({}, {
    __index = function(_, name)
      if name == "request_body" then
        receive()
      end
      local value = variable(tostring(name))
      if value == nil and variables[name] then
        return variables[name]()
      end
      return value
    end,
    __newindex = function(_, name, value) return set_variable(name, value) end,
    __metatable = false,
  }),
  req = {
    get_method = host("request.get_method"),
    get_headers = function(max, raw)
      return truncated("request headers", "lua_max_req_headers", max, request_headers, raw == true)
    end,
    get_uri_args = function(max) return truncated("uri args", "lua_max_uri_args", max, request_query, false) end,
    get_post_args = function(max)
      return truncated("post args", "lua_max_post_args", max, decode, request_body() or "")
    end,
    get_body_data = function()
      local body = request_body()
      return body ~= "" and body or nil
    end,
    get_body_file = function() return nil end,
    read_body = function() receive() end,
    discard_body = function() end,
    http_version = host("request.get_http_version"),
    raw_header = host("ngx.raw_header"),
    start_time = function() return start_time() / 1000 end,
    is_internal = function() return false end,
    set_header = function(name, value)
      if value == nil then
        return clear_header(name)
      elseif type(name) == "string" and name:lower() == "host" then
        -- What the service is told is said by its target or the route, as in Kong.
        set_variable("http_host", type(value) == "table" and value[1] or value)
        if slot.at.name == "rewrite" then
          set_host(value)
        end
        return
      end
      return set_header(name, value)
    end,
    clear_header = clear_header,
    set_method = function(method)
      for name in ("GET HEAD POST PUT DELETE OPTIONS PATCH TRACE MKCOL COPY MOVE LOCK UNLOCK"):gmatch("%S+") do
        if constants["HTTP_" .. name] == method then
          return set_method(name)
        end
      end
      error("unsupported HTTP method: " .. tostring(method), 2)
    end,
    set_uri_args = function(args)
      if type(args) == "table" then
        return set_query(args)
      end
      return set_raw_query(tostring(args))
    end,
    set_uri = function(...)
      local uri, jump = ...
      if select("#", ...) < 1 or select("#", ...) > 3 then
        error("expecting 1, 2 or 3 arguments but seen " .. select("#", ...), 2)
      elseif type(uri) ~= "string" and type(uri) ~= "number" then
        error("bad argument #1 to 'set_uri' (string expected, got " .. type(uri) .. ")", 2)
      elseif uri == "" then
        error("attempt to use zero-length uri", 2)
      elseif tostring(uri):find("%c") then
        local text, unsafe = tostring(uri), tostring(uri):match("%c"):byte()
        error(('unsafe byte "0x%02x" in uri "%s"'):format(unsafe, (text:gsub("%c", function(octet)
          return ("\\x%02X"):format(octet:byte())
        end))), 2)
      elseif jump and slot.at.name ~= "rewrite" then
        error("API disabled in the context of " .. tostring(slot.at.context), 2)
      end
      -- What the service is asked for follows from the route, as in Kong.
      set_variable("uri", uri)
      set_variable("document_uri", uri)
      if jump then
        -- There is one location for all requests: nothing is left but to end the code.
        return exit(0)
      end
    end,
    set_body_data = set_body,
  },
}

-- Content that is made of pieces.
local made = setmetatable({}, { __mode = "k" })
function ngx.req.init_body() made[slot.all_kept()] = {} end
function ngx.req.append_body(piece)
  local pieces = made[slot.all_kept()]
  if not pieces then
    error("request_body not initialized", 2)
  elseif type(piece) ~= "string" and type(piece) ~= "number" then
    error("bad argument #1 to 'append_body' (string expected, got " .. type(piece) .. ")", 2)
  end
  pieces[#pieces + 1] = piece
end
function ngx.req.finish_body()
  local pieces = made[slot.all_kept()]
  if not pieces then
    error("request_body not initialized", 2)
  end
  made[slot.all_kept()] = nil
  set_body(table.concat(pieces))
end
function ngx.req.set_body_file(name, clean)
  local file = io.open(name, "rb")
  local text = file and file:read("*a")
  if not text then
    error("stat() \"" .. tostring(name) .. "\" failed", 2)
  end
  file:close()
  if clean then
    os.remove(name)
  end
  set_body(text)
end
for name, value in pairs(constants) do
  ngx[name] = value
end

setmetatable(ngx, {
  __index = function(_, name)
    if name == "status" then
      return get_status()
    elseif name == "ctx" then
      return slot.ngx_ctx
    elseif name == "headers_sent" then
      local phase = ngx.get_phase()
      return phase == "body_filter" or phase == "log" or phase == "content" or sent_head() == true
    end
  end,
  __newindex = function(t, name, value)
    if name == "status" then
      if sent_head() then
        return too_late("ngx.status")
      end
      return set_status(tonumber(value))
    elseif name == "ctx" then
      return slot.set_ngx_ctx(value)
    end
    rawset(t, name, value)
  end,
})

-- Where the request goes (`ngx.ctx.balancer_data`): read when it is asked for; what is written takes effect.
local balancer_data, set_balancer_data = host("ngx.balancer_data"), host("ngx.set_balancer_data")
local BEFORE = { certificate = true, rewrite = true, init_worker = true, timer = true, admin_api = true }
local index = slot.of_exchange.__index
function slot.of_exchange.__index(ctx, name)
  if name ~= "balancer_data" or not slot.at.asks or BEFORE[slot.at.name] or not balancer_data() then
    return index(ctx, name)
  end
  local own = setmetatable({}, {
    __index = function(_, part) return balancer_data()[part] end,
    __newindex = function(t, part, value)
      if not set_balancer_data(part, value) then
        rawset(t, part, value)
      end
    end,
    __pairs = function() return pairs(balancer_data()) end,
  })
  rawset(ctx, "balancer_data", own)
  return own
end

-- Timers run beside requests, on the worker that made them.
local function timer(kind)
  return function(delay, callback, ...)
    if type(delay) ~= "number" then
      error("bad argument #1 to '" .. kind .. "' (invalid delay)", 2)
    end
    if kind == "every" and delay == 0 then
      error("delay cannot be zero", 2)
    end
    if type(callback) ~= "function" then
      error("bad argument #2 to '" .. kind .. "' (function expected, got " .. type(callback) .. ")", 2)
    end
    return native.timer(kind == "every", delay, callback, ...)
  end
end
ngx.timer = {
  at = timer("at"), every = timer("every"),
  running_count = function() return native.timer_counts() end,
  pending_count = function() return select(2, native.timer_counts()) end,
}
-- The same by names, made for those that use it.
local named
kong.timer = setmetatable({}, { __index = function(_, wanted)
  named = named or slot.spare("resty.timerng").new()
  local method = named[wanted]
  return type(method) == "function" and function(_, ...) return method(named, ...) end or method
end })

-- Regular expressions of PCRE, in the words of `ngx.re`.
local re = {}
ngx.re = re

local function captures_of(found, into)
  local captures = into or {}
  if into then
    for name in pairs(into) do
      into[name] = nil
    end
  end
  local text = found.text
  for i = 0, found.groups do
    local from = found[2 * i + 1]
    captures[i] = from ~= nil and text:sub(from, found[2 * i + 2])
  end
  for name, i in pairs(found.names) do
    if type(i) == "table" then
      -- What has matched of the groups of that name (`D`).
      local all = {}
      for _, group in ipairs(i) do
        all[#all + 1] = captures[group] or nil
      end
      captures[name] = all
    else
      captures[name] = captures[i]
    end
  end
  return captures
end

function re.match(subject, regex, options, ctx, into)
  local found, err = native.re(tostring(subject), regex, options or "", ctx and ctx.pos or 1)
  if not found then
    return nil, err
  end
  if ctx then
    ctx.pos = found[2] + 1
  end
  return captures_of(found, into)
end

function re.find(subject, regex, options, ctx, nth)
  local found, err = native.re(tostring(subject), regex, options or "", ctx and ctx.pos or 1)
  if not found then
    return nil, nil, err
  end
  if ctx then
    ctx.pos = found[2] + 1
  end
  nth = nth or 0
  if nth < 0 or nth > found.groups then
    return nil, nil, "nth out of bound"
  end
  return found[2 * nth + 1], found[2 * nth + 2]
end

function re.gmatch(subject, regex, options)
  subject, options = tostring(subject), options or ""
  local _, err = native.re("", regex, options, 1)
  if err then
    return nil, err
  end
  local at, ended = 1, false
  return function()
    if ended then
      return nil
    end
    local found, why = native.re(subject, regex, options, at)
    if not found then
      ended = true
      return nil, why
    end
    at = found[2] < found[1] and found[1] + 1 or found[2] + 1
    ended = at > #subject + 1
    return captures_of(found)
  end
end

-- What takes the place of a match: `$1`, `${1}` and `$$` are replaced.
local function filled(template, captures)
  local out = template:gsub("%$(%$?)(%{?)(%d*)(%}?)", function(dollar, open, digits, close)
    if dollar == "$" then
      return "$" .. open .. digits .. close
    end
    local value = captures[tonumber(digits)] or ""
    return value .. (open == "" and close or "")
  end)
  return out
end

local function replace(subject, regex, replacement, options, all)
  subject, options = tostring(subject), options or ""
  local template = type(replacement) == "string" and replacement:gsub("%$%$", "") or ""
  if template:find("%$%{?[^%d{]") or template:find("%${?$") then
    return nil, nil, "failed to compile the replacement template"
  end
  local out, at, count, done = {}, 1, 0, 1
  repeat
    local found, err = native.re(subject, regex, options, at)
    if err then
      return nil, nil, err
    end
    if not found then
      break
    end
    count = count + 1
    local captures = captures_of(found)
    out[#out + 1] = subject:sub(done, found[1] - 1)
    if type(replacement) == "function" then
      out[#out + 1] = tostring(replacement(captures))
    else
      out[#out + 1] = filled(tostring(replacement), captures)
    end
    done = found[2] + 1
    at = found[2] < found[1] and found[1] + 1 or done
  until not all or at > #subject + 1
  if count == 0 then
    return subject, 0
  end
  return table.concat(out) .. subject:sub(done), count
end

function re.sub(subject, regex, replacement, options) return replace(subject, regex, replacement, options, false) end
function re.gsub(subject, regex, replacement, options) return replace(subject, regex, replacement, options, true) end

-- Memory that workers share (`ngx.shared`).
local dict = {}
dict.__index = dict
-- Those that have a name to act on.
local named = {}
for name in ([[get get_stale set safe_set add safe_add replace delete incr lpush rpush lpop rpop llen ttl
    expire]]):gmatch("%S+") do
  named[name] = true
end
-- Where they are given how long something is good.
local times = { set = 2, safe_set = 2, add = 2, safe_add = 2, replace = 2, expire = 1, incr = 3 }
for _, name in pairs { "get", "get_stale", "set", "safe_set", "add", "safe_add", "replace", "delete", "incr", "lpush",
    "rpush", "lpop", "rpop", "llen", "ttl", "expire", "flush_all", "flush_expired", "get_keys", "capacity",
    "free_space" } do
  local at = times[name]
  dict[name] = function(self, key, ...)
    local time = at and (select(at, ...))
    if time ~= nil and time ~= false and (type(time) ~= "number" or time < 0) then
      error('bad "' .. (name == "incr" and "init_ttl" or "exptime") .. '" argument', 2)
    elseif type(self) ~= "table" or not self.name then
      error("bad \"zone\" argument", 2)
    elseif named[name] and type(key) == "string" and #key > 65535 then
      return nil, "key too long"
    end
    if named[name] and (key == nil or key == "") then
      return nil, key == nil and "nil key" or "empty key"
    end
    return native.shared(self.name, name, key, ...)
  end
end
-- Numbers may come as texts.
local incr = dict.incr
function dict:incr(key, by, ...)
  local number = tonumber(by)
  if not number then
    error('bad "value" argument', 2)
  end
  return incr(self, key, number, ...)
end
ngx.shared = setmetatable({}, { __index = function(t, name)
  if not native.shared_exists(name) then
    return nil
  end
  local made = setmetatable({ name = name }, dict)
  rawset(t, name, made)
  return made
end })
slot.text_of = text_of
