//! Modules that code may `require`: ours, and files in the operator's `lua_package_path`.

use mlua::{Function, Lua, Result, Table};
use std::sync::OnceLock;

/// The modules of the run time: texts, and the names that each stands for. It gets the name that was asked for, and
/// `slot`.
const OWN: &[(&str, &[&str])] = &[
    (include_str!("code/modules/ada.lua"), &["resty.ada", "resty.ada.search"]),
    (include_str!("code/modules/api.lua"), &["kong.api.endpoints", "kong.api.api_helpers"]),
    (include_str!("code/modules/cjson.lua"), &["cjson", "cjson.safe"]),
    (include_str!("code/modules/constants.lua"), &["kong.constants"]),
    (include_str!("code/modules/dns.lua"), DNS),
    (include_str!("code/modules/evp.lua"), &["resty.aes", "resty.evp"]),
    (include_str!("code/modules/ffi.lua"), &["ffi", "lua_system_constants"]),
    (include_str!("code/modules/http.lua"), &["resty.http"]),
    (include_str!("code/modules/jwt.lua"), &["kong.plugins.jwt.jwt_parser"]),
    (include_str!("code/modules/kong.lua"), KONG),
    (include_str!("code/modules/luasocket.lua"), LUASOCKET),
    (include_str!("code/modules/migrations.lua"), MIGRATIONS),
    (include_str!("code/modules/mlcache.lua"), &["kong.resty.mlcache", "resty.mlcache"]),
    (include_str!("code/modules/ngx.lua"), OPENRESTY),
    (include_str!("code/modules/openssl.lua"), OPENSSL),
    (include_str!("code/modules/openssl_der.lua"), &["resty.openssl.der"]),
    (include_str!("code/modules/openssl_x509.lua"), OPENSSL_X509),
    (include_str!("code/modules/pb.lua"), PROTOBUF),
    (include_str!("code/modules/private.lua"), &["kong.pdk.private.checks", "kong.pdk.private.phases"]),
    (include_str!("code/modules/queue.lua"), &["kong.tools.queue"]),
    (include_str!("code/modules/redis.lua"), &["resty.redis"]),
    (include_str!("code/modules/schema.lua"), &["kong.db.errors", "kong.db.schema", "kong.db.schema.entity"]),
    (include_str!("code/modules/ssl.lua"), &["ngx.ssl", "resty.kong.tls"]),
    (include_str!("code/modules/tools.lua"), TOOLS),
    (include_str!("code/modules/tools_net.lua"), TOOLS_NET),
    (include_str!("code/modules/zlib.lua"), &["ffi-zlib", "zlib"]),
    (include_str!("code/modules/typedefs.lua"), TYPEDEFS),
];
/// Those that are used where the operator has none of that name.
const SPARE: &[(&str, &[&str])] = &[
    (include_str!("code/modules/pl.lua"), PENLIGHT),
    (include_str!("code/modules/pl_class.lua"), &["pl.class", "pl.template"]),
    (include_str!("code/modules/pl_tables.lua"), PENLIGHT_TABLES),
    (include_str!("code/modules/bundled.lua"), BUNDLED),
    (include_str!("code/modules/ffi_asn1.lua"), &["openssl.asn1"]),
    (include_str!("code/modules/forks.lua"), FORKS),
    (include_str!("code/modules/inspect.lua"), &["inspect"]),
    (include_str!("code/modules/kong.lua"), &["kong.plugins.base_plugin", "lfs"]),
    (include_str!("code/modules/lpeg.lua"), &["lpeg"]),
    (include_str!("code/modules/luasocket.lua"), &["ltn12"]),
    (include_str!("code/modules/multipart.lua"), &["multipart"]),
    (include_str!("code/modules/libraries.lua"), LIBRARIES),
    (include_str!("code/modules/limits.lua"), LIMITS),
    (include_str!("code/modules/lxp.lua"), &["lxp.lom"]),
    (include_str!("code/modules/memcached.lua"), &["resty.memcached"]),
    (include_str!("code/modules/mysql.lua"), &["resty.mysql"]),
    (include_str!("code/modules/websocket.lua"), WEBSOCKET),
    (include_str!("code/modules/migrations.lua"), &["pgmoon.arrays", "pgmoon.json"]),
    (include_str!("code/modules/otlp.lua"), OTLP),
    (include_str!("code/modules/propagation.lua"), PROPAGATION),
    (include_str!("code/modules/propagation_formats.lua"), PROPAGATION_FORMATS),
    (include_str!("code/modules/runloop.lua"), RUNLOOP),
    (include_str!("code/modules/session.lua"), &["resty.session"]),
    (include_str!("code/modules/session_cookies.lua"), &["resty.session.cookies"]),
    (include_str!("code/modules/session_storage.lua"), SESSIONS),
    (include_str!("code/modules/web.lua"), &["resty.cookie", "resty.upload", "resty.url"]),
    (include_str!("code/modules/workers.lua"), &["resty.events.compat", "resty.timerng", "resty.worker.events"]),
];

