-- Small modules of OpenResty: a table for each name.
local name, slot = ...
local native = slot.native

local modules = {}

modules["ngx.semaphore"] = function() return slot.semaphore end
modules["ngx.re"] = function()
  return {
    opt = function() end,
    split = function(subject, regex, options, ctx, max)
      local parts, at, done = {}, 1, 1
      if regex == "" then
        for i = 1, #subject do
          parts[i] = subject:sub(i, i)
        end
        return parts
      end
      while not max or max <= 0 or #parts < max - 1 do
        local from, to = ngx.re.find(subject, regex, options, { pos = at })
        if not from then
          break
        end
        local captures = ngx.re.match(subject, regex, options, { pos = at })
        if to < from then
          at = at + 1
          if at > #subject then
            break
          end
        else
          parts[#parts + 1] = subject:sub(done, from - 1)
          for i = 1, #captures do
            parts[#parts + 1] = captures[i] or nil
          end
          done, at = to + 1, to + 1
        end
      end
      parts[#parts + 1] = subject:sub(done)
      if not max or max <= 0 then
        while parts[#parts] == "" do
          parts[#parts] = nil
        end
      end
      return parts
    end,
  }
end
modules["ngx.base64"] = function()
  return { encode_base64url = native.encode_base64url, decode_base64url = native.decode_base64url }
end
modules["ngx.errlog"] = function()
  return {
    raw_log = function(level, text) return ngx.log(level, text) end, set_filter_level = function() return true end,
    get_sys_filter_level = function() return ngx.NOTICE end, get_logs = function() return {} end,
  }
end
modules["ngx.process"] = function() return { type = function() return "worker" end } end
modules["ngx.req"] = function() return { add_header = kong.service.request.add_header } end
modules["ngx.resp"] = function() return { add_header = ngx.resp.add_header } end
-- Plugins choose no peers, so that these are as they are in OpenResty elsewhere than in its balancer phase.
modules["ngx.balancer"] = function()
  local functions = {}
  for _, name in ipairs { "set_current_peer", "set_more_tries", "get_last_failure", "set_timeouts", "recreate_request",
    "enable_keepalive", "set_upstream_tls", "bind_to_local_addr" } do
    functions[name] = function() error("API disabled in the current context", 2) end
  end
  return functions
end
modules["ngx.pipe"] = function() return { spawn = function() return nil, "code starts no programs here" end } end
modules["resty.core"] = function() return { version = "0.1.28" } end
modules["resty.core.base"] = function()
  return {
    new_tab = function() return {} end, clear_tab = table.clear, allows_subsystem = function() end,
    version = "0.1.28",
  }
end
modules["resty.random"] = function()
  return { bytes = native.random, number = math.random, token = function(count)
    return native.encode_base64url(native.random(count)):sub(1, count)
  end }
end
modules["resty.string"] = function()
  return { to_hex = native.hex, atoi = function(text) return tonumber(text) end }
end
modules["resty.jit-uuid"] = function()
  local pattern = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
  return setmetatable({
    seed = function() end, generate_v4 = native.uuid,
    is_valid = function(text) return type(text) == "string" and text:match(pattern) ~= nil end,
  }, { __call = native.uuid })
end
modules["resty.uuid"] = function() return { generate = native.uuid, generate_random = native.uuid } end
modules["kong.meta"] = function()
  return {
    _NAME = "kong", _VERSION = "3.10.0", version = "3.10.0", core_version = "3.10.0",
    _VERSION_TABLE = setmetatable({ major = 3, minor = 10, patch = 0 }, { __tostring = function() return "3.10.0" end }),
    _SERVER_TOKENS = "kong/3.10.0", _DEPENDENCIES = { nginx = { "1.27.1.2" } },
  }
end
modules["socket.url"] = function()
  local url = {}
  function url.escape(text) return (text:gsub("[^%w_]", function(c) return ("%%%02x"):format(c:byte()) end)) end
  function url.unescape(text)
    return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
  end
  function url.parse(text, default)
    if type(text) ~= "string" or text == "" then
      return nil, "invalid url"
    end
    local parsed = {}
    for key, value in pairs(default or {}) do
      parsed[key] = value
    end
    local rest = text
    local function take(pattern, key)
      rest = rest:gsub(pattern, function(found)
        parsed[key] = found
        return ""
      end, 1)
    end
    take("#(.*)$", "fragment")
    take("^([%w][%w%+%-%.]*)%:", "scheme")
    take("^//([^/%?]*)", "authority")
    take("%?(.*)$", "query")
    if rest ~= "" then
      parsed.path = rest
    end
    local authority = parsed.authority
    if authority then
      authority = authority:gsub("^([^@]*)@", function(info)
        parsed.userinfo = info
        return ""
      end)
      authority = authority:gsub(":([^:%]]*)$", function(port)
        parsed.port = port
        return ""
      end)
      parsed.host = authority ~= "" and (authority:match("^%[(.+)%]$") or authority) or nil
      if parsed.userinfo then
        parsed.user, parsed.password = parsed.userinfo:match("^([^:]*):?(.*)$")
        parsed.password = parsed.password ~= "" and parsed.password or nil
      end
    end
    return parsed
  end
  function url.build(parsed)
    local text = parsed.path or ""
    if parsed.query then
      text = text .. "?" .. parsed.query
    end
    local authority = parsed.authority
    if parsed.host then
      authority = parsed.host:find(":", 1, true) and "[" .. parsed.host .. "]" or parsed.host
      authority = parsed.port and authority .. ":" .. parsed.port or authority
      authority = parsed.userinfo and parsed.userinfo .. "@" .. authority or authority
    end
    if authority then
      text = "//" .. authority .. text
    end
    if parsed.scheme then
      text = parsed.scheme .. ":" .. text
    end
    return parsed.fragment and text .. "#" .. parsed.fragment or text
  end
  return url
end

-- Digests.
local function hasher(algorithm)
  local hash = {}
  hash.__index = hash
  function hash.new() return setmetatable({ parts = {} }, hash) end
  function hash:update(text)
    self.parts[#self.parts + 1] = text
    return true
  end
  function hash:final(text)
    if text then
      self:update(text)
    end
    return native.digest(algorithm, table.concat(self.parts))
  end
  function hash:reset()
    self.parts = {}
    return true
  end
  return hash
end
for _, algorithm in ipairs { "md5", "sha1", "sha224", "sha256", "sha384", "sha512" } do
  modules["resty." .. algorithm] = function()
    local hash = hasher(algorithm)
    return { new = function() return hash.new() end }
  end
end
modules["resty.hmac"] = function()
  local algorithms = { MD5 = "md5", SHA1 = "sha1", SHA256 = "sha256", SHA512 = "sha512" }
  return { ALGOS = algorithms, new = function(_, key, algorithm)
    local mac = require("resty.openssl.hmac").new(key, algorithm or "md5")
    local final = mac.final
    function mac:final(text, as_hex)
      local octets = final(self, text)
      return as_hex and native.hex(octets) or octets
    end
    return mac
  end }
end

-- Values with a limit in number, those unused longest given up first.
modules["resty.lrucache"] = function()
  local cache = {}
  cache.__index = cache
  function cache.new(size)
    if size < 1 then
      return nil, "size too small"
    end
    local head = {}
    head.before, head.after = head, head
    return setmetatable({ size = size, used = 0, items = {}, head = head }, cache)
  end
  local function unlink(item) item.before.after, item.after.before = item.after, item.before end
  local function to_front(self, item)
    local head = self.head
    item.before, item.after = head, head.after
    head.after.before, head.after = item, item
  end
  function cache:get(key)
    local item = self.items[key]
    if not item then
      return nil
    end
    unlink(item)
    to_front(self, item)
    if item.expires and item.expires < native.now() then
      return nil, item.value, item.flags
    end
    return item.value, nil, item.flags
  end
  function cache:set(key, value, ttl, flags)
    local item = self.items[key]
    if item then
      unlink(item)
    else
      if self.used >= self.size then
        local last = self.head.before
        unlink(last)
        self.items[last.key], self.used = nil, self.used - 1
      end
      item = { key = key }
      self.items[key], self.used = item, self.used + 1
    end
    item.value, item.flags, item.expires = value, flags or 0, ttl and native.now() + ttl or nil
    to_front(self, item)
  end
  function cache:delete(key)
    local item = self.items[key]
    if item then
      unlink(item)
      self.items[key], self.used = nil, self.used - 1
    end
    return true
  end
  function cache:count() return self.used end
  function cache:capacity() return self.size end
  function cache:flush_all() 
    local head = self.head
    head.before, head.after, self.items, self.used = head, head, {}, 0
  end
  function cache:get_keys(max)
    local keys, item = {}, self.head.after
    while item ~= self.head and (not max or max == 0 or #keys < max) do
      keys[#keys + 1], item = item.key, item.after
    end
    return keys
  end
  return cache
end
modules["resty.lrucache.pureffi"] = function() return require "resty.lrucache" end

-- A lock that all workers see.
modules["resty.lock"] = function()
  local lock = {}
  lock.__index = lock
  function lock:new(shared, options)
    options = options or {}
    local dict = ngx.shared[shared]
    if not dict then
      return nil, "dictionary not found"
    end
    return setmetatable({
      dict = dict, exptime = options.exptime or 30, timeout = options.timeout or 5, step = options.step or 0.001,
      ratio = options.ratio or 2, max_step = options.max_step or 0.5,
    }, lock)
  end
  function lock:lock(key)
    if self.key then
      return nil, "locked"
    end
    local waited, step = 0, self.step
    while true do
      local ok, err = self.dict:add(key, true, self.exptime)
      if ok then
        self.key = key
        return waited
      end
      if err ~= "exists" then
        return nil, err
      end
      if waited >= self.timeout then
        return nil, "timeout"
      end
      step = math.min(step, self.timeout - waited, self.max_step)
      ngx.sleep(step)
      waited = waited + step
      step = math.max(step * self.ratio, self.step)
    end
  end
  function lock:unlock()
    if not self.key then
      return nil, "unlocked"
    end
    self.dict:delete(self.key)
    self.key = nil
    return 1
  end
  function lock:expire(seconds)
    if not self.key then
      return nil, "unlocked"
    end
    return self.dict:expire(self.key, seconds or self.exptime)
  end
  return lock
end

return modules[name]()
