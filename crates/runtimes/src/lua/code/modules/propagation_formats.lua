-- `kong.observability.tracing.propagation.extractors` and `injectors`: one for each format.
local name = ...
local type, ipairs, tonumber, require = type, ipairs, tonumber, require
local PLACE = "kong.observability.tracing.propagation."
local utils = require(PLACE .. "utils")
local bn = require "resty.openssl.bn"
local from_hex = utils.from_hex
local to_hex = require("resty.string").to_hex
local side, format = name:match("%.(%a+)%.([^.]+)$")

local function ignored(what) kong.log.warn(what, "; ignoring.") end
local function id_of(text) return text and from_hex(text) or nil end
local function from_decimal(text) return text and bn.from_dec(text):to_binary() or nil end
local function to_decimal(id) return id and bn.from_binary(id):to_dec() or nil end

-- Whether a line says that the trace is sampled, and whether that can be told at all.
local function sampling(value, line)
  if value == "1" or value == "true" then
    return true
  elseif value == "0" or value == "false" then
    return false
  elseif value ~= nil then
    ignored(line .. " header invalid")
  end
end

-- An id in hexadecimal digits, and whether it is one or missing.
local function digits(headers, line, ...)
  local value = headers[line]
  if value == nil then
    return nil, true
  end
  for _, size in ipairs { ... } do
    if type(value) == "string" and #value == size and not value:find("%X") then
      return value, true
    end
  end
  ignored(line .. " header invalid")
  return nil, false
end

local function b3_single(headers)
  local line, state = headers.b3, headers.tracestate
  for _, one in ipairs(type(state) == "table" and state or { state }) do
    line = line or type(one) == "string" and one:match("^b3=(.+)$") or nil
  end
  if type(line) ~= "string" then
    return
  end
  local found = { single_header = true }
  if line == "0" or line == "1" or line == "d" then
    found.should_sample, found.flags = line ~= "0", line == "d" and "1" or nil
    return found
  end
  local trace, span, sampled, parent = line:match("^(%x+)%-(" .. ("%x"):rep(16) .. ")%-?([01d]?)%-?(%x*)$")
  if not trace or #trace ~= 16 and #trace ~= 32 or parent ~= "" and #parent ~= 16 then
    ignored("b3 single header invalid")
    return found
  end
  if sampled ~= "" then
    found.should_sample = sampled ~= "0"
  end
  found.flags = sampled == "d" and "1" or nil
  found.trace_id, found.span_id, found.parent_id = trace, span, parent ~= "" and parent or nil
  return found
end

