-- `kong.observability.tracing`: what requests say of traces, in the formats of all who make them, and what services are
-- told. Ids are octets within.
local name = ...
local type, pairs, ipairs, tonumber, require = type, pairs, ipairs, tonumber, require
local PLACE = "kong.observability.tracing."
local PROPAGATION = PLACE .. "propagation."
local FORMATS = { W3C = "w3c", B3 = "b3", B3_SINGLE = "b3-single", JAEGER = "jaeger", OT = "ot", DATADOG = "datadog",
  AWS = "aws", GCP = "gcp", INSTANA = "instana" }

-- What is known of the trace of a request, for all plugins.
local function tracing_context()
  local function of(ctx)
    ctx = ctx or ngx.ctx
    local known = ctx.TRACING_CONTEXT
    if not known then
      known = { trace_id = { formatted = {} }, unlinked_spans = {} }
      ctx.TRACING_CONTEXT = known
    end
    return known
  end
  local context = {}
  function context.add_trace_id_formats(formats, ctx)
    local formatted = of(ctx).trace_id.formatted
    for format, id in pairs(formats) do
      formatted[format] = id
    end
    return formatted
  end
  function context.get_raw_trace_id(ctx) return of(ctx).trace_id.raw end
  function context.set_raw_trace_id(id, ctx) of(ctx).trace_id.raw = id end
  function context.get_unlinked_span(kind, ctx) return of(ctx).unlinked_spans[kind] end
  function context.set_unlinked_span(kind, span, ctx) of(ctx).unlinked_spans[kind] = span end
  function context.get_flags(ctx) return of(ctx).flags end
  function context.set_flags(flags, ctx) of(ctx).flags = flags end
  return context
end

local function utils()
  local all = { FORMATS = FORMATS }
  function all.from_hex(text)
    if type(text) ~= "string" then
      return nil, "not a string"
    end
    text = #text % 2 == 0 and text or "0" .. text
    return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
  end
  function all.to_id_size(id, size)
    if not id then
      return nil
    end
    return #id > size and id:sub(-size) or ("\0"):rep(size - #id) .. id
  end
  function all.to_kong_trace_id(id) return all.to_id_size(id, 16) end
  function all.to_kong_span_id(id) return all.to_id_size(id, 8) end
  function all.parse_baggage_headers(headers, pattern)
    local baggage
    for line, value in pairs(headers) do
      local key = line:match(pattern)
      if key then
        baggage = baggage or {}
        baggage[key] = ngx.unescape_uri(value)
      end
    end
    return baggage and setmetatable(baggage, { __newindex = function()
      error("attempt to set immutable baggage", 2)
    end })
  end
  return all
end

