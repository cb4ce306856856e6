//! The directives of nginx that have a meaning here, each defined once, and those known to have none.
//!
//! What is checked when a node starts, what it warns of and refuses, and the table in `docs/configuration.md` follow
//! from this one.

use super::definition::{
    APIS, Directive, EVENTS, HTTP, HTTP_AND_PROXY, LOCATION, MAIN, PROXY, PROXYING, SERVERS, SERVERS_AND_LOCATION,
    STREAM_BLOCK, STREAMS, Syntax, absent, acts, overruled, refused,
};

/// Directives with effect, and those whose effect depends on where they stand. The first with the name and the context
/// counts.
pub const DIRECTIVES: &[Directive] = &[
    // Streams.
    acts(
        "proxy_protocol",
        STREAMS,
        Syntax::Flag,
        "Services of streams are told who the client is, by the PROXY protocol (version 1).",
    ),
    acts("proxy_half_close", STREAMS, Syntax::Flag, "When one side of a stream has ended, the other one goes on."),
    acts("preread_timeout", STREAMS, Syntax::Time, "How long the first message of TLS on a stream may take."),
    overruled("proxy_timeout", STREAMS, "services have `read_timeout` and `write_timeout`"),
    overruled("proxy_connect_timeout", STREAMS, "services have `connect_timeout`"),
    // The process.
    acts("daemon", MAIN, Syntax::Flag, "As `nginx_daemon`."),
    acts("worker_processes", MAIN, Syntax::Words(1, 1), "As `nginx_worker_processes`."),
    acts(
        "worker_rlimit_nofile",
        MAIN,
        Syntax::Words(1, 1),
        "Largest number of open files. `auto`: as many as the system allows.",
    ),
    acts(
        "worker_shutdown_timeout",
        MAIN,
        Syntax::Time,
        "How long requests may take to finish when the node is told to quit.",
    ),
    acts(
        "worker_connections",
        EVENTS,
        Syntax::Words(1, 1),
        "Open client connections per worker; beyond, new ones take the place of idle ones or are refused. `auto`: \
            65536.",
    ),
    // Access.
    acts(
        "allow",
        SERVERS_AND_LOCATION,
        Syntax::Words(1, 1),
        "Clients that are let in: an address, a CIDR block or \
        `all`. The first rule that fits decides.",
    )
    .repeats()
    .protective(),
    acts("deny", SERVERS_AND_LOCATION, Syntax::Words(1, 1), "Clients that are answered 403.").repeats().protective(),
    acts(
        "set_real_ip_from",
        SERVERS_AND_LOCATION.and(STREAMS),
        Syntax::Words(1, 1),
        "Addresses and CIDR blocks whose word about the client's address counts, beside `trusted_ips`.",
    )
    .repeats()
    .protective(),
    acts("real_ip_header", SERVERS_AND_LOCATION, Syntax::Words(1, 1), "As `real_ip_header`.").protective(),
    acts("real_ip_recursive", SERVERS_AND_LOCATION, Syntax::Flag, "As `real_ip_recursive`.").protective(),
    // TLS towards clients.
    acts(
        "ssl_verify_client",
        SERVERS,
        Syntax::Choice(&["on", "off", "optional", "optional_no_ca"]),
        "Whether clients must show a certificate: without one, or with one that is not vouched for, requests are \
            answered 400. `optional`: only if they show one. `optional_no_ca`: it is not verified.",
    )
    .protective()
    .renewed(),
    acts(
        "ssl_client_certificate",
        SERVERS,
        Syntax::Path,
        "File with the authorities of clients' certificates, whose names clients are told.",
    )
    .protective()
    .renewed(),
    acts(
        "ssl_trusted_certificate",
        SERVERS,
        Syntax::Path,
        "File with more authorities of clients' certificates, whose names clients are not told.",
    )
    .protective()
    .renewed(),
    acts(
        "ssl_verify_depth",
        SERVERS,
        Syntax::Number,
        "Most certificates between that of a client and that of its authority; 1 unless given.",
    )
    .protective()
    .renewed(),
    acts(
        "ssl_crl",
        SERVERS,
        Syntax::Path,
        "File with revocation lists; with one, every certificate of a client's chain must be covered by a list that \
            is in force.",
    )
    .protective()
    .renewed(),
    acts(
        "ssl_protocols",
        SERVERS,
        Syntax::Words(1, usize::MAX),
        "Protocol versions for clients. At `nginx_http_` the \
        profile `ssl_cipher_suite` goes before.",
    )
    .protective(),
    acts(
        "ssl_ciphers",
        SERVERS,
        Syntax::Words(1, 1),
        "Ciphers for clients, for TLS 1.2; before `ssl_ciphers` and \
        profiles.",
    )
    .protective(),
    acts("ssl_prefer_server_ciphers", SERVERS, Syntax::Flag, "As `ssl_prefer_server_ciphers`."),
    acts(
        "ssl_ecdh_curve",
        SERVERS,
        Syntax::Words(1, 1),
        "Key exchanges for clients, in order of preference: \
        `X25519MLKEM768`, `X25519`, `prime256v1`, `secp384r1`, `secp521r1`; `auto` for all.",
    )
    .protective(),
    acts("ssl_session_tickets", SERVERS, Syntax::Flag, "As `ssl_session_tickets`.").protective(),
    acts("ssl_session_timeout", SERVERS, Syntax::Time, "As `ssl_session_timeout`.").protective(),
    acts(
        "ssl_stapling",
        HTTP_AND_PROXY,
        Syntax::Flag,
        "Whether clients of the proxy are shown what authorities say of its certificates (OCSP). They are asked beside \
            handshakes, never in one, and no answer that is wrong or has run out is shown. A certificate that clients \
            refuse without one (must-staple) has it in any case. The certificate of its authority must follow it.",
    ),
    acts(
        "ssl_stapling_responder",
        HTTP_AND_PROXY,
        Syntax::Words(1, 1),
        "URL at which to ask, in place of those that certificates name.",
    ),
    overruled("ssl_stapling_verify", HTTP_AND_PROXY, "answers are verified in any case"),
    overruled("ssl_session_cache", SERVERS, "`ssl_session_cache_size` says it"),
    // What clients may send.
    acts(
        "client_max_body_size",
        SERVERS_AND_LOCATION,
        Syntax::Size,
        "Largest content of a request; larger ones are answered 413. 0: no limit. For the Admin API 10m at most \
            counts as well when it is 0.",
    )
    .protective(),
    acts(
        "client_body_buffer_size",
        PROXYING,
        Syntax::Size,
        "So much of a request's content is held in memory, the rest in a temporary file.",
    ),
    acts(
        "client_body_temp_path",
        PROXYING,
        Syntax::Path,
        "Directory of temporary files with requests' contents; `client_body_temp` unless given.",
    ),
    acts(
        "client_header_buffer_size",
        SERVERS,
        Syntax::Size,
        "When it is larger than one of `large_client_header_buffers`, lines may be as long.",
    ),
    acts(
        "large_client_header_buffers",
        SERVERS,
        Syntax::Buffers,
        "How many buffers a request's head may fill, and their size. A request line longer than one is answered 414, \
            a field line longer than one or a head larger than all 400.",
    )
    .protective(),
    acts(
        "client_header_timeout",
        SERVERS,
        Syntax::Time,
        "How long a request's head may take from its first octet to \
        its last.",
    )
    .protective(),
    acts(
        "client_body_timeout",
        SERVERS_AND_LOCATION,
        Syntax::Time,
        "Longest pause while a request's content is read; \
        then 408.",
    )
    .protective(),
    acts(
        "send_timeout",
        SERVERS_AND_LOCATION,
        Syntax::Time,
        "Longest pause while a client takes its response; then \
        the connection is closed.",
    )
    .protective(),
    acts(
        "keepalive_timeout",
        SERVERS_AND_LOCATION,
        Syntax::Words(1, 2),
        "How long a client's connection may wait for its next request; 0: it is closed after each. A second time is \
            told to clients in `Keep-Alive`.",
    ),
    acts(
        "keepalive_requests",
        SERVERS_AND_LOCATION,
        Syntax::Number,
        "Requests after which a client's connection is \
        closed.",
    ),
    acts(
        "http2_max_concurrent_streams",
        SERVERS,
        Syntax::Number,
        "Requests at a time on a client's connection of HTTP/2.",
    ),
    acts(
        "http3_max_concurrent_streams",
        PROXYING,
        Syntax::Number,
        "Requests at a time on a client's connection of HTTP/3.",
    ),
    acts(
        "quic_retry",
        PROXYING,
        Syntax::Flag,
        "Whether every client of HTTP/3 must show that it receives what is sent to its address before its handshake \
        begins; else only those that come while many handshakes are under way.",
    ),
    acts("keepalive_time", PROXYING, Syntax::Time, "Age at which a client's connection is closed after a request."),
    acts(
        "lingering_close",
        SERVERS_AND_LOCATION,
        Syntax::Choice(&["on", "always", "off"]),
        "Whether what a client \
        still sends is read before its connection is closed.",
    ),
    acts("lingering_time", SERVERS_AND_LOCATION, Syntax::Time, "How long it is read at most."),
    acts("lingering_timeout", SERVERS_AND_LOCATION, Syntax::Time, "The longest pause in that."),
    acts(
        "underscores_in_headers",
        HTTP_AND_PROXY,
        Syntax::Flag,
        "With `off`, field lines of requests are dropped whose names have an underscore. (Kong has it on, and takes \
            it at `nginx_proxy_` only.)",
    )
    .protective(),
    acts(
        "ignore_invalid_headers",
        HTTP_AND_PROXY,
        Syntax::Flag,
        "With `on`, field lines of requests are dropped whose names have other characters than letters, digits, dash \
            and underscore. What is no name at all is refused in any case.",
    ),
    // Responses.
    acts(
        "add_header",
        SERVERS_AND_LOCATION,
        Syntax::Words(2, 3),
        "A line added to responses with status 200, 201, 204, 206, 301, 302, 303, 304, 307 and 308, or to all \
            (`always`). The value may have the variables of log formats.",
    )
    .repeats()
    .protective(),
    acts(
        "charset",
        PROXYING,
        Syntax::Words(1, 1),
        "Added to `Content-Type` of textual responses that name none; \
        `off` for none.",
    ),
    acts("charset_types", PROXYING, Syntax::Words(1, usize::MAX), "Types to which it is added."),
    acts("gzip", PROXYING, Syntax::Flag, "Whether responses are compressed for clients that take that."),
    acts(
        "gzip_types",
        PROXYING,
        Syntax::Words(1, usize::MAX),
        "Types that are compressed beside `text/html`; `*` for \
        all.",
    ),
    acts("gzip_comp_level", PROXYING, Syntax::Number, "1 (quick) to 9 (small)."),
    acts(
        "gzip_min_length",
        PROXYING,
        Syntax::Size,
        "Responses shorter than that are not compressed, where their \
        length is known.",
    ),
    acts(
        "gzip_http_version",
        PROXYING,
        Syntax::Choice(&["1.0", "1.1"]),
        "The oldest version of a request whose \
        response is compressed.",
    ),
    acts(
        "gzip_proxied",
        PROXYING,
        Syntax::Words(1, usize::MAX),
        "Which responses are compressed for requests with `Via`: `off`, `expired`, `no-cache`, `no-store`, `private`, \
            `no_last_modified`, `no_etag`, `auth`, `any`.",
    ),
    acts("gzip_vary", PROXYING, Syntax::Flag, "Whether such responses have `Vary: Accept-Encoding`."),
    acts(
        "gzip_disable",
        PROXYING,
        Syntax::Words(1, usize::MAX),
        "Regular expressions; clients whose `User-Agent` \
        fits one get nothing compressed.",
    ),
    acts("brotli", PROXYING, Syntax::Flag, "The same with brotli, which goes before zstd and gzip."),
    acts("brotli_types", PROXYING, Syntax::Words(1, usize::MAX), "As `gzip_types`."),
    acts("brotli_comp_level", PROXYING, Syntax::Number, "0 (quick) to 11 (small)."),
    acts("brotli_min_length", PROXYING, Syntax::Size, "As `gzip_min_length`."),
    acts("brotli_window", PROXYING, Syntax::Size, "How far back it looks: 1k, 2k, ... 16m (512k)."),
    acts("zstd", PROXYING, Syntax::Flag, "The same with Zstandard, which goes before gzip."),
    acts("zstd_types", PROXYING, Syntax::Words(1, usize::MAX), "As `gzip_types`."),
    acts("zstd_comp_level", PROXYING, Syntax::Number, "1 (quick) to 22 (small)."),
    acts("zstd_min_length", PROXYING, Syntax::Size, "As `gzip_min_length`."),
    acts("limit_rate", PROXYING, Syntax::Size, "Octets per second of a response; 0: no limit."),
    acts("limit_rate_after", PROXYING, Syntax::Size, "So many octets go before it counts."),
    acts(
        "log_format",
        HTTP.and(STREAM_BLOCK),
        Syntax::Words(2, usize::MAX),
        "A format for access logs, of requests or of streams: `name \
        [escape=default|json|none] 'text with $variables'`.",
    )
    .repeats(),
    overruled("access_log", HTTP, "`proxy_access_log`, `admin_access_log` and `status_access_log` say it"),
    acts(
        "access_log",
        PROXY.and(APIS),
        Syntax::Words(1, usize::MAX),
        "`off` turns the access log off. An interface \
        has one log: `*_access_log` names it.",
    )
    .repeats(),
    acts("access_log", LOCATION, Syntax::Words(1, usize::MAX), "In place of `proxy_access_log`.").repeats(),
    // Services.
    overruled(
        "proxy_set_header",
        HTTP_AND_PROXY,
        "locations of Kong's that set lines of their own take none from \
        outside; `nginx_location_proxy_set_header` does it",
    ),
    acts(
        "proxy_set_header",
        LOCATION,
        Syntax::Words(2, 2),
        "A line of requests to services, in place of the \
        client's; an empty value removes it. Lines that the gateway sets itself stay.",
    )
    .repeats()
    .protective(),
    acts(
        "proxy_hide_header",
        PROXYING,
        Syntax::Words(1, 1),
        "A line of services' responses that clients do not \
        get.",
    )
    .repeats()
    .protective(),
    acts("proxy_pass_header", PROXYING, Syntax::Words(1, 1), "A line that is not hidden after all.").repeats(),
    acts(
        "proxy_ignore_headers",
        PROXYING,
        Syntax::Words(1, usize::MAX),
        "With `X-Accel-Buffering`, a service cannot \
        turn buffering off. The others have no meaning here.",
    ),
    acts(
        "proxy_ignore_client_abort",
        PROXYING,
        Syntax::Flag,
        "Whether a service's answer is awaited although its \
        client is gone.",
    ),
    acts("proxy_buffer_size", PROXYING, Syntax::Size, "Largest head of a service's response."),
    acts("proxy_buffers", PROXYING, Syntax::Buffers, "How much of a response waits in memory for a slow client."),
    acts("proxy_max_temp_file_size", PROXYING, Syntax::Size, "How much more of it waits in a temporary file; 0: none."),
    acts(
        "proxy_temp_path",
        PROXYING,
        Syntax::Path,
        "Directory of temporary files with responses; `proxy_temp` unless \
        given.",
    ),
    acts(
        "proxy_next_upstream",
        PROXYING,
        Syntax::Words(1, usize::MAX),
        "When another target is tried: `error`, `timeout`, `invalid_header`, `http_500`, `http_502`, `http_503`, \
            `http_504`, `http_403`, `http_404`, `http_429`, `non_idempotent`, `off`.",
    ),
    acts(
        "proxy_next_upstream_tries",
        PROXYING,
        Syntax::Number,
        "Most tries, beside `retries` of the service; 0: no \
        limit.",
    ),
    acts("proxy_next_upstream_timeout", PROXYING, Syntax::Time, "No other target is tried after that; 0: no limit."),
    acts("proxy_socket_keepalive", PROXYING, Syntax::Flag, "TCP keep-alive towards services."),
    acts("proxy_bind", PROXYING, Syntax::Words(1, 2), "Own address of connections to services; `off` for none."),
    acts(
        "proxy_ssl_verify",
        PROXYING,
        Syntax::Flag,
        "Whether certificates of services of https and wss are verified unless the service has `tls_verify`.",
    )
    .protective()
    .renewed(),
    acts(
        "proxy_ssl_verify_depth",
        PROXYING,
        Syntax::Number,
        "Most certificates between that of a service and that of its authority, where the service has no \
            `tls_verify_depth`.",
    )
    .protective()
    .renewed(),
    acts(
        "proxy_ssl_trusted_certificate",
        PROXYING,
        Syntax::Path,
        "Authorities of services without `ca_certificates`, in place of `lua_ssl_trusted_certificate`.",
    )
    .protective()
    .renewed(),
    acts(
        "proxy_ssl_protocols",
        PROXYING,
        Syntax::Words(1, usize::MAX),
        "Protocol versions towards \
        services.",
    )
    .protective()
    .renewed(),
    acts("proxy_ssl_ciphers", PROXYING, Syntax::Words(1, 1), "Ciphers towards services, for TLS 1.2.")
        .protective()
        .renewed(),
    acts(
        "proxy_ssl_certificate",
        PROXYING,
        Syntax::Path,
        "Shown to services that nothing else is to be shown to, \
        unless `client_ssl` is on.",
    )
    .renewed(),
    acts("proxy_ssl_certificate_key", PROXYING, Syntax::Path, "Its key.").renewed(),
    refused("proxy_ssl_crl", PROXYING, "revocation lists are not available towards services"),
    acts("grpc_ssl_verify", PROXYING, Syntax::Flag, "Whether certificates of services of grpcs are verified.")
        .protective()
        .renewed(),
    acts(
        "grpc_ssl_verify_depth",
        PROXYING,
        Syntax::Number,
        "Most certificates between that of a service of grpcs and that of its authority.",
    )
    .protective()
    .renewed(),
    acts(
        "grpc_ssl_trusted_certificate",
        PROXYING,
        Syntax::Path,
        "Authorities of services of grpcs, in place of `lua_ssl_trusted_certificate`.",
    )
    .protective()
    .renewed(),
    refused("grpc_ssl_crl", PROXYING, "revocation lists are not available towards services"),
    acts(
        "lua_shared_dict",
        HTTP,
        Syntax::Words(2, 2),
        "Memory that the workers' plugins in Lua share (`ngx.shared`) and caches can be in (`memory.dictionary_name`): \
        a name and a size.",
    )
    .repeats(),
    acts("lua_ssl_protocols", HTTP, Syntax::Words(1, usize::MAX), "As `lua_ssl_protocols`.").renewed(),
    overruled("proxy_connect_timeout", PROXYING, "services have `connect_timeout`"),
    overruled("proxy_send_timeout", PROXYING, "services have `write_timeout`"),
    overruled("proxy_read_timeout", PROXYING, "services have `read_timeout`"),
    overruled("proxy_buffering", PROXYING, "routes have `response_buffering`"),
    overruled("proxy_request_buffering", PROXYING, "routes have `request_buffering`"),
    overruled("proxy_http_version", PROXYING, "services are asked in HTTP/1.1"),
    overruled("proxy_ssl_name", PROXYING, "the name is that of the request's `Host`"),
    overruled("proxy_ssl_server_name", PROXYING, "the server name is always sent"),
    overruled(
        "proxy_redirect",
        PROXYING,
        "Kong's address of services has variables, with which nginx rewrites \
        nothing",
    ),
    overruled("resolver", SERVERS_AND_LOCATION, "names of services are resolved by `dns_*` or `resolver_*`"),
    overruled("resolver_timeout", SERVERS_AND_LOCATION, "names of services are resolved by `dns_*` or `resolver_*`"),
    overruled("server_tokens", SERVERS_AND_LOCATION, "`headers` says what `Server` is"),
    overruled("merge_slashes", SERVERS, "routes are matched by Kong's own normal form of paths"),
    overruled("default_type", SERVERS_AND_LOCATION, "Kong's locations set their own"),
    overruled("upstream_keepalive", HTTP, "`upstream_keepalive_pool_size` says it"),
    overruled("upstream_keepalive_timeout", HTTP, "`upstream_keepalive_idle_timeout` says it"),
    overruled("upstream_keepalive_requests", HTTP, "`upstream_keepalive_max_requests` says it"),
    absent("underscores_in_headers", APIS, "no line with an underscore is looked at"),
    absent("ignore_invalid_headers", APIS, "no such line is looked at"),
    absent("ssl_certificate", SERVERS, "`ssl_cert`, `admin_ssl_cert` and `status_ssl_cert` name certificates"),
    absent("ssl_certificate_key", SERVERS, "`ssl_cert_key`, `admin_ssl_cert_key` and `status_ssl_cert_key` name keys"),
];

