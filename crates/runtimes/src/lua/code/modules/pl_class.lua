-- What stands in for parts of Penlight where it is not installed: classes and templates.
local name, slot = ...
local type, tostring, pairs, loadstring = type, tostring, pairs, loadstring
local setmetatable, getmetatable, rawget, rawset = setmetatable, getmetatable, rawget, rawset
local modules = {}

modules["pl.class"] = function()
  -- Calls `_init` of a class, or of the one that it is based on; `self:super(...)` is that of the latter.
  local function construct(class, object, ...)
    local init, base = rawget(class, "_init"), rawget(class, "_base")
    if not init then
      return base and construct(base, object, ...)
    end
    local before = rawget(object, "super")
    rawset(object, "super", base and function(self, ...) return construct(base, self, ...) end)
    local made = init(object, ...)
    rawset(object, "super", before)
    return made
  end
  local function is_a(object, class)
    local at = getmetatable(object)
    if class == nil then
      return at
    end
    while at do
      if at == class then
        return true
      end
      at = rawget(at, "_base")
    end
    return false
  end
  local function new(base, extra)
    local class = {}
    for key, value in pairs(base or {}) do
      if key ~= "_init" then
        class[key] = value
      end
    end
    class._base, class._class, class.is_a = base, nil, is_a
    for key, value in pairs(extra or {}) do
      class[key] = value
    end
    class._class, class.__index = class, extra and extra.__index or class
    class.class_of = function(_, object) return type(object) == "table" and is_a(object, class) or false end
    class.cast = function(_, object) return setmetatable(object, class) end
    return setmetatable(class, { __call = function(_, ...)
      local object = class._create and class._create(...) or {}
      setmetatable(object, class)
      local made = construct(class, object, ...)
      return made and setmetatable(made, class) or object
    end, __newindex = function(t, key, value)
      if key == "_handler" then
        rawset(t, "__index", function(object, wanted)
          local known = t[wanted]
          if known == nil then
            known = value(object, wanted)
          end
          return known
        end)
      else
        rawset(t, key, value)
      end
    end })
  end
  -- `class(base)`, `class.Name(base)`, and `class { methods }`.
  local function made(given, named)
    if type(given) == "table" and rawget(given, "_class") == nil and (rawget(given, "_init") or rawget(given, "_base")
      or next(given) ~= nil) then
      local class = new(rawget(given, "_base"), given)
      class._name = named
      return class
    end
    local class = new(given)
    class._name = named
    return class
  end
  return setmetatable({}, { __call = function(_, given) return made(given) end, __index = function(_, named)
    return function(given)
      local class = made(given, named)
      -- A class with a name is a global one, where code may have such.
      rawset(getfenv(2), named, class)
      return class
    end
  end })
end

modules["pl.template"] = function()
  local template = {}
  -- The end of what is in brackets, from the place of the first one on.
  local function closing(text, at, open, close)
    local depth = 0
    for place = at, #text do
      local character = text:sub(place, place)
      depth = depth + (character == open and 1 or character == close and -1 or 0)
      if depth == 0 then
        return place
      end
    end
  end
  local function text_code(out, text, options)
    local open, close = options.inline_brackets:sub(1, 1), options.inline_brackets:sub(2, 2)
    local at = 1
    while true do
      local from = text:find(options.inline_escape .. open, at, true)
      local to = from and closing(text, from + #options.inline_escape, open, close)
      local before = text:sub(at, from and to and from - 1 or nil)
      if before ~= "" then
        out[#out + 1] = ("__put(%q) "):format(before):gsub("\\\n", "\\n")
      end
      if not to then
        return
      end
      out[#out + 1] = "__value(" .. text:sub(from + #options.inline_escape + 1, to - 1) .. ") "
      at = to + 1
    end
  end
  local function code_of(text, options)
    local out = {}
    for line in text:gmatch("[^\n]*\n?") do
      local code = line:match("^%s*" .. options.escape:gsub("%W", "%%%0") .. "(.*)$")
      if code then
        out[#out + 1] = code:gsub("\n?$", "\n")
      elseif line ~= "" then
        text_code(out, line, options)
      end
    end
    return table.concat(out)
  end
  local function options_of(given, prefix)
    local function option(key, usual)
      local value = rawget(given, prefix .. key)
      return value == nil and usual or value
    end
    return { escape = option("escape", "#"), inline_escape = option("inline_escape", "$"),
      inline_brackets = option("inline_brackets", "()"), chunk_name = option("chunk_name", "TMP") }
  end
  local function render(self, env, parent, debug)
    local out = {}
    local function put(text) out[#out + 1] = text end
    local own = { __put = put, __value = function(value) put(tostring(value == nil and "" or value)) end }
    setmetatable(own, { __index = function(_, key)
      local value = env and env[key]
      if value == nil and parent then
        value = parent[key]
      end
      return value
    end })
    local made, err = loadstring(self.code, self.chunk_name)
    if not made then
      return nil, err, debug and self.code or nil
    end
    local ok
    ok, err = pcall(setfenv(made, own))
    if not ok then
      return nil, err, debug and self.code or nil
    end
    return table.concat(out), nil, debug and self.code or nil
  end
  function template.compile(text, given)
    local options = options_of(given or {}, "")
    local code = code_of(text, options)
    local made, err = loadstring(code, options.chunk_name)
    if not made then
      return nil, err, code
    end
    return { code = code, chunk_name = options.chunk_name, render = render }
  end
  function template.substitute(text, env)
    env = env or {}
    local options = options_of(env, "_")
    local one = { code = code_of(text, options), chunk_name = options.chunk_name }
    local made, err = render(one, env, rawget(env, "_parent"), rawget(env, "_debug"))
    if not made then
      return nil, err, one.code
    end
    return made, nil, rawget(env, "_debug") and one.code or nil
  end
  return template
end

local module = modules[name]()
return getmetatable(module) and module or slot.partial(name, module)
