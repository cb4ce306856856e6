-- `kong.tracing`: spans of plugins beside those of the gateway. A tracer of the gateway's hands all that is said of
-- spans on to the exchange (host/trace.rs), from which opentelemetry sends them; without `tracing_instrumentations`
-- there is a tracer that does nothing.
local slot = ...
local pdk = slot.pdk
local native = slot.native
local type, tostring, pairs, ipairs, error, setmetatable, getmetatable = type, tostring, pairs, ipairs, error,
  setmetatable, getmetatable
local rawget, rawset = rawget, rawset
local check, host, phases = pdk.check, pdk.host, pdk.phases
local INTERNAL = 1

local ask = {}
for _, name in ipairs { "id", "is_sampled", "sample", "active", "set_active", "spans", "add", "set_attribute",
  "add_event", "finish", "assign" } do
  ask[name] = host("trace." .. name)
end

local where = {
  rewrite = true, access = true, response = true, header_filter = true, body_filter = true, log = true,
  certificate = true, admin_api = true, ws_handshake = true, ws_close = true, ws_client_frame = true,
  ws_upstream_frame = true,
}

-- Whether there is an exchange whose spans can be asked for.
local function is_within() return slot.at.asks and not slot.at.other and where[slot.at.name] == true end

local function nothing() end

-- What a span is, apart from the span itself, so that what is assigned to its fields is noticed.
local data_of = setmetatable({}, { __mode = "k" })
-- The spans of a list by their ids.
local DATA = {}
local told = { trace_id = true, parent_id = true, status = true, name = true, kind = true, start_time_ns = true }
local methods = {}
local span_mt = {
  __index = function(span, name)
    local method = methods[name]
    if method then
      return method
    end
    return data_of[span][name]
  end,
  __newindex = function(span, name, value)
    local data = data_of[span]
    data[name] = value
    if data.is_kept and slot.at.asks then
      if name == "should_sample" and data.is_root then
        ask.sample(value ~= false)
      elseif told[name] then
        ask.assign(data.span_id, name, value)
      end
    end
  end,
}

local function new_span(data)
  local span = setmetatable({}, span_mt)
  data_of[span] = data
  return span
end

-- In the log phase spans are read, by `pairs` and copies as well: they are tables then, as Kong's are.
local OURS = { is_kept = true, is_root = true, is_plain = true }
local function plain(span)
  local data = data_of[span]
  for name, value in pairs(data) do
    if not OURS[name] then
      rawset(span, name, value)
    end
  end
  data.is_plain = true
end

local function check_options(options)
  if options == nil then
    return {}
  elseif type(options) ~= "table" then
    error("invalid options type", 3)
  elseif options.start_time_ns ~= nil and type(options.start_time_ns) ~= "number" then
    error("invalid start time", 3)
  elseif options.span_kind ~= nil and type(options.span_kind) ~= "number" then
    error("invalid start kind", 3)
  elseif options.should_sample ~= nil and type(options.should_sample) ~= "boolean" then
    error("invalid sampled", 3)
  elseif options.attributes ~= nil and type(options.attributes) ~= "table" then
    error("invalid attributes", 3)
  end
  return options
end

local function hand_on(data, name, ...)
  if data.is_kept and slot.at.asks then
    return ask[name](data.span_id, ...)
  end
end

function methods.finish(span, end_time_ns)
  local data = data_of[span]
  if data.end_time_ns ~= nil then
    return
  elseif end_time_ns ~= nil and type(end_time_ns) ~= "number" then
    error("invalid span end time", 2)
  elseif end_time_ns and end_time_ns < data.start_time_ns then
    pdk.log.err("invalid span duration: ", end_time_ns - data.start_time_ns, " for span: ", data.name)
    return
  end
  data.end_time_ns = end_time_ns or native.now_ns()
  if data.is_plain then
    rawset(span, "end_time_ns", data.end_time_ns)
  end
  local tracer = data.tracer
  if data.active and tracer and tracer.active_span() == span then
    tracer.set_active_span(data.parent)
    data.active = nil
  end
  hand_on(data, "finish", data.end_time_ns, data.attributes)
end

function methods.set_attribute(span, key, value)
  if type(key) ~= "string" then
    error("invalid key", 2)
  end
  local kind, data = type(value), data_of[span]
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" and kind ~= "table" and kind ~= "nil" then
    pdk.log.err(native.traceback("invalid span attribute value type: " .. kind, 2))
  end
  data.attributes = data.attributes or {}
  data.attributes[key] = value
  hand_on(data, "set_attribute", key, value)
end

