-- What single entities of `kong.db` have beyond the rest, as Kong's do, and records by the keys of caches.
local slot = ...
local null = slot.null
local type, tostring, error, ipairs, pairs, setmetatable = type, tostring, error, ipairs, pairs, setmetatable
local of_entity = {}

-- A key of a cache is found by what it says: the fields of the key, each by its place.
local function fields_of(schema, key)
  local names = schema.cache_key
  local rest = key:sub(1, #schema.name + 1) == schema.name .. ":" and key:sub(#schema.name + 2)
  if not rest then
    return nil
  end
  local values, workspace = rest:match("^(.*):([^:]*)$")
  local found = {}
  for place = 5, 2, -1 do
    local before, value = (values or ""):match("^(.*):([^:]*)$")
    if not before then
      return nil
    end
    found[place], values = value, before
  end
  found[1] = values
  return found, workspace, names
end

local function is_of(row, names, found)
  for place, name in ipairs(names) do
    local value = row[name]
    value = type(value) == "table" and value.id or value
    value = (value == nil or value == null) and "" or tostring(value)
    if value ~= found[place] then
      return false
    end
  end
  return true
end

-- The record of a key as `cache_key` makes it, or of the fields that such a key is made of.
function slot.select_by_cache_key(self, key, options)
  local schema = self.schema
  local names = schema.cache_key
  if not names or #names == 0 then
    error("entity does not have a cache_key defined", 3)
  end
  local found
  if type(key) == "table" then
    found = {}
    for place, name in ipairs(names) do
      local value = key[name]
      value = type(value) == "table" and value.id or value
      found[place] = (value == nil or value == null) and "" or tostring(value)
    end
  else
    found = fields_of(schema, key)
  end
  if #names == 1 then
    return self["select_by_" .. names[1]](self, found and found[1] or key, options)
  elseif not found then
    return nil
  end
  -- By a reference, if the key has one: else all are looked at.
  local rows = self.each
  local first, reference = 1000, nil
  for place, name in ipairs(names) do
    if schema.fields[name].type == "foreign" and found[place] ~= "" and self["each_for_" .. name] then
      rows, first, reference = self["each_for_" .. name], { id = found[place] }, 1000
      break
    end
  end
  local next_row
  if reference then
    next_row = rows(self, first, reference, options)
  else
    next_row = rows(self, first, options)
  end
  for row, err in next_row do
    if err then
      return nil, err
    elseif is_of(row, names, found) then
      return row
    end
  end
end

-- Keys: what they are good for, and keys of caches without a workspace.
function of_entity.keys(methods)
  function methods.cache_key(_, key)
    if type(key) ~= "table" then
      error("key must be a table", 2)
    end
    return "keys:" .. tostring(key.kid) .. ":" .. (type(key.set) == "table" and key.set.id or "")
  end
  function methods.select_by_cache_key(self, key, options)
    local kid, set = nil, nil
    if type(key) == "table" then
      kid, set = key.kid, type(key.set) == "table" and key.set.id or ""
    else
      kid, set = key:match("^keys:(.*):([^:]*)$")
    end
    for row, err in self:each(1000, options) do
      local own = type(row) == "table" and type(row.set) == "table" and row.set.id or ""
      if err then
        return nil, err
      elseif row.kid == kid and own == set then
        return row
      end
    end
  end
  local function half(part)
    return function(_, key)
      local pkey = require "resty.openssl.pkey"
      local given, format, err
      if type(key.jwk) == "string" then
        given, format = key.jwk, "JWK"
      elseif type(key.pem) == "table" then
        local text = key.pem[part .. "_key"]
        -- The public half is in the private key, too.
        given, format = text ~= null and text or part == "public" and key.pem.private_key or nil, "PEM"
      end
      if type(given) ~= "string" then
        return nil, "could not load a " .. part .. " key from public key material"
      end
      given, err = pkey.new(given, { format = format })
      if not given then
        return nil, "could not load pkey. " .. tostring(err)
      elseif part == "private" and not given:is_private() then
        return nil, "could not load a private key from public key material"
      end
      return given:tostring(part, format)
    end
  end
  methods.get_pubkey, methods.get_privkey = half("public"), half("private")
end

local function has(list, wanted)
  for _, value in ipairs(type(list) == "table" and list or {}) do
    if value == wanted then
      return true
    end
  end
  return false
end

-- Records that refer to a CA certificate, so many at most.
local function by_ca_certificate(lists)
  return function(self, id, limit, names)
    local wanted = {}
    for _, name in pairs(type(names) == "table" and names or { names }) do
      wanted[name] = true
    end
    local found = setmetatable({}, slot.native.array_mt)
    for row, err in self:each(1000, { workspace = null }) do
      if err then
        return nil, err
      elseif limit and #found >= limit then
        break
      elseif (names == nil or wanted[row.name]) and has(lists(row), id) then
        found[#found + 1] = row
      end
    end
    return found
  end
end
function of_entity.services(methods)
  methods.select_by_ca_certificate = by_ca_certificate(function(service) return service.ca_certificates end)
end
function of_entity.plugins(methods)
  methods.select_by_ca_certificate = by_ca_certificate(function(plugin)
    return type(plugin.config) == "table" and plugin.config.ca_certificates
  end)
end

-- Tags of all records: with the entity and the id of each.
local tags = {}
local function page_of_tags(named, size, offset, options)
  local wrong
  size, wrong = slot.page_size(size, offset, options)
  if not size then
    return slot.failed(wrong)
  end
  local found = setmetatable({}, slot.native.array_mt)
  repeat
    local rows, following = slot.wait("db.page", slot.workspace_of(options), named, math.min(size - #found, 1000),
      offset or "")
    if rows == nil then
      return slot.failed(following)
    end
    for _, row in ipairs(rows) do
      found[#found + 1] = row
    end
    offset = following
  until not offset or #found >= size
  return found, nil, nil, offset
end
function tags:page(size, offset, options) return page_of_tags("tags", size, offset, options) end
function tags:page_by_tag(tag, size, offset, options)
  if type(tag) ~= "string" then
    error("tag must be a string", 2)
  end
  return page_of_tags("tags:" .. tag, size, offset, options)
end
local function each_of_tags(named, size, options)
  return slot.iterate(function(offset)
    local rows, err, _, following = page_of_tags(named, size, offset, options)
    return rows, err, following
  end)
end
function tags:each(size, options) return each_of_tags("tags", size, options) end
function tags:each_by_tag(tag, size, options) return each_of_tags("tags:" .. tostring(tag), size, options) end
for _, verb in ipairs { "insert", "update", "upsert", "delete" } do
  tags[verb] = function()
    return slot.failed(require("kong.db.errors").new():schema_violation {
      tags = "does not support insert/upsert/update/delete operations" })
  end
end
slot.tags = tags

function slot.add_methods(name, methods)
  if of_entity[name] then
    of_entity[name](methods)
  end
end