/// Handlers of bundled plugins.
const BUNDLED: &[&str] = &[
    "kong.plugins.acl.handler",
    "kong.plugins.acme.handler",
    "kong.plugins.aws-lambda.handler",
    "kong.plugins.azure-functions.handler",
    "kong.plugins.basic-auth.handler",
    "kong.plugins.bot-detection.handler",
    "kong.plugins.correlation-id.handler",
    "kong.plugins.cors.handler",
    "kong.plugins.datadog.handler",
    "kong.plugins.file-log.handler",
    "kong.plugins.grpc-gateway.handler",
    "kong.plugins.grpc-web.handler",
    "kong.plugins.hmac-auth.handler",
    "kong.plugins.http-log.handler",
    "kong.plugins.ip-restriction.handler",
    "kong.plugins.jwt.handler",
    "kong.plugins.key-auth.handler",
    "kong.plugins.ldap-auth.handler",
    "kong.plugins.loggly.handler",
    "kong.plugins.oauth2.handler",
    "kong.plugins.opentelemetry.handler",
    "kong.plugins.post-function.handler",
    "kong.plugins.pre-function.handler",
    "kong.plugins.prometheus.handler",
    "kong.plugins.proxy-cache.handler",
    "kong.plugins.rate-limiting.handler",
    "kong.plugins.redirect.handler",
    "kong.plugins.request-size-limiting.handler",
    "kong.plugins.request-termination.handler",
    "kong.plugins.request-transformer.handler",
    "kong.plugins.response-ratelimiting.handler",
    "kong.plugins.response-transformer.handler",
    "kong.plugins.session.handler",
    "kong.plugins.standard-webhooks.handler",
    "kong.plugins.statsd.handler",
    "kong.plugins.syslog.handler",
    "kong.plugins.tcp-log.handler",
    "kong.plugins.udp-log.handler",
    "kong.plugins.zipkin.handler",
];
const KONG: &[&str] = &[
    "kong.concurrency",
    "kong.dynamic_hook",
    "kong.observability.tracing.request_id",
    "kong.pdk.private.rate_limiting",
    "kong.reports",
    "kong.tools.gzip",
    "kong.tools.mime_type",
    "kong.tools.sandbox",
    "kong.vaults.env",
    "kong.workspaces",
    "lyaml",
    "resty.kong.log",
];
const MIGRATIONS: &[&str] = &[
    "kong.db.migrations.operations.200_to_210",
    "kong.db.migrations.operations.212_to_213",
    "kong.db.migrations.operations.280_to_300",
    "kong.db.migrations.operations.331_to_332",
];
const TYPEDEFS: &[&str] = &["kong.db.schema.typedefs", "kong.tools.queue_schema", "kong.tools.redis.schema"];
const WEBSOCKET: &[&str] = &["resty.websocket.client", "resty.websocket.protocol", "resty.websocket.server"];
const PROTOBUF: &[&str] = &["kong.tools.grpc", "kong.tools.protobuf", "pb", "protoc"];
const LUASOCKET: &[&str] = &["mime.core", "socket", "socket.core", "socket.http", "ssl", "ssl.https"];
const OPENSSL: &[&str] = &[
    "resty.openssl",
    "resty.openssl.bn",
    "resty.openssl.cipher",
    "resty.openssl.digest",
    "resty.openssl.hmac",
    "resty.openssl.kdf",
    "resty.openssl.mac",
    "resty.openssl.pkey",
    "resty.openssl.rand",
    "resty.openssl.version",
    "resty.openssl.x509.chain",
    "resty.openssl.x509.store",
];
const OPENSSL_X509: &[&str] = &[
    "resty.openssl.x509",
    "resty.openssl.x509.altname",
    "resty.openssl.x509.crl",
    "resty.openssl.x509.csr",
    "resty.openssl.x509.extension",
    "resty.openssl.x509.name",
];