local function schema()
  local extractors, injectors = {}, {}
  for _, format in pairs(FORMATS) do
    injectors[#injectors + 1] = format
    -- Both forms of B3 are read alike.
    if format ~= FORMATS.B3_SINGLE then
      extractors[#extractors + 1] = format
    end
  end
  local inject = { "preserve", unpack(injectors) }
  local line = { type = "string", custom_validator = require("kong.tools.http").validate_header_name }
  return require("kong.db.schema").define { type = "record", fields = {
    { extract = { type = "array", elements = { type = "string", one_of = extractors } } },
    { clear = { type = "array", elements = line } },
    { inject = { type = "array", elements = { type = "string", one_of = inject } } },
    { default_format = { type = "string", one_of = injectors, required = true } },
  } }
end

local function extractor_base()
  local ids = require(PROPAGATION .. "utils")
  local base = { name = "base_extractor", headers_validate = { any = {}, all = {} } }
  base.__index = base
  function base:new(made) return setmetatable(made or {}, base) end
  function base:verify_any(headers)
    local any = self.headers_validate.any or {}
    for _, line in ipairs(any) do
      if headers[line] ~= nil then
        return true
      end
    end
    return #any == 0
  end
  function base:verify_all(headers)
    for _, line in ipairs(self.headers_validate.all or {}) do
      if headers[line] == nil then
        return false
      end
    end
    return true
  end
  function base:verify_headers(headers)
    return type(headers) == "table" and self:verify_any(headers) and self:verify_all(headers)
  end
  function base:extract(headers)
    local found, err
    if self:verify_headers(headers) then
      found, err = self:get_context(headers)
    end
    if err then
      kong.log.err("failed to extract tracing context: ", err)
    end
    if found then
      found.trace_id_original_size = found.trace_id and #found.trace_id
      found.trace_id = ids.to_kong_trace_id(found.trace_id)
      found.span_id, found.parent_id = ids.to_kong_span_id(found.span_id), ids.to_kong_span_id(found.parent_id)
    end
    return found
  end
  function base:get_context() return nil, "get_context() not implemented in base class" end
  return base
end

local function injector_base()
  local resized = require(PROPAGATION .. "utils").to_id_size
  local base = { name = "base_injector", context_validate = { any = {}, all = {} }, trace_id_allowed_sizes = { 16 },
    span_id_size_bytes = 8 }
  base.__index = base
  function base:new(made)
    made = setmetatable(made or {}, base)
    made.trace_id_allowed_sizes_lookup = {}
    for _, size in ipairs(made.trace_id_allowed_sizes) do
      made.trace_id_allowed_sizes_lookup[size] = true
    end
    return made
  end
  function base:verify_any(context)
    local any = self.context_validate.any or {}
    for _, field in ipairs(any) do
      if context[field] ~= nil then
        return true
      end
    end
    return #any == 0, #any > 0 and "no required field found in context: " .. table.concat(any, ", ") or nil
  end
  function base:verify_all(context)
    for _, field in ipairs(self.context_validate.all or {}) do
      if context[field] == nil then
        return false, "field " .. field .. " not found in context"
      end
    end
    return true
  end
  function base:verify_context(context)
    if type(context) ~= "table" then
      return false, "no context to inject"
    end
    local any, any_err = self:verify_any(context)
    local all, all_err = self:verify_all(context)
    if any and all then
      return true
    end
    return false, any_err and all_err and any_err .. ", " .. all_err or any_err or all_err
  end
  function base:inject(context)
    local ok, err = self:verify_context(context)
    if not ok then
      return nil, self.name .. " injector context is invalid: " .. err
    end
    local size = context.trace_id_original_size
    size = self.trace_id_allowed_sizes_lookup[size] and size or self.trace_id_allowed_sizes[1]
    context.trace_id = resized(context.trace_id, size)
    context.span_id = resized(context.span_id, self.span_id_size_bytes)
    context.parent_id = resized(context.parent_id, self.span_id_size_bytes)
    local headers
    headers, err = self:create_headers(context)
    if not headers then
      return nil, err
    end
    for line, value in pairs(headers) do
      kong.service.request.set_header(line, value)
    end
    return self:get_formatted_trace_id(context.trace_id)
  end
  function base:create_headers() return nil, "headers() not implemented in base class" end
  function base:get_formatted_trace_id() return nil, "trace_id() not implemented in base class" end
  return base
end

local function propagation()
  local context = require(PLACE .. "tracing_context")
  local all = {}
  local READ = { "b3", "w3c", "jaeger", "ot", "datadog", "aws", "gcp", "instana" }
  local function given(value) return value ~= nil and value ~= ngx.null end
  -- What a plugin's configuration asks for, in the fields of now or in those of before (`header_type`).
  function all.get_plugin_params(config)
    local params = config.propagation or {}
    for field, value in pairs(params) do
      if field ~= "default_format" and given(value) then
        return params
      end
    end
    if given(config.default_header_type) then
      params.default_format = config.default_header_type
    end
    if given(config.header_type) then
      if config.header_type == "ignore" then
        params.inject = { params.default_format }
      else
        params.extract = { unpack(READ) }
        params.inject = { "preserve", config.header_type ~= "preserve" and config.header_type or nil }
      end
    end
    return params
  end
  function all.extract(conf)
    local found = {}
    local headers = conf.extract and ngx.req.get_headers()
    for _, format in ipairs(conf.extract or {}) do
      found = require(PROPAGATION .. "extractors." .. format):extract(headers)
      if type(found) == "table" and next(found) ~= nil then
        kong.ctx.plugin.extracted_from = format
        break
      end
    end
    return found
  end
  function all.clear(conf)
    for _, line in ipairs(conf.clear or {}) do
      kong.service.request.clear_header(line)
    end
  end
  function all.inject(conf, told)
    if not conf.inject then
      return
    end
    local formats, errors = nil, {}
    for _, format in ipairs(conf.inject) do
      if format == "preserve" then
        format = kong.ctx.plugin.extracted_from or conf.default_format or FORMATS.W3C
        format = format == FORMATS.B3 and told.single_header and FORMATS.B3_SINGLE or format
      end
      -- Each format cuts ids to what it has room for, in a copy of its own.
      local own = setmetatable({}, { __index = told })
      local formatted, err = require(PROPAGATION .. "injectors." .. format):inject(own)
      if formatted then
        formats = context.add_trace_id_formats(formatted)
      else
        errors[#errors + 1] = err
      end
    end
    if #errors > 0 then
      return nil, table.concat(errors, ", ")
    end
    return formats
  end
  function all.propagate(conf, make, ...)
    local found, err = all.extract(conf)
    if err then
      kong.log.err("failed to extract tracing context: ", err)
    end
    found = found or {}
    local told = make and make(found, ...) or found
    all.clear(conf)
    local formats
    formats, err = all.inject(conf, told)
    if formats then
      kong.log.set_serialize_value("trace_id", formats)
    elseif err then
      kong.log.err(err)
    end
  end
  return all
end

local parts = {
  ["tracing_context"] = tracing_context, ["propagation"] = propagation, ["propagation.utils"] = utils,
  ["propagation.schema"] = schema, ["propagation.extractors._base"] = extractor_base,
  ["propagation.injectors._base"] = injector_base,
}
return parts[name:sub(#PLACE + 1)]()
