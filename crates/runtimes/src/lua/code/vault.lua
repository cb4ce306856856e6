-- `kong.vault`: what references (`{vault://...}`) stand for.
local slot = ...
local native = slot.native
local lrucache = require "resty.lrucache"
local type, error, pairs, tostring, tonumber = type, error, pairs, tostring, tonumber

-- How long a worker goes by what it knows of a secret, in seconds, where nothing else is said.
local KEPT = 60
-- By reference: the value (false: there is none), why, until when, and until when it is good where it cannot be renewed.
local known = lrucache.new(1000)
local vault = {}

function vault.is_reference(text)
  return type(text) == "string" and text:find("^{vault://.*}$") ~= nil
end

-- The segments of a path, and whether it ends with a slash.
local function segments_of(path)
  local segments = {}
  for segment in path:gmatch("[^/]+") do
    segments[#segments + 1] = ngx.unescape_uri(segment)
  end
  return segments, path:sub(-1) == "/"
end

-- The parts of a reference.
function vault.parse_reference(text)
  local function wrong(why) return nil, why .. " [" .. tostring(text) .. "]" end
  if not vault.is_reference(text) then
    return wrong("not a reference")
  end
  local rest, version, config = text:sub(10, -2), nil, nil
  local before, fragment = rest:match("^([^#]*)#(.*)$")
  if before then
    rest, version = before, tonumber(fragment, 10)
  end
  local path, query = rest:match("^([^?]*)%?(.*)$")
  path = path or rest
  local name, resource = path:match("^([^/]*)/(.*)$")
  name = name or path
  if name == "" then
    return wrong("reference url is missing host")
  elseif not resource then
    return wrong("reference url is missing path")
  elseif resource == "" then
    return wrong("reference url has empty path")
  elseif before and not version then
    return wrong("reference url has invalid version")
  end
  local segments, is_directory = segments_of(resource)
  local count, key = #segments, nil
  if count == 0 then
    return wrong("reference url has invalid path")
  elseif count > 1 and not is_directory then
    key, segments[count] = segments[count], nil
  end
  if query and query ~= "" then
    config = ngx.decode_args(query)
  end
  return { name = name, resource = table.concat(segments, "/"), key = key, config = config, version = version }
end

-- Asks for a secret. Where that fails, what was known before may go on for a while.
local function fetch(text, before)
  local now = native.monotonic()
  -- Read first: what has changed meanwhile is asked for anew.
  local generation = native.generation("vaults:" .. (text:match("^{vault://([^/}]*)") or ""))
  local secret, err, ttl, resurrect_ttl = slot.wait("secret", text)
  if secret then
    local until_ = now + (ttl or KEPT)
    known:set(text, { secret, nil, until_, resurrect_ttl and until_ + resurrect_ttl or nil, generation })
    return secret
  end
  if before and before[1] and before[4] and now < before[4] then
    return before[1]
  end
  if err and not err:find("^could not find vault") and not err:find("^not a reference") and not err:find("^reference url") then
    err = "could not get value from external vault (" .. err .. ")"
  end
  -- For a secret that is not there the time to live is the negative one.
  if ttl then
    known:set(text, { false, err, now + ttl, nil, generation })
  end
  return nil, err
end

function vault.get(text)
  if not vault.is_reference(text) then
    return nil, "not a reference [" .. tostring(text) .. "]"
  end
  local entry = known:get(text)
  if entry and native.generation("vaults:" .. (text:match("^{vault://([^/}]*)") or "")) ~= entry[5] then
    entry = nil
  end
  if entry and native.monotonic() < entry[3] then
    return entry[1] or nil, entry[2]
  end
  return fetch(text, entry)
end

-- Calls a function with each reference in `$refs` of a table and of those in it, and with the place of its value.
local function each_reference(options, callback)
  if type(options) ~= "table" then
    return
  end
  for name, value in pairs(options) do
    if name ~= "$refs" and type(value) == "table" then
      each_reference(value, callback)
    end
  end
  local references = options["$refs"]
  for name, reference in pairs(type(references) == "table" and references or {}) do
    if type(reference) == "string" then
      callback(reference, options, name)
    elseif type(reference) == "table" and type(options[name]) == "table" then
      for key, inner in pairs(reference) do
        callback(inner, options[name], key)
      end
    end
  end
end

-- The values of a table's references, as they are now; empty texts for those that cannot be had.
function vault.update(options)
  -- What is waited for in between must not change what is being looked through.
  local found = {}
  each_reference(options, function(reference, place, name) found[#found + 1] = { reference, place, name } end)
  for _, one in ipairs(found) do
    local secret, err = vault.get(one[1])
    if not secret and err then
      kong.log.warn("error updating secret reference ", (one[1]:gsub("%?.*$", "?...}")), ": ", err)
    end
    one[2][one[3]] = secret or ""
  end
  return options
end

-- Once more with secrets that are known to be new, where it has failed.
function vault.try(callback, options)
  local references = {}
  each_reference(options, function(reference) references[#references + 1] = reference end)
  if #references == 0 then
    return callback(options)
  end
  vault.update(options)
  local result = callback(options)
  if result then
    return result
  end
  for _, reference in ipairs(references) do
    local entry = known:get(reference)
    -- An old value may still be better than none.
    if entry then
      entry[3] = 0
    end
  end
  vault.update(options)
  return callback(options)
end

function vault.flush() known:flush_all() end
-- What references stand for is fetched when it is asked for.
function vault.warmup() end
function vault.init_worker() end

kong.vault = vault
