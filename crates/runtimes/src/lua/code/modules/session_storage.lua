-- What resty.session stands on: where content is kept, and what cookies are bound to.
local name, slot = ...
local native = slot.native
local concat, error, ipairs, setmetatable, tostring = table.concat, error, ipairs, setmetatable, tostring
local modules = {}

-- What of a request a session may be bound to, so that its cookie is of no use elsewhere.
modules["resty.session.origin"] = function()
  local FLAGS = { ip = 0x100, scheme = 0x200, ["user-agent"] = 0x400 }
  local ORDER = { "ip", "scheme", "user-agent" }
  local PARTS = { ip = "remote_addr", scheme = "scheme", ["user-agent"] = "http_user_agent" }
  local origin = {}
  function origin.flags(bind)
    local seen, flags = {}, 0
    for _, what in ipairs(bind or {}) do
      if FLAGS[what] and not seen[what] then
        seen[what], flags = true, flags + FLAGS[what]
      end
    end
    return flags
  end
  -- What the authentication code of a cookie with these flags covers beside it.
  function origin.covered(flags)
    local parts = {}
    for _, what in ipairs(ORDER) do
      local part = math.floor(flags / FLAGS[what]) % 2 == 1 and ngx.var[PARTS[what]]
      if part and part ~= "" then
        parts[#parts + 1] = part
      end
    end
    return parts[1] and "#" .. native.digest("sha256", concat(parts, "|")) or ""
  end
  return origin
end

local function key_of(self, name, key)
  local conf = self.conf
  return (conf.prefix and conf.prefix .. ":" or "") .. name .. ":" .. key .. (conf.suffix and ":" .. conf.suffix or "")
end

-- In memory that the workers share.
modules["resty.session.shm"] = function()
  local shm = {}
  shm.__index = shm
  function shm.new(conf)
    local zone = conf.zone or "sessions"
    local dict = ngx.shared[zone]
    if not dict then
      error("lua_shared_dict " .. zone .. " is missing", 2)
    end
    return setmetatable({ conf = conf, dict = dict }, shm)
  end
  function shm:set(name, key, value, ttl, _, old, stale, _, remember)
    if old then
      old = key_of(self, name, old)
      if remember or not stale or stale < 1 then
        self.dict:delete(old)
      elseif (self.dict:ttl(old) or 0) > stale then
        self.dict:expire(old, stale)
      end
    end
    return self.dict:set(key_of(self, name, key), value, ttl)
  end
  function shm:get(name, key) return self.dict:get(key_of(self, name, key)) end
  function shm:delete(name, key)
    self.dict:delete(key_of(self, name, key))
    return true
  end
  return shm
end

-- On a server of Redis.
modules["resty.session.redis"] = function()
  local client = require "resty.redis"
  local redis = {}
  redis.__index = redis
  function redis.new(conf)
    if conf.sentinels or conf.nodes then
      error("sessions are kept on one server of Redis: 'sentinels' and 'nodes' are not there in this version", 2)
    end
    return setmetatable({ conf = conf }, redis)
  end

  local function on_server(self, f)
    local conf, red = self.conf, client:new()
    red:set_timeouts(conf.connect_timeout, conf.send_timeout, conf.read_timeout)
    -- Who has logged in, and to which database, is a matter of the connection.
    local pool = conf.pool or concat({ conf.socket or (conf.host or "127.0.0.1") .. ":" .. (conf.port or 6379),
      tostring(conf.ssl), tostring(conf.server_name), tostring(conf.username), tostring(conf.database) }, "|")
    local options = { ssl = conf.ssl, ssl_verify = conf.ssl_verify, server_name = conf.server_name, pool = pool,
      pool_size = conf.pool_size }
    local ok, err
    if conf.socket then
      ok, err = red:connect(conf.socket, options)
    else
      ok, err = red:connect(conf.host or "127.0.0.1", conf.port or 6379, options)
    end
    if not ok then
      return nil, err
    end
    if red:get_reused_times() == 0 then
      if conf.password then
        if conf.username then
          ok, err = red:auth(conf.username, conf.password)
        else
          ok, err = red:auth(conf.password)
        end
      end
      if ok and conf.database then
        ok, err = red:select(conf.database)
      end
    end
    if not ok then
      red:close()
      return nil, err
    end
    local value
    value, err = f(red)
    if value == nil or value == false then
      red:close()
      return nil, err
    end
    red:set_keepalive(conf.keepalive_timeout)
    return value
  end

  function redis:set(name, key, value, ttl, _, old, stale, _, remember)
    return on_server(self, function(red)
      if old then
        old = key_of(self, name, old)
        if remember or not stale or stale < 1 then
          red:del(old)
        else
          local left = red:ttl(old)
          if left and left > stale then
            red:expire(old, stale)
          end
        end
      end
      return red:set(key_of(self, name, key), value, "EX", ttl)
    end)
  end
  function redis:get(name, key)
    local value, err = on_server(self, function(red) return red:get(key_of(self, name, key)) end)
    if value == ngx.null then
      return nil
    end
    return value, err
  end
  function redis:delete(name, key)
    return on_server(self, function(red) return red:del(key_of(self, name, key)) end)
  end
  return redis
end

return modules[name]()
