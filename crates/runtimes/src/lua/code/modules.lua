-- `require`: the run time's own modules, then files, then what stands in for modules that are not there.
local slot = ...
local loadstring, setfenv = loadstring, setfenv

-- Where what plugins are made of has to be known: texts of files that have been read.
slot.read = false

-- Names of modules that files have.
local of_files = {}

local function note(text)
  if slot.read then
    slot.read[#slot.read + 1] = text
  end
end

-- The file of a module and its text, as they were when this process first looked.
local function file_of(name, path) return slot.native.module_file(path, name) end

-- Adds the texts of files that code may load later.
function slot.reach()
  local known, at = {}, 0
  while at < #slot.read and at < 1000 do
    at = at + 1
    for name in slot.read[at]:gmatch("require%s*%(?%s*[\"']([%w_.%-]+)[\"']") do
      if not known[name] and not package.preload[name] then
        local file, text = file_of(name, package.path)
        if file then
          note(text)
        end
      end
      known[name] = true
    end
  end
end

-- The handler of a plugin, in the phase in which Kong loads it, and the one for streams, where there are any and it has
-- asked meanwhile which of the two it is for: what files have is loaded anew for that.
local INIT = { bit = 0, name = "init", asks = false, may_wait = false }
local function loaded(name, subsystem)
  local at = slot.at
  slot.at, slot.loads, slot.has_asked = INIT, subsystem, false
  local ok, handler = pcall(require, name)
  slot.at, slot.loads = at, nil
  if not ok then
    error(handler, 0)
  end
  return handler
end
-- The same once more, for streams.
local function loaded_anew(name)
  local kept = {}
  for module in pairs(of_files) do
    kept[module], package.loaded[module] = package.loaded[module], nil
  end
  local ok, of_streams = pcall(loaded, name, "stream")
  for module in pairs(of_files) do
    package.loaded[module] = kept[module]
  end
  return ok, of_streams
end

function slot.load_handler(name)
  local handler = loaded(name, "http")
  local listeners = slot.has_asked and (slot.native.configuration() or {}).stream_listeners
  if type(listeners) ~= "table" or #listeners == 0 then
    return handler
  end
  local ok, of_streams = loaded_anew(name)
  if not ok then
    error(of_streams, 0)
  end
  return handler, of_streams
end

-- What a handler that has just been loaded is for streams, if it has asked. One that cannot be that is not.
function slot.handler_of_streams(name)
  if slot.has_asked then
    local ok, handler = loaded_anew(name)
    return ok and type(handler) == "table" and handler or nil
  end
end

-- Tables that LuaJIT and OpenResty add to Lua.
local function additions()
  function table.new() return {} end
  package.preload["table.new"] = function() return table.new end
  function table.clear(t)
    for name in pairs(t) do
      t[name] = nil
    end
  end
  package.preload["table.clear"] = function() return table.clear end
  function table.isempty(t) return next(t) == nil end
  function table.isarray(t)
    for name in pairs(t) do
      if type(name) ~= "number" or name % 1 ~= 0 then
        return false
      end
    end
    return true
  end
  function table.nkeys(t)
    local count = 0
    for _ in pairs(t) do
      count = count + 1
    end
    return count
  end
  function table.clone(t)
    local copy = {}
    for name, value in pairs(t) do
      copy[name] = value
    end
    return copy
  end
  for _, name in pairs { "isempty", "isarray", "nkeys", "clone" } do
    package.preload["table." .. name] = function() return table[name] end
  end
  debug = { traceback = slot.native.traceback, getinfo = slot.native.getinfo }
  package.loaded.debug, package.loaded.ngx = debug, ngx
end

local MISSING = "not among what the gateway brings of Penlight: install that (luarocks install penlight)"

-- A part of Penlight, which has what plugins use: what it has not is an error that says so, not a surprise.
function slot.partial(name, module)
  return setmetatable(module, { __index = function(_, key)
    if type(key) == "string" and not key:find("^_") then
      error(name .. "." .. key .. " is " .. MISSING .. " where lua_package_path finds it", 2)
    end
  end })
end

return function(own, spare, path)
  additions()
  package.path = path or package.path
  for name, text in pairs(own) do
    package.preload[name] = function() return assert(loadstring(text, "=" .. name))(name, slot) end
  end
  local loaders = package.loaders
  for i = #loaders, 2, -1 do
    loaders[i] = nil
  end
  loaders[2] = function(name)
    local file, text = file_of(name, package.path)
    if not file then
      return text
    end
    local f, err = loadstring(text, "@" .. file)
    if not f then
      error("error loading module '" .. name .. "' from file '" .. file .. "':\n\t" .. err, 0)
    end
    note(text)
    of_files[name] = true
    return f
  end
  -- What the gateway itself needs of those, whatever the operator has of that name.
  function slot.spare(name) return assert(loadstring(spare[name], "=" .. name))(name, slot) end
  loaders[3] = function(name)
    local text = spare[name]
    if not text and name:find("^pl%.") then
      return "\n\t" .. MISSING
    end
    return text and function() return assert(loadstring(text, "=" .. name))(name, slot) end
  end
end
