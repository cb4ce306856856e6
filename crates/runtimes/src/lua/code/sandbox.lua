-- What code of configurations sees where it is not trusted (`untrusted_lua = sandbox`).
local slot = ...
local log = kong.log
local rep = string.rep

local longest = 16 * 1024 * 1024
local function limited_rep(text, count, ...)
  if type(count) == "number" and #tostring(text) * count > longest then
    error("string.rep: the result is too long", 2)
  end
  return rep(text, count, ...)
end
string.rep = limited_rep

local function refuse(_, name)
  error("cannot set '" .. tostring(name) .. "' of a table that is everybody's", 2)
end

-- What sandboxed code sees of a table: these names and no others, and the tables in it like itself. They are
-- everybody's, so that nobody may change them.
local function guarded(real, names)
  local seen = {}
  for name in pairs(real) do
    seen[name] = real[name]
  end
  if names then
    seen = {}
    for name in names:gmatch("%S+") do
      seen[name] = real[name]
    end
  end
  for name, value in pairs(seen) do
    local metatable = type(value) == "table" and getmetatable(value)
    -- Those with a metatable that shows itself to nobody look after themselves.
    if type(value) == "table" and metatable ~= false then
      seen[name] = guarded(value)
    end
  end
  local metatable = getmetatable(real)
  return setmetatable({}, {
    __index = seen, __newindex = refuse, __metatable = false,
    __call = metatable and metatable.__call and function(_, ...) return real(...) end,
  })
end

local usual_kong = guarded(kong, [[version version_num client cluster ctx ip log nginx node plugin request response
  router service table telemetry websocket]])

local sandbox = {
  _VERSION = _VERSION, assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall,
  print = log.notice, select = select, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
  xpcall = xpcall,
  bit = guarded(bit),
  coroutine = guarded(coroutine),
  io = guarded({ type = io.type }),
  math = guarded(math),
  os = guarded(os, "clock date difftime time"),
  string = guarded(string),
  -- Some of it comes later.
  table = setmetatable({}, {
    __index = function(_, name) return table[name] end, __newindex = refuse, __metatable = false,
  }),
  jit = guarded({ arch = jit.arch, os = jit.os, version = jit.version, version_num = jit.version_num }),
}

-- What it may read of records, of the cache, of vaults and of settings (secrets are not among these), which come later
-- than this.
local readable = {}
for name in ("certificates consumers keys plugins routes services snis targets upstreams"):gmatch("%S+") do
  readable[name] = true
end

-- Methods of a table, called on that table.
local function methods(of, shows)
  return setmetatable({}, {
    __index = function(_, name)
      local real = of()
      local method = type(name) == "string" and shows(name) and real[name]
      return method and function(_, ...) return method(real, ...) end or nil
    end,
    __newindex = refuse, __metatable = false,
  })
end
local cached = {}
for name in ("get get_bulk probe invalidate invalidate_local safe_set renew"):gmatch("%S+") do
  cached[name] = true
end
local later = {
  cache = methods(function() return kong.cache end, function(name) return cached[name] end),
  db = setmetatable({}, {
    __index = function(_, entity)
      return readable[entity] and methods(function() return kong.db[entity] end, function(name)
        return name == "select" or name == "cache_key" or name:find("^select_by_") ~= nil
      end) or nil
    end,
    __newindex = refuse, __metatable = false,
  }),
}
sandbox.kong = setmetatable({}, {
  __index = function(_, name)
    if name == "vault" and not later.vault then
      later.vault = guarded(kong.vault, "get is_reference parse_reference try update")
    elseif name == "configuration" and not later.configuration then
      later.configuration = guarded(kong.configuration)
    elseif name == "dns" and not later.dns then
      later.dns = guarded(kong.dns, "resolve toip")
    elseif name == "default_workspace" then
      return kong.default_workspace
    elseif name == "tracing" and not later.tracing then
      later.tracing = guarded(kong.tracing)
    end
    return usual_kong[name] or later[name]
  end,
  __newindex = refuse, __metatable = false,
})

local hidden = { shared = true }
local seen = {}
for name, value in pairs(ngx) do
  if not hidden[name] then
    seen[name] = type(value) == "table" and getmetatable(value) ~= false and guarded(value) or value
  end
end
-- Files of the machine are not the code's business.
local of_request = {}
for name, value in pairs(ngx.req) do
  of_request[name] = name ~= "set_body_file" and value or nil
