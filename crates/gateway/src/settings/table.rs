//! The settings themselves: every key that Kong 3.10 knows, defined once.
//!
//! The parser, the names of the environment variables, the defaults, `docs/configuration.md` and
//! `kong.conf.default` all follow from this table.

use super::definition::{Section, Setting, boolean, choice, list, nginx_boolean, number, text};

/// All settings, in the order in which they are documented.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "General",
        about: "Where the node keeps its files, what it logs, and what it loads.",
        settings: &[
            text(
                "prefix",
                "/usr/local/kong/",
                "Directory for logs, certificates, the process id and the SQLite database. When it is the default and \
                    cannot be written, `$HOME/.bascule` is used.",
            ),
            choice(
                "log_level",
                "notice",
                &["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"],
                "The least severe messages that are logged. The Admin API can change it while the node runs.",
            )
            .renewed(),
            text(
                "proxy_access_log",
                "logs/access.log",
                "File for one line per proxied request, relative to the prefix, and the format of the lines: `path \
                    [format]`; `off` for none. `/dev/stdout` and `/dev/stderr` are the process' own. The format is \
                    one of `kong_log_format` (the default), `combined`, `basic` and those of `nginx_http_log_format`. \
                    SIGUSR1 opens the files anew. `syslog:server=HOST` sends lines to a syslog server, as nginx does, \
                    and `otlp:URL` to an OTLP server, each as a log record.",
            ),
            text(
                "proxy_error_log",
                "logs/error.log",
                "File for the node's messages, relative to the prefix, `stderr`, or a syslog server as for \
                    `proxy_access_log`. `bascule run` logs to its standard error while this is the default.",
            ),
            text(
                "proxy_stream_access_log",
                "logs/access.log basic",
                "Access log of stream listeners, as `proxy_access_log`; the default format is `basic`, and those of \
                `nginx_stream_log_format` can be named, too.",
            ),
            text("proxy_stream_error_log", "logs/error.log", "Messages of stream listeners.").inert(),
            text(
                "admin_access_log",
                "logs/admin_access.log",
                "Access log of the Admin API, as `proxy_access_log`; \
                the default format is `combined`.",
            ),
            text(
                "admin_error_log",
                "logs/error.log",
                "File for messages of the Admin API. While it is the default they go where the others go.",
            ),
            text("admin_gui_access_log", "logs/admin_gui_access.log", "Access log of the GUI."),
            text(
                "admin_gui_error_log",
                "logs/admin_gui_error.log",
                "File for messages about connections to the GUI, as `admin_error_log`.",
            ),
            text("status_access_log", "off", "Access log of the Status API, as `admin_access_log`."),
            text(
                "status_error_log",
                "logs/status_error.log",
                "File for messages of the Status API. While it is the default they go to `admin_error_log`.",
            ),
            list("vaults", "bundled", "Vaults that references may name; `bundled` stands for all that are built in."),
            list(
                "plugins",
                "bundled",
                "Plugins that can be configured; `bundled` stands for all that are built in, \
                `off` for none. One that is named and has files in `lua_package_path` is taken from there, even where \
                one of its name is built in.",
            ),
            list(
                "port_maps",
                "",
                "Pairs `public:own` of ports, for nodes behind a port-mapping balancer: what \
                `X-Forwarded-Port` and route matching see.",
            ),
            text("host_ports", "", "Shown by the Admin API, filled from `port_maps`; not to be set."),
            boolean("anonymous_reports", "on", "Kong's usage reports. Bascule never sends any.").inert(),
            text("proxy_server", "", "URL of a forward proxy for the node's own requests.").secret().inert(),
            boolean(
                "proxy_server_ssl_verify",
                "on",
                "Whether the certificate of an https `proxy_server` is \
                verified.",
            )
            .inert(),
            boolean(
                "websocket_protocols",
                "off",
                "Whether routes and services may have the protocols `ws` and `wss`, as in Kong Enterprise; the \
                    open-source Kong refuses them. WebSockets pass through other routes in any case. Not a key of \
                    Kong's.",
            ),
            text("error_template_html", "", "File with the template of HTML error answers."),
            text("error_template_json", "", "File with the template of JSON error answers."),
            text("error_template_xml", "", "File with the template of XML error answers."),
            text("error_template_plain", "", "File with the template of plain-text error answers."),
            text("node_id", "", "The node's id, a UUID. Made once and kept in the prefix when not given."),
        ],
    },
    Section {
        title: "Listeners",
        about: "Addresses, each followed by flags: `ssl`, `http2`, `quic`, `reuseport`, `backlog=N`, `proxy_protocol`, \
            `bind`, `deferred`, `ipv6only=on|off`, `so_keepalive=on|off|idle:interval:count`. A single `off` closes \
            the interface. With `http2` on one listener of a setting all of them speak HTTP/2, too: by ALPN, and \
            without TLS to clients that begin with it. An address of `proxy_listen` with `quic` speaks HTTP/3 over \
            UDP; clients of TLS listeners are told of it (`Alt-Svc`). Another process of the same user can listen on \
            an address of `proxy_listen` only with `reuseport`; the Admin and the Status API are never shared. With \
            `proxy_protocol`, every connection must begin with a header of the PROXY protocol, version 1 or 2; its \
            address is believed of `trusted_ips` with `real_ip_header = proxy_protocol`. `bind` is what happens \
            anyway, and `deferred` has no effect. `unix:/path` in place of an address stands for a socket in the file \
            system: everybody may connect to those of the proxy whom the directory lets in, as with nginx, and only \
            the node's user and group to others. What a process has left there that has ended is taken away; clients \
            are called `unix:`, and trusted when that is in `trusted_ips`.",
        settings: &[
            list(
                "proxy_listen",
                "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport \
                backlog=16384",
                "Where clients connect.",
            ),
            list(
                "stream_listen",
                "off",
                "Where streams connect: TCP; TLS (`ssl`), which is taken off for routes of `tls` and left to the \
                service for those of `tls_passthrough`; or UDP (`udp`).",
            ),
            list(
                "admin_listen",
                "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384",
                "Where the Admin API answers. Whoever reaches it rules the node: keep it private.",
            ),
            list(
                "admin_allowed_hosts",
                "",
                "Names and addresses by which clients may call the Admin API (`Host`, without port), `*.example.test` \
                    for all below one; others are answered 403. Guards against web pages whose name is made to resolve \
                    to this machine. Empty: any. Not a key of Kong's.",
            ),
            list(
                "admin_gui_listen",
                "0.0.0.0:8002, 0.0.0.0:8445 ssl",
                "Where the manager answers, the GUI: pages that have browsers call the Admin API. The default is left \
                    out, with a warning, where these ports are taken.",
            ),
            list(
                "status_listen",
                "127.0.0.1:8007 reuseport backlog=16384",
                "Where the read-only Status API answers \
                (`/status`, `/status/ready`).",
            ),
            list("cluster_listen", "0.0.0.0:8005", "Where a control plane takes its data planes.").inert(),
        ],
    },
    Section {
        title: "Hybrid mode",
        about: "Control planes and data planes.",
        settings: &[
            choice(
                "role",
                "traditional",
                &["data_plane", "control_plane", "traditional"],
                "What the node is. Only \
                `traditional` is there so far.",
            ),
            text("cluster_control_plane", "127.0.0.1:8005", "The control plane of a data plane.").inert(),
            text("cluster_cert", "", "Certificate of the cluster.").inert(),
            text("cluster_cert_key", "", "Key of `cluster_cert`.").secret().inert(),
            choice(
                "cluster_mtls",
                "shared",
                &["shared", "pki"],
                "How the nodes of a cluster trust each \
                other.",
            )
            .inert(),
            text("cluster_ca_cert", "", "Authority of the cluster's certificates.").inert(),
            text("cluster_server_name", "", "Name that a data plane expects of its control plane.").inert(),
            number(
                "cluster_data_plane_purge_delay",
                "1209600",
                "Seconds until a silent data plane is \
                forgotten.",
            )
            .inert(),
            choice(
                "cluster_ocsp",
                "off",
                &["on", "off", "optional"],
                "Whether certificates of data planes are \
                checked by OCSP.",
            )
            .inert(),
            number("cluster_max_payload", "16777216", "Largest message between the nodes, in bytes.").inert(),
            boolean("cluster_use_proxy", "off", "Whether a data plane connects through `proxy_server`.").inert(),
            list("cluster_dp_labels", "", "Labels of a data plane, `key:value`.").inert(),
            boolean("cluster_rpc", "off", "Whether nodes call each other.").inert(),
            boolean("cluster_rpc_sync", "off", "Whether configuration is synchronised by calls.").inert(),
            boolean("cluster_cjson", "off", "A detail of Kong's JSON encoder.").inert(),
            text(
                "lmdb_environment_path",
                "dbless.lmdb",
                "Where Kong keeps declarative configuration; ours is in `dbless.db`.",
            )
            .inert(),
            text("lmdb_map_size", "2048m", "How large that may grow.").inert(),
        ],
    },
    Section {
        title: "TLS",
        about: "Certificates, given as files, as PEM text, or as base64 of it. Without any, a self-signed one is made \
            in the prefix.",
        settings: &[
            text(
                "ssl_cipher_suite",
                "intermediate",
                "Mozilla's profile of protocols and ciphers: `modern`, `intermediate`, `old`, `fips` or `custom`. TLS \
                    1.2 and 1.3 are spoken, with ciphers that authenticate and keep secrets for the future; a profile \
                    that asks for more is cut down with a warning. Where a profile leaves the choice to clients, \
                    AES-128-GCM is taken, which is cheapest, or ChaCha20 with clients who prefer that; \
                    `nginx_proxy_ssl_prefer_server_ciphers = off` leaves it to them.",
            ),
            text(
                "ssl_ciphers",
                "",
                "Ciphers of the `custom` profile for TLS 1.2, as OpenSSL lists them; what is not \
                available is left out with a warning.",
            ),
            text(
                "ssl_protocols",
                "TLSv1.2 TLSv1.3",
                "Protocol versions that clients may use, in the `custom` profile.",
            )
            .implies(&["nginx_http_ssl_protocols", "nginx_stream_ssl_protocols"]),
            nginx_boolean(
                "ssl_prefer_server_ciphers",
                "on",
                "Whether our order of ciphers counts and not the \
                client's, in the `custom` profile.",
            )
            .implies(&["nginx_http_ssl_prefer_server_ciphers", "nginx_stream_ssl_prefer_server_ciphers"]),
            text("ssl_dhparam", "", "Diffie-Hellman parameters; elliptic curves are used instead.")
                .implies(&["nginx_http_ssl_dhparam", "nginx_stream_ssl_dhparam"])
                .inert(),
            nginx_boolean("ssl_session_tickets", "on", "Whether sessions can be resumed by tickets that clients keep.")
                .implies(&["nginx_http_ssl_session_tickets", "nginx_stream_ssl_session_tickets"]),
            text("ssl_session_timeout", "1d", "How long a session can be resumed; tickets for 12 hours at most.")
                .implies(&["nginx_http_ssl_session_timeout", "nginx_stream_ssl_session_timeout"]),
            text(
                "ssl_session_cache_size",
                "10m",
                "Memory for sessions of clients without tickets; a megabyte holds \
                about 4000.",
            ),
            list("ssl_cert", "", "Default certificates of the proxy, one per kind of key.").renewed(),
            list("ssl_cert_key", "", "Keys of `ssl_cert`, in the same order.").renewed().secret(),
            boolean(
                "client_ssl",
                "off",
                "Whether the node shows `client_ssl_cert` to services that have no certificate of their own to be \
                    shown, and neither has the upstream.",
            )
            .renewed(),
            text(
                "client_ssl_cert",
                "",
                "Certificate shown to services; without one, the default certificate of the \
                proxy.",
            )
            .renewed(),
            text("client_ssl_cert_key", "", "Key of `client_ssl_cert`.").renewed().secret(),
            list("admin_ssl_cert", "", "Certificates of the Admin API.").renewed(),
            list("admin_ssl_cert_key", "", "Keys of `admin_ssl_cert`.").renewed().secret(),
            list("admin_gui_ssl_cert", "", "Certificates of the GUI.").renewed(),
            list("admin_gui_ssl_cert_key", "", "Keys of `admin_gui_ssl_cert`.").renewed().secret(),
            list("status_ssl_cert", "", "Certificates of the Status API.").renewed(),
            list("status_ssl_cert_key", "", "Keys of `status_ssl_cert`.").renewed().secret(),
            list(
                "lua_ssl_trusted_certificate",
                "system",
                "Authorities that certificates of services and other peers are verified against; `system` stands for \
                    the machine's own.",
            )
            .renewed(),
            number(
                "lua_ssl_verify_depth",
                "1",
                "Most certificates between that of a peer and that of its authority: for probes, and for services \
                    where neither they nor nginx's directives say.",
            )
            .renewed(),
            text("lua_ssl_protocols", "TLSv1.2 TLSv1.3", "Protocol versions of probes.")
                .renewed()
                .implies(&["nginx_http_lua_ssl_protocols", "nginx_stream_lua_ssl_protocols"]),
        ],
    },
    Section {
        title: "Proxying",
        about: "What is added to requests and responses, and how connections are kept.",
        settings: &[
            list(
                "headers",
                "server_tokens, latency_tokens, x-kong-request-id",
                "Headers added to responses: `server_tokens` (`Via`, `Server`), `latency_tokens` \
                    (`X-Kong-*-Latency`), or single ones by name, also `X-Kong-Upstream-Status`; `off` for none.",
            ),
            list(
                "headers_upstream",
                "x-kong-request-id",
                "Headers added to requests to services: \
                `X-Kong-Request-Id`, or `off`.",
            ),
            list(
                "trusted_ips",
                "",
                "Addresses and CIDR blocks whose `X-Forwarded-*` headers are believed; \
                `0.0.0.0/0,::/0` trusts everyone with an address, `unix:` those who come by sockets in the file \
                system.",
            ),
            text(
                "real_ip_header",
                "X-Real-IP",
                "Header in which a trusted proxy names the client: `X-Real-IP`, `X-Forwarded-For`, `proxy_protocol` \
                    or another.",
            )
            .implies(&["nginx_proxy_real_ip_header"]),
            nginx_boolean(
                "real_ip_recursive",
                "off",
                "Whether the last untrusted address of `real_ip_header` is \
                taken instead of the last one.",
            )
            .implies(&["nginx_proxy_real_ip_recursive"]),
            choice(
                "error_default_type",
                "text/plain",
                &["application/json", "application/xml", "text/html", "text/plain"],
                "Format of the proxy's error answers for clients that ask for none.",
            ),
            number(
                "upstream_keepalive_pool_size",
                "512",
                "Idle connections kept per service address and worker; 0 \
                keeps none.",
            ),
            number("upstream_keepalive_max_requests", "10000", "Requests after which a kept connection is closed."),
            number("upstream_keepalive_idle_timeout", "60", "Seconds for which an idle connection is kept."),
            boolean(
                "allow_debug_header",
                "off",
                "Whether a request with `Kong-Debug: 1` is told its route and \
                service in headers.",
            ),
            text("client_body_buffer_size", "8k", "Kong's buffer for request bodies. Bodies stream here.").inert(),
            choice(
                "router_flavor",
                "traditional_compatible",
                &["traditional", "traditional_compatible", "expressions"],
                "The rules by which routes are matched.",
            ),
            choice(
                "route_match_calculation",
                "original",
                &["original", "strict"],
                "How routes without expressions are ranked, unless `router_flavor` is `traditional`: as Kong has \
                always reckoned (exact hosts and regular expressions before one to three kinds of criteria), or as \
                its documentation says (more kinds of criteria first).",
            ),
            number("lua_max_req_headers", "100", "Request headers that plugins see, 1 to 1000.").inert(),
            number("lua_max_resp_headers", "100", "Response headers that plugins see, 1 to 1000.").inert(),
            number("lua_max_uri_args", "100", "Query arguments that plugins see, 1 to 1000.").inert(),
            number("lua_max_post_args", "100", "Form fields that plugins see, 1 to 1000.").inert(),
            boolean("request_debug", "on", "Whether requests can ask for their timing (`X-Kong-Request-Debug: *`)."),
            text(
                "request_debug_token",
                "",
                "What such requests must say in `X-Kong-Request-Debug-Token` unless they come from this machine; when \
                 it is not set, one is made at each start. It stands in `.request_debug_token` in the prefix.",
            )
            .secret(),
        ],
    },
    Section {
        title: "nginx",
        about: "Kong's defaults of nginx's directives; further down stand all that there are.",
        settings: &[
            text(
                "nginx_user",
                "kong kong",
                "User of the workers; the process stays who it was started \
                as.",
            )
            .implies(&["nginx_main_user"])
            .inert(),
            text(
                "nginx_worker_processes",
                "auto",
                "Number of workers (threads); `auto` takes one per \
                core.",
            )
            .implies(&["nginx_main_worker_processes"]),
            nginx_boolean(
                "nginx_daemon",
                "on",
                "With `off`, `bascule start` stays in the \
                foreground.",
            )
            .implies(&["nginx_main_daemon"]),
            text("nginx_main_daemon", "on", "As `nginx_daemon`."),
            text("nginx_main_user", "kong kong", "As `nginx_user`.").inert(),
            text("nginx_main_worker_processes", "auto", "As `nginx_worker_processes`."),
            text(
                "nginx_main_worker_rlimit_nofile",
                "auto",
                "Largest number of open files; `auto`: as many as the \
                system allows.",
            ),
            text("nginx_events_worker_connections", "auto", "Client connections per worker; `auto`: 65536."),
            text("nginx_events_multi_accept", "on", "A detail of nginx's event loop.").inert(),
            text("nginx_http_charset", "UTF-8", "Character set that is added to textual types; `off` for none."),
            text(
                "nginx_http_client_max_body_size",
                "0",
                "Largest request body, such as `10m`; larger ones are \
                answered 413. 0: no limit.",
            ),
            text(
                "nginx_http_client_body_buffer_size",
                "8k",
                "So much of a request's body is held in memory. While it \
                is the default, what suits.",
            ),
            text("nginx_http_keepalive_requests", "10000", "Requests after which a client's connection is closed."),
            text(
                "nginx_http_lua_regex_match_limit",
                "100000",
                "A limit of nginx's regular expressions; ours run in \
                linear time.",
            )
            .inert(),
            text("nginx_http_lua_regex_cache_max_entries", "8192", "A cache of nginx's regular expressions.").inert(),
            text("nginx_proxy_real_ip_header", "X-Real-IP", "As `real_ip_header`."),
            text("nginx_proxy_real_ip_recursive", "off", "As `real_ip_recursive`."),
            text("nginx_admin_client_max_body_size", "10m", "Largest body of a request to the Admin API."),
            text("nginx_admin_client_body_buffer_size", "10m", "Buffer of the Admin API's request bodies.").inert(),
        ],
    },
    Section {
        title: "Storage",
        about: "Where entities are kept.",
        settings: &[
            choice(
                "database",
                "sqlite",
                &["sqlite", "postgres", "cassandra", "off"],
                "`sqlite`: a file in the prefix, nothing to install. `postgres`: Kong's own tables, made by \
                    `bascule migrations bootstrap`. `off`: records come from `declarative_config` or from \
                    `POST /config`, and what was loaded last is kept in the prefix.",
            ),
            text(
                "declarative_config",
                "",
                "File (`.yml`, `.yaml`, `.json`) that a node without database loads at its start and at a reload.",
            )
            .renewed(),
            text("declarative_config_string", "", "The same, as text; `declarative_config` goes before it.")
                .secret()
                .renewed(),
            text("pg_host", "127.0.0.1", "Host of PostgreSQL, or several; a path is the directory of its Unix socket."),
            number("pg_port", "5432", "Port of PostgreSQL."),
            text("pg_database", "kong", "Database."),
            text("pg_schema", "", "Schema within the database; empty: the one that the server chooses."),
            number("pg_timeout", "5000", "Milliseconds for connecting, and for each answer."),
            text("pg_user", "kong", "User."),
            text("pg_password", "", "Password.").secret(),
            boolean("pg_ssl", "off", "Whether connections use TLS."),
            boolean(
                "pg_ssl_verify",
                "off",
                "Whether the server's certificate is verified, by `lua_ssl_trusted_certificate`.",
            ),
            boolean("pg_ssl_required", "on", "Whether a server that has no TLS is refused."),
            choice(
                "pg_ssl_version",
                "any",
                &["any", "tlsv1_1", "tlsv1_2", "tlsv1_3"],
                "The only version of TLS to be spoken; there is no 1.1 here.",
            ),
            text("pg_ssl_cert", "", "Certificate to show to PostgreSQL: a file, PEM text, or base64 of it."),
            text("pg_ssl_cert_key", "", "The key of that certificate.").secret(),
            boolean(
                "pg_iam_auth",
                "off",
                "Whether passwords are tokens of AWS' IAM for databases of RDS, in place of `pg_password`; connections \
                use TLS then. Credentials and region (`AWS_REGION`, else that in the host's name) are found as by \
                AWS' own clients.",
            ),
            text("pg_iam_auth_assume_role_arn", "", "A role to take for that."),
            text("pg_iam_auth_role_session_name", "KongPostgres", "The name of its sessions."),
            text("pg_iam_auth_sts_endpoint_url", "", "The Security Token Service that gives it, if not the region's."),
            text(
                "pg_password_command",
                "",
                "A command (of `sh`) whose output is the password, in place of `pg_password`: such as a token of Azure \
                or Google Cloud. It is run again every five minutes in which connections are made.",
            ),
            number("pg_max_concurrent_queries", "0", "Transactions at a time; 0: no limit."),
            number("pg_semaphore_timeout", "60000", "Milliseconds to wait for a turn."),
            number("pg_keepalive_timeout", "", "Milliseconds for which an idle connection is kept; empty: 60000."),
            number("pg_pool_size", "", "Connections at most; empty: 16."),
            number("pg_backlog", "", "How many may wait for a connection; empty: any number."),
            number("_debug_pg_ttl_cleanup_interval", "300", "Seconds between two clean-ups of expired rows.").inert(),
            text(
                "pg_ro_host",
                "",
                "Host of a replica, or several: what the Admin API reads with GET comes from there, and may be behind.",
            ),
            number("pg_ro_port", "", "As `pg_port`, for the replica."),
            text("pg_ro_database", "", "As `pg_database`, for the replica."),
            text("pg_ro_schema", "", "As `pg_schema`, for the replica."),
            number("pg_ro_timeout", "", "As `pg_timeout`, for the replica."),
            text("pg_ro_user", "", "As `pg_user`, for the replica."),
            text("pg_ro_password", "", "As `pg_password`, for the replica.").secret(),
            boolean("pg_ro_ssl", "", "As `pg_ssl`, for the replica."),
            boolean("pg_ro_ssl_verify", "", "As `pg_ssl_verify`, for the replica."),
            boolean("pg_ro_ssl_required", "", "As `pg_ssl_required`, for the replica."),
            text("pg_ro_ssl_version", "", "As `pg_ssl_version`, for the replica."),
            text("pg_ro_ssl_cert", "", "As `pg_ssl_cert`, for the replica."),
            text("pg_ro_ssl_cert_key", "", "As `pg_ssl_cert_key`, for the replica.").secret(),
            boolean("pg_ro_iam_auth", "", "As `pg_iam_auth`, for the replica."),
            text("pg_ro_iam_auth_assume_role_arn", "", "As `pg_iam_auth_assume_role_arn`, for the replica."),
            text("pg_ro_iam_auth_role_session_name", "", "As `pg_iam_auth_role_session_name`, for the replica."),
            text("pg_ro_iam_auth_sts_endpoint_url", "", "As `pg_iam_auth_sts_endpoint_url`, for the replica."),
            text("pg_ro_password_command", "", "As `pg_password_command`, for the replica."),
            number("pg_ro_max_concurrent_queries", "", "As `pg_max_concurrent_queries`, for the replica."),
            number("pg_ro_semaphore_timeout", "", "As `pg_semaphore_timeout`, for the replica."),
            number("pg_ro_keepalive_timeout", "", "As `pg_keepalive_timeout`, for the replica."),
            number("pg_ro_pool_size", "", "As `pg_pool_size`, for the replica."),
            number("pg_ro_backlog", "", "As `pg_backlog`, for the replica."),
            number(
                "db_update_frequency",
                "5",
                "Seconds between two looks for changes of Kong nodes on the same database; nodes of this kind tell \
                each other at once.",
            ),
            number(
                "db_update_propagation",
                "0",
                "Seconds that a change needs to reach the database's replicas: Kong nodes are told so.",
            ),
            number(
                "db_cache_ttl",
                "0",
                "Seconds for which Kong caches a record. Everything is in memory \
                here.",
            )
            .inert(),
            number("db_cache_neg_ttl", "", "Seconds for which Kong caches a miss.").inert(),
            number("db_resurrect_ttl", "30", "Seconds for which Kong serves a stale record.").inert(),
            list("db_cache_warmup_entities", "services", "What Kong loads at start.").inert(),
            text(
                "mem_cache_size",
                "128m",
                "Memory for each cache of a plugin, such as the responses that \
                `proxy-cache` keeps.",
            ),
        ],
    },
    Section {
        title: "Names",
        about: "How the host names of services and targets are resolved.",
        settings: &[
            list("dns_resolver", "", "Name servers, `ip[:port]`; empty: those of `/etc/resolv.conf`."),
            text("dns_hostsfile", "/etc/hosts", "Hosts file; read at start."),
            list(
                "dns_order",
                "LAST,SRV,A,CNAME",
                "Record types in the order in which they are tried; `LAST` is the \
                type that answered last.",
            ),
            number("dns_valid_ttl", "", "Seconds for which an answer is used, whatever its own TTL."),
            number(
                "dns_stale_ttl",
                "3600",
                "Seconds for which an expired answer is still used while a new one is \
                fetched.",
            ),
            number("dns_cache_size", "10000", "Names kept."),
            number("dns_not_found_ttl", "30", "Seconds for which `no such name` is remembered."),
            number("dns_error_ttl", "1", "Seconds for which a failure is remembered."),
            boolean("dns_no_sync", "off", "Whether every request makes its own query. Queries are shared here."),
            boolean(
                "new_dns_client",
                "off",
                "Resolve as Kong's newer client does: by the `resolver_*` settings, SRV records only for names such \
                    as `_http._tcp.example`.",
            ),
            list("resolver_address", "", "As `dns_resolver`, with `new_dns_client`."),
            text("resolver_hosts_file", "/etc/hosts", "As `dns_hostsfile`, with `new_dns_client`."),
            list("resolver_family", "A,SRV", "Record types to ask for, with `new_dns_client`."),
            number("resolver_valid_ttl", "", "As `dns_valid_ttl`, with `new_dns_client`."),
            number("resolver_stale_ttl", "3600", "As `dns_stale_ttl`, with `new_dns_client`."),
            number("resolver_error_ttl", "1", "As `dns_error_ttl`, with `new_dns_client`."),
            number("resolver_lru_cache_size", "10000", "As `dns_cache_size`, with `new_dns_client`."),
            text("resolver_mem_cache_size", "5m", "Memory for names shared by workers.").inert(),
        ],
    },
    Section {
        title: "Workers",
        about: "How changes reach the workers. Here they all see a change at once, before the write is answered.",
        settings: &[
            choice(
                "worker_consistency",
                "eventual",
                &["strict", "eventual"],
                "Whether Kong's requests wait for \
                changes; `strict` is deprecated.",
            )
            .deprecated_value("strict")
            .inert(),
            choice("router_consistency", "", &["strict", "eventual"], "The old name of `worker_consistency`.")
                .deprecated(&["worker_consistency"])
                .inert(),
            number("worker_state_update_frequency", "5", "Seconds between two rebuilds of Kong's routers.").inert(),
            number("worker_events_max_payload", "65535", "Largest message between Kong's workers.").inert(),
            boolean(
                "dedicated_config_processing",
                "on",
                "Whether Kong has a process of its own for \
                configuration.",
            )
            .inert(),
            boolean("privileged_worker", "", "The old name of `dedicated_config_processing`.")
                .deprecated(&["dedicated_config_processing"])
                .inert(),
        ],
    },
    Section {
        title: "GUI",
        about: "The manager, a web interface.",
        settings: &[
            list(
                "admin_gui_url",
                "",
                "Where browsers find the GUI: the origins that may call the Admin API from a page. Empty: any may \
                    read, pages on the same host may write.",
            ),
            text("admin_gui_path", "/", "Path below which the GUI is served."),
            text(
                "admin_gui_api_url",
                "",
                "Where browsers find the Admin API. Empty: on the host of the pages, at the port of `admin_listen`.",
            ),
            boolean(
                "admin_gui_csp_header",
                "off",
                "Whether the `Content-Security-Policy` of the GUI, which allows its own scripts and styles alone, also \
                    names the Admin API as the only server that pages may call.",
            ),
            text("admin_gui_csp_header_value", "", "A policy in its place, as it stands."),
            text("admin_gui_header_txt", "", "A line above all pages of the GUI."),
            text("admin_gui_header_bg_color", "", "Its background: a name or `#rrggbb`."),
            text("admin_gui_header_txt_color", "", "The colour of its text."),
            text("admin_gui_footer_txt", "", "A line below all pages of the GUI."),
            text("admin_gui_footer_bg_color", "", "Its background: a name or `#rrggbb`."),
            text("admin_gui_footer_txt_color", "", "The colour of its text."),
            text("admin_gui_login_banner_title", "", "What stands above the form to log in."),
            text("admin_gui_login_banner_body", "", "The text below that."),
            boolean("kic", "off", "Whether the node is run by Kong's ingress controller.").inert(),
        ],
    },
    Section {
        title: "Access to the Admin API",
        about: "Users, administrators and their rights, see [access.md](access.md).",
        settings: &[
            choice(
                "enforce_rbac",
                "off",
                &["off", "on", "entity", "both"],
                "Whether requests to the Admin API need a user, whose roles allow them: by rules about endpoints \
                    (`on`), about single records (`entity`), or `both`.",
            ),
            text("rbac_auth_header", "Kong-Admin-Token", "The header with a user's token."),
            text(
                "password",
                "",
                "Token and password of the administrator `kong_admin`, whom a node makes in a database without users.",
            )
            .secret(),
            text(
                "admin_gui_auth",
                "",
                "How administrators log in to the GUI: `basic-auth`, `ldap-auth-advanced`, `openid-connect`, or not at \
                    all.",
            ),
            text(
                "admin_gui_auth_conf",
                "",
                "The configuration of `ldap-auth-advanced` or `openid-connect`, as JSON, with what says which \
                    administrator somebody is, see [access.md](access.md).",
            )
            .secret(),
            text("admin_gui_auth_header", "Kong-Admin-User", "The header by which the GUI says who is logged in."),
            text(
                "admin_gui_session_conf",
                "",
                "Sessions of the GUI, as JSON: `secret` (required but with `openid-connect`), `cookie_name`, \
                    `cookie_path`, `cookie_domain`, `cookie_secure`, `cookie_same_site`, `rolling_timeout`, \
                    `absolute_timeout`. They are kept in the database.",
            )
            .secret(),
            number(
                "admin_gui_auth_login_attempts",
                "0",
                "Wrong passwords before an administrator is refused; 0: any number.",
            ),
            text(
                "admin_gui_auth_password_complexity",
                "",
                "What new passwords of administrators must be, as JSON: `kong-preset` (`min_8`, `min_12` or `min_20`: \
                    so many characters of three kinds), or `min`, `max` and `passphrase` as passwdqc has them.",
            ),
            number("admin_gui_auth_login_attempts_ttl", "604800", "Seconds for which wrong passwords count."),
            number(
                "admin_invitation_expiry",
                "259200",
                "Seconds for which a link to register, or to choose a new password, is valid.",
            ),
            boolean("event_hooks_enabled", "on", "Whether hooks (`/event-hooks`) are told of events."),
            boolean(
                "audit_log",
                "off",
                "Whether requests to the Admin API, and what they write, are kept (`/audit/requests`, \
                `/audit/objects`).",
            ),
            list("audit_log_ignore_methods", "", "Methods of requests that are not kept."),
            list(
                "audit_log_ignore_paths",
                "",
                "Regular expressions: requests are not kept where one is found in the path.",
            ),
            list("audit_log_ignore_tables", "", "Entities whose records are not kept when they are written."),
            list("audit_log_payload_exclude", "token, secret, password", "Fields that are left out of what is kept."),
            number("audit_log_record_ttl", "2592000", "Seconds for which what is kept is kept."),
            text("audit_log_signing_key", "", "File with an RSA key by which what is kept is signed."),
        ],
    },
    Section {
        title: "Lua, WebAssembly and plugin servers",
        about: "Run times for plugins in other languages.",
        settings: &[
            text("lua_package_path", "./?.lua;./?/init.lua;", "Where Lua modules, and plugins in Lua, are found."),
            text("lua_package_cpath", "", "Where native Lua modules are found.").inert(),
            number("lua_socket_pool_size", "256", "Connections kept by Lua code.").inert(),
            choice(
                "untrusted_lua",
                "sandbox",
                &["on", "off", "sandbox"],
                "What Lua code in a plugin's configuration may do: all that Lua's libraries can (`on`), what the \
                    sandbox lets it, or nothing.",
            ),
            list("untrusted_lua_sandbox_requires", "", "Modules that sandboxed code may load."),
            list(
                "untrusted_lua_sandbox_environment",
                "",
                "Global names that sandboxed code sees beside the usual ones.",
            ),
            text("openresty_path", "", "Where Kong finds OpenResty.").inert(),
            list(
                "pluginserver_names",
                "",
                "Plugin servers: for each, `pluginserver_<name>_query_cmd` is the command that writes what plugins it \
                    has, `_start_cmd` the one that runs it (without one, somebody else does), `_socket` its Unix \
                    socket (`<name>.socket` in the prefix), `_timeout` how long it may take for an event, in \
                    milliseconds (60000).",
            ),
            boolean(
                "wasm",
                "off",
                "Whether filters in WebAssembly are run (proxy-wasm). Needs a program that was built with the feature \
                    `wasm`; any other refuses to start.",
            ),
            text("wasm_filters_path", "", "Directory of the filters: `NAME.wasm`, with `NAME.meta.json` beside it."),
            text("wasm_dynamic_module", "", "Kong's WebAssembly module.").inert(),
            list(
                "wasm_filters",
                "bundled,user",
                "Filters of that directory that can be configured: `user` (all), names, or `off`. There are no \
                    `bundled` ones.",
            ),
            text(
                "nginx_wasm_main_shm_kv",
                "",
                "How much data filters share, such as `5m` (16 MiB); `nginx_wasm_shm_kv` is the same. Other keys that \
                    begin with `nginx_wasm_` have no effect.",
            ),
        ],
    },
    Section {
        title: "Tracing",
        about: "What spans the node makes for the `opentelemetry` plugin.",
        settings: &[
            list(
                "tracing_instrumentations",
                "off",
                "Kinds of spans beside that of the request: `off`, `all`, or some of `request` (no others), `router`, \
                `balancer`, `dns_query`, `plugin_rewrite`, `plugin_access`, `plugin_header_filter`. `db_query` and \
                `http_client` are accepted and have no spans.",
            ),
            number("tracing_sampling_rate", "0.01", "Share of requests that are traced, 0 to 1."),
            list("opentelemetry_tracing", "off", "The old name of `tracing_instrumentations`.")
                .deprecated(&["tracing_instrumentations"]),
            number("opentelemetry_tracing_sampling_rate", "0.01", "The old name of `tracing_sampling_rate`.")
                .deprecated(&["tracing_sampling_rate"]),
        ],
    },
];

/// A setting by name.
pub fn setting(name: &str) -> Option<&'static Setting> {
    all().find(|s| s.name == name)
}

/// All settings.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// Groups of keys that are named freely after the prefix: nginx directives, plugin servers, vaults.
pub const FREE_PREFIXES: &[&str] = &[
    "nginx_main_",
    "nginx_events_",
    "nginx_http_",
    "nginx_upstream_",
    "nginx_proxy_",
    "nginx_location_",
    "nginx_status_",
    "nginx_admin_",
    "nginx_stream_",
    "nginx_supstream_",
    "nginx_sproxy_",
    "nginx_wasm_",
    "pluginserver_",
    "vault_",
];
