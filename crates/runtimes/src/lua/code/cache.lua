-- `kong.cache`: values that plugins load once. Each worker has its own; what one of them invalidates is loaded anew by
-- all of this node.
local slot = ...
local lrucache, semaphore = require "resty.lrucache", slot.semaphore
local type, error, pcall, tostring = type, error, pcall, tostring

local SIZE = 10000
local MISS_TTL = 30
-- How long one waits for another who loads the same.
local PATIENCE = 30
local values, loading = lrucache.new(SIZE), {}
local cache = {}

local function generations() return ngx.shared.kong_db_cache end

local function generation(key)
  local all = generations():get("all") or 0
  return all .. ":" .. (generations():get("key:" .. key) or 0)
end

-- What is there and has not been invalidated: an entry whose value may be nil.
local function known(key)
  local entry = values:get(key)
  return entry and entry.generation == generation(key) and entry or nil
end

local function keep(key, value, before, ttl)
  ttl = ttl ~= 0 and ttl or nil
  values:set(key, { value = value, generation = before }, ttl)
  return value
end

local function load(key, options, callback, ...)
  local before = generation(key)
  local ok, value, err, ttl = pcall(callback, ...)
  if not ok then
    return nil, "callback threw an error: " .. tostring(value)
  elseif err then
    return nil, err
  end
  if type(ttl) ~= "number" then
    ttl = value == nil and (options.neg_ttl or MISS_TTL) or options.ttl
  end
  return keep(key, value, before, ttl)
end

function cache:get(key, options, callback, ...)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  local entry = known(key)
  while not entry and loading[key] do
    local ok, err = loading[key]:wait(PATIENCE)
    if not ok then
      return nil, "could not acquire callback lock: " .. tostring(err)
    end
    entry = known(key)
  end
  if entry then
    return entry.value, nil, 1
  elseif not callback then
    return nil
  end
  local others = semaphore.new()
  loading[key] = others
  local value, err = load(key, options or {}, callback, ...)
  loading[key] = nil
  others:post(1000)
  return value, err, 3
end

function cache:probe(key)
  local entry = known(key)
  if entry then
    return 0, nil, entry.value
  end
end

function cache:safe_set(key, value)
  keep(key, value, generation(key))
  return true
end
cache.renew = function(self, key, ...)
  self:invalidate(key)
  return self:get(key, ...)
end

function cache:invalidate(key)
  values:delete(key)
  generations():incr("key:" .. key, 1, 0)
end
cache.invalidate_local = cache.invalidate

function cache:purge()
  values:flush_all()
  generations():incr("all", 1, 0)
end

kong.cache, kong.core_cache = cache, cache