end
seen.req = guarded(of_request)
-- Dictionaries are everybody's; what code makes of an object of one is its own business.
seen.shared = setmetatable({}, {
  __index = function(_, name)
    local dict = ngx.shared[name]
    return dict and setmetatable({ name = dict.name }, getmetatable(dict))
  end,
  __newindex = refuse, __metatable = false,
})
sandbox.ngx = setmetatable({}, {
  __index = function(_, name)
    local value = seen[name]
    if value == nil and not hidden[name] then
      return ngx[name]
    end
    return value
  end,
  __newindex = function(_, name, value)
    if name ~= "status" then
      error("cannot set 'ngx." .. tostring(name) .. "'", 2)
    end
    ngx.status = value
  end,
  __metatable = false,
})

-- Tables by way of `setmetatable` are the code's own business, but not those of others: what objects of modules have in
-- common is everybody's.
local real_setmetatable, real_getmetatable = setmetatable, getmetatable
local weak = { __mode = "k" }
local own, reals = setmetatable({}, weak), setmetatable({}, weak)
sandbox.getmetatable = function(value)
  local metatable = real_getmetatable(value)
  if type(metatable) == "table" and not own[metatable] then
    return nil
  end
  return metatable
end
sandbox.setmetatable = function(value, metatable)
  local known = type(value) == "table" and real_getmetatable(value)
  if type(known) == "table" and not own[known] then
    error("cannot change a protected metatable", 2)
  elseif metatable ~= nil and reals[metatable] then
    return real_setmetatable(value, reals[metatable])
  elseif type(metatable) == "table" then
    own[metatable] = true
  end
  return real_setmetatable(value, metatable)
end

-- What the operator has named: modules, and globals or members of tables (`table.name`).
local modules, globals = {}, {}
for _, name in ipairs(slot.sandbox_modules) do
  modules[name] = true
end
-- Those that Kong's sandbox offers; they are everybody's.
local offered = {}
for name in ([[bit cjson cjson.safe kong.concurrency kong.constants kong.meta kong.tools.cjson kong.tools.gzip
    kong.tools.ip kong.tools.mime_type kong.tools.rand kong.tools.sha256 kong.tools.string kong.tools.table
    kong.tools.time kong.tools.timestamp kong.tools.uri kong.tools.uuid kong.tools.yield lyaml ngx.base64 ngx.re ngx.req
    ngx.resp ngx.semaphore pl.stringx pl.tablex resty.ada resty.ada.search resty.evp resty.hmac resty.http resty.ipmatcher resty.jit-uuid
    resty.lock resty.lrucache resty.lrucache.pureffi resty.md5 resty.openssl resty.openssl.bn resty.openssl.cipher
    resty.openssl.digest resty.openssl.hmac resty.openssl.kdf resty.openssl.mac resty.openssl.pkey resty.openssl.rand
    resty.openssl.x509 resty.openssl.x509.chain resty.openssl.x509.store resty.random resty.redis resty.sha1
    resty.sha224 resty.sha256 resty.sha384 resty.sha512 resty.string table.clear table.clone table.isarray
    table.isempty table.new table.nkeys]]):gmatch("%S+") do
  offered[name] = true
end
local shown = setmetatable({}, weak)
local function unchangeable(real)
  if type(real) ~= "table" or real_getmetatable(real) == false then
    return real
  end
  local known = shown[real]
  if not known then
    local metatable = real_getmetatable(real)
    known = setmetatable({}, {
      __index = function(_, name) return unchangeable(real[name]) end, __newindex = refuse, __metatable = false,
      __call = metatable and metatable.__call and function(_, ...) return real(...) end,
    })
    shown[real], reals[known] = known, real
  end
  return known
end
function sandbox.require(name)
  if modules[name] then
    return require(name)
  elseif not offered[name] then
    error("require '" .. tostring(name) .. "' not allowed within sandbox", 2)
  end
  return unchangeable(require(name))
end

local function linked(real, named, shown)
  if type(real) ~= "table" then
    return named.whole and real or shown
  end
  local metatable = getmetatable(real)
  return setmetatable({}, {
    __index = function(_, name)
      local member = named.members[name]
      if named.whole then
        return real[name]
      elseif member then
        return linked(real[name], member, shown and shown[name])
      end
      return shown and shown[name]
    end,
    __newindex = refuse, __metatable = false,
    __call = named.whole and metatable and metatable.__call and function(_, ...) return real(...) end,
  })
end

for _, path in ipairs(slot.sandbox_globals) do
  local named = { members = globals }
  for name in path:gmatch("[^.]+") do
    named.members[name] = named.members[name] or { members = {} }
    named = named.members[name]
  end
  named.whole = true
end
-- Looked for when they are asked for: some come only later.
local usual = {}
for name in pairs(globals) do
  usual[name], sandbox[name] = sandbox[name], nil
end
setmetatable(sandbox, { __index = function(_, name)
  local named = globals[name]
  local value = named and linked(_G[name], named, usual[name])
  if value ~= nil then
    rawset(sandbox, name, value)
  end
  return value
end })

return sandbox
