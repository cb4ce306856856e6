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
  router service table tracing telemetry websocket]])

-- What is there only when it is asked for: values that code has kept, and the settings of the node, without secrets.
local lazily = {}
function lazily.cache()
  local methods = {}
  for name in ("get get_bulk probe invalidate invalidate_local safe_set renew"):gmatch("%S+") do
    methods[name] = function(_, ...) return kong.cache[name](kong.cache, ...) end
  end
  return guarded(methods)
end
function lazily.configuration()
  return guarded(kong.configuration)
end
local found = {}

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
  table = guarded(table),
  kong = setmetatable({}, {
    __index = function(_, name)
      if lazily[name] and not found[name] then
        found[name] = lazily[name]()
      end
      return found[name] or usual_kong[name]
    end,
    __newindex = refuse, __metatable = false,
  }),
}

-- Neither what waits nor what lasts.
local hidden = { config = true, exec = true, location = true, shared = true, sleep = true, socket = true, thread = true,
  timer = true, worker = true }
local seen = {}
for name, value in pairs(ngx) do
  if not hidden[name] then
    seen[name] = type(value) == "table" and getmetatable(value) ~= false and guarded(value) or value
  end
end
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

-- Tables by way of `setmetatable` are the code's own business, but not those of others.
local real_setmetatable, real_getmetatable = setmetatable, getmetatable
sandbox.getmetatable = function(value)
  if type(value) == "string" then
    return nil
  end
  return real_getmetatable(value)
end
sandbox.setmetatable = real_setmetatable

-- What the operator has named: modules, and globals or members of tables (`table.name`).
local modules, globals = {}, {}
for _, name in ipairs(slot.sandbox_modules) do
  modules[name] = true
end
function sandbox.require(name)
  if not modules[name] then
    error("require '" .. tostring(name) .. "' not allowed within sandbox", 2)
  end
  return require(name)
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
