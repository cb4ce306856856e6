-- What Kong notes in `ngx.ctx` of a request's way (`KONG_ACCESS_START`, `KONG_WAITING_TIME` and the like, in
-- milliseconds), worked out for who asks. The gateway notes when it turned to a service and when that had answered;
-- phases between these take no time of their own.
local slot = ...
local times, source = slot.pdk.host("request.get_times"), slot.pdk.host("response.get_source")
local rawget, rawset = rawget, rawset

-- How far a request is in each phase, by the place of those that are timed.
local PLACES = { PREREAD = 1, REWRITE = 1, ACCESS = 2, BALANCER = 3, RESPONSE = 4, HEADER_FILTER = 5, BODY_FILTER = 6, LOG = 7 }
local REACHED = {
  preread = 1, rewrite = 1, access = 2, ws_handshake = 2, response = 4, header_filter = 5, body_filter = 6,
  ws_client_frame = 6, ws_upstream_frame = 6, log = 7, ws_close = 7,
}
local HEAD, BODY = PLACES.HEADER_FILTER, PLACES.BODY_FILTER

-- The time when this was asked for first.
local function noted(ctx, name, now)
  local time = rawget(ctx, name)
  if not time then
    time = now
    rawset(ctx, name, time)
  end
  return time
end

-- When the response had come, or was made.
local function answered(ctx, t)
  return t.answered or noted(ctx, "KONG_HEADER_FILTER_START", t.now)
end

-- When each began; nothing of one that a request has not come to.
local begun = {
  PREREAD = function(_, t) return t.stream and t.started end,
  REWRITE = function(_, t) return not t.stream and t.started end,
  ACCESS = function(_, t) return not t.stream and t.started end,
  BALANCER = function(_, t) return t.proxied end,
  RESPONSE = function(_, t) return t.held and t.answered end,
  HEADER_FILTER = function(ctx, t) return not t.stream and answered(ctx, t) end,
  BODY_FILTER = function(ctx, t) return not t.stream and answered(ctx, t) end,
  LOG = function(ctx, t) return noted(ctx, "KONG_LOG_START", t.now) end,
}
-- When each had ended, where that is not when it began.
local ended = {
  PREREAD = function(ctx, t) return t.proxied or begun.LOG(ctx, t) end,
  ACCESS = function(ctx, t) return t.proxied or answered(ctx, t) end,
  BODY_FILTER = function(ctx, t) return begun.LOG(ctx, t) end,
}

local found = {}
for name, place in pairs(PLACES) do
  local function start(ctx, t, reached)
    return (reached >= place or name == "BALANCER" and t.proxied) and begun[name](ctx, t) or nil
  end
  local function finish(ctx, t, reached)
    local from = (reached > place or name == "BALANCER" and t.proxied) and begun[name](ctx, t)
    return from and (ended[name] or begun[name])(ctx, t) or nil
  end
  found["KONG_" .. name .. "_START"], found["KONG_" .. name .. "_ENDED_AT"] = start, finish
  found["KONG_" .. name .. "_TIME"] = function(ctx, t, reached)
    local to = finish(ctx, t, reached)
    return to and to - begun[name](ctx, t)
  end
end

function found.KONG_PROCESSING_START(_, t) return t.started end
function found.KONG_PROXIED(_, t) return t.proxied and true or nil end
function found.KONG_PROXY_LATENCY(_, t) return t.proxied and t.proxied - t.started end
function found.KONG_RESPONSE_LATENCY(ctx, t, reached)
  return not t.proxied and reached >= HEAD and answered(ctx, t) - t.started or nil
end
function found.KONG_WAITING_TIME(_, t) return t.proxied and t.answered and t.answered - t.proxied end
function found.KONG_RECEIVE_TIME(ctx, t, reached)
  return t.answered and not t.stream and reached > BODY and begun.LOG(ctx, t) - t.answered or nil
end
function found.host_port(_, t) return t.port end
-- Whether an answer was made in place of the service's.
function found.KONG_EXITED() return source() == "exit" or nil end

-- What is to be found under that name, if it is one of these.
function slot.timing(ctx, name)
  local find = found[name]
  local reached = find and REACHED[slot.at.name]
  return reached and find(ctx, times(), reached)
end
