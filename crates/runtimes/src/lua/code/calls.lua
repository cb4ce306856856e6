-- Calls of functions by name, for plugins that run elsewhere: all of `kong`, and what Kong offers to such plugins only.
local slot = ...
local kong, ngx, native = kong, ngx, slot.native
local type, error, unpack = type, error, table.unpack or unpack

local own = {
  ["kong.log.serialize"] = function() return native.json_encode(kong.log.serialize()) end,
  ["kong.nginx.get_var"] = function(name) return ngx.var[name] end,
  ["kong.nginx.get_tls1_version_str"] = function() return ngx.var.ssl_protocol end,
  ["kong.nginx.get_ctx"] = function(name) return ngx.ctx[name] end,
  ["kong.nginx.set_ctx"] = function(name, value) ngx.ctx[name] = value end,
  ["kong.nginx.req_start_time"] = function() return ngx.req.start_time() end,
  ["kong.ctx.shared.get"] = function(name) return kong.ctx.shared[name] end,
  ["kong.ctx.shared.set"] = function(name, value) kong.ctx.shared[name] = value end,
}

local function find(name)
  local at
  for part in name:gmatch("[^.]+") do
    if at == nil then
      at = part == "kong" and kong or nil
    elseif type(at) == "table" then
      at = at[part]
    else
      return nil
    end
    if at == nil then
      return nil
    end
  end
  return at
end

-- Arguments come in a table, for coroutines begin with a few values only.
return function(name, arguments, count)
  local f = own[name] or find(name)
  if type(f) ~= "function" and type(f) ~= "table" then
    error("there is no function " .. name, 0)
  end
  return f(unpack(arguments, 1, count))
end
