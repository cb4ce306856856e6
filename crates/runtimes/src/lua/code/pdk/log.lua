-- `kong.log`.
local slot = ...
local pdk = slot.pdk
local type, tostring, ipairs, error, setmetatable = type, tostring, ipairs, error, setmetatable
local native = slot.native
local check, host, namespace, is_string, of = pdk.check, pdk.host, pdk.namespace, pdk.is_string, pdk.of

local log = {}
for _, level in ipairs { "debug", "info", "notice", "warn", "err", "crit", "alert", "emerg" } do
  log[level] = function(...) return native.log(level, ...) end
end
log.deprecation = setmetatable({ write = function(...) return native.log("warn", ...) end }, {
  __call = function(_, message, options)
    local words = tostring(message)
    if type(options) == "table" and options.after then
      words = words .. " (deprecated after " .. tostring(options.after) .. ")"
    end
    return native.log("warn", words)
  end,
})
log.inspect = setmetatable({ on = function() end, off = function() end }, {
  __call = function(_, ...) return native.inspect(...) end,
})
log.set_format = function() end
function log.new(namespace, format)
  is_string(namespace, "namespace")
  if namespace == "" then
    error("namespace cannot be an empty string", 2)
  elseif format ~= nil and type(format) ~= "string" then
    error("format must be a string if specified", 2)
  elseif format == "" then
    error("format cannot be an empty string if specified", 2)
  end
  return log
end
setmetatable(log, { __call = function(_, ...) return native.log("notice", ...) end })
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

pdk.log = log
