//! Checks that concern more than one value's type, and the values that the program reads often.

use super::access;
use super::access_log::{self, AccessLogs};
use super::audit;
use super::listen::{self, Listener};
use super::load::Loaded;
use super::nginx::{self, Context, Injected};
#[cfg(feature = "lua")]
use super::plugin_servers;
use super::site;
use super::value::Value;
use super::{Headers, Settings, tls};
use admin::AccessOptions;
use model::address::Cidr;
use proxy::directives::Directives;
use proxy::settings::Limits;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const DEFAULT_PREFIX: &str = "/usr/local/kong";

/// The settings, or everything that is wrong with them.
pub fn check(mut loaded: Loaded) -> Result<Settings, Vec<String>> {
    let mut errors = std::mem::take(&mut loaded.errors);
    let warnings = std::mem::take(&mut loaded.warnings);
    tls::impose(&mut loaded);
    let mut settings = Settings {
        prefix: prefix(&loaded),
        proxy_listen: Vec::new(),
        stream_listen: Vec::new(),
        admin_listen: Vec::new(),
        status_listen: Vec::new(),
        manager_listen: Vec::new(),
        workers: 1,
        daemon: true,
        headers: Headers::default(),
        request_id_upstream: false,
        trusted_ips: Vec::new(),
        injected: Injected::default(),
        limits: Limits::default(),
        directives: Directives::default(),
        gui_origins: Vec::new(),
        site: manager::SiteOptions::default(),
        port_maps: Vec::new(),
        access_logs: AccessLogs::default(),
        access: AccessOptions::default(),
        login: None,
        audit: None,
        #[cfg(feature = "lua")]
        plugin_servers: Vec::new(),
        warnings,
        loaded,
    };
    let (injected, diagnostics) = Injected::read(&settings.loaded, &settings.prefix);
    settings.injected = injected;
    settings.warnings.extend(diagnostics.warnings);
    errors.extend(diagnostics.errors);
    let mut keep = |result: Result<(), String>| errors.extend(result.err());
    keep(settings.injected.limits(&settings).map(|limits| settings.limits = limits));
    keep(settings.injected.directives().map(|directives| settings.directives = directives));
    for scope in [nginx::ADMIN, nginx::STATUS, nginx::MANAGER] {
        keep(settings.injected.api(scope).map(drop));
    }
    keep(listeners(&settings, "proxy_listen").map(|l| settings.proxy_listen = l));
    keep(listeners(&settings, "stream_listen").map(|l| settings.stream_listen = l));
    keep(listeners(&settings, "admin_listen").map(|l| settings.admin_listen = l));
    keep(listeners(&settings, "status_listen").map(|l| settings.status_listen = l));
    keep(listeners(&settings, "admin_gui_listen").map(|l| settings.manager_listen = l));
    keep(listeners(&settings, "cluster_listen").map(drop));
    keep(workers(settings.text("nginx_main_worker_processes")).map(|n| settings.workers = n));
    keep(headers(settings.list("headers")).map(|h| settings.headers = h));
    keep(headers_upstream(settings.list("headers_upstream")).map(|on| settings.request_id_upstream = on));
    keep(trusted_ips(settings.list("trusted_ips")).map(|blocks| settings.trusted_ips = blocks));
    keep(port_maps(settings.list("port_maps")).map(|maps| settings.port_maps = maps));
    keep(gui_origins(settings.list("admin_gui_url")).map(|origins| settings.gui_origins = origins));
    let mut of_logs = Vec::new();
    keep(access_log::parse(&settings, &mut of_logs).map(|logs| settings.access_logs = logs));
    settings.warnings.extend(of_logs);
    keep(audit::options(&settings).map(|options| settings.audit = options));
    #[cfg(feature = "lua")]
    match plugin_servers::read(&settings) {
        Ok((servers, warnings)) => {
            settings.plugin_servers = servers;
            settings.warnings.extend(warnings);
        }
        Err(error) => errors.push(error),
    }
    match access::read(&settings) {
        Ok(access) => {
            (settings.access, settings.login) = (access.options, access.login);
            settings.warnings.extend(access.warnings);
        }
        Err(error) => errors.push(error),
    }
    match site::options(&settings) {
        Ok(options) => settings.site = options,
        Err(error) => errors.push(error),
    }
    settings.daemon = settings.text("nginx_main_daemon") != "off";
    errors.extend(listen::duplicates(&[
        ("proxy_listen", &settings.proxy_listen),
        ("stream_listen", &settings.stream_listen),
        ("admin_listen", &settings.admin_listen),
        ("status_listen", &settings.status_listen),
        ("admin_gui_listen", if settings.manager_may_lack() { &[] } else { &settings.manager_listen }),
    ]));
    errors.extend(certificates(&settings));
    errors.extend(ranges(&settings));
    errors.extend(tracing(&settings));
    errors.extend(names(&settings));
    errors.extend(absent(&settings));
    for checked in [
        tls::policy(&settings, nginx::PROXY_SERVER).err(),
        tls::policy(&settings, nginx::ADMIN).err(),
        tls::policy(&settings, nginx::STATUS).err(),
        tls::policy(&settings, nginx::MANAGER).err(),
        tls::services(&settings).err(),
        tls::probes(&settings).err(),
    ] {
        errors.extend(checked.filter(|error| !errors.contains(error)));
    }
    settings.warnings.extend(tls::warnings(&settings));
    settings.warnings.extend(deferred(&settings));
    let unverifiable = unverifiable(&settings);
    settings.warnings.extend(unverifiable);
    let without_effect = missed(&settings);
    settings.warnings.extend(without_effect);
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

fn prefix(loaded: &Loaded) -> PathBuf {
    let chosen = match loaded.values.get("prefix") {
        Some(Value::Text(prefix)) if loaded.given.contains_key("prefix") => PathBuf::from(prefix),
        _ if writable(Path::new(DEFAULT_PREFIX)) => PathBuf::from(DEFAULT_PREFIX),
        _ => std::env::var_os("HOME")
            .map_or_else(|| PathBuf::from(DEFAULT_PREFIX), |home| PathBuf::from(home).join(".bascule")),
    };
    std::path::absolute(&chosen).unwrap_or(chosen)
}

/// Whether files can be made there, possibly after making the directory.
fn writable(path: &Path) -> bool {
    let existing = path.ancestors().find(|p| p.exists());
    existing.is_some_and(|p| rustix::fs::access(p, rustix::fs::Access::WRITE_OK).is_ok())
}

fn listeners(settings: &Settings, name: &str) -> Result<Vec<Listener>, String> {
    listen::parse(name, settings.list(name))
}

fn workers(text: &str) -> Result<usize, String> {
    match text {
        "auto" | "" => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        number => {
            let parsed = number.parse().ok().filter(|n| (1..=1024).contains(n));
            parsed.ok_or_else(|| {
                format!("nginx_worker_processes must be 'auto' or a number between 1 and 1024, got '{number}'")
            })
        }
    }
}

fn headers(tokens: &[String]) -> Result<Headers, String> {
    let mut headers = Headers::default();
    if tokens.first().is_some_and(|t| t == "off") {
        return Ok(headers);
    }
    for token in tokens.iter().filter(|t| *t != "off") {
        let flag = match token.to_ascii_lowercase().as_str() {
            "server_tokens" => &mut headers.server_tokens,
            "latency_tokens" => &mut headers.latency_tokens,
            "server" => &mut headers.server,
            "via" => &mut headers.via,
            "x-kong-proxy-latency" => &mut headers.proxy_latency,
            "x-kong-response-latency" => &mut headers.response_latency,
            "x-kong-admin-latency" => &mut headers.admin_latency,
            "x-kong-upstream-latency" => &mut headers.upstream_latency,
            "x-kong-upstream-status" => &mut headers.upstream_status,
            "x-kong-request-id" => &mut headers.request_id,
            _ => return Err(format!("headers: invalid entry '{token}'")),
        };
        *flag = true;
    }
    if headers.server_tokens {
        (headers.server, headers.via) = (true, true);
    }
    if headers.latency_tokens {
        (headers.proxy_latency, headers.response_latency, headers.admin_latency, headers.upstream_latency) =
            (true, true, true, true);
    }
    Ok(headers)
}

fn headers_upstream(tokens: &[String]) -> Result<bool, String> {
    let unknown = tokens.iter().find(|t| *t != "off" && !t.eq_ignore_ascii_case("x-kong-request-id"));
    match unknown {
        Some(token) => Err(format!("headers_upstream: invalid entry '{token}'")),
        None => Ok(tokens.first().is_some_and(|t| t != "off")),
    }
}

fn trusted_ips(entries: &[String]) -> Result<Vec<Cidr>, String> {
    let block = |text: &String| {
        let form =
            "trusted_ips must be a comma separated list in the form of IPv4 or IPv6 address or CIDR block or 'unix:'";
        Cidr::parse(text).ok_or_else(|| format!("{form}, got '{text}'"))
    };
    entries.iter().filter(|text| *text != "unix:").map(block).collect()
}

fn port_maps(entries: &[String]) -> Result<Vec<(u16, u16)>, String> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let pair = |entry: &String| {
        let (public, own) = entry.split_once(':')?;
        Some((port(own)?, port(public)?))
    };
    entries
        .iter()
        .map(|entry| pair(entry).ok_or_else(|| format!("invalid port mapping (`port_maps`): {entry}")))
        .collect()
}

