-- What code finds in `kong.ctx` and `ngx.ctx` that it has not put there itself.
local slot = ...
local pdk = slot.pdk
local type, pairs, rawset, setmetatable, getmetatable = type, pairs, rawset, setmetatable, getmetatable
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
local set_proxied = host("response.set_proxied")
local function set(ctx, name, value)
  if name == "authenticated_groups" and slot.at.asks and (value == nil or type(value) == "table") then
    set_groups(value)
  else
    rawset(ctx, name, value)
  end
end
slot.of_plugins = { __newindex = set, __index = function(_, name)
  if name == "authenticated_groups" and slot.at.asks then
    return groups()
  elseif name == "authenticated_jwt_token" and slot.at.asks then
    return token()
  end
end }

-- Who calls, as code has said it: a table for each context, so that nothing is told apart from what was never said.
local callers = setmetatable({}, { __mode = "k" })
function slot.identify(ctx, consumer, credential)
  callers[ctx] = { authenticated_consumer = consumer, authenticated_credential = credential }
  authenticate(consumer, credential)
end

local function caller(ctx, name, find)
  local said = callers[ctx]
  if said then
    return said[name]
  end
  return find(ctx)
end

-- Requests know of a credential by what it is found. The whole record is asked of the store, where code can wait, and kept
-- as others are that plugins load.
local wholes = setmetatable({}, { __mode = "k" })

local function load_whole(dao, id)
  local record, err = dao:select({ id = id })
  return record, err or not record and "it is not there any more" or nil
end

local function copy_of(value)
  if type(value) ~= "table" then
    return value
  end
  local copy = setmetatable({}, getmetatable(value))
  for key, inner in pairs(value) do
    copy[key] = copy_of(inner)
  end
  return copy
end

local function credential_of(ctx)
  local record = found.credential()
  local entity = record and record.entity
  if not entity then
    return record
  end
  record.entity = nil
  local whole = wholes[ctx]
  if whole and whole.id == record.id then
    return whole
  elseif not slot.at.may_wait then
    return record
  end
  local dao = slot.entity(entity)
  whole = dao and kong.cache:get(dao:cache_key(record.id), nil, load_whole, dao, record.id)
  if not whole then
    return record
  end
  whole = copy_of(whole)
  wholes[ctx] = whole
  return whole
end

-- What authentication has found is in `ngx.ctx`, too, as Kong's own plugins have it.
slot.of_exchange = { __newindex = function(ctx, name, value)
  -- So plugins of long ago say who calls, and that nobody does.
  if name == "authenticated_consumer" and slot.at.asks then
    slot.identify(ctx, value, ctx.authenticated_credential)
  elseif name == "authenticated_credential" and slot.at.asks then
    slot.identify(ctx, ctx.authenticated_consumer, value)
  elseif name == "KONG_PROXIED" and slot.at.asks and not slot.at.other then
    -- So caches say that the response is the service's.
    set_proxied(value == true)
    rawset(ctx, name, value)
  else
    set(ctx, name, value)
  end
end, __index = function(ctx, name)
  if slot.at.bit == 0 then
    return nil
  end
  local value
  if name == "KONG_PHASE" then
    return slot.at.bit
  elseif not slot.at.asks then
    return nil
  elseif name == "authenticated_groups" then
    value = groups()
  elseif name == "authenticated_consumer" then
    value = caller(ctx, name, found.consumer)
  elseif name == "authenticated_credential" then
    value = caller(ctx, name, credential_of)
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
