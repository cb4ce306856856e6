-- `kong.log`: lines in a format that says where they come from. Each plugin has a log of its own, with its name.
local slot = ...
local pdk = slot.pdk
local type, tostring, ipairs, error, setmetatable, select = type, tostring, ipairs, error, setmetatable, select
local native = slot.native
local concat = table.concat
local check, host, namespace, is_string, of = pdk.check, pdk.host, pdk.namespace, pdk.is_string, pdk.of

local PREFIX, WIDTH = "[kong] ", 120
local USUAL, USUAL_OF_PLUGINS = "%file_src:%line_src %message", "%file_src:%line_src [%namespace] %message"
local levels = { "debug", "info", "notice", "warn", "err", "crit", "alert", "emerg" }

local function file_of(info) return info.short_src and info.short_src:match("[^/]*$") end

local modifiers = {
  file_src = file_of,
  line_src = function(info) return info.currentline end,
  func_name = function(info) return info.name end,
}

-- What a format consists of: texts, and names of what is filled in. A modifier after another `%` is text.
local function parts_of(format, name)
  local parts, text_from, at = {}, 1, 1
  while true do
    local first, last, word = format:find("%%([a-z_]+)", at)
    if not first then
      break
    end
    local is_escaped = format:sub(first - 1, first - 1) == "%"
    if not is_escaped and (modifiers[word] or word == "message" or word == "namespace") then
      parts[#parts + 1] = { text = format:sub(text_from, first - 1) }
      parts[#parts + 1] = word == "namespace" and { text = name } or { word = word }
      text_from = last + 1
    end
    at = last + 1
  end
  parts[#parts + 1] = { text = format:sub(text_from) }
  for _, part in ipairs(parts) do
    parts.has_place = parts.has_place or part.word ~= nil and part.word ~= "message"
  end
  return parts
end

local function message_of(...)
  local count = select("#", ...)
  if count == 1 then
    return tostring((...))
  end
  local texts = { ... }
  for i = 1, count do
    texts[i] = tostring(texts[i])
  end
  return concat(texts)
end

-- A line of a log; the place in the code is that of who has called the caller of this.
local function line_of(parts, level, ...)
  local info = parts.has_place and (native.getinfo(level) or {})
  local out, message = { PREFIX }, message_of(...)
  for _, part in ipairs(parts) do
    if part.text then
      out[#out + 1] = part.text
    elseif part.word == "message" then
      out[#out + 1] = message
    else
      out[#out + 1] = tostring(modifiers[part.word](info) or "?")
    end
  end
  return concat(out)
end

-- Values as `inspect` shows them, in a box whose first line says where.
local function inspected(name, level, ...)
  local info, inspect = native.getinfo(level) or {}, require("inspect")
  local shown = {}
  for i = 1, select("#", ...) do
    shown[i] = inspect((select(i, ...)))
  end
  local where = PREFIX .. concat({ file_of(info) or "?", info.name or "?", info.currentline or "?" }, ":") .. " ["
    .. name .. "]"
  native.write("notice", where .. ("-"):rep(WIDTH + 1 - #where) .. "+")
  for line in (concat(shown, " ") .. "\n"):gmatch("(.-)\n") do
    repeat
      local piece = line:sub(1, WIDTH)
      line = line:sub(WIDTH + 1)
      native.write("notice", "|" .. piece .. (" "):rep(WIDTH - #piece) .. "|")
    until line == ""
  end
  native.write("notice", "+" .. ("-"):rep(WIDTH) .. "+")
end

local function deprecated(facility, ...)
  local count = select("#", ...)
  local options = select(count, ...)
  local words = {}
  for i = 1, type(options) == "table" and count - 1 or count do
    words[i] = tostring((select(i, ...)))
  end
  local why = {}
  if type(options) == "table" then
    why[1] = options.after and "deprecated after " .. tostring(options.after)
    why[#why + 1] = options.removal and "scheduled for removal in " .. tostring(options.removal)
  end
  local text = concat(words) .. (#why > 0 and " (" .. concat(why, ", ") .. ")" or "")
  if type(options) == "table" and options.trace then
    text = text .. " " .. native.traceback("", 3)
  end
  native.write("warn", line_of(facility().parts, 4, text))
end

-- A log; `facility` says by which name and in which format lines are written.
local function new_log(facility)
  local log, is_silent = {}, false
  for _, level in ipairs(levels) do
    log[level] = function(...)
      if native.is_logged(level) then
        native.write(level, line_of(facility().parts, 3, ...))
      end
    end
  end
  -- As in Kong, which writes it in its own tests only.
  function log.trace() end
  log.deprecation = setmetatable({ write = log.warn }, { 
    __call = function(_, ...) deprecated(facility, ...) end,
  })
  log.inspect = setmetatable({ on = function() is_silent = false end, off = function() is_silent = true end }, {
    __call = function(_, ...)
      if not is_silent and native.is_logged("notice") then
        inspected(facility().name, 3, ...)
      end
    end,
  })
  function log.set_format(format)
    is_string(format, "format")
    if format == "" then
      error("format cannot be an empty string", 2)
    end
    local of_log = facility()
    of_log.parts = parts_of(format, of_log.name)
  end
  return setmetatable(log, { __call = function(self, ...) return self.notice(...) end })
end

-- The logs of plugins by name, made when they are first written to; what is no plugin's goes without a name.
local core = { name = "core", parts = parts_of(USUAL, "core") }
local of_plugins = {}
local log = new_log(function()
  local name = slot.own.name
  if not name then
    return core
  end
  local facility = of_plugins[name]
  if not facility then
    facility = { name = name, parts = parts_of(USUAL_OF_PLUGINS, name) }
    of_plugins[name] = facility
  end
  return facility
end)

function log.new(name, format)
  is_string(name, "namespace")
  if name == "" then
    error("namespace cannot be an empty string", 2)
  elseif format ~= nil and type(format) ~= "string" then
    error("format must be a string if specified", 2)
  elseif format == "" then
    error("format cannot be an empty string if specified", 2)
  end
  local facility = { name = name, parts = parts_of(format or USUAL_OF_PLUGINS, name) }
  return new_log(function() return facility end)
end

local WITH_EXCHANGE = of("rewrite access balancer response header_filter body_filter log preread error")
local set_value = host("log.set_serialize_value")
function log.set_serialize_value(key, value, options)
  check(WITH_EXCHANGE)
  is_string(key, "key")
  local mode = type(options) == "table" and options.mode or "set"
  if mode ~= "set" and mode ~= "add" and mode ~= "replace" then
    error("mode must be 'set', 'add' or 'replace'", 2)
  end
  return set_value(key, value, mode)
end
namespace("log", of("log"), "serialize", log)

-- Lines of OpenResty's `ngx.log` and of `print`: with the place, too.
function slot.raw_log(level, stack, ...)
  if not native.is_logged(level) then
    return
  end
  local info = native.getinfo(stack) or {}
  local where = (file_of(info) or "?") .. ":" .. tostring(info.currentline or "?") .. ": "
  local call = info.what ~= "main" and info.name and info.name .. "(): " or ""
  native.write(level, "[lua] " .. where .. call .. message_of(...))
end

pdk.log = log