/// What browsers say of a page from there: scheme, host and port, without the path. Of default ports they say nothing.
fn gui_origins(urls: &[String]) -> Result<Vec<String>, String> {
    let origin = |url: &String| {
        let invalid =
            || format!("admin_gui_url must be a comma separated list of URLs with scheme and host, got '{url}'");
        let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).ok_or_else(invalid)?;
        let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty());
        let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.ok_or_else(invalid)?.to_ascii_lowercase());
        let default = match scheme.as_str() {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        Ok(format!("{scheme}://{}", authority.strip_suffix(default).unwrap_or(&authority)))
    };
    urls.iter().map(origin).collect()
}

/// Certificates and keys come in pairs.
fn certificates(settings: &Settings) -> Vec<String> {
    let mut errors = Vec::new();
    for (prefix, listeners) in [
        ("", &settings.proxy_listen),
        ("", &settings.stream_listen),
        ("admin_", &settings.admin_listen),
        ("status_", &settings.status_listen),
        ("admin_gui_", &settings.manager_listen),
    ] {
        if !listeners.iter().any(|l| l.is_secure()) {
            continue;
        }
        let (cert, key) = (format!("{prefix}ssl_cert"), format!("{prefix}ssl_cert_key"));
        match (settings.list(&cert).len(), settings.list(&key).len()) {
            (certs, keys) if certs == keys => {}
            (_, 0) => errors.push(format!("{key} must be specified")),
            (0, _) => errors.push(format!("{cert} must be specified")),
            (certs, keys) => {
                errors.push(format!("{cert} was specified {certs} times while {key} was specified {keys} times"))
            }
        }
    }
    let (cert, key) = (settings.text("client_ssl_cert"), settings.text("client_ssl_cert_key"));
    match (settings.flag("client_ssl"), cert.is_empty(), key.is_empty()) {
        (true, false, true) => errors.push("client_ssl_cert_key must be specified".to_owned()),
        (true, true, false) => errors.push("client_ssl_cert must be specified".to_owned()),
        _ => {}
    }
    if !["modern", "intermediate", "old", "fips", "custom"].contains(&settings.text("ssl_cipher_suite")) {
        errors.push(format!("Undefined cipher suite {}", settings.text("ssl_cipher_suite")));
    }
    errors
}

