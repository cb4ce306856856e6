-- `kong.vault`: what references (`{vault://...}`) stand for.
local slot = ...
local lrucache = require "resty.lrucache"
local type, error = type, error

-- How long a worker goes by what it knows of a secret, in seconds.
local KEPT = 60
local known = lrucache.new(1000)
local vault = {}

function vault.is_reference(text)
  return type(text) == "string" and text:find("^{vault://.+}$") ~= nil
end

-- The parts of a reference.
function vault.parse_reference(text)
  if not vault.is_reference(text) then
    return nil, "not a reference"
  end
  local name, resource, query = text:match("^{vault://([^/%?]+)/?([^%?]*)%??(.*)}$")
  if not name or resource == "" then
    return nil, "reference url is missing path"
  end
  local path, key, version = resource:match("^([^#]-)/?([^/#]*)#?(%d*)$")
  if path == "" then
    path, key = key, nil
  end
  return { name = name, reference = text, resource = path, key = key, version = tonumber(version),
    config = query ~= "" and ngx.decode_args(query) or nil }
end

function vault.get(text)
  if not vault.is_reference(text) then
    return nil, "not a reference"
  end
  local secret = known:get(text)
  if secret then
    return secret
  end
  local err
  secret, err = slot.wait("secret", text)
  if secret then
    known:set(text, secret, KEPT)
  end
  return secret, err
end

-- The values of a table's references, which are in `$refs`, as they are now.
function vault.update(options)
  if type(options) ~= "table" then
    error("options must be a table", 2)
  end
  for name, reference in pairs(options["$refs"] or {}) do
    local secret = vault.get(reference)
    options[name] = secret or options[name]
  end
  return options
end

-- Once more with secrets that are known to be new, where it has failed.
function vault.try(callback, options)
  local result, err = callback(options)
  if result then
    return result
  end
  known:flush_all()
  if options then
    vault.update(options)
  end
  result, err = callback(options)
  return result, err
end

function vault.flush() known:flush_all() end
-- What references stand for is fetched when it is asked for.
function vault.warmup() end
function vault.init_worker() end

kong.vault = vault
