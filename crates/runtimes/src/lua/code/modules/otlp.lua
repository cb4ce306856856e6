-- `kong.observability.otlp` and `kong.observability.logs`: spans and lines of logs as collectors take them (OTLP).
local name, slot = ...
local type, pairs, ipairs, tostring = type, pairs, ipairs, tostring
local modules = {}

-- What OTLP calls things, by the files that its own compiler reads.
modules["opentelemetry.proto"] = function()
  local files = {}
  local function file(path, package, imports, text)
    for i, import in ipairs(imports) do
      imports[i] = 'import "opentelemetry/proto/' .. import .. '.proto";'
    end
    files["opentelemetry/proto/" .. path .. ".proto"] = 'syntax = "proto3"; package opentelemetry.proto.' .. package
      .. "; " .. table.concat(imports) .. text
  end
  file("common/v1/common", "common.v1", {}, [[
    message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3;
      double double_value = 4; ArrayValue array_value = 5; KeyValueList kvlist_value = 6; bytes bytes_value = 7; } }
    message ArrayValue { repeated AnyValue values = 1; }
    message KeyValueList { repeated KeyValue values = 1; }
    message KeyValue { string key = 1; AnyValue value = 2; }
    message InstrumentationScope { string name = 1; string version = 2; repeated KeyValue attributes = 3;
      uint32 dropped_attributes_count = 4; } ]])
  file("resource/v1/resource", "resource.v1", { "common/v1/common" }, [[
    message Resource { repeated opentelemetry.proto.common.v1.KeyValue attributes = 1;
      uint32 dropped_attributes_count = 2; } ]])
  local both = { "common/v1/common", "resource/v1/resource" }
  file("trace/v1/trace", "trace.v1", { unpack(both) }, [[
    message ResourceSpans { opentelemetry.proto.resource.v1.Resource resource = 1; repeated ScopeSpans scope_spans = 2;
      string schema_url = 3; }
    message ScopeSpans { opentelemetry.proto.common.v1.InstrumentationScope scope = 1; repeated Span spans = 2;
      string schema_url = 3; }
    message Span { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4;
      string name = 5;
      enum SpanKind { SPAN_KIND_UNSPECIFIED = 0; SPAN_KIND_INTERNAL = 1; SPAN_KIND_SERVER = 2; SPAN_KIND_CLIENT = 3;
        SPAN_KIND_PRODUCER = 4; SPAN_KIND_CONSUMER = 5; }
      SpanKind kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
      repeated opentelemetry.proto.common.v1.KeyValue attributes = 9; uint32 dropped_attributes_count = 10;
      message Event { fixed64 time_unix_nano = 1; string name = 2;
        repeated opentelemetry.proto.common.v1.KeyValue attributes = 3; uint32 dropped_attributes_count = 4; }
      repeated Event events = 11; uint32 dropped_events_count = 12;
      message Link { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3;
        repeated opentelemetry.proto.common.v1.KeyValue attributes = 4; uint32 dropped_attributes_count = 5; }
      repeated Link links = 13; uint32 dropped_links_count = 14; Status status = 15; }
    message Status { reserved 1; string message = 2;
      enum StatusCode { STATUS_CODE_UNSET = 0; STATUS_CODE_OK = 1; STATUS_CODE_ERROR = 2; }
      StatusCode code = 3; } ]])
  file("logs/v1/logs", "logs.v1", both, [[
    message ResourceLogs { opentelemetry.proto.resource.v1.Resource resource = 1; repeated ScopeLogs scope_logs = 2;
      string schema_url = 3; }
    message ScopeLogs { opentelemetry.proto.common.v1.InstrumentationScope scope = 1;
      repeated LogRecord log_records = 2; string schema_url = 3; }
    message LogRecord { reserved 4; fixed64 time_unix_nano = 1; fixed64 observed_time_unix_nano = 11;
      int32 severity_number = 2; string severity_text = 3; opentelemetry.proto.common.v1.AnyValue body = 5;
      repeated opentelemetry.proto.common.v1.KeyValue attributes = 6; uint32 dropped_attributes_count = 7;
      fixed32 flags = 8; bytes trace_id = 9; bytes span_id = 10; } ]])
  file("collector/trace/v1/trace_service", "collector.trace.v1", { "trace/v1/trace" }, [[
    message ExportTraceServiceRequest { repeated opentelemetry.proto.trace.v1.ResourceSpans resource_spans = 1; }
    message ExportTraceServiceResponse { } ]])
  file("collector/logs/v1/logs_service", "collector.logs.v1", { "logs/v1/logs" }, [[
    message ExportLogsServiceRequest { repeated opentelemetry.proto.logs.v1.ResourceLogs resource_logs = 1; }
    message ExportLogsServiceResponse { } ]])
  return files
end

modules["kong.observability.otlp.proto"] = function()
  local compiler = require("kong.tools.grpc").new().protoc_instance
  compiler:loadfile("opentelemetry/proto/collector/trace/v1/trace_service.proto")
  compiler:loadfile("opentelemetry/proto/collector/logs/v1/logs_service.proto")
  return true
end