fn ranges(settings: &Settings) -> Vec<String> {
    let number = |name: &str| settings.number(name).unwrap_or_default();
    let mut errors = Vec::new();
    for name in ["upstream_keepalive_pool_size", "upstream_keepalive_max_requests", "upstream_keepalive_idle_timeout"] {
        if number(name) < 0.0 {
            errors.push(format!("{name} must be 0 or greater"));
        }
    }
    for name in ["lua_max_req_headers", "lua_max_resp_headers", "lua_max_uri_args", "lua_max_post_args"] {
        let value = number(name);
        if !(1.0..=1000.0).contains(&value) || value.fract() != 0.0 {
            errors.push(format!("{name} must be an integer between 1 and 1000"));
        }
    }
    // Kong's words, though it takes 0.
    for of_pool in ["max_concurrent_queries", "semaphore_timeout", "keepalive_timeout", "pool_size", "backlog"] {
        for name in [format!("pg_{of_pool}"), format!("pg_ro_{of_pool}")] {
            match settings.number(&name) {
                Some(n) if n < 0.0 => errors.push(format!("{name} must be greater than 0")),
                Some(n) if n.fract() != 0.0 => errors.push(format!("{name} must be an integer greater than 0")),
                _ => {}
            }
        }
    }
    if number("cluster_data_plane_purge_delay") < 60.0 {
        errors.push("cluster_data_plane_purge_delay must be 60 or greater".to_owned());
    }
    if number("cluster_max_payload") < 4_194_304.0 {
        errors.push("cluster_max_payload must be 4194304 (4MB) or greater".to_owned());
    }
    if !settings.list("cluster_dp_labels").is_empty() {
        errors.push("cluster_dp_labels can only be used when role = \"data_plane\"".to_owned());
    }
    if number("worker_state_update_frequency") <= 0.0 {
        errors.push("worker_state_update_frequency must be greater than 0".to_owned());
    }
    let node_id = settings.text("node_id");
    if !node_id.is_empty() && uuid::Uuid::parse_str(node_id).is_err() {
        errors.push("node_id must be a valid UUID".to_owned());
    }
    errors
}

