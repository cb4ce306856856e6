-- kong.constants: names that plugins share with Kong.

-- The words of a text as a set, or as a list, or both.
local function set(text, list)
  local all = list or {}
  for word in text:gmatch("%S+") do
    all[word] = true
  end
  return all
end
local function list(text)
  local all = {}
  for word in text:gmatch("%S+") do
    all[#all + 1] = word
  end
  return all
end

local PLUGINS = [[
  jwt acl correlation-id cors oauth2 tcp-log udp-log file-log http-log key-auth hmac-auth basic-auth ip-restriction
  request-transformer response-transformer request-size-limiting rate-limiting response-ratelimiting syslog loggly datadog
  ldap-auth statsd bot-detection aws-lambda request-termination prometheus proxy-cache session acme grpc-gateway grpc-web
  pre-function post-function azure-functions zipkin opentelemetry ai-proxy ai-prompt-decorator ai-prompt-template
  ai-prompt-guard ai-request-transformer ai-response-transformer standard-webhooks redirect
]]
local ENTITIES = [[
  workspaces consumers certificates services routes snis upstreams targets plugins tags ca_certificates
  clustering_data_planes parameters vaults key_sets keys filter_chains
]]
local levels = {
  debug = ngx.DEBUG, info = ngx.INFO, notice = ngx.NOTICE, warn = ngx.WARN, error = ngx.ERR, crit = ngx.CRIT,
  alert = ngx.ALERT, emerg = ngx.EMERG,
}
for _, name in ipairs(list "debug info notice warn error crit alert emerg") do
  levels[levels[name]] = name
end
local statuses = {}
for _, word in ipairs(list [[unknown normal kong_version_incompatible plugin_set_incompatible plugin_version_incompatible
  filter_set_incompatible]]) do
  statuses[#statuses + 1] = { [word:upper()] = word }
  statuses[word:upper()] = word
end

return {
  CJSON_MAX_PRECISION = 16,
  BUNDLED_PLUGINS = set(PLUGINS), DEPRECATED_PLUGINS = {}, BUNDLED_VAULTS = { env = true }, DEPRECATED_VAULTS = {},
  CORE_ENTITIES = set(ENTITIES, list(ENTITIES)),
  ENTITY_CACHE_STORE = setmetatable({ consumers = "cache", tags = "cache", certificates = "core_cache",
    services = "core_cache", routes = "core_cache", snis = "core_cache", upstreams = "core_cache", targets = "core_cache",
    plugins = "core_cache", ca_certificates = "core_cache", vaults = "core_cache", key_sets = "core_cache",
    keys = "core_cache" }, { __index = function() return "cache" end }),
  DICTS = list [[kong kong_locks kong_db_cache kong_db_cache_miss kong_cluster_events kong_healthchecks
    kong_rate_limiting_counters kong_secrets]],
  DATABASE = { POSTGRES = { MIN = "9.5" }, DAO_MAX_TTL = 1e8 },
  KEY_FORMATS_MAP = { jwk = true, pem = true }, KEY_FORMATS = { "jwk", "pem" },
  LOG_LEVELS = levels,
  DYN_LOG_LEVEL_KEY = "kong:dyn_log_level", DYN_LOG_LEVEL_TIMEOUT_AT_KEY = "kong:dyn_log_level_timeout_at",
  DYN_LOG_LEVEL_DEFAULT_TIMEOUT = 60,
  DECLARATIVE_DEFAULT_WORKSPACE_ID = "0dc6f45b-8f8d-40d2-a504-473544ee190b",
  DECLARATIVE_LOAD_KEY = "declarative_config:loaded", DECLARATIVE_HASH_KEY = "declarative_config:hash",
  DECLARATIVE_DEFAULT_WORKSPACE_KEY = "declarative_config:default_workspace",
  DECLARATIVE_EMPTY_CONFIG_HASH = ("0"):rep(32), CLUSTER_ID_PARAM_KEY = "cluster_id",
  CLUSTERING_SYNC_STATUS = statuses, CLUSTERING_TIMEOUT = 5000, CLUSTERING_PING_INTERVAL = 30,
  CLUSTERING_OCSP_TIMEOUT = 5000, CLEAR_HEALTH_STATUS_DELAY = 300,
  REQUEST_DEBUG_TOKEN_FILE = ".request_debug_token", REQUEST_DEBUG_LOG_PREFIX = "[request-debug]",
  SCHEMA_NAMESPACES = { PROXY_WASM_FILTERS = "proxy-wasm-filters" },
  RESPONSE_SOURCE = { TYPES = { ERROR = "error", EXIT = "exit", SERVICE = "service" },
    NAMES = { error = "kong", exit = "kong", service = "upstream" } },
  HEADERS = {
    HOST_OVERRIDE = "X-Host-Override",
    PROXY_LATENCY = "X-Kong-Proxy-Latency",
    RESPONSE_LATENCY = "X-Kong-Response-Latency",
    ADMIN_LATENCY = "X-Kong-Admin-Latency",
    TOTAL_LATENCY = "X-Kong-Total-Latency",
    THIRD_PARTY_LATENCY = "X-Kong-Third-Party-Latency",
    CLIENT_LATENCY = "X-Kong-Client-Latency",
    UPSTREAM_LATENCY = "X-Kong-Upstream-Latency",
    UPSTREAM_STATUS = "X-Kong-Upstream-Status",
    CONSUMER_ID = "X-Consumer-ID",
    CONSUMER_CUSTOM_ID = "X-Consumer-Custom-ID",
    CONSUMER_USERNAME = "X-Consumer-Username",
    CREDENTIAL_IDENTIFIER = "X-Credential-Identifier",
    RATELIMIT_LIMIT = "X-RateLimit-Limit",
    RATELIMIT_REMAINING = "X-RateLimit-Remaining",
    CONSUMER_GROUPS = "X-Consumer-Groups",
    AUTHENTICATED_GROUPS = "X-Authenticated-Groups",
    FORWARDED_HOST = "X-Forwarded-Host",
    FORWARDED_PATH = "X-Forwarded-Path",
    FORWARDED_PREFIX = "X-Forwarded-Prefix",
    ANONYMOUS = "X-Anonymous-Consumer",
    REQUEST_ID = "X-Kong-Request-Id",
    VIA = "Via",
    SERVER = "Server",
  },
  PROTOCOLS = { "http", "https", "tcp", "tls", "udp", "grpc", "grpcs", "tls_passthrough", "ws", "wss" },
  PROTOCOLS_WITH_SUBSYSTEM = {
    http = "http", https = "http", tcp = "stream", tls = "stream", udp = "stream", grpc = "http", grpcs = "http",
    tls_passthrough = "stream",
  },
  REDIS = { HOST = "127.0.0.1", PORT = 6379, DATABASE = 0 },
  RATELIMIT = { PERIODS = { "second", "minute", "hour", "day", "month", "year" } },
  SERVER_TOKENS = "kong/3.10.0",
}
