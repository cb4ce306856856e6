-- `kong.cache`: values that plugins load once. What one worker invalidates, and what a change of a record concerns, is
-- loaded anew by all of them, on all nodes.
local slot = ...
local native = slot.native
local mlcache = require "resty.mlcache"
local type, error = type, error

local FOREVER, RESURRECTED = 0, 30
local values = mlcache.new("kong_db_cache", "kong_db_cache", {
  lru_size = 10000, ttl = FOREVER, neg_ttl = FOREVER, resurrect_ttl = RESURRECTED, bare_keys = true,
  -- How long one waits for another who loads the same.
  resty_lock_opts = { timeout = 30 },
})
local cache = { mlcache = values }

function cache:get(key, options, callback, ...)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  return values:get(key, options, callback, ...)
end

function cache:get_bulk(bulk) return values:get_bulk(bulk) end

function cache:probe(key)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  local ttl, err, value = values:peek(key)
  return ttl, err, value
end

function cache:safe_set(key, value) return values:set(key, nil, value) end

function cache:renew(key, options, callback, ...)
  values:delete(key)
  return values:get(key, options, callback, ...)
end

function cache:invalidate(key)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  values:delete(key)
  if native.shares_database then
    native.announce("invalidations", key)
  end
end

function cache:invalidate_local(key)
  if type(key) ~= "string" then
    error("key must be a string", 2)
  end
  values:delete(key)
end

function cache:purge() return values:purge() end

kong.cache, kong.core_cache = cache, cache
