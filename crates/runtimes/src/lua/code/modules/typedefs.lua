local name = ...

-- kong.db.schema.typedefs: fields that schemas of plugins are made of. `validator` names functions of the gateway's.
local function defined(definition)
  return setmetatable(definition, {
    -- The definition with other attributes laid over it.
    __call = function(self, over)
      local laid = {}
      for name, value in pairs(self) do
        laid[name] = value
      end
      for name, value in pairs(over or {}) do
        laid[name] = value
      end
      return laid
    end,
  })
end

local null = ngx.null
local http = { "grpc", "grpcs", "http", "https" }
local all = { "grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp" }
local t = {}

local function text(validator, more)
  local definition = { type = "string", validator = validator }
  for name, value in pairs(more or {}) do
    definition[name] = value
  end
  return defined(definition)
end

t.http_method = text(nil, { match = "^%u+$" })
t.protocol = text(nil, { one_of = all })
t.host = text("host")
t.redis_host = text("host")
t.host_with_optional_port = text("host_with_optional_port")
t.wildcard_host = text("wildcard_host")
t.ip = text("ip")
t.ip_or_cidr = text("ip_or_cidr")
t.cidr_v4 = text("cidr_v4")
t.cidr = t.cidr_v4
t.port = defined { type = "integer", between = { 0, 65535 } }
t.path = text("path", {
  starts_with = "/", match_none = { { pattern = "//", err = "must not have empty segments" } },
})
t.url = text("url")
t.cookie_name = text("cookie_name")
t.header_name = text("header_name")
t.timeout = defined { type = "integer", between = { 0, 2 ^ 31 - 2 } }
t.uuid = text(nil, { uuid = true, auto = true })
t.auto_timestamp_s = defined { type = "integer", timestamp = true, auto = true }
t.auto_timestamp_ms = defined { type = "number", timestamp = true, auto = true }
t.no_route = defined { type = "foreign", reference = "routes", eq = null }
t.no_service = defined { type = "foreign", reference = "services", eq = null }
t.no_consumer = defined { type = "foreign", reference = "consumers", eq = null }
t.no_consumer_group = defined { type = "foreign", reference = "consumer_groups", eq = null }
t.name = text("name", { unique = true })
t.utf8_name = text("utf8_name", { unique = true })
t.sni = text("sni")
t.redis_server_name = text("sni")
t.certificate = text("certificate")
t.tag = text("tag", { required = true })
t.tags = defined { type = "set", elements = t.tag }
t.capability = text()
t.protocols = defined { type = "set", required = true, default = http, elements = t.protocol }
t.protocols_http = defined {
  type = "set", required = true, default = http, elements = { type = "string", one_of = http },
}
local function addresses()
  return defined {
    type = "set",
    elements = {
      type = "record",
      fields = { { ip = t.ip_or_cidr }, { port = t.port } },
      entity_checks = { { at_least_one_of = { "ip", "port" } } },
    },
  }
end
t.sources, t.destinations = addresses(), addresses()
t.methods = defined { type = "set", elements = t.http_method }
t.hosts = defined {
  type = "array",
  elements = {
    type = "string", validator = "host_with_wildcards",
    match_all = {
      { pattern = "^[^*]*%*?[^*]*$", err = "invalid wildcard: must have at most one wildcard" },
    },
    match_any = {
      patterns = { "^%*%.", "%.%*$", "^[^*]*$" },
      err = "invalid wildcard: must be placed at leftmost or rightmost label",
    },
  },
}
t.router_path = text("router_path", {
  match_any = {
    patterns = { "^/", "^~/" }, err = "should start with: / (fixed path) or ~/ (regex path)",
  },
  match_none = { { pattern = "//", err = "must not have empty segments" } },
})
t.router_paths = defined { type = "array", elements = t.router_path }
t.paths = t.router_paths
t.headers = defined {
  type = "map", keys = { type = "string", match_none = { { pattern = "^[Hh][Oo][Ss][Tt]$", err = "cannot contain 'host' header, which must be specified in the 'hosts' attribute" } } },
  values = { type = "array", elements = { type = "string" } },
}
for _, name in ipairs { "sources", "destinations", "methods", "hosts", "headers" } do
  t["no_" .. name] = defined(t[name] { eq = null })
end
t.no_paths = defined(t.router_paths { eq = null })
t.semantic_version = text(nil, {
  match_any = { patterns = { "^%d+[%.%d]*$", "^%d+[%.%d]*%-?.*$" }, err = "invalid version number: must be in format of X.Y.Z" },
  match_none = { { pattern = "%.%.", err = "must not include empty version segments" } },
})
-- What comes from a vault is not there yet.
local function is_given(value) return value ~= nil and value ~= null and not kong.vault.is_reference(value) end

