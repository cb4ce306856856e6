-- resty.session: sessions of browsers, in the cookies of lua-resty-session 4.
local _, slot = ...
local native = slot.native
local type, error, pairs, ipairs, setmetatable, tostring = type, error, pairs, ipairs, setmetatable, tostring
local min, max, ceil, concat = math.min, math.max, math.ceil, table.concat
local cjson, cookies = require "cjson.safe", require "resty.session.cookies"
local read, write, ages_of, key_of, name_of = cookies.read, cookies.write, cookies.ages_of, cookies.key_of, cookies.name_of

local DEFAULTS = {
  cookie_name = "session", cookie_path = "/", cookie_http_only = true, cookie_same_site = "Lax", remember = false,
  remember_safety = "Medium", remember_cookie_name = "remember", audience = "default", stale_ttl = 10,
  idling_timeout = 900, rolling_timeout = 3600, absolute_timeout = 86400, remember_rolling_timeout = 604800,
  remember_absolute_timeout = 2592000, touch_threshold = 60, compression_threshold = 1024,
}

local Session = { _VERSION = "4.0.5" }
local session = {}
session.__index = session
local usual = DEFAULTS

local function storage_of(conf)
  local storage = conf.storage
  if not storage or storage == "cookie" then
    return nil
  elseif type(storage) == "table" then
    return storage
  end
  local found, module = pcall(require, "resty.session." .. storage)
  if not found then
    found, module = pcall(require, storage)
  end
  if not found then
    error("unable to load session storage '" .. storage .. "': " .. tostring(module), 3)
  end
  return module.new and module.new(conf[storage] or {}) or module
end