/// What is traced.
fn tracing(settings: &Settings) -> Vec<String> {
    const KNOWN: &[&str] = &[
        "off",
        "all",
        "request",
        "router",
        "balancer",
        "dns_query",
        "plugin_rewrite",
        "plugin_access",
        "plugin_header_filter",
        "db_query",
        "http_client",
    ];
    let words = settings.list("tracing_instrumentations");
    let unknown = words.iter().filter(|word| !KNOWN.contains(&word.as_str()));
    let mut errors: Vec<String> = unknown.map(|word| format!("invalid tracing type: {word}")).collect();
    if words.len() > 1 && words.iter().any(|word| word == "off") {
        errors.push("invalid tracing types: off, other types are mutually exclusive".to_owned());
    }
    if !(0.0..=1.0).contains(&settings.number("tracing_sampling_rate").unwrap_or_default()) {
        errors.push("tracing_sampling_rate must be between 0 and 1".to_owned());
    }
    errors
}

/// Name servers, record types, hosts file.
fn names(settings: &Settings) -> Vec<String> {
    let mut errors = Vec::new();
    for name in ["dns_resolver", "resolver_address"] {
        for server in settings.list(name).iter().filter(|s| !is_server(s)) {
            errors.push(format!(
                "{name} must be a comma separated list in the form of IPv4/6 or IPv4/6:port, got '{server}'"
            ));
        }
    }
    for (name, types) in
        [("dns_order", &["LAST", "A", "AAAA", "CNAME", "SRV"][..]), ("resolver_family", &["A", "AAAA", "SRV"])]
    {
        for entry in settings.list(name).iter().filter(|e| !types.contains(&e.to_ascii_uppercase().as_str())) {
            errors.push(format!("{name}: invalid entry '{entry}'"));
        }
    }
    for name in ["dns_hostsfile", "resolver_hosts_file"] {
        let hosts = settings.text(name);
        if !hosts.is_empty() && !Path::new(hosts).is_file() {
            errors.push(format!("{name}: file does not exist"));
        }
    }
    errors
}