function methods.add_event(span, name, attributes, time_ns)
  if type(name) ~= "string" then
    error("invalid name", 2)
  elseif attributes ~= nil and type(attributes) ~= "table" then
    error("invalid attribute", 2)
  end
  local data = data_of[span]
  local events = data.events or { [0] = 0 }
  local event = { name = name, time_ns = time_ns or native.now_ns(), attributes = attributes }
  events[0] = events[0] + 1
  events[events[0]], data.events = event, events
  hand_on(data, "add_event", name, event.time_ns, attributes)
end

function methods.record_error(span, err)
  span:add_event("exception", { ["exception.message"] = type(err) == "string" and err or tostring(err) })
end

function methods.set_status(span, status)
  if type(status) ~= "number" then
    error("invalid status", 2)
  end
  span.status = status
end

function methods.release() end
function methods.each_baggage_item() return nothing end

local noop_span = setmetatable({
  is_recording = false, finish = nothing, set_attribute = nothing, add_event = nothing, record_error = nothing,
  set_status = nothing, each_baggage_item = function() return nothing end,
}, { __newindex = nothing })

-- Whether a trace is among that share of all of them: the gateway decides alike.
local function sampler(default)
  return function(trace_id, rate)
    rate = rate or default
    if type(rate) ~= "number" then
      return nil, "invalid fraction"
    elseif rate >= 1 then
      return true
    elseif rate <= 0 then
      return false
    elseif #trace_id < 8 then
      return nil, "sampling needs trace ID to be longer than 8 bytes to work"
    end
    local number = 0
    for place = 8, 1, -1 do
      number = number * 256 + trace_id:byte(place)
    end
    return number < rate * 2 ^ 64
  end
end

local function spans_of(tracer)
  local ctx = slot.ngx_ctx
  local spans = rawget(ctx, tracer.spans_table_key)
  if not spans then
    spans = { [0] = 0, [DATA] = {} }
    rawset(ctx, tracer.spans_table_key, spans)
  end
  return spans
end

local function append(spans, span)
  spans[0] = spans[0] + 1
  spans[spans[0]] = span
  spans[DATA][span.span_id] = span
end

local function create_span(tracer, options)
  local parent = options.parent or tracer and tracer.active_span()
  local trace_id = parent and parent.trace_id or options.trace_id or native.random(16)
  local sampled = parent and parent.should_sample
  if sampled == nil then
    sampled = options.should_sample
  end
  if sampled == nil then
    local err
    sampled, err = false, nil
    if tracer then
      sampled, err = tracer.sampler(trace_id)
    end
    if err then
      sampled = false
      pdk.log.err("sampler failure: ", err)
    end
  end
  return new_span {
    parent = parent, parent_id = parent and parent.span_id or options.parent_id, span_id = native.random(8),
    trace_id = trace_id, kind = options.span_kind or INTERNAL, should_sample = sampled, tracer = tracer,
  }
end

local function link_span(tracer, span, name, options)
  local data = data_of[span]
  data.tracer = data.tracer or tracer
  data.start_time_ns = options.start_time_ns or native.now_ns()
  data.attributes, data.name, data.linked = options.attributes, name, true
  if tracer.is_global and slot.at.asks and ask.id() then
    data.is_kept = true
    ask.add(data.span_id, data.parent_id, name, data.kind, data.start_time_ns, data.attributes)
  end
  append(spans_of(tracer), span)
  return span
end

local tracer_mt = {}
tracer_mt.__index = tracer_mt
local noop, global
local tracers = {}

