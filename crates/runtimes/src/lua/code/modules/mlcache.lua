-- resty.mlcache: values that are loaded once, in two places: a table of this worker, and as text in memory that the
-- workers share. What one of them changes, the others load anew.
local _, slot = ...
local native, semaphore = slot.native, slot.semaphore
local lrucache, cjson = require "resty.lrucache", require "cjson.safe"
local type, error, pcall, tostring, setmetatable, ipairs = type, error, pcall, tostring, setmetatable, ipairs

local MISS = {}
-- How long, in seconds, a worker has the right to load a value, should it never say that it has done so.
local LOCKED = 10
local cache = { _VERSION = "2.7.0" }
cache.__index = cache

local function is_time(value, what)
  if value ~= nil and (type(value) ~= "number" or value < 0) then
    error("opts." .. what .. " must be >= 0", 3)
  end
end

-- Functions of the caller's by which caches of other nodes are told.
local function is_ipc(ipc)
  if ipc == nil then
    return false
  elseif type(ipc) ~= "table" then
    error("opts.ipc must be a table", 3)
  end
  for _, wanted in ipairs { "register_listeners", "broadcast", "poll" } do
    if type(ipc[wanted]) ~= "function" then
      error("opts.ipc." .. wanted .. " must be a function", 3)
    end
  end
  return ipc
end

local function tell(self, channel, data)
  if not self.ipc then
    return true
  end
  local ok, err = self.ipc.broadcast(channel, data)
  if not ok then
    return nil, "could not broadcast: " .. tostring(err)
  end
  return true
end

function cache.new(name, shm, options)
  if type(name) ~= "string" then
    error("name must be a string", 2)
  elseif type(shm) ~= "string" then
    error("shm must be a string", 2)
  end
  if options ~= nil and type(options) ~= "table" then
    error("opts must be a table", 2)
  end
  options = options or {}
  is_time(options.ttl, "ttl")
  is_time(options.neg_ttl, "neg_ttl")
  is_time(options.resurrect_ttl, "resurrect_ttl")
  local tries = options.shm_set_tries
  if tries ~= nil and (type(tries) ~= "number" or tries < 1) then
    error(type(tries) == "number" and "opts.shm_set_tries must be >= 1" or "opts.shm_set_tries must be a number", 2)
  elseif options.ipc and options.ipc_shm then
    error("cannot specify both of opts.ipc_shm and opts.ipc", 2)
  elseif options.ipc_shm ~= nil and type(options.ipc_shm) ~= "string" then
    error("opts.ipc_shm must be a string", 2)
  end
  for _, option in ipairs { "ipc_shm", "shm_miss", "shm_locks" } do
    local named = options[option]
    if type(named) == "string" and not ngx.shared[named] then
      return nil, "no such lua_shared_dict" .. (option ~= "ipc_shm" and " for opts." .. option or "") .. ": " .. named
    end
  end
  local dict = ngx.shared[shm]
  if not dict then
    return nil, "no such lua_shared_dict: " .. shm
  end
  local made = setmetatable({
    name = name, dict = dict, misses = options.shm_miss and ngx.shared[options.shm_miss] or dict,
    lru = options.lru or lrucache.new(options.lru_size or 100), loading = {},
    ttl = options.ttl or 30, neg_ttl = options.neg_ttl or 5, resurrect_ttl = options.resurrect_ttl,
    l1_serializer = options.l1_serializer, patience = (options.resty_lock_opts or {}).timeout or 5,
    -- Values of several caches may be in the same memory; keys of `kong.cache` are what all of the node knows.
    prefix = options.bare_keys and "" or name .. ":", tells = options.bare_keys or options.ipc_shm ~= nil
      or options.ipc ~= nil, locks = ngx.shared[options.shm_locks or "kong_locks"],
    ipc = is_ipc(options.ipc),
  }, cache)
  if made.ipc then
    -- The caller tells others of what is invalidated; what it hears of them ends what is kept here.
    made.told, made.purged = "mlcache:invalidations:" .. name, "mlcache:purge:" .. name
    made.ipc.register_listeners {
      invalidation = { channel = made.told, handler = function(key) made.lru:delete(key) end },
      purge = { channel = made.purged, handler = function() made.lru:flush_all() end },
    }
  end
  return made
end

-- The text of a value: its type, its generation, how long it is good, the value.
local function encode(value, generation, expires, ttl)
  local kind, text = type(value), nil
  if value == MISS then
    kind, text = "miss", ""
  elseif kind == "string" then
    text = value
  elseif kind == "number" or kind == "boolean" then
    text = tostring(value)
  elseif kind == "table" then
    local err
    text, err = cjson.encode(value)
    if not text then
      return nil, "could not encode table value: " .. tostring(err)
    end
  else
    return nil, "unsupported lua type: " .. kind
  end
  return ("%s %s %.3f %.3f "):format(kind, generation, expires, ttl) .. text
