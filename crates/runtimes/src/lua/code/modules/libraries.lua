-- Small libraries that Kong's package has: version, resty.counter, resty.http_headers, lapis.util, and some of Kong's.
local name = ...
local type, tonumber, setmetatable, rawset, rawget, ipairs = type, tonumber, setmetatable, rawset, rawget, ipairs
local modules = {}

modules["version"] = function()
  local one = {}
  one.__index = one
  local function parse(text)
    if type(text) == "number" then
      text = tostring(text)
    end
    if type(text) ~= "string" then
      return getmetatable(text) == one and text or nil, "expected a version string, got " .. type(text)
    end
    local numbers = text:match("%d+[%.%-%d]*")
    if not numbers then
      return nil, "Not a valid version element: '" .. text .. "'"
    end
    local parsed = { text = text }
    for number in numbers:gmatch("%d+") do
      parsed[#parsed + 1] = tonumber(number)
    end
    return setmetatable(parsed, one)
  end
  local function compare(a, b)
    for i = 1, math.max(#a, #b) do
      local left, right = a[i] or 0, b[i] or 0
      if left ~= right then
        return left < right and -1 or 1
      end
    end
    return 0
  end
  one.__eq = function(a, b) return compare(a, b) == 0 end
  one.__lt = function(a, b) return compare(a, b) < 0 end
  one.__le = function(a, b) return compare(a, b) <= 0 end
  one.__tostring = function(a) return table.concat(a, ".") end
  -- The same first number, and not before that.
  function one:semver(other)
    other = parse(other)
    return other ~= nil and other[1] == self[1] and compare(other, self) >= 0
  end

  local range = {}
  range.__index = range
  function range:matches(text)
    local version, err = parse(text)
    if not version then
      return nil, err
    end
    return compare(version, self.from) >= 0 and compare(version, self.to) <= 0
  end
  local function new_range(from, to)
    local first, err = parse(from)
    if not first then
      return nil, err
    end
    local last
    last, err = parse(to or from)
    if not last then
      return nil, err
    end
    if compare(first, last) > 0 then
      return nil, "FROM version must be less than or equal to the TO version"
    end
    return setmetatable({ from = first, to = last }, range)
  end

  local set = {}
  set.__index = set
  function set:allowed(from, to)
    local added, err = new_range(from, to)
    if not added then
      return nil, err
    end
    self.yes[#self.yes + 1] = added
    return self
  end
  function set:disallowed(from, to)
    local added, err = new_range(from, to)
    if not added then
      return nil, err
    end
    self.no[#self.no + 1] = added
    return self
  end
  function set:matches(text)
    local version, err = parse(text)
    if not version then
      return nil, err
    end
    local function any(ranges)
      for _, one_range in ipairs(ranges) do
        if one_range:matches(version) then
          return true
        end
      end
      return false
    end
    if any(self.no) then
      return false, "version is disallowed"
    end
    return any(self.yes)
  end
  local function new_set(from, to)
    local made = setmetatable({ yes = {}, no = {} }, set)
    if from then
      return made:allowed(from, to)
    end
    return made
  end
  return setmetatable({ version = parse, range = new_range, set = new_set },
    { __call = function(_, text) return parse(text) end })
end

-- Counters that the workers share.
modules["resty.counter"] = function()
  local counter = {}
  counter.__index = counter
  function counter.new(zone)
    local dict = ngx.shared[zone]
    if not dict then
      return nil, "shared dict '" .. tostring(zone) .. "' not defined"
    end
    return setmetatable({ dict = dict }, counter)
  end
  function counter:sync() return true end
  function counter:incr(key, step) return self.dict:incr(key, step or 1, 0) end
  function counter:reset(key, number) return self.dict:incr(key, -(number or 0), 0) end
  function counter:get(key) return self.dict:get(key) end
  function counter:get_keys(most) return self.dict:get_keys(most) end
  return counter
end

-- Lines by names, however these are written.
modules["resty.http_headers"] = function()
  local headers = { _VERSION = "0.17.1" }
  local function plain(key) return type(key) == "string" and key:lower():gsub("_", "-") or key end
  function headers.new()
    local written = {}
    return setmetatable({}, {
      normalised = written,
      __index = function(t, key)
        local known = written[plain(key)]
        return known ~= nil and known ~= key and rawget(t, known) or nil
      end,
      __newindex = function(t, key, value)
        local known = written[plain(key)]
        if known == nil then
          written[plain(key)], known = key, key
        end
        rawset(t, known, value)
      end,
    })
  end
  return headers
end

modules["lapis.util"] = function()
  local util = {}
  function util.escape(text) return (text:gsub("[^%w%-_.~]", function(c) return ("%%%02X"):format(c:byte()) end)) end
  function util.unescape(text) return ngx.unescape_uri((text:gsub("+", "%%20"))) end
  function util.escape_pattern(text) return (text:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")) end
  function util.trim(text) return (tostring(text):match("^%s*(.-)%s*$")) end
  function util.to_json(value) return (require("cjson.safe").encode(value)) end
  function util.from_json(text) return require("cjson").decode(text) end
  -- Pairs in their order, and values by name.
  function util.parse_query_string(text)
    local out, count = {}, 0
    for pair in text:gmatch("[^&]+") do
      local key, value = pair:match("^([^=]*)=(.*)$")
      key, count = util.unescape(key or pair), count + 1
      value = value and util.unescape(value) or true
      out[count], out[key] = { key, value ~= true and value or nil }, value
    end
    if count == 0 then
      return nil
    end
    return out
  end
  function util.encode_query_string(pairs_, separator)
    local parts = {}
    local function add(key, value)
      parts[#parts + 1] = util.escape(tostring(key)) .. (value ~= true and "=" .. util.escape(tostring(value)) or "")
    end
    for key, value in pairs(pairs_) do
      if type(key) == "number" and type(value) == "table" then
        add(value[1], value[2] == nil and true or value[2])
      else
        add(key, value)
      end
    end
    return table.concat(parts, separator or "&")
  end
  return util
end

-- What an exchange keeps is found by the exchange itself.
modules["kong.resty.ctx"] = function() return { stash_ref = function() end, apply_ref = function() end } end
modules["resty.kong.var"] = function() return { patch_metatable = function() end } end
modules["resty.openssl.err"] = function()
  local none = function() return nil end
  return { get_last_error = none, get_last_error_code = none, get_all_error = none,
    format_error = function(context) return context end, format_all_error = function(context) return context end }
end
modules["kong.cmd.utils.log"] = function()
  local log = setmetatable({ levels = { quiet = 0, error = 1, warn = 2, info = 3, verbose = 4, debug = 5 } },
    { __call = function(_, ...) kong.log.info((string.format(...))) end })
  for name_, level in pairs { error = "err", warn = "warn", info = "info", verbose = "info", debug = "debug" } do
    log[name_] = function(...) kong.log[level]((string.format(...))) end
  end
  log.set_lvl, log.enable, log.disable = function() end, function() end, function() end
  return log
end

modules["kong.deprecation"] = function()
  return setmetatable({ init = function() end, write = function(...) return kong.log.deprecation(...) end },
    { __call = function(_, ...) return kong.log.deprecation(...) end })
end

-- The settings are those of the node, whatever file is named.
modules["kong.conf_loader"] = function()
  return setmetatable({}, { __call = function() return kong.configuration end })
end
-- Sends what is counted to a server of StatsD, in Datadog's form.
modules["kong.plugins.datadog.statsd_logger"] = function()
  local logger = {}
  logger.__index = logger
  local kinds = { gauge = "g", counter = "c", timer = "ms", histogram = "h", meter = "m", set = "s", distribution = "d" }
  function logger:new(conf)
    local socket, host, port = ngx.socket.udp(), conf.host or "localhost", conf.port or 8125
    local _, err = socket:setpeername(host, port)
    if err then
      return nil, "failed to connect to " .. host .. ":" .. port .. ": " .. err
    end
    return setmetatable({ host = host, port = port, prefix = conf.prefix, socket = socket, stat_types = kinds }, logger)
  end
  function logger:send_statsd(stat, delta, kind, sample_rate, tags)
    local line = (self.prefix or "kong") .. "." .. stat .. ":" .. delta .. "|" .. kind
    if sample_rate and sample_rate ~= 1 then
      line = line .. "|@" .. sample_rate
    end
    if tags and #tags > 0 then
      line = line .. "|#" .. table.concat(tags, ",")
    end
    local ok, err = self.socket:send(line)
    if not ok then
      kong.log.err("failed to send data to ", self.host, ":", self.port, ": ", err)
    end
  end
  function logger:close_socket() self.socket:close() end
  return logger
end
modules["kong.plugins.log-serializers.basic"] = function()
  return { serialize = function() return kong.log.serialize() end }
end

return modules[name]()