local function loaded(key, options) return require("resty.openssl.pkey").new(key, options) end

t.key = text(nil, { custom_validator = function(key)
  local is_key, why = loaded(key)
  if not is_key then
    return nil, "invalid key: " .. tostring(why)
  end
  return true
end })
t.pem = defined {
  type = "record", required = false,
  fields = {
    { private_key = { type = "string", referenceable = true, encrypted = true } },
    { public_key = { type = "string", referenceable = true } },
  },
  entity_checks = { { at_least_one_of = { "private_key", "public_key" } } },
  custom_validator = function(pair)
    local public, private
    if is_given(pair.public_key) then
      public = loaded(pair.public_key, { format = "PEM", type = "pu" })
      if not public then
        return false, "could not load public key"
      end
    end
    if is_given(pair.private_key) then
      private = loaded(pair.private_key, { format = "PEM", type = "pr" })
      if not private then
        return false, "could not load private key"
      end
    end
    if public and private and private:to_PEM("public") ~= public:to_PEM("public") then
      return false, "public key does not match private key"
    end
    return true
  end,
}

local jwk = {}
for _, field in ipairs { "issuer", "kty", "use", "alg", "x5u", "x5t", "x5t#S256", "k", "x", "y", "crv", "n", "e", "d", "p", "q",
  "dp", "dq", "qi", "oth", "r", "t" } do
  jwk[#jwk + 1] = { [field] = { type = "string" } }
end
for _, field in ipairs { "key_ops", "x5c" } do
  jwk[#jwk + 1] = { [field] = { type = "array", elements = { type = "string" } } }
end
jwk[#jwk + 1] = { kid = { type = "string", required = true } }
t.jwk = defined {
  type = "record", required = false, fields = jwk,
  custom_validator = function(key)
    local plain = {}
    for field, value in pairs(key) do
      plain[field] = value ~= null and value or nil
    end
    if not loaded(require("cjson").encode(plain), { format = "JWK" }) then
      return false, "could not load JWK, likely not a valid key"
    end
    return true
  end,
}
t.lua_code = defined {
  type = "map", keys = { type = "string", len_min = 1 },
  values = { type = "string", len_min = 1, custom_validator = function(code)
    return require("kong.tools.sandbox").validate_safe(code)
  end },
}
t.ttl = defined { type = "number", between = { 0, 100000000 } }
t.redis_timeout = defined { type = "integer", between = { 0, 2 ^ 31 - 2 }, default = 2000 }
t.queue = defined {
  type = "record", required = true,
  fields = {
    { max_batch_size = { type = "integer", default = 1, between = { 1, 1000000 } } },
    { max_coalescing_delay = { type = "number", default = 1, between = { 0, 3600 } } },
    { max_entries = { type = "integer", default = 10000, between = { 1, 1000000 } } },
    { max_bytes = { type = "integer" } },
    { max_retry_time = { type = "number", default = 60 } },
    { initial_retry_delay = { type = "number", default = 0.01, between = { 0.001, 1000000 } } },
    { max_retry_delay = { type = "number", default = 60, between = { 0.001, 1000000 } } },
    { concurrency_limit = { type = "integer", default = 1, one_of = { -1, 1 } } },
  },
}

-- How traces travel.
local formats = { "w3c", "b3", "jaeger", "ot", "datadog", "aws", "gcp", "instana" }
local written = { "b3-single", unpack(formats) }
t.propagation = defined {
  type = "record",
  fields = {
    { extract = { type = "array", elements = { type = "string", one_of = formats } } },
    { clear = { type = "array", elements = { type = "string", validator = "header_name" } } },
    { inject = { type = "array", elements = { type = "string", one_of = { "preserve", unpack(written) } } } },
    { default_format = { type = "string", one_of = written, required = true } },
  },
}

if name == "kong.tools.queue_schema" then
  return t.queue
end

-- What plugins ask of a server of Redis.
if name == "kong.tools.redis.schema" then
  local secret = { type = "string", referenceable = true, encrypted = true, len_min = 0 }
  return { config_schema = {
    type = "record",
    fields = {
      { host = t.host }, { port = t.port { default = 6379 } }, { timeout = t.timeout { default = 2000 } },
      { username = { type = "string", referenceable = true } }, { password = secret },
      { database = { type = "integer", default = 0 } },
      { ssl = { type = "boolean", default = false } }, { ssl_verify = { type = "boolean", default = false } },
      { server_name = t.sni },
    },
  } }
end

return setmetatable(t, { __index = function(_, name)
  error("typedefs has no '" .. tostring(name) .. "'", 2)
end })