fn is_server(text: &str) -> bool {
    text.parse::<std::net::SocketAddr>().is_ok() || text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// What Kong has and this version does not: better said than ignored.
fn absent(settings: &Settings) -> Vec<String> {
    let mut errors = Vec::new();
    if settings.text("database") == "cassandra" {
        let unsupported = "Cassandra as a datastore for Kong is not supported in versions 3.4 and above. Please use \
            Postgres.";
        errors.push(unsupported.to_owned());
    }
    let role = settings.text("role");
    if role != "traditional" {
        errors.push(format!("role = {role} is not available in this version; use role = traditional (the default)"));
    }
    errors
}

/// A flag of listeners that means nothing here.
fn deferred(settings: &Settings) -> Option<String> {
    let mut listeners = settings.proxy_listen.iter().chain(&settings.admin_listen).chain(&settings.status_listen);
    listeners.any(|listener| listener.deferred).then(|| {
        "the flag 'deferred' of listeners has no effect: a connection is accepted before its first octet is there, and \
         holds no memory for requests until then"
            .to_owned()
    })
}

/// Verification of clients where no client can show a certificate.
fn unverifiable(settings: &Settings) -> Vec<String> {
    let interfaces = [
        ("proxy_listen", nginx::PROXY_SERVER, &settings.proxy_listen),
        ("admin_listen", nginx::ADMIN, &settings.admin_listen),
        ("status_listen", nginx::STATUS, &settings.status_listen),
    ];
    let unverifiable = interfaces.into_iter().filter_map(|(setting, scope, listeners)| {
        let key = settings.injected.key(scope, "ssl_verify_client");
        let asked = !["", "off"].contains(&settings.injected.word(scope, "ssl_verify_client"));
        let plain = !listeners.is_empty() && !listeners.iter().any(|listener| listener.is_secure());
        let own = settings.injected.context(scope, "ssl_verify_client") != Some(Context::Http);
        (asked && plain && own).then(|| format!("{key} has no effect: no address of {setting} has the flag 'ssl'"))
    });
    unverifiable.collect()
}

/// Keys without effect whose owner would miss what they stand for, and should know.
fn missed(settings: &Settings) -> Vec<String> {
    const MISSED: &[&str] = match cfg!(feature = "lua") {
        true => &["nginx_user", "proxy_server"],
        false => &["nginx_user", "pluginserver_names", "proxy_server"],
    };
    let off = |name: &str| {
        settings.text(name).is_empty()
            && !settings.flag(name)
            && settings.list(name).first().is_none_or(|first| first == "off")
    };
    let given = |names: &[&'static str]| {
        names.iter().copied().filter(|name| settings.is_given(name) && !off(name)).collect::<Vec<_>>()
    };
    let missed = given(MISSED).into_iter().map(|name| format!("the setting '{name}' has no effect in this version"));
    const TAKEN: [&str; 2] = ["nginx_wasm_shm_kv", "nginx_wasm_main_shm_kv"];
    let is_idle = |key: &&String| key.starts_with("nginx_wasm_") && !TAKEN.contains(&key.as_str());
    let of_filters = settings.loaded.given.keys().filter(is_idle).filter(|_| settings.flag("wasm"));
    let of_filters = of_filters.map(|name| format!("the setting '{name}' has no effect in this version"));
    let alone = settings.admin_listen.is_empty() && settings.is_given("admin_gui_listen") && !off("admin_gui_listen");
    let alone = alone
        .then(|| "the manager won't be functional because the Admin API is not listened on any interface".to_owned());
    let files =
        if settings.dbless() { Vec::new() } else { given(&["declarative_config", "declarative_config_string"]) };
    let files = files.into_iter().map(|name| format!("the setting '{name}' has no effect unless database = off"));
    missed.chain(of_filters).chain(files).chain(alone).collect()
}
