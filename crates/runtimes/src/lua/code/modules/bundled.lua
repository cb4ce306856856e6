-- `kong.plugins.<name>.handler` of bundled plugins: what they are, for plugins that go before or after them. What they do
-- is not in Lua, so that calling it, or copying it, fails each request instead of letting it pass.
local name, slot = ...

local KNOWN = {
  ["acl"] = { 950, "access" }, ["acme"] = { 1705, "access" },
  ["aws-lambda"] = { 750, "access header_filter" }, ["azure-functions"] = { 749, "access" },
  ["basic-auth"] = { 1100, "access" }, ["bot-detection"] = { 2500, "access" },
  ["correlation-id"] = { 100001, "access header_filter" }, ["cors"] = { 2000, "access header_filter" },
  ["datadog"] = { 10, "log" }, ["file-log"] = { 9, "log" },
  ["grpc-gateway"] = { 998, "access header_filter body_filter" }, ["grpc-web"] = { 3, "access header_filter body_filter" },
  ["hmac-auth"] = { 1030, "access" }, ["http-log"] = { 12, "log" }, ["ip-restriction"] = { 990, "access preread" },
  ["jwt"] = { 1450, "access" }, ["key-auth"] = { 1250, "access" }, ["ldap-auth"] = { 1200, "access" },
  ["loggly"] = { 6, "log" }, ["oauth2"] = { 1400, "access" }, ["opentelemetry"] = { 14, "access header_filter log" },
  ["post-function"] = { -1000, "rewrite access header_filter body_filter log" },
  ["pre-function"] = { 1000000, "rewrite access header_filter body_filter log" },
  ["prometheus"] = { 13, "log" }, ["proxy-cache"] = { 100, "access header_filter body_filter" },
  ["rate-limiting"] = { 910, "access" }, ["redirect"] = { 779, "access" },
  ["request-size-limiting"] = { 951, "access" }, ["request-termination"] = { 2, "access" },
  ["request-transformer"] = { 801, "access" }, ["response-ratelimiting"] = { 900, "access header_filter log" },
  ["response-transformer"] = { 800, "header_filter body_filter" }, ["session"] = { 1900, "access header_filter" },
  ["standard-webhooks"] = { 760, "access" }, ["statsd"] = { 11, "log" }, ["syslog"] = { 4, "log" },
  ["tcp-log"] = { 7, "log" }, ["udp-log"] = { 8, "log" }, ["zipkin"] = { 100000, "access header_filter body_filter log" },
}

local plugin = name:match("^kong%.plugins%.(.+)%.handler$")
local known = KNOWN[plugin]
local handler = { PRIORITY = known[1], VERSION = kong.version }
for phase in known[2]:gmatch("%S+") do
  handler[phase] = function()
    error(("what the bundled plugin '%s' does is not in Lua: code cannot call it"):format(plugin), 2)
  end
end
slot.of_bundled[handler] = true
return handler
