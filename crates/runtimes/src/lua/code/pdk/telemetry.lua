-- `kong.telemetry`: records for collectors to whom opentelemetry sends what the node logs.
local slot = ...
local pdk = slot.pdk
local native = slot.native
local type, pairs = type, pairs
local tell = pdk.host("telemetry.log")

local telemetry = {}

function telemetry.log(plugin_name, plugin_config, message_type, message, attributes)
  if type(plugin_name) ~= "string" then
    return nil, "plugin_name must be a string"
  elseif type(plugin_config) ~= "table" then
    return nil, "plugin_config must be a table"
  elseif type(message_type) ~= "string" then
    return nil, "message_type must be a string"
  elseif message and type(message) ~= "string" then
    return nil, "message must be a string"
  elseif attributes and type(attributes) ~= "table" then
    return nil, "attributes must be a table"
  elseif not native.has_telemetry() then
    return nil, "Telemetry logging is disabled: log entry will not be recorded. Ensure the OpenTelemetry plugin is "
      .. "correctly configured to report logs in order to use this feature."
  end
  local caller, all = native.getinfo(2) or {}, {}
  for field, name in pairs { currentline = "current.line", name = "name", namewhat = "namewhat", source = "source",
    what = "what" } do
    all["introspection." .. name] = caller[field]
  end
  for name, value in pairs(attributes or {}) do
    all[name] = value
  end
  all["message.type"], all["plugin.name"] = message_type, plugin_name
  all["plugin.id"], all["plugin.instance.name"] = plugin_config.__plugin_id, plugin_config.plugin_instance_name
  if slot.at.asks and not slot.at.other then
    tell(message, all)
  else
    native.telemetry(message, all)
  end
  return true
end

pdk.telemetry = telemetry