/// Directives without effect, with the reason that the operator is given. A `*` at the end stands for any ending.
pub const WITHOUT_EFFECT: &[(&[&str], &str)] = &[
    (
        &[
            "accept_mutex",
            "accept_mutex_delay",
            "aio",
            "aio_write",
            "client_body_in_file_only",
            "client_body_in_single_buffer",
            "connection_pool_size",
            "debug_connection",
            "debug_points",
            "directio",
            "directio_alignment",
            "gzip_buffers",
            "gzip_hash",
            "gzip_no_buffer",
            "gzip_window",
            "lock_file",
            "map_hash_*",
            "master_process",
            "multi_accept",
            "open_file_cache*",
            "output_buffers",
            "pcre_jit",
            "pid",
            "postpone_gzipping",
            "postpone_output",
            "proxy_busy_buffers_size",
            "proxy_headers_hash_*",
            "proxy_send_lowat",
            "proxy_socket_rcvbuf",
            "proxy_socket_sndbuf",
            "proxy_ssl_session_reuse",
            "proxy_temp_file_write_size",
            "read_ahead",
            "request_pool_size",
            "reset_timedout_connection",
            "send_lowat",
            "sendfile",
            "sendfile_max_chunk",
            "server_names_hash_*",
            "ssl_buffer_size",
            "ssl_engine",
            "subrequest_output_buffer_size",
            "tcp_nodelay",
            "tcp_nopush",
            "thread_pool",
            "timer_resolution",
            "types_hash_*",
            "use",
            "variables_hash_*",
            "worker_aio_requests",
            "worker_cpu_affinity",
            "worker_priority",
            "worker_rlimit_core",
            "working_directory",
            "epoll_events",
            "lua_load_resty_core",
        ],
        "it tunes nginx's own machinery",
    ),
    (&["override_charset", "source_charset"], "no content is recoded"),
    (&["user"], "the process stays who it was started as"),
    (&["env"], "the process has its environment as it is"),
    (&["error_log"], "`proxy_error_log`, `admin_error_log` and the like name the logs"),
    (
        &["error_page", "recursive_error_pages", "proxy_intercept_errors"],
        "errors are answered as Kong does, with `error_template_*` and `error_default_type`",
    ),
    (&["ssl_dhparam"], "keys are exchanged by elliptic curves only"),
    (&["ssl_session_ticket_key"], "each node makes its own keys of tickets"),
    (&["ssl_stapling*"], "OCSP responses are stapled to the proxy's certificates only, and fetched"),
    (&["ssl_early_data"], "early data is not taken"),
    (
        &[
            "ssl_password_file",
            "proxy_ssl_password_file",
            "ssl_certificate_cache",
            "ssl_certificate_compression",
            "proxy_ssl_certificate_cache",
            "ssl_ech_file",
            "ssl_object_cache_inheritable",
        ],
        "there is no OpenSSL here",
    ),
    (&["satisfy", "auth_delay"], "all conditions have to be met"),
    (
        &[
            "limit_req_zone",
            "limit_req_status",
            "limit_req_log_level",
            "limit_req_dry_run",
            "limit_conn_zone",
            "limit_conn_status",
            "limit_conn_log_level",
            "limit_conn_dry_run",
        ],
        "the rate-limiting plugin limits requests",
    ),
    (&["grpc_*"], "services of gRPC go by their own fields (timeouts, TLS)"),
    (&["http2"], "the `http2` flag of listeners turns it on"),
    (&["http2*"], "the limits of HTTP/2 are our own"),
    (&["http3", "http3_hq"], "the `quic` flag of listeners turns HTTP/3 on"),
    (&["http3*", "quic*"], "the limits of HTTP/3 are our own"),
    (&["brotli*", "zstd*", "gzip_static", "gunzip*"], "content is compressed as it is passed on, and not otherwise"),
    (
        &["lua_*", "*_by_lua", "*_by_lua_block", "*_by_lua_file", "wasm_*", "proxy_wasm*"],
        "plugins bring code, and nginx's blocks of it do not exist here",
    ),
    (
        &[
            "map",
            "geo",
            "geoip*",
            "split_clients",
            "set",
            "perl*",
            "js_*",
            "charset_map",
            "types",
            "uninitialized_variable_warn",
            "rewrite_log",
        ],
        "variables of one's own are not available",
    ),
    (&["proxy_cache*", "proxy_no_cache", "proxy_store*", "slice"], "the proxy-cache plugin keeps responses"),
    (
        &[
            "proxy_cookie_domain",
            "proxy_cookie_path",
            "proxy_method",
            "proxy_set_body",
            "proxy_pass_request_*",
            "proxy_pass_trailers",
            "proxy_force_ranges",
            "proxy_limit_rate",
            "add_trailer",
            "add_trailer_inherit",
            "add_header_inherit",
            "expires",
            "early_hints",
            "sub_filter*",
            "addition_types",
            "add_before_body",
            "add_after_body",
            "ssi*",
            "etag",
            "if_modified_since",
            "max_ranges",
            "chunked_transfer_encoding",
            "keepalive_disable",
            "keepalive_min_timeout",
            "msie_*",
            "absolute_redirect",
            "port_in_redirect",
            "server_name_in_redirect",
            "log_not_found",
            "log_subrequest",
            "client_body_early_read",
            "max_headers",
            "userid*",
            "mirror*",
        ],
        "it is not available",
    ),
    (
        &[
            "rewrite",
            "break",
            "proxy_pass",
            "grpc_pass",
            "root",
            "alias",
            "index",
            "try_files",
            "autoindex*",
            "random_index",
            "empty_gif",
            "stub_status",
            "server_name",
            "listen",
            "post_action",
            "disable_symlinks",
            "status_zone",
            "dav_*",
        ],
        "Kong's own locations are what is served",
    ),
];