end

local decoders = {
  miss = function() return MISS end, string = function(text) return text end, number = tonumber,
  boolean = function(text) return text == "true" end, table = cjson.decode,
}

local function decode(text)
  local kind, generation, expires, ttl, from = text:match("^(%l+) (%d+) (%S+) (%S+) ()")
  return decoders[kind](text:sub(from)), tonumber(generation), tonumber(expires), tonumber(ttl)
end

local function shown(value)
  if value == MISS then
    return nil
  end
  return value
end

local function is_over(expires, now) return expires > 0 and expires <= now end

-- Puts what is good into the worker's table, as the caller wants to have it there.
local function keep_here(self, key, value, generation, expires, options)
  local serializer = options.l1_serializer
  if serializer == nil then
    serializer = self.l1_serializer
  end
  if serializer and value ~= MISS then
    local ok, made, err = pcall(serializer, value)
    if not ok then
      return nil, "l1_serializer threw an error: " .. tostring(made)
    elseif err or made == nil then
      return nil, err or "l1_serializer returned a nil value"
    end
    value = made
  end
  self.lru:set(key, { value = value, generation = generation, expires = expires })
  return value
end

-- Keeps a value under the generation that there was before it was loaded.
local function keep(self, key, value, generation, ttl, options)
  if value == nil then
    value = MISS
  end
  local expires = ttl > 0 and native.now() + ttl or 0
  local text, err = encode(value, generation, expires, ttl)
  if not text then
    return nil, err
  end
  local dict = value == MISS and self.misses or self.dict
  -- What is over is kept for a while, in case that it cannot be loaded anew.
  local stale = options.resurrect_ttl or self.resurrect_ttl or 0
  dict:set(self.prefix .. key, text, ttl > 0 and ttl + stale * 10 or 0)
  local made, why = keep_here(self, key, value, generation, expires, options)
  return shown(made), why
end

-- What there is of a key: the value, since when it is over (if it is), and where it was.
local function find(self, key, options)
  local generation, now = native.generation(self.prefix .. key), native.now()
  local here = self.lru:get(key)
  if here and here.generation == generation and not is_over(here.expires, now) then
    return here.value, false, 1
  end
  local text = self.dict:get(self.prefix .. key) or self.misses:get(self.prefix .. key)
  if not text then
    return nil
  end
  local value, of, expires, ttl = decode(text)
  if of ~= generation then
    return nil
  end
  if is_over(expires, now) then
    return value, true, 2, expires, ttl
  end
  local made, err = keep_here(self, key, value, generation, expires, options)
  return made, false, 2, expires, ttl, err
end

local function ttl_of(self, options, value, given)
  if type(given) == "number" then
    return given
  elseif value == nil then
    return options.neg_ttl or self.neg_ttl
  end
  return options.ttl or self.ttl
end

local function load(self, key, options, stale, callback, ...)
  local generation = native.generation(self.prefix .. key)
  local ok, value, err, ttl = pcall(callback, ...)
  if not ok then
    -- What is wrong with the code is told, whatever is still there.
    return nil, "callback threw an error: " .. tostring(value)
  end
  if err then
    local again = options.resurrect_ttl or self.resurrect_ttl
    if again and stale ~= nil then
      ngx.log(ngx.WARN, "callback returned an error (", err, ") but stale value found")
      return keep(self, key, shown(stale), generation, again, options), nil, 4
    end
    return nil, tostring(err)
  end
  ttl = ttl_of(self, options, value, ttl)
  if ttl < 0 then
    return value, nil, 3
  end
  local kept, why = keep(self, key, value, generation, ttl, options)
  if why then
    return nil, why
  end
  return kept, nil, 3
end

-- Of all workers one loads a value, where code can wait: whether this one has the lock (false: it loads without); else
-- nothing, and what another has loaded, or why it is not there.
local function lock(self, key, options)
  if not self.locks or not slot.at.may_wait then
    return false
  end
  local name, began, pause = "mlcache:" .. self.prefix .. key, native.monotonic(), 0.001
  while true do
    local got, why = self.locks:add(name, true, LOCKED)
    if not got and why ~= "exists" then
      return false
    end
    local value, is_stale, level, _, _, err = find(self, key, options)
    local is_there = err or value ~= nil and not is_stale
    if got and not is_there then
      return true
    elseif got then
      self.locks:delete(name)
    end
    if err then
      return nil, nil, nil, err
    elseif is_there then
      return nil, shown(value), level
    elseif native.monotonic() - began >= self.patience then
      return nil, nil, nil, "could not acquire callback lock: timeout"
    end
    ngx.sleep(pause)
    pause = math.min(pause * 2, 0.1)
  end
