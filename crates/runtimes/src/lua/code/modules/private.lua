-- kong.pdk.private.phases and kong.pdk.private.checks: what plugins of one's own check their callers by.
local name, slot = ...
local band, bor = bit.band, bit.bor
local type, tostring, pairs, ipairs, error = type, tostring, pairs, ipairs, error
local fmt = string.format
local modules = {}

modules["kong.pdk.private.phases"] = function()
  local known = { error = 0x1000000, client_hello = 0x8, cluster_listener = 0x100 }
  for phase, number in pairs(slot.pdk.phases) do
    known[phase] = number
  end
  local phases = { phases = known }
  for phase, number in pairs(slot.pdk.phases) do
    known[number] = phase
  end
  function phases.new(...)
    local all = 0
    for _, phase in ipairs { ... } do
      all = bor(all, phase)
    end
    return all
  end
  phases.check = function(accepted) slot.pdk.check(accepted, 2) end
  function phases.check_not(refused)
    local phase = slot.at.bit
    if phase == 0 then
      error("no phase in ngx.ctx.KONG_PHASE", 3)
    elseif band(phase, refused) ~= 0 then
      error(fmt("function cannot be called in %s phase (can be called in any phases except: %s)",
        slot.pdk.names_of(phase), slot.pdk.names_of(refused)), 3)
    end
  end
  phases.public_phases = setmetatable({
    request = slot.pdk.of("rewrite access balancer response header_filter body_filter log error admin_api"),
  }, { __index = function(_, phase) error("unknown phase or phase alias: " .. tostring(phase)) end })
  return phases
end

modules["kong.pdk.private.checks"] = function()
  local checks = {}
  local function filled(value) return value == "" and " " or value end
  function checks.normalize_header(value) return type(value) == "string" and filled(value) or tostring(value) end
  function checks.normalize_multi_header(value)
    if type(value) ~= "table" then
      return checks.normalize_header(value)
    end
    local values = {}
    for place, one in ipairs(value) do
      values[place] = filled(one)
    end
    return values
  end
  function checks.validate_header(header, value)
    slot.pdk.check_header(header, value, 3)
    return (type(value) == "number" or type(value) == "boolean") and tostring(value) or value
  end
  function checks.validate_headers(headers) slot.pdk.check_headers(headers) end
  return checks
end

return modules[name]()