/// Directives of streams without effect; those without a reason protect, and stop the start.
pub const OF_STREAMS: &[(&[&str], &str)] = &[
    (&["allow", "deny", "limit_conn*", "ssl_verify_client", "proxy_ssl_verify"], ""),
    (&["ssl_*"], "streams have the TLS of the proxy's listeners"),
    (&["lua_*"], "plugins bring code, and nginx's blocks of it do not exist here"),
    (&["tcp_nodelay", "proxy_buffer_size", "preread_buffer_size"], "it tunes nginx's own machinery"),
];

/// Directives that protect and cannot here, with what to do instead; the start is refused.
pub const REFUSED: &[(&[&str], &str)] = &[
    (&["include"], "files of nginx's configuration cannot be included; give their directives by `nginx_*` keys"),
    (&["load_module"], "modules of nginx cannot be loaded"),
    (&["auth_basic", "auth_basic_user_file"], "use the basic-auth plugin"),
    (&["auth_*"], "use a plugin that authenticates"),
    (&["limit_req", "limit_conn"], "use the rate-limiting plugin"),
    (&["limit_except"], "use `methods` of routes"),
    (&["secure_link*", "valid_referers", "referer_hash_*"], "links are not verified here"),
    (
        &["internal", "return", "if", "location", "server", "upstream", "http", "stream", "events"],
        "blocks and answers of one's own are not available; use routes and the request-termination plugin",
    ),
    (&["ssl_ocsp*"], "clients' certificates are not checked by OCSP; use ssl_crl"),
    (&["ssl_reject_handshake"], "no handshake is rejected by name"),
    (&["proxy_cookie_flags"], "use the response-transformer plugin"),
    (&["modsecurity*", "naxsi*", "SecRulesEnabled", "app_protect*"], "there is no web application firewall here"),
    (
        &["access_by_lua*", "rewrite_by_lua*", "server_rewrite_by_lua*", "preread_by_lua*", "ssl_client_hello_by_lua*"],
        "Lua code is not run here",
    ),
];
