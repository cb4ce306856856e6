-- `kong.worker_events` and `kong.cluster_events`: what workers, and what nodes, tell each other.
local slot = ...
local native = slot.native
local cjson = require "cjson.safe"
local type, error, tostring, ipairs, pairs = type, error, tostring, ipairs, pairs

-- Functions by source and name of events; `*` stands for all names.
local takers = {}
local worker_events = { _VERSION = "2.0.0" }

local function of(source, name)
  takers[source] = takers[source] or {}
  takers[source][name] = takers[source][name] or {}
  return takers[source][name]
end

function worker_events.register(callback, source, ...)
  if type(callback) ~= "function" then
    error("expected function, got: " .. type(callback), 2)
  elseif type(source) ~= "string" then
    error("source is required", 2)
  end
  native.listen()
  for _, name in ipairs { (...) or "*", select(2, ...) } do
    local list = of(source, name)
    list[#list + 1] = callback
  end
  return true
end
worker_events.register_weak, worker_events.subscribe = worker_events.register, function(source, name, callback)
  return worker_events.register(callback, source, name)
end

function worker_events.unregister(callback, source, ...)
  for _, name in ipairs { (...) or "*", select(2, ...) } do
    local list = of(source, name)
    for i = #list, 1, -1 do
      if list[i] == callback then
        table.remove(list, i)
      end
    end
  end
  return true
end

local function deliver(source, name, data)
  for _, key in ipairs { name, "*" } do
    for _, callback in ipairs(of(source, key)) do
      local ok, err = pcall(callback, data, name, source, native.pid)
      if not ok then
        kong.log.err("worker-events: event callback failed; source=", source, ", event=", name, ": ", tostring(err))
      end
    end
  end
  return true
end

-- What a change leaves out is nothing to who takes it.
local function taken(data)
  for name, value in pairs(type(data) == "table" and data or {}) do
    data[name] = value ~= slot.null and value or nil
  end
  return data
end

function slot.take_event(source, name, data)
  local decoded = cjson.decode(data)
  return deliver(source, name, source == "crud" and taken(decoded) or decoded)
end

function worker_events.post(source, name, data)
  if type(source) ~= "string" or type(name) ~= "string" then
    return nil, "source and event are required"
  end
  local text, err = cjson.encode(data)
  if not text then
    return nil, err
  end
  local most = tonumber((kong.configuration or {}).worker_events_max_payload) or 65535
  if #text > most or not native.post_event(source, name, text) then
    return nil, "failed to publish event: payload exceeds the limitation (" .. most .. ")"
  end
  return true
end
worker_events.publish = worker_events.post

function worker_events.post_local(source, name, data) return deliver(source, name, data) end
function worker_events.poll() return "done" end
function worker_events.configured() return true end

kong.worker_events = worker_events

-- Who tells other nodes is not told itself; on each of them one worker is. Where no other node has the same database
-- there is nobody to tell.
local cluster_events = {}

function cluster_events.subscribe(_, channel, callback)
  if type(channel) ~= "string" then
    return error("channel must be a string", 2)
  elseif type(callback) ~= "function" then
    return error("callback must be a function", 2)
  end
  native.hear(channel)
  return worker_events.register(function(data) callback(data) end, "cluster_events", channel)
end

function cluster_events.broadcast(_, channel, data)
  if type(channel) ~= "string" then
    return nil, "channel must be a string"
  elseif type(data) ~= "string" then
    return nil, "data must be a string"
  elseif not native.shares_database then
    return true
  end
  return slot.wait("broadcast", channel, data)
end

kong.cluster_events = cluster_events
