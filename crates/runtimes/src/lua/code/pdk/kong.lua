-- `kong`: Kong's plugin development kit, and what of it is about the node.
local slot = ...
local pdk = slot.pdk
local type, pairs, error, setmetatable, rawset = type, pairs, error, setmetatable, rawset
local native = slot.native
local fmt = string.format
local namespace = pdk.namespace
local AUTHENTICATED = pdk.sets.AUTHENTICATED

local memory = { b = 0, k = 1, m = 2, g = 3 }
local function in_unit(octets, unit, scale)
  unit, scale = unit or "b", scale or 2
  local power = memory[unit:sub(1, 1):lower()]
  if type(scale) ~= "number" then
    error("scale must be a number", 3)
  elseif scale < 0 then
    error("scale must be equal or greater than 0", 3)
  elseif not power then
    error("invalid unit '" .. unit .. "' (expected 'k/K', 'm/M', or 'g/G')", 3)
  end
  if power == 0 then
    return octets
  end
  local suffix = ({ "KiB", "MiB", "GiB" })[power]
  return fmt("%." .. scale .. "f %s", octets / 1024 ^ power, suffix)
end

local is_stream = pdk.host("request.is_stream")
-- As nginx has it: streams are none of its HTTP.
function slot.subsystem()
  local name = slot.at.name
  slot.has_asked = true
  if slot.loads then
    return slot.loads
  end
  return (name == "preread" or name == "log" and slot.at.asks and is_stream()) and "stream" or "http"
end

_KONG = { _NAME = "kong", _VERSION = "3.10.0" }
kong = {
  version = "3.10.0",
  version_num = 3010000,
  client = pdk.client,
  cluster = { get_id = function() return native.node_id end },
  ctx = setmetatable({}, {
    __index = function(_, name)
      if name == "core" then
        return slot.ngx_ctx
      end
      if name == "shared" or name == "plugin" then
        return slot[name]
      end
      return slot.get_kept(name)
    end,
    __newindex = function(_, name, value) slot.set_kept(name, value) end,
    __metatable = false,
  }),
  ip = { is_trusted = native.is_trusted },
  log = pdk.log,
  nginx = {
    get_subsystem = slot.subsystem,
    get_statistics = function() return native.statistics() end,
  },
  node = {
    get_hostname = function() return native.hostname end,
    get_id = function() return native.node_id end,
    get_memory_stats = function(unit, scale)
      local octets = in_unit(collectgarbage("count") * 1024, unit, scale)
      return { workers_lua_vms = { { pid = native.pid, http_allocated_gc = octets } }, lua_shared_dicts = {} }
    end,
  },
  plugin = { get_id = function() return slot.own.id end },
  request = pdk.request,
  response = pdk.response,
  router = namespace("router", AUTHENTICATED, "get_route get_service"),
  service = pdk.service,
  table = {},
  telemetry = pdk.telemetry,
  websocket = pdk.websocket,
}

-- The settings of the node, and the tracer that follows from them.
setmetatable(kong, { __index = function(t, name)
  if name == "configuration" then
    local known = native.configuration()
    local configuration = known or {}
    -- Secrets are masked always.
    setmetatable(configuration, { __index = { remove_sensitive = function() return configuration end } })
    -- There may be none yet.
    if known then
      rawset(t, name, configuration)
    end
    return configuration
  elseif name == "tracing" then
    local tracer = slot.tracer()
    rawset(t, name, tracer)
    return tracer
  end
end })

function kong.table.new() return {} end

function kong.table.clear(t)
  for name in pairs(t) do
    t[name] = nil
  end
end

function kong.table.merge(first, second)
  local merged = {}
  for name, value in pairs(first or {}) do
    merged[name] = value
  end
  for name, value in pairs(second or {}) do
    merged[name] = value
  end
  return merged
end