modules["kong.observability.otlp"] = function()
  require "kong.observability.otlp.proto"
  local pb = require "pb"
  local ids = require "kong.observability.tracing.propagation.utils"
  local FIELDS = { string = "string_value", number = "double_value", boolean = "bool_value" }
  local SEVERITIES = { [ngx.DEBUG] = { 5, "DEBUG" }, [ngx.INFO] = { 9, "INFO" }, [ngx.NOTICE] = { 11, "NOTICE" },
    [ngx.WARN] = { 13, "WARN" }, [ngx.ERR] = { 17, "ERR" }, [ngx.CRIT] = { 19, "CRIT" },
    [ngx.ALERT] = { 21, "ALERT" }, [ngx.EMERG] = { 23, "EMERG" } }
  local attributes
  local function any(key, value)
    if type(value) ~= "table" then
      local field = key == "http.status_code" and "int_value" or FIELDS[type(value)]
      return field and { [field] = value } or {}
    elseif require("kong.tools.table").is_array(value) then
      local values = {}
      for i, item in ipairs(value) do
        values[i] = any(nil, item)
      end
      return { array_value = { values = values } }
    end
    return { kvlist_value = { values = attributes(value) } }
  end
  function attributes(given)
    if type(given) ~= "table" then
      error("invalid attributes", 2)
    end
    local out = {}
    for key, value in pairs(given) do
      out[#out + 1] = { key = key, value = any(key, value) }
    end
    return out
  end
  local function resource(given)
    local all = { ["service.name"] = "kong", ["service.instance.id"] = kong.node.get_id(),
      ["service.version"] = kong.version }
    for key, value in pairs(given or {}) do
      all[key] = value
    end
    return { attributes = attributes(all) }
  end
  local SCOPE = { name = "kong-internal", version = "0.1.0" }
  local otlp = { to_ot_trace_id = ids.to_kong_trace_id }
  function otlp.transform_span(span)
    local events
    for i, event in ipairs(span.events or {}) do
      events = events or {}
      events[i] = { name = event.name, time_unix_nano = event.time_ns,
        attributes = event.attributes and attributes(event.attributes) }
    end
    return { trace_id = ids.to_kong_trace_id(span.trace_id), span_id = span.span_id,
      parent_span_id = ids.to_kong_span_id(span.parent_id) or "", name = span.name, kind = span.kind or 0,
      start_time_unix_nano = span.start_time_ns, end_time_unix_nano = span.end_time_ns,
      attributes = span.attributes and attributes(span.attributes), events = events,
      status = span.status and { code = span.status } }
  end
  function otlp.encode_traces(spans, of)
    return pb.encode("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest", { resource_spans = {
      { resource = resource(of), scope_spans = { { scope = SCOPE, spans = spans } } } } })
  end
  function otlp.encode_logs(records, of)
    return pb.encode("opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest", { resource_logs = {
      { resource = resource(of), scope_logs = { { scope = SCOPE, log_records = records } } } } })
  end
  function otlp.prepare_logs(records, trace_id, flags)
    for _, record in ipairs(records) do
      local severity = SEVERITIES[record.log_level] or {}
      record.severity_number, record.severity_text, record.log_level = severity[1], severity[2], nil
      record.trace_id, record.flags = trace_id, flags
      record.attributes, record.body = attributes(record.attributes), { string_value = record.body }
    end
    return records
  end
  return otlp
end

-- Lines of the log since they were taken last: those of a request are with it, the rest is the worker's.
modules["kong.observability.logs"] = function()
  local MOST, KEY = 1000, "o11y_logs_request_scoped"
  local of_worker = {}
  local logs = {}
  local function of_request()
    local ctx = slot.at.asks and not slot.at.other and ngx.ctx
    if ctx and not ctx[KEY] then
      ctx[KEY] = {}
    end
    return ctx and ctx[KEY]
  end
  function logs.maybe_push(level, attributes, log_level, ...)
    if log_level and log_level > require("resty.kong.log").get_log_level() then
      return
    end
    local own = of_request()
    local lines = own or of_worker
    if #lines >= MOST then
      return
    end
    local texts = { ... }
    for i = 1, select("#", ...) do
      texts[i] = texts[i] == ngx.null and "nil" or tostring(texts[i])
    end
    local caller, told = slot.native.getinfo(level) or {}, {}
    for field, key in pairs { currentline = "current.line", name = "name", namewhat = "namewhat", source = "source",
      what = "what" } do
      told["introspection." .. key] = caller[field]
    end
    for key, value in pairs(attributes or {}) do
      told[key] = value
    end
    local span = own and kong.tracing.active_span()
    told["request.id"] = own and require("kong.observability.tracing.request_id").get() or nil
    local now = slot.native.now_ns()
    lines[#lines + 1] = { time_unix_nano = now, observed_time_unix_nano = now, log_level = log_level,
      body = table.concat(texts), attributes = told, span_id = span and span.span_id or nil }
  end
  function logs.get_worker_logs()
    local lines = of_worker
    of_worker = {}
    return lines
  end
  function logs.get_request_logs() return require("kong.tools.table").deep_copy(of_request() or {}) end
  return logs
end

return modules[name]()