-- Takes what was found: the entry of the own audience, or one beside the others.
local function take(self, entries)
  for at, entry in ipairs(entries) do
    if entry[2] == self.entries[self.own][2] then
      self.entries, self.own = entries, at
      return true
    end
  end
  entries[#entries + 1] = self.entries[self.own]
  self.entries, self.own = entries, #entries
  return false
end

local function usable(self, what)
  if self.state == "closed" then
    error("unable to " .. what .. ", session is closed", 3)
  end
end

function session:open()
  usable(self, "open session")
  local meta, err, entries, info = read(self, self.name, false)
  if meta then
    self.meta, self.info_data = meta, info
    if take(self, entries) then
      self.state = "open"
      return true
    end
    return nil, "missing session audience"
  end
  if self.conf.remember then
    local remembered, _, kept = read(self, self.remember_name, true)
    if remembered then
      self.remembered = remembered
      if take(self, kept) then
        self.state = "open"
        return self:save()
      end
    end
  end
  return nil, err
end

function session:save()
  usable(self, "save session")
  if self.conf.enforce_same_subject then
    local own, kept = self.entries[self.own], {}
    for _, entry in ipairs(self.entries) do
      if entry == own or entry[3] == own[3] then
        kept[#kept + 1] = entry
        self.own = entry == own and #kept or self.own
      end
    end
    self.entries = kept
  end
  local meta, err = write(self, self.name, self.meta, false)
  if not meta then
    return nil, err
  end
  self.meta, self.state = meta, "open"
  if self.conf.remember then
    local remembered
    remembered, err = write(self, self.remember_name, self.remembered, true)
    if not remembered then
      return nil, err
    end
    self.remembered = remembered
  end
  return true
end

function session:touch()
  usable(self, "touch session")
  local meta = self.meta
  if not meta then
    return nil, "session is not open"
  end
  cookies.touch(self, meta)
  return true
end

function session:refresh()
  usable(self, "refresh session")
  local meta, conf = self.meta, self.conf
  if not meta then
    return nil, "session is not open"
  end
  local _, rolled, idle = ages_of(meta)
  if conf.rolling_timeout > 0 and rolled > ceil(conf.rolling_timeout * 3 / 4) then
    return self:save()
  elseif conf.idling_timeout > 0 and idle > conf.touch_threshold then
    return self:touch()
  end
  return true
end

function session:destroy()
  usable(self, "destroy session")
  local ok, err = cookies.destroy(self, self.name, self.meta)
  if self.conf.remember or self.remembered then
    cookies.destroy(self, self.remember_name, self.remembered)
  end
  self.state = "closed"
  if ok == nil and err then
    return nil, err
  end
  return true
end

-- Ends it for the own audience; without another one it is gone.
function session:logout()
  usable(self, "logout session")
  if #self.entries == 1 then
    return self:destroy()
  end
  table.remove(self.entries, self.own)
  self.own = 1
  local ok, err = self:save()
  self.state = "closed"
  return ok, err
end

function session:close() self.state = "closed" end
function session:set_data(data)
  usable(self, "set session data")
  self.entries[self.own][1] = data
end
function session:get_data()
  usable(self, "get session data")
  return self.entries[self.own][1]
end
function session:set(key, value)
  usable(self, "set session data")
  self.entries[self.own][1][key] = value
end
function session:get(key)
  usable(self, "get session data")
  return self.entries[self.own][1][key]
end
function session:set_subject(subject)
  usable(self, "set subject")
  self.entries[self.own][3] = subject
end
function session:get_subject()
  usable(self, "get subject")
  return self.entries[self.own][3]
end
function session:get_audience()
  usable(self, "get audience")
  return self.entries[self.own][2]
end
function session:set_audience(audience)
  usable(self, "set audience")
  local own = self.entries[self.own]
  for at = #self.entries, 1, -1 do
    if at ~= self.own and self.entries[at][2] == audience then
      table.remove(self.entries, at)
      self.own = at < self.own and self.own - 1 or self.own
    end
  end
  own[2] = audience
end
function session:set_remember(remember) self.conf.remember = remember == true end
function session:get_remember() return self.conf.remember == true end

function session:get_property(name)
  usable(self, "get session property")
  local meta, conf, own = self.meta, self.conf, self.entries[self.own]
  if name == "audience" then
    return own[2]
  elseif name == "subject" then
    return own[3]
  elseif not meta then
    return nil
  elseif name == "id" then
    return native.encode_base64url(meta.id)
  elseif name == "nonce" then
    return cookies.derived(self, "nonce", 18)
  end
  local age, rolled, idle = ages_of(meta)
  local function left(limit, passed) return limit ~= 0 and max(0, limit - passed) or nil end
  local all = { ["absolute-timeout"] = left(conf.absolute_timeout, age),
    ["rolling-timeout"] = left(conf.rolling_timeout, rolled), ["idling-timeout"] = left(conf.idling_timeout, idle) }
  if name ~= "timeout" then
    return all[name]
  end
  local least
  for _, seconds in pairs(all) do
    least = min(least or seconds, seconds)
  end
  return least
end

local function set_headers(self, names, set)
  for _, name in ipairs(names or {}) do
    local value = self:get_property(name)
    if value then
      set("Session-" .. name:gsub("%f[%a]%a", string.upper), tostring(value))
    end
  end
end
local function set_response(name, value) ngx.header[name] = value end
function session:set_request_headers(...)
  set_headers(self, select("#", ...) > 0 and { ... } or self.conf.request_headers, ngx.req.set_header)
end
function session:set_response_headers(...)
  set_headers(self, select("#", ...) > 0 and { ... } or self.conf.response_headers, set_response)
end
function session:set_headers(...)
  self:set_request_headers(...)
  self:set_response_headers(...)
end

-- So that the service does not see it.
function session:clear_request_cookie()
  local line, kept = ngx.var.http_cookie, {}
  for pair in (line or ""):gmatch("[^;]+") do
    pair = pair:match("^%s*(.-)%s*$")
    local name = pair:match("^[^=]*")
    local own = false
    for number = 1, cookies.MOST do
      own = own or name == name_of(self.name, number) or name == name_of(self.remember_name, number)
    end
    if not own then
      kept[#kept + 1] = pair
    end
  end
  ngx.req.set_header("Cookie", kept[1] and concat(kept, "; ") or nil)
end
session.hide = session.clear_request_cookie

-- What the node keeps of it, and the client does not have: of sessions that are stored.
local info = {}
info.__index = info
function info:set(key, value)
  self.of.info_data = self.of.info_data or {}
  self.of.info_data[key] = value
end
function info:get(key) return self.of.info_data and self.of.info_data[key] end
function info:save()
  local self = self.of
  if not self.storage then
    return nil, "session storage is needed to save session info"
  elseif not self.meta then
    return nil, "session is not open"
  end
  local key, now = key_of(self, self.meta.id), ngx.time()
  local stored, err = self.storage:get(self.name, key, now)
  local decoded = stored and cjson.decode(stored)
  if type(decoded) ~= "table" then
    return nil, err or "session not found"
  end
  local _, rolled = ages_of(self.meta)
  local ttl = self.conf.rolling_timeout == 0 and 0 or max(1, self.conf.rolling_timeout - rolled)
  return self.storage:set(self.name, key, cjson.encode({ decoded[1], self.info_data }), cookies.life(ttl), now)
end

function Session.init(conf)
  usual = setmetatable(conf or {}, { __index = DEFAULTS })
end

function Session.new(conf)
  local own = setmetatable({}, { __index = function(_, name)
    local value = conf and conf[name]
    if value == nil then
      value = usual[name]
    end
    return value
  end })
  local prefix = cookies.prefix_of(own)
  local made = setmetatable({
    conf = own, secrets = cookies.secrets_of(own), storage = storage_of(own), attributes = cookies.attributes_of(own), own = 1,
    name = prefix .. own.cookie_name, remember_name = prefix .. own.remember_cookie_name, state = "new",
    entries = { { {}, own.audience, own.subject } },
  }, session)
  made.info = setmetatable({ of = made }, info)
  return made
end

function Session.open(conf)
  local made = Session.new(conf)
  local exists, err = made:open()
  return made, err, exists == true
end

function Session.start(conf)
  local made, err, exists = Session.open(conf)
  if not exists then
    return made, err, false, false
  end
  local refreshed
  refreshed, err = made:refresh()
  return made, err, true, refreshed == true
end

function Session.logout(conf)
  local made, err, exists = Session.open(conf)
  if not exists then
    return nil, err, false, false
  end
  local done
  done, err = made:logout()
  return done, err, true, done == true
end

function Session.destroy(conf)
  local made, err, exists = Session.open(conf)
  if not exists then
    return nil, err, false, false
  end
  local done
  done, err = made:destroy()
  return done, err, true, done == true
end

return Session