end

function cache:get(key, options, callback, ...)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  elseif callback ~= nil and type(callback) ~= "function" then
    error("callback must be nil or a function", 2)
  end
  options = options or {}
  is_time(options.ttl, "ttl")
  is_time(options.neg_ttl, "neg_ttl")
  local value, is_stale, level, _, _, err = find(self, key, options)
  while (value == nil or is_stale) and callback and self.loading[key] do
    local others = self.loading[key]
    local ok, why = others:wait(self.patience)
    if not ok then
      -- Who was about to load it may have been ended meanwhile.
      if self.loading[key] == others then
        self.loading[key] = nil
      end
      return nil, "could not acquire callback lock: " .. tostring(why)
    end
    value, is_stale, level, _, _, err = find(self, key, options)
  end
  if err then
    return nil, err
  elseif value ~= nil and not is_stale then
    return shown(value), nil, level
  elseif not callback then
    return nil, nil, -1
  end
  local others = semaphore.new()
  self.loading[key] = others
  local locked, found, from_there, refused = lock(self, key, options)
  local loaded, why, from
  if locked == nil then
    loaded, why, from = found, refused, from_there
  else
    loaded, why, from = load(self, key, options, value, callback, ...)
    if locked then
      self.locks:delete("mlcache:" .. self.prefix .. key)
    end
  end
  self.loading[key] = nil
  others:post(10000)
  return loaded, why, from
end

function cache:get_bulk(bulk)
  if type(bulk) ~= "table" then
    error("bulk must be a table", 2)
  elseif type(bulk.n) ~= "number" then
    error("bulk must have n field", 2)
  end
  local results = { n = bulk.n * 3 }
  for operation = 1, bulk.n do
    local from, to = operation * 4 - 3, operation * 3 - 2
    results[to], results[to + 1], results[to + 2] =
      self:get(bulk[from], bulk[from + 1], bulk[from + 2], bulk[from + 3])
  end
  return results
end

-- Operations of which `n` says how many there are.
local bulks = {}
bulks.__index = bulks
function bulks:add(key, options, callback, argument)
  local from = self.n * 4
  self[from + 1], self[from + 2], self[from + 3], self[from + 4] = key, options, callback, argument
  self.n = self.n + 1
end
function cache.new_bulk() return setmetatable({ n = 0 }, bulks) end

-- Goes through results of `get_bulk`: which operation, the value, an error, and where it was found.
function cache.each_bulk_res(results)
  if type(results) ~= "table" or type(results.n) ~= "number" then
    error("res must have res.n field; is this a get_bulk() result?", 2)
  end
  local operation = 0
  return function()
    operation = operation + 1
    local at = operation * 3 - 2
    if at <= results.n then
      return operation, results[at], results[at + 1], results[at + 2]
    end
  end
end

-- Who has nobody to tell that something has changed cannot change it.
local function tells(self)
  if not self.tells then
    error("no ipc to propagate update, specify opts.ipc_shm or opts.ipc", 3)
  end
end

-- How long a value is good, the value, and whether it is over already.
function cache:peek(key, stale)
  local value, is_stale, _, expires, ttl = find(self, key, {})
  if value == nil or is_stale and not stale then
    return nil
  end
  if not expires then
    local here = self.lru:get(key)
    expires = here and here.expires or 0
  end
  return expires > 0 and expires - native.now() or ttl or 0, nil, shown(value), is_stale
end

function cache:set(key, options, value)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  tells(self)
  options = options or {}
  native.invalidate(self.prefix .. key)
  local _, err = keep(self, key, value, native.generation(self.prefix .. key), ttl_of(self, options, value), options)
  if err then
    return nil, err
  end
  return tell(self, self.told, key)
end

function cache:delete(key)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  tells(self)
  native.invalidate(self.prefix .. key)
  self.lru:delete(key)
  self.dict:delete(self.prefix .. key)
  self.misses:delete(self.prefix .. key)
  return tell(self, self.told, key)
end

function cache:purge()
  tells(self)
  self.lru:flush_all()
  self.dict:flush_all()
  self.misses:flush_all()
  native.invalidate(self.prefix ~= "" and self.prefix or nil)
  return tell(self, self.purged, "")
end

-- Other workers see what was changed without being told; of other nodes the caller's functions hear.
function cache:update(timeout)
  if not self.tells then
    error("no polling configured, specify opts.ipc_shm or opts.ipc.poll", 2)
  end
  if self.ipc then
    local ok, err = self.ipc.poll(timeout)
    if not ok then
      return nil, "could not poll ipc events: " .. tostring(err)
    end
  end
  return true
end

return cache