-- The spans of the gateway that code has not met yet are there, too, the one of the request first.
local function all_spans(tracer)
  local spans = spans_of(tracer)
  if not global or tracer.spans_table_key ~= global.spans_table_key or not slot.at.asks then
    return spans
  end
  local known, merged, seen = spans[DATA], {}, {}
  local trace_id, sampled = ask.id(), ask.is_sampled()
  for place, data in ipairs(ask.spans() or {}) do
    local span = known[data.span_id]
    if not span then
      data.tracer, data.trace_id, data.is_kept, data.linked = global, trace_id, true, true
      data.should_sample, data.is_root = sampled, place == 1
      span = new_span(data)
      known[data.span_id] = span
    else
      local own = data_of[span]
      own.end_time_ns, own.trace_id = own.end_time_ns or data.end_time_ns, trace_id
    end
    seen[span] = true
    merged[#merged + 1] = span
  end
  for place = 1, spans[0] do
    if not seen[spans[place]] then
      merged[#merged + 1] = spans[place]
    end
    spans[place] = nil
  end
  for place, span in ipairs(merged) do
    spans[place] = span
  end
  spans[0] = #merged
  return spans
end

local function set_should_sample(self, should_sample)
  for _, span in ipairs(self.get_spans()) do
    span.should_sample = should_sample
  end
end

local function get_sampling_decision(self, by_caller, rate)
  local root = self.get_root_span()
  local attributes = root and root.attributes
  if not root or attributes and attributes["kong.propagation_only"] then
    return false
  elseif by_caller == false then
    return false
  end
  local sampled, err = self.sampler(root.trace_id, rate or kong.configuration.tracing_sampling_rate)
  if err then
    pdk.log.err("sampler failure: ", err)
  end
  return not not sampled
end

local function new_tracer(name, options)
  name, options = name or "default", options or {}
  local space = options.namespace or "KONG"
  if tracers[space .. "_" .. name] then
    return tracers[space .. "_" .. name]
  elseif options.noop then
    return noop
  end
  local self = {
    name = name, sampler = sampler(options.sampling_rate or 1), active_span_key = space .. "_active_span",
    spans_table_key = space .. "_SPANS", set_should_sample = set_should_sample,
    get_sampling_decision = get_sampling_decision,
  }
  local is_shared = space == "KONG"
  function self.active_span()
    if not is_within() then
      return
    end
    local own = rawget(slot.ngx_ctx, self.active_span_key)
    if own or not is_shared or not global then
      return own
    end
    local id = ask.active()
    return id and (spans_of(global)[DATA][id] or all_spans(global)[DATA][id])
  end
  function self.set_active_span(span)
    if not is_within() then
      return
    end
    local is_kept = span and data_of[span] and data_of[span].is_kept
    if span then
      span.active = true
    end
    rawset(slot.ngx_ctx, self.active_span_key, not is_kept and span or nil)
    if is_shared and (is_kept or not span) then
      ask.set_active(span and span.span_id)
    end
  end
  function self.start_span(span_name, given)
    if not is_within() then
      return noop_span
    elseif type(span_name) ~= "string" or span_name == "" then
      error("invalid span name", 2)
    end
    given = check_options(given)
    return link_span(self, create_span(self, given), span_name, given)
  end
  function self.create_span(tracer, given) return create_span(tracer, check_options(given)) end
  function self.link_span(tracer, span, span_name, given)
    if tracer and type(tracer) ~= "table" then
      error("invalid tracer", 2)
    end
    return link_span(tracer, span, span_name, check_options(given))
  end
  function self.init_spans()
    rawset(slot.ngx_ctx, self.spans_table_key, nil)
    return spans_of(self)
  end
  function self.get_spans()
    local spans = all_spans(self)
    for _, span in ipairs(slot.at.name == "log" and spans or {}) do
      plain(span)
    end
    return spans
  end
  function self.get_root_span() return all_spans(self)[1] end
  function self.process_span(processor, ...)
    check(phases.log)
    if type(processor) ~= "function" then
      error("processor must be a function", 2)
    end
    for _, span in ipairs(self.get_spans()) do
      if span.tracer and span.tracer.name == name then
        processor(span, ...)
      end
    end
  end
  tracers[space .. "_" .. name] = setmetatable(self, tracer_mt)
  return self
end

tracer_mt.new = new_tracer
tracer_mt.__call = function(_, ...) return new_tracer(...) end

function tracer_mt.set_global_tracer(tracer)
  if type(tracer) ~= "table" or getmetatable(tracer) ~= tracer_mt and tracer.name ~= "noop" then
    error("invalid tracer", 2)
  end
  rawset(kong, "tracing", tracer)
end

noop = { name = "noop", spans_table_key = "noop", new = new_tracer, set_global_tracer = tracer_mt.set_global_tracer }
for _, name in pairs { "get_spans", "get_root_span", "init_spans", "link_span", "active_span", "set_active_span",
  "process_span", "set_should_sample", "get_sampling_decision" } do
  noop[name] = nothing
end
function noop.start_span() return noop_span end
function noop.create_span() return noop_span end
setmetatable(noop, { __call = tracer_mt.__call, __newindex = nothing })

-- The tracer of the node, when it is asked for first.
function slot.tracer()
  local settings = kong.configuration
  local timed = settings.tracing_instrumentations
  if type(timed) ~= "table" or #timed == 0 or timed[1] == "off" then
    return noop
  end
  global = new_tracer("instrument", { sampling_rate = settings.tracing_sampling_rate })
  global.is_global = true
  return global
end

-- `ngx.ctx.KONG_SPANS`, where code reads it before it has met a span.
function slot.spans()
  local tracer = kong.tracing
  return tracer.get_spans()
end
