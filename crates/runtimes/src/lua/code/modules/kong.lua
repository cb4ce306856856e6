-- Small modules of Kong's own.
local name, slot = ...
local native = slot.native
local modules = {}

modules["kong.workspaces"] = function()
  return {
    get_workspace_id = function() return ngx.ctx.workspace or kong.default_workspace end,
    set_workspace = function(workspace) ngx.ctx.workspace = workspace and workspace.id end,
    get_workspace = function() return kong.db.workspaces:select { id = ngx.ctx.workspace or kong.default_workspace } end,
    get_workspace_name = function()
      local id = ngx.ctx.workspace or kong.default_workspace
      local found = id ~= kong.default_workspace and kong.db.workspaces:select { id = id }
      return found and found.name or "default"
    end,
    is_workspaceable = function(entity) return kong.db[entity] and kong.db[entity].schema.workspaceable end,
  }
end

-- As vaults of one's own call it.
modules["kong.vaults.env"] = function()
  local function get(config, resource, version)
    local name = (type(config.prefix) == "string" and config.prefix or "") .. resource
    return os.getenv(name:gsub("-", "_"):upper() .. (version == 2 and "_PREVIOUS" or ""))
  end
  return { VERSION = require("kong.meta").version, init = function() end, get = get }
end

modules["kong.tools.gzip"] = function()
  return { deflate_gzip = function(text) return native.deflate(text, "gzip") end,
    inflate_gzip = function(text) return native.inflate(text, "gzip") end }
end