const OPENRESTY: &[&str] = &[
    "ngx.balancer",
    "ngx.pipe",
    "ngx.semaphore",
    "ngx.re",
    "ngx.base64",
    "ngx.errlog",
    "ngx.process",
    "ngx.req",
    "ngx.resp",
    "resty.core",
    "resty.core.base",
    "resty.random",
    "resty.string",
    "resty.jit-uuid",
    "resty.uuid",
    "kong.meta",
    "socket.url",
    "resty.md5",
    "resty.sha1",
    "resty.sha224",
    "resty.sha256",
    "resty.sha384",
    "resty.sha512",
    "resty.hmac",
    "resty.lrucache",
    "resty.lrucache.pureffi",
    "resty.lock",
];
const TOOLS: &[&str] = &[
    "kong.tools.string",
    "kong.tools.table",
    "kong.tools.uuid",
    "kong.tools.rand",
    "kong.tools.sha256",
    "kong.tools.time",
    "kong.tools.module",
    "kong.tools.cjson",
    "kong.tools.request_aware_table",
    "kong.tools.system",
    "kong.tools.timestamp",
    "kong.tools.utils",
    "kong.tools.yield",
    "tablepool",
];
const TOOLS_NET: &[&str] = &[
    "kong.dns.client",
    "kong.resty.dns.client",
    "kong.tools.dns",
    "kong.tools.http",
    "kong.tools.ip",
    "kong.tools.uri",
    "resty.dns.client",
    "resty.ipmatcher",
];
const PENLIGHT: &[&str] = &["pl.file", "pl.path", "pl.pretty", "pl.stringx", "pl.utils"];
const PENLIGHT_TABLES: &[&str] = &["pl.List", "pl.Set", "pl.tablex", "pl.types"];
const DNS: &[&str] = &["resty.dns.resolver"];
const LIBRARIES: &[&str] = &[
    "kong.cmd.utils.log",
    "kong.conf_loader",
    "kong.deprecation",
    "kong.plugins.datadog.statsd_logger",
    "kong.plugins.log-serializers.basic",
    "kong.resty.ctx",
    "lapis.util",
    "resty.counter",
    "resty.http_headers",
    "resty.kong.var",
    "resty.openssl.err",
    "version",
];
const LIMITS: &[&str] = &["resty.limit.conn", "resty.limit.count", "resty.limit.req", "resty.limit.traffic"];
const FORKS: &[&str] = &[
    "kong.plugins.pre-function._handler",
    "kong.plugins.pre-function._schema",
    "kong.tools.aws_stream",
    "lsyslog",
    "lua_pack",
    "resty.luasocket.http",
];
const OTLP: &[&str] =
    &["kong.observability.logs", "kong.observability.otlp", "kong.observability.otlp.proto", "opentelemetry.proto"];
const PROPAGATION: &[&str] = &[
    "kong.observability.tracing.propagation",
    "kong.observability.tracing.propagation.extractors._base",
    "kong.observability.tracing.propagation.injectors._base",
    "kong.observability.tracing.propagation.schema",
    "kong.observability.tracing.propagation.utils",
    "kong.observability.tracing.tracing_context",
];
const PROPAGATION_FORMATS: &[&str] = &[
    "kong.observability.tracing.propagation.extractors.aws",
    "kong.observability.tracing.propagation.extractors.b3",
    "kong.observability.tracing.propagation.extractors.datadog",
    "kong.observability.tracing.propagation.extractors.gcp",
    "kong.observability.tracing.propagation.extractors.instana",
    "kong.observability.tracing.propagation.extractors.jaeger",
    "kong.observability.tracing.propagation.extractors.ot",
    "kong.observability.tracing.propagation.extractors.w3c",
    "kong.observability.tracing.propagation.injectors.aws",
    "kong.observability.tracing.propagation.injectors.b3",
    "kong.observability.tracing.propagation.injectors.b3-single",
    "kong.observability.tracing.propagation.injectors.datadog",
    "kong.observability.tracing.propagation.injectors.gcp",
    "kong.observability.tracing.propagation.injectors.instana",
    "kong.observability.tracing.propagation.injectors.jaeger",
    "kong.observability.tracing.propagation.injectors.ot",
    "kong.observability.tracing.propagation.injectors.w3c",
];
const RUNLOOP: &[&str] =
    &["kong.runloop.balancer", "kong.runloop.balancer.upstreams", "kong.runloop.certificate", "kong.runloop.wasm"];
const SESSIONS: &[&str] = &["resty.session.origin", "resty.session.redis", "resty.session.shm"];

static PATH: OnceLock<String> = OnceLock::new();

/// Says where the operator's modules are (`lua_package_path`), once.
pub fn search(path: &str) {
    // Another node in this process, which only tests have, goes by the first one's.
    let _ = PATH.set(path.to_owned());
}

/// Makes modules known to a machine.
pub fn install(lua: &Lua, slot: &Table) -> Result<()> {
    let install: Function = lua.load(include_str!("code/modules.lua")).set_name("=modules").call(slot)?;
    let texts = |modules: &[(&'static str, &[&'static str])]| {
        let named = modules.iter().flat_map(|(text, names)| names.iter().map(move |name| (*name, *text)));
        lua.create_table_from(named)
    };
    install.call((texts(OWN)?, texts(SPARE)?, PATH.get().map(String::as_str)))
}
