-- What code finds in `kong.ctx` and `ngx.ctx` that it has not put there itself.
local slot = ...
local pdk = slot.pdk
local type, pairs, rawset = type, pairs, rawset
local host = pdk.host

local authenticate = host("client.authenticate")
local found = {
  consumer = host("client.get_consumer"), credential = host("client.get_credential"),
  route = host("router.get_route"), service = host("router.get_service"),
  captures = host("request.get_uri_captures"), host = host("request.get_host"), workspace = host("ngx.workspace"),
}

-- What bundled plugins tell others in `kong.ctx.shared`, and are told by them.
local groups, token = host("client.authenticated_groups"), host("client.authenticated_token")
local set_groups = host("client.set_authenticated_groups")
local function set(ctx, name, value)
  if name == "authenticated_groups" and slot.asks and (value == nil or type(value) == "table") then
    set_groups(value)
  else
    rawset(ctx, name, value)
  end
end
slot.of_plugins = { __newindex = set, __index = function(_, name)
  if name == "authenticated_groups" and slot.asks then
    return groups()
  elseif name == "authenticated_jwt_token" and slot.asks then
    return token()
  end
end }

-- What authentication has found is in `ngx.ctx`, too, as Kong's own plugins have it.
slot.of_exchange = { __newindex = function(ctx, name, value)
  set(ctx, name, value)
  -- So plugins of long ago say who calls.
  if (name == "authenticated_consumer" or name == "authenticated_credential") and slot.asks then
    authenticate(ctx.authenticated_consumer, ctx.authenticated_credential)
  end
end, __index = function(ctx, name)
  if slot.phase == 0 then
    return nil
  end
  local value
  if name == "KONG_PHASE" then
    return slot.phase
  elseif not slot.asks then
    return nil
  elseif name == "authenticated_groups" then
    value = groups()
  elseif name == "authenticated_consumer" then
    value = found.consumer()
  elseif name == "authenticated_credential" then
    value = found.credential()
  elseif name == "route" then
    value = found.route()
  elseif name == "service" then
    value = found.service()
  elseif name == "router_matches" then
    local captures = found.captures()
    value = captures and { uri_captures = captures.named, host = found.host() }
    for place, text in pairs(captures and captures.unnamed or {}) do
      value.uri_captures[place] = text
    end
  elseif name == "workspace" then
    value = found.workspace()
  elseif name == "KONG_SPANS" then
    value = slot.spans()
  else
    value = slot.timing(ctx, name)
  end
  return value
end }