modules["kong.tools.mime_type"] = function()
  local mime = {}
  -- The type, the one below it, and the parameters of a media type.
  function mime.parse_mime_type(given)
    if given == "*" then
      return "*", "*", {}
    end
    local TOKEN = "[^%c%s()<>@,;:\\\"/%[%]?={}\127-\255]+"
    local kind, below, rest = tostring(given):match("^(" .. TOKEN .. ")/(" .. TOKEN .. ")(.*)$")
    if not kind and tostring(given):sub(1, 1) == "*" then
      kind, below, rest = "*", "*", tostring(given):sub(2)
    end
    local params = {}
    while kind and rest ~= "" do
      local key, behind = rest:match("^[ \t]*;[ \t]*(" .. TOKEN .. ")=(.*)$")
      local quoted, left = (behind or ""):match('^"(.-[^\\])"(.*)$')
      if not quoted then
        quoted, left = (behind or ""):match('^"()"(.*)$')
        quoted = quoted and ""
      end
      local value = quoted
      if not value then
        value, left = (behind or ""):match("^(" .. TOKEN .. ")(.*)$")
      end
      if not key or not value then
        return nil
      end
      params[key:lower()], rest = value, left
    end
    if not kind then
      return nil
    end
    return kind:lower(), below:lower(), params
  end
  -- Whether all that is of the other type is of this one, which may have `*` for a part, or be what that is written in.
  function mime.includes(this, other)
    if type(this) ~= "table" then
      error("this must be a table", 2)
    elseif type(other) ~= "table" then
      error("other must be a table", 2)
    end
    local is_within = this.subtype == other.subtype or this.subtype == "*"
      or type(this.subtype) == "string" and not this.subtype:find("+", 1, true)
        and tostring(other.subtype):sub(-#this.subtype - 1) == "+" .. this.subtype
    return this.type == "*" or this.type == other.type and is_within
  end
  return mime
end

-- Nobody is told anything.
modules["kong.reports"] = function()
  return setmetatable({}, { __index = function() return function() return nil end end })
end

-- The level of the log in nginx's numbers; it is set where the node's is.
modules["resty.kong.log"] = function()
  local function level()
    for _, known in ipairs { { "debug", 8 }, { "info", 7 }, { "notice", 6 }, { "warn", 5 } } do
      if native.is_logged(known[1]) then
        return known[2]
      end
    end
    return 4
  end
  return {
    get_log_level = function() return level(), 0, level() end,
    set_log_level = function() return nil, "the level is that of the node" end,
  }
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

-- Code of configurations: what it sees depends on how far it is trusted (`untrusted_lua`).
modules["kong.tools.sandbox"] = function()
  local trusted = native.untrusted_lua
  local off = "loading of untrusted Lua code disabled because 'untrusted_lua' config option is set to 'off'"
  local configuration = { enabled = trusted ~= "off", sandbox_enabled = trusted == "sandbox", err_msg = off,
    environment = slot.sandboxed }
  function configuration.clear() end
  configuration.reload = configuration.clear
  local sandbox = { configuration = configuration }
  function sandbox.sandbox(code, options)
    if trusted == "off" then
      error(off, 2)
    elseif type(code) ~= "string" or code:byte() == 27 then
      error("the code is no text", 2)
    end
    local f, err = loadstring(code, options and options.chunk_name or "=code")
    if not f then
      error(err, 2)
    end
    local environment = setmetatable({}, { __index = function(_, key)
      local own = options and options.env and rawget(options.env, key)
      -- What is given from outside is seen as in the sandbox.
      if own ~= nil and own ~= _G[key] then
        return own
      end
      return slot.sandboxed[key]
    end })
    return setfenv(f, environment)
  end
  function sandbox.validate_function(code, options)
    local ok, f = pcall(sandbox.sandbox, code, options)
    if not ok then
      return false, "Error parsing function: " .. tostring(f)
    end
    local ran, returned = pcall(f)
    if not ran then
      return false, returned
    elseif type(returned) ~= "function" then
      return false, "Bad return value from function, expected function type, got " .. type(returned)
    end
    return returned
  end
  function sandbox.validate(code, options)
    local f, err = sandbox.validate_function(code, options)
    return f and true or false, err
  end
  function sandbox.validate_safe(code, options)
    local ok, err = pcall(sandbox.sandbox, code, options)
    if not ok then
      return false, "Error parsing function: " .. tostring(err)
    end
    return true
  end
  function sandbox.parse(code, options) return assert(sandbox.validate_function(code, options)) end
  return sandbox
end

-- Lines about limits that several plugins have to say of one response.
modules["kong.pdk.private.rate_limiting"] = function()
  local KEY, limits = "__rate_limiting_context__", {}
  function limits.store_response_header(ctx, key, value)
    if type(key) ~= "string" then
      error("arg #2 `key` for function `store_response_header` must be a string, got " .. type(key), 2)
    elseif type(value) ~= "number" and type(value) ~= "string" then
      error("arg #3 `value` for function `store_response_header` must be a string or a number, got " .. type(value), 2)
    end
    ctx[KEY] = ctx[KEY] or {}
    ctx[KEY][key] = value
  end
  function limits.get_stored_response_header(ctx, key) return ctx[KEY] and ctx[KEY][key] end
  function limits.apply_response_headers(ctx)
    for key, value in pairs(ctx[KEY] or {}) do
      ngx.header[key] = tostring(value)
    end
  end
  return limits
end

modules["kong.observability.tracing.request_id"] = function()
  return { get = function() return slot.at.asks and ngx.var.kong_request_id or nil end }
end

modules["kong.dynamic_hook"] = function()
  local nothing = function() end
  local hooks, enabled = {}, {}
  local hook = { always_enable = nothing, disable = nothing, hook_function = nothing }
  function hook.hook(group, name, f)
    hooks[group] = hooks[group] or {}
    hooks[group][name] = f
  end
  function hook.is_group_enabled(group) return enabled[group] == true end
  function hook.run_hook(group, name, ...)
    local f = enabled[group] and hooks[group] and hooks[group][name]
    if f then
      return f(...)
    end
  end
  function hook.enable_by_default(group) enabled[group] = true end
  function hook.disable_by_default(group) enabled[group] = nil end
  hook.enable, hook.enable_on_this_request = hook.enable_by_default, nothing
  -- What code logs is handed on where it is asked for: the place is that of who has called the log.
  local write, is_within = native.write, false
  local NUMBERS = { debug = 8, info = 7, notice = 6, warn = 5, err = 4, crit = 3, alert = 2, emerg = 1 }
  function native.write(level, line)
    write(level, line)
    if not is_within and enabled.observability_logs then
      is_within = true
      pcall(hook.run_hook, "observability_logs", "push", 6, nil, NUMBERS[level], line)
      is_within = false
    end
  end
  return hook
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

modules["lyaml"] = function()
  local lyaml = { null = slot.null }
  function lyaml.load(text, options)
    local document = native.yaml_read(text)
    return options and (options == true or options.all) and { document } or document
  end
  function lyaml.dump(documents)
    local texts = {}
    for i, document in ipairs(documents) do
      texts[i] = native.yaml_write(document)
    end
    return table.concat(texts)
  end
  return lyaml
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