local extractors = {
  w3c = { { "traceparent" }, function(_, headers)
    local line = headers.traceparent
    if type(line) ~= "string" or line == "" then
      return
    end
    local version, trace, parent, flags = line:match("^(%x+)%-(%x+)%-(%x+)%-(%x+)$")
    local wrong = not version and "invalid W3C traceparent header"
      or version ~= "00" and "invalid W3C Trace Context version"
      or (#trace ~= 32 or not trace:find("[^0]")) and "invalid W3C trace context trace ID"
      or (#parent ~= 16 or not parent:find("[^0]")) and "invalid W3C trace context parent ID"
      or #flags ~= 2 and "invalid W3C trace context flags"
    if wrong then
      return ignored(wrong)
    end
    flags = tonumber(flags, 16)
    return { trace_id = from_hex(trace), span_id = from_hex(parent), should_sample = flags % 2 == 1,
      w3c_flags = flags }
  end },
  b3 = { { "b3", "tracestate", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags" },
    function(_, headers)
      local found = b3_single(headers) or {}
      local sampled = sampling(headers["x-b3-sampled"], "x-b3-sampled")
      if headers["x-b3-flags"] == "1" then
        sampled = true
      elseif headers["x-b3-flags"] ~= nil then
        ignored("x-b3-flags header invalid")
      end
      local trace, is_trace = digits(headers, "x-b3-traceid", 16, 32)
      local span, is_span = digits(headers, "x-b3-spanid", 16)
      local parent, is_parent = digits(headers, "x-b3-parentspanid", 16)
      if found.should_sample == nil then
        found.should_sample = sampled
      end
      found.flags = found.flags or headers["x-b3-flags"]
      if is_trace and is_span and is_parent then
        found.trace_id, found.span_id = found.trace_id or trace, found.span_id or span
        found.parent_id = found.parent_id or parent
      end
      local is_known = found.trace_id ~= nil
      found.trace_id = id_of(found.trace_id)
      found.span_id = is_known and id_of(found.span_id) or nil
      found.parent_id = is_known and id_of(found.parent_id) or nil
      found.reuse_span_id = true
      return found
    end },
  jaeger = { { "uber-trace-id" }, function(_, headers)
    local line = headers["uber-trace-id"]
    if type(line) ~= "string" or line == "" then
      return
    end
    local trace, span, parent, flags = line:match("^(%x+):(%x+):(%x+):(%x+)$")
    local wrong = not trace and "invalid jaeger uber-trace-id header"
      or (#trace > 32 or not trace:find("[^0]")) and "invalid jaeger trace ID"
      or (#span > 16 or not span:find("[^0]")) and "invalid jaeger span ID"
      or #flags > 2 and "invalid jaeger flags"
    if wrong then
      return ignored(wrong)
    end
    if #parent ~= 16 and parent:find("[^0]") then
      ignored("invalid jaeger parent ID")
    end
    return { trace_id = from_hex(trace), span_id = from_hex(span), parent_id = from_hex(parent), reuse_span_id = true,
      should_sample = tonumber(flags, 16) % 2 == 1, baggage = utils.parse_baggage_headers(headers, "^uberctx%-(.*)$") }
  end },
  ot = { { "ot-tracer-sampled", "ot-tracer-traceid", "ot-tracer-spanid" }, function(_, headers)
    local sampled = sampling(headers["ot-tracer-sampled"], "ot-tracer-sampled")
    local trace, is_trace = digits(headers, "ot-tracer-traceid", 16, 32)
    local span, is_span = digits(headers, "ot-tracer-spanid", 16)
    local is_known = trace and is_trace and is_span
    return { trace_id = is_known and from_hex(trace) or nil, span_id = is_known and id_of(span) or nil,
      should_sample = sampled, baggage = utils.parse_baggage_headers(headers, "^ot%-baggage%-(.*)$") }
  end },
  datadog = { { "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority" }, function(_, headers)
    local priority, sampled = headers["x-datadog-sampling-priority"], nil
    if priority == "1" or priority == "2" then
      sampled = true
    elseif priority == "0" or priority == "-1" then
      sampled = false
    elseif priority ~= nil then
      return ignored("x-datadog-sampling-priority header invalid")
    end
    local function number(line)
      local value = headers[line]
      local found = type(value) == "string" and value:match("^%s*(%d+)%s*$") or nil
      if value ~= nil and not found then
        ignored(line .. " header invalid")
      end
      return found
    end
    local trace, parent = number("x-datadog-trace-id"), number("x-datadog-parent-id")
    return { trace_id = from_decimal(trace), span_id = trace and from_decimal(parent) or nil, should_sample = sampled }
  end },
  aws = { { "x-amzn-trace-id" }, function(_, headers)
    local line, found = headers["x-amzn-trace-id"], {}
    if type(line) ~= "string" then
      return
    end
    for pair in line:gmatch("[^;]+") do
      local key, value = pair:match("^%s*([^=]-)%s*=%s*(.-)%s*$")
      if key == "Root" then
        local time, unique = value:match("^1%-(%x+)%-(%x+)$")
        if not time or #time ~= 8 or #unique ~= 24 then
          return ignored("invalid aws header trace id")
        end
        found.trace_id = from_hex(time .. unique)
      elseif key == "Parent" then
        if #value ~= 16 then
          return ignored("invalid aws header parent id")
        end
        found.span_id = from_hex(value)
      elseif key == "Sampled" then
        if value ~= "0" and value ~= "1" then
          return ignored("invalid aws header sampled flag")
        end
        found.should_sample = value == "1"
      end
    end
    return found
  end },
  gcp = { { "x-cloud-trace-context" }, function(_, headers)
    local line = headers["x-cloud-trace-context"]
    if type(line) ~= "string" then
      return
    end
    local trace, span, rest = line:match("^([0-9a-f]+)/(%d+)(.*)$")
    local flag = rest and rest:match("^;o=(%d)$")
    if not trace or #trace ~= 32 or #span > 20 or rest ~= "" and not flag then
      return ignored("invalid GCP header")
    end
    return { trace_id = from_hex(trace), span_id = from_decimal(span), should_sample = flag == "1" }
  end },
  instana = { { "x-instana-t", "x-instana-s", "x-instana-l" }, function(_, headers)
    local trace, span, level = headers["x-instana-t"], headers["x-instana-s"], headers["x-instana-l"]
    if type(trace) ~= "string" or type(span) ~= "string" then
      return
    end
    trace, span = trace:match("^%x+"), span:match("^%x+")
    if not trace or #trace ~= 16 and #trace ~= 32 then
      ignored("x-instana-t header invalid")
    end
    if not span then
      ignored("x-instana-s header invalid")
    end
    level = type(level) == "string" and level:sub(1, 1)
    return { trace_id = id_of(trace), span_id = id_of(span), should_sample = level == "1" }
  end },
}

local function flag(told) return told.should_sample and "1" or "0" end
local function with_flag(headers, line, told)
  if told.should_sample ~= nil then
    headers[line] = flag(told)
  end
  return headers
end
local function with_baggage(headers, prefix, told)
  for key, value in pairs(told.baggage or {}) do
    headers[prefix .. key] = ngx.escape_uri(value)
  end
  return headers
end
local function hex(id) return id and to_hex(id) or nil end
local BOTH = { all = { "trace_id", "span_id" } }

-- The sizes of ids of traces, the first one where none is given; what must be known; the lines; and the id in words.
local injectors = {
  w3c = { { 16 }, BOTH, function(_, told)
    return { traceparent = ("00-%s-%s-0%s"):format(hex(told.trace_id), hex(told.span_id), flag(told)) }
  end },
  b3 = { { 16, 8 }, {}, function(_, told)
    local headers = {}
    if told.trace_id and told.span_id then
      headers["x-b3-traceid"], headers["x-b3-spanid"] = hex(told.trace_id), hex(told.span_id)
      headers["x-b3-parentspanid"] = hex(told.parent_id)
    end
    if told.flags then
      headers["x-b3-flags"] = told.flags
    else
      headers["x-b3-sampled"] = flag(told)
    end
    return headers
  end, function(id) return hex(id) or "" end },
  ["b3-single"] = { { 16, 8 }, {}, function(_, told)
    local sampled = told.flags == "1" and "d" or told.should_sample ~= nil and flag(told) or nil
    if not told.trace_id or not told.span_id then
      return { b3 = sampled or "0" }
    end
    return { b3 = hex(told.trace_id) .. "-" .. hex(told.span_id) .. (sampled and "-" .. sampled or "")
      .. (told.parent_id and "-" .. hex(told.parent_id) or "") }
  end, function(id) return hex(id) or "" end },
  jaeger = { { 16, 8 }, BOTH, function(_, told)
    local line = ("%s:%s:%s:0%s"):format(hex(told.trace_id), hex(told.span_id), hex(told.parent_id) or "0", flag(told))
    return with_baggage({ ["uber-trace-id"] = line }, "uberctx-", told)
  end },
  ot = { { 8, 16 }, BOTH, function(_, told)
    local headers = { ["ot-tracer-traceid"] = hex(told.trace_id), ["ot-tracer-spanid"] = hex(told.span_id) }
    return with_baggage(with_flag(headers, "ot-tracer-sampled", told), "ot-baggage-", told)
  end },
  datadog = { { 8 }, {}, function(_, told)
    local headers = { ["x-datadog-trace-id"] = to_decimal(told.trace_id),
      ["x-datadog-parent-id"] = to_decimal(told.span_id) }
    return with_flag(headers, "x-datadog-sampling-priority", told)
  end, to_decimal },
  aws = { { 16 }, BOTH, function(_, told)
    local trace = hex(told.trace_id)
    return { ["x-amzn-trace-id"] = ("Root=1-%s-%s;Parent=%s;Sampled=%s"):format(trace:sub(1, 8), trace:sub(9),
      hex(told.span_id), flag(told)) }
  end },
  gcp = { { 16 }, BOTH, function(_, told)
    local line = ("%s/%s;o=%s"):format(hex(told.trace_id), to_decimal(told.span_id), flag(told))
    return { ["x-cloud-trace-context"] = line }
  end },
  instana = { { 16, 8 }, {}, function(_, told)
    local headers = { ["x-instana-t"] = hex(told.trace_id), ["x-instana-s"] = hex(told.span_id) }
    return with_flag(headers, "x-instana-l", told)
  end },
}

local base = require(PLACE .. side .. "._base")
if side == "extractors" then
  local lines, read = unpack(extractors[format])
  return base:new { name = format, headers_validate = { any = lines }, get_context = read }
end
local sizes, fields, write, in_words = unpack(injectors[format], 1, 4)
-- Both forms of B3 are told under one name.
local told_as = format == "b3-single" and "b3" or format
return base:new { name = format, context_validate = fields, trace_id_allowed_sizes = sizes, create_headers = write,
  get_formatted_trace_id = function(_, id) return { [told_as] = (in_words or hex)(id) } end }
