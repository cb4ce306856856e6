-- Small modules of Kong's own.
local name, slot = ...
local native = slot.native
local modules = {}

modules["kong.workspaces"] = function()
  return {
    get_workspace_id = function() return ngx.ctx.workspace or kong.default_workspace end,
    set_workspace = function(workspace) ngx.ctx.workspace = workspace and workspace.id end,
    is_workspaceable = function(entity) return kong.db[entity] and kong.db[entity].schema.workspaceable end,
  }
end

-- What schemas ask of Kong's own: fields with others laid over them, and functions that judge values.
modules["kong.db.schema"] = function()
  local function define(field)
    return setmetatable(field, { __call = function(self, over)
      local laid = {}
      for key, value in pairs(self) do
        laid[key] = value
      end
      for key, value in pairs(over or {}) do
        laid[key] = value
      end
      return laid
    end })
  end
  local function is_regex(value)
    local _, err = ngx.re.match("", value)
    return not err, err and "not a valid regex: " .. value or nil
  end
  return { define = define, validators = { is_regex = is_regex } }
end

modules["kong.tools.gzip"] = function()
  return { deflate_gzip = function(text) return native.deflate(text, "gzip") end,
    inflate_gzip = function(text) return native.inflate(text, "gzip") end }
end

modules["kong.tools.mime_type"] = function()
  local mime = {}
  -- The type, the one below it, and the parameters of a media type.
  function mime.parse_mime_type(text)
    local kind, below, rest = tostring(text):match("^%s*([^/%s;]+)/([^/%s;]+)%s*(.*)$")
    if not kind then
      return nil
    end
    local params = {}
    for key, value in rest:gmatch(";%s*([^=%s]+)=\"?([^;\"]*)\"?") do
      params[key:lower()] = key:lower() == "charset" and value:lower() or value
    end
    return kind:lower(), below:lower(), params
  end
  -- Whether all that is of the other type is of this one, which may have `*` for a part.
  function mime.includes(this, other)
    return this.type == "*" or this.type == other.type and (this.subtype == "*" or this.subtype == other.subtype)
  end
  return mime
end

-- Nobody is told anything.
modules["kong.reports"] = function()
  return setmetatable({}, { __index = function() return function() return nil end end })
end

modules["kong.concurrency"] = function()
  local locks = {}
  -- One after the other in this worker, in the order in which they come.
  local function with_mutex(options, f)
    local lock = locks[options.name] or { semaphore = slot.semaphore.new(1), users = 0 }
    locks[options.name], lock.users = lock, lock.users + 1
    local ok, err = lock.semaphore:wait(options.timeout or 60)
    local value, why
    if ok then
      local ran
      ran, value, why = pcall(f)
      lock.semaphore:post()
      if not ran then
        value, why = nil, value
      end
    else
      why = err
    end
    lock.users = lock.users - 1
    locks[options.name] = lock.users > 0 and lock or nil
    return value, why
  end
  return { with_worker_mutex = with_mutex, with_coroutine_mutex = with_mutex }
end

-- What plugins of Kong 2 are made from. A phase that a plugin does not have is nothing to call for its child only.
modules["kong.plugins.base_plugin"] = function()
  local base = {}
  base.__index = base
  function base:new(plugin) self._name = plugin end
  function base:extend()
    local class = setmetatable({}, { __index = self, __call = function(class)
      local object = setmetatable({}, class)
      object:new()
      return object
    end })
    class.__index = class
    class.super = setmetatable({}, { __index = function(_, phase) return self[phase] or function() end end })
    return class
  end
  return base
end

modules["lfs"] = function()
  local lfs = { _VERSION = "LuaFileSystem 1.8.0" }
  function lfs.attributes(path, wanted)
    local attributes, err = native.file_attributes(path)
    if not attributes then
      return nil, err
    elseif type(wanted) == "string" then
      return attributes[wanted]
    end
    return attributes
  end
  lfs.symlinkattributes = lfs.attributes
  function lfs.dir(path)
    local names, err = native.folder(path)
    if not names then
      error("cannot open " .. path .. ": " .. tostring(err), 2)
    end
    local at, object = 0, {}
    function object:next()
      at = at + 1
      return names[at]
    end
    function object:close() names = {} end
    return object.next, object
  end
  function lfs.currentdir() return native.current_folder() end
  function lfs.mkdir(path) return native.make_folder(path) end
  function lfs.rmdir(path) return native.remove_folder(path) end
  return lfs
end

return modules[name]()
