//! What becomes of directives: parsing, inheritance, and words to the operator.

use super::*;
use crate::settings::{Settings, Sources};
use ::proxy::log_writer::Destination;
use std::collections::HashSet;

/// Settings of these lines of a file, with `/tmp/p` as prefix.
fn load(lines: &str) -> Result<Settings, Vec<String>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let overrides = vec![("prefix", "/tmp/p".to_owned())];
    Settings::load(&Sources {
        file: Some(file.path().to_owned()),
        environment: Vec::new(),
        unreadable: Vec::new(),
        overrides,
    })
}

fn warnings(lines: &str) -> Vec<String> {
    load(lines).unwrap().warnings
}

#[test]
fn the_innermost_block_decides() {
    let given = load(
        "nginx_http_send_timeout = 10s\nnginx_proxy_send_timeout = 20s\nnginx_http_client_body_timeout = 1m\n\
         nginx_location_client_body_timeout = 500ms\nnginx_admin_client_header_timeout = 5s\n\
         nginx_http_client_header_timeout = 7s\n",
    )
    .unwrap();
    let limits = &given.limits;
    assert_eq!(limits.send_timeout, Duration::from_secs(20));
    assert_eq!(limits.client_body_timeout, Duration::from_millis(500));
    assert_eq!(limits.client_header_timeout, Duration::from_secs(7));
    let of = |scope| given.injected.api(scope).unwrap().limits.client_header_timeout.as_secs();
    assert_eq!([of(ADMIN), of(STATUS)], [5, 7]);
}

#[test]
fn what_can_be_repeated_is_replaced_as_a_whole() {
    let given = load(
        "nginx_http_add_header = X-A 1; add_header X-B 2\nnginx_proxy_add_header = X-C 3 always\n\
         nginx_http_allow = 10.0.0.0/8\nnginx_http_deny = all\nnginx_admin_deny = 10.1.0.0/16\n",
    )
    .unwrap();
    let words = |scope| {
        let all = given.injected.listed(scope, "add_header");
        all.iter().map(|(_, words)| words.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(words(LOCATION), ["X-C 3 always"]);
    assert_eq!(words(STATUS), ["X-A 1", "X-B 2"]);
    let allows = |scope, ip: &str| given.injected.access_rules(scope).unwrap().allows(ip.parse().unwrap());
    assert!(allows(LOCATION, "10.1.0.1"));
    assert!(!allows(LOCATION, "11.0.0.1"));
    assert!(!allows(ADMIN, "10.1.0.1"));
    assert!(allows(ADMIN, "11.0.0.1"));
}

#[test]
fn paths_are_relative_to_the_prefix() {
    let given = load(
        "nginx_http_proxy_ssl_trusted_certificate = ../ca.crt\nnginx_proxy_client_body_temp_path = /var/body 1 2\n\
         nginx_location_access_log = mine.log basic\n",
    )
    .unwrap();
    let path = |name| given.injected.path(LOCATION, name).unwrap();
    assert_eq!(path("proxy_ssl_trusted_certificate"), Path::new("/tmp/p/../ca.crt"));
    assert_eq!(&*given.limits.temporary_files, Path::new("/var/body"));
    assert_eq!(&*given.limits.proxy_temporary_files, Path::new("/tmp/p/proxy_temp"));
    let log = given.access_logs.proxy.unwrap().destination();
    assert_eq!(log, Some(Destination::File("/tmp/p/mine.log".into())));
}

#[test]
fn values() {
    let given = load(
        "nginx_proxy_large_client_header_buffers = 8 16k\nnginx_http_keepalive_timeout = 10s 8s\n\
         nginx_http_keepalive_requests = 5\nnginx_http_client_max_body_size = 2m\n\
         nginx_http_client_body_buffer_size = 16k\nnginx_http_lingering_close = off\nnginx_http_proxy_buffers = 4 8k\n\
         nginx_events_worker_connections = 512\nnginx_main_worker_rlimit_nofile = 1024\n\
         nginx_main_worker_shutdown_timeout = 1m\nnginx_proxy_proxy_ignore_headers = Expires X-Accel-Buffering\n",
    )
    .unwrap();
    assert_eq!(given.warnings, Vec::<String>::new());
    let limits = &given.limits;
    assert_eq!(limits.large_client_header_buffers, (8, 16 << 10));
    assert_eq!(limits.heads().line, (16 << 10) - 2);
    assert_eq!(limits.heads().head, 128 << 10);
    assert_eq!(limits.keepalive_timeout.as_secs(), 10);
    assert_eq!(limits.keepalive_header, Some(8));
    assert_eq!(limits.keepalive_requests, 5);
    assert_eq!(limits.client_max_body_size, 2 << 20);
    assert_eq!(limits.client_body_buffer_size, Some(16 << 10));
    assert_eq!(limits.proxy_buffers, 32 << 10);
    assert_eq!(limits.connections, 512);
    assert!(!limits.lingering_close);
    assert!(limits.ignore_accel_buffering);
    assert_eq!(given.injected.open_files(), Ok(Some(1024)));
    assert_eq!(given.injected.shutdown_timeout(), Some(Duration::from_secs(60)));
}

#[test]
fn defaults_are_those_of_kong() {
    let usual = load("").unwrap();
    assert_eq!(usual.limits.client_max_body_size, 0);
    assert_eq!(usual.limits.keepalive_requests, 10_000);
    assert_eq!(usual.limits.client_body_buffer_size, None);
    assert_eq!(usual.limits.keepalive_header, None);
    assert_eq!(usual.injected.api_max_body_size(ADMIN), Some(10 << 20));
    assert!(!usual.directives.compression.is_on());
    // Without Kong's own, those of nginx count.
    let none = load("nginx_http_client_max_body_size = NONE\nnginx_http_keepalive_requests = NONE\n").unwrap();
    assert_eq!(none.limits.client_max_body_size, 1 << 20);
    assert_eq!(none.limits.keepalive_requests, 1000);
}

#[test]
fn words_that_cannot_be_read() {
    for (line, error) in [
        (
            "nginx_http_gzip = yes",
            "nginx_http_gzip: invalid value \"yes\" in \"gzip\" directive, it must be \"on\" or \"off\"",
        ),
        ("nginx_http_gzip = on off", "nginx_http_gzip: invalid number of arguments in \"gzip\" directive"),
        ("nginx_proxy_client_max_body_size = 10q", "nginx_proxy_client_max_body_size is not a size: '10q'"),
        ("nginx_http_send_timeout = soon", "nginx_http_send_timeout is not a time: 'soon'"),
        (
            "nginx_http_large_client_header_buffers = 0 8k",
            "nginx_http_large_client_header_buffers: invalid value \"0\" in \"large_client_header_buffers\" directive",
        ),
        (
            "nginx_admin_ssl_verify_client = yes",
            "nginx_admin_ssl_verify_client: invalid value \"yes\" in \"ssl_verify_client\" directive",
        ),
        (
            "nginx_http_gzip_comp_level = 10; gzip on",
            "nginx_http_gzip_comp_level: value must be between 1 and 9, got 10",
        ),
        ("nginx_http_deny = host.test", "nginx_http_deny: invalid parameter \"host.test\""),
        ("nginx_proxy_add_header = X-A $nope", "nginx_proxy_add_header: unknown \"nope\" variable"),
        ("nginx_proxy_add_header = X-A 'open", "nginx_proxy_add_header: a ' is not closed"),
        ("nginx_http_gzip = on; gzip off", "nginx_http_gzip: \"gzip\" directive is duplicate"),
        ("nginx_proxy_proxy_next_upstream = http_418", "nginx_proxy_proxy_next_upstream: invalid value \"http_418\""),
        (
            "nginx_events_worker_connections = many",
            "nginx_events_worker_connections: invalid value \"many\" in \"worker_connections\" directive",
        ),
        ("nginx_http_keepalive_timeout = soon", "nginx_http_keepalive_timeout is not a time: 'soon'"),
    ] {
        let errors = load(line).map(|_| ()).unwrap_err();
        assert!(errors.contains(&error.to_owned()), "{line}: {errors:?}");
    }
}

#[test]
fn what_has_no_effect_is_named() {
    for (line, warning) in [
        ("nginx_http_sendfile = on", "has no effect here: it tunes nginx's own machinery"),
        ("nginx_http_proxy_read_timeout = 5s", "has no effect, as in Kong: services have 'read_timeout'"),
        (
            "nginx_http_access_log = x.log",
            "has no effect, as in Kong: 'proxy_access_log', 'admin_access_log' and 'status_access_log' say it",
        ),
        ("nginx_stream_tcp_nodelay = on", "has no effect here: it tunes nginx's own machinery"),
        (
            "nginx_upstream_keepalive = 60",
            "has no effect, as in Kong: upstreams and 'upstream_keepalive_*' say how services are balanced and their \
                connections kept",
        ),
        (
            "nginx_http_lua_regex_match_limit = 1",
            "has no effect here: plugins bring code, and nginx's blocks of it do not exist here",
        ),
        ("nginx_main_user = www-data", "has no effect here: the process stays who it was started as"),
        (
            "nginx_http_ssl_conf_command = CipherString DEFAULT:@SECLEVEL=0",
            "has no effect here: there is no OpenSSL here",
        ),
        ("nginx_http_more_clear_headers = Server", "is not known and has no effect here"),
        ("nginx_admin_gzip = on", "has no effect for the Admin and the Status API"),
        ("nginx_admin_proxy_ssl_verify = on", "has no effect for the Admin and the Status API"),
    ] {
        let key = line.split(' ').next().unwrap();
        assert_eq!(warnings(line), [format!("the nginx directive '{key}' {warning}")], "{line}");
    }
    assert_eq!(
        warnings("nginx_http_gzip = on; sendfile on"),
        ["the nginx directive 'nginx_http_gzip' ('sendfile') has no effect here: it tunes nginx's own machinery"]
    );
    // What is switched off protects nothing.
    let off = "the nginx directive 'nginx_proxy_auth_basic' is not known and has no effect here";
    assert_eq!(warnings("nginx_proxy_auth_basic = off"), [off]);
    assert_eq!(warnings("nginx_user = www\n"), ["the setting 'nginx_user' has no effect in this version"]);
    let second = warnings("nginx_proxy_access_log = second.log");
    assert_eq!(
        second,
        ["nginx_proxy_access_log has no effect here: an interface has one log, which proxy_access_log names"]
    );
}

#[test]
fn kongs_own_defaults_are_not_named() {
    let usual =
        ["nginx_main_user = kong kong", "nginx_events_multi_accept = on", "nginx_http_lua_regex_match_limit = 1"];
    assert_eq!(warnings(""), Vec::<String>::new());
    // What the operator writes is, even when it is the default.
    assert_eq!(usual.map(|line| warnings(line).len()), [1, 1, 1]);
    assert_eq!(warnings("ssl_session_tickets = off\nlua_ssl_protocols = TLSv1.3\n"), Vec::<String>::new());
}

#[test]
fn what_protects_and_cannot_stops_the_start() {
    for (line, reason) in [
        (
            "nginx_http_include = extra.conf",
            "is not available: files of nginx's configuration cannot be included; give their directives by 'nginx_*' \
                keys",
        ),
        ("nginx_proxy_auth_basic = closed", "is not available: use the basic-auth plugin"),
        ("nginx_proxy_limit_req = zone=one", "is not available: use the rate-limiting plugin"),
        ("nginx_admin_auth_request = /auth", "is not available: use a plugin that authenticates"),
        ("nginx_http_ssl_ocsp = on", "is not available: clients' certificates are not checked by OCSP; use ssl_crl"),
        ("nginx_main_load_module = waf.so", "is not available: modules of nginx cannot be loaded"),
        (
            "nginx_http_ssl_conf_command = MinProtocol TLSv1.3",
            "is not available: there is no OpenSSL here; use ssl_protocols, ssl_ciphers and ssl_ecdh_curve",
        ),
        (
            "nginx_proxy_location = /x { deny all; }",
            "is not available: blocks and answers of one's own are not available; use routes and the \
                request-termination plugin",
        ),
        ("nginx_location_ssl_verify_client = on", "is not allowed here"),
        ("nginx_sproxy_deny = all", "is not available for streams"),
        ("nginx_proxy_log_format = x '$status'", "is not allowed here"),
    ] {
        let key = line.split(' ').next().unwrap();
        let errors = load(line).map(|_| ()).unwrap_err();
        assert_eq!(errors, [format!("the nginx directive '{key}' {reason}")], "{line}");
    }
}

#[test]
fn files_of_a_reload() {
    assert!(Injected::is_renewed("nginx_admin_ssl_crl"));
    assert!(Injected::is_renewed("nginx_http_proxy_ssl_verify"));
    assert!(!Injected::is_renewed("nginx_http_gzip"));
    assert!(!Injected::is_renewed("nginx_location_ssl_crl"));
}

#[test]
fn tables_say_one_thing() {
    let mut seen = HashSet::new();
    for directive in table::DIRECTIVES {
        for (prefix, _) in Context::ALL.iter().filter(|(_, context)| directive.contexts.has(*context)) {
            assert!(seen.insert((prefix, directive.name)), "{prefix}{} is defined twice", directive.name);
        }
    }
    let mut listed = HashSet::new();
    for name in table::WITHOUT_EFFECT.iter().chain(table::REFUSED).flat_map(|(names, _)| *names) {
        assert!(listed.insert(name), "{name} is listed twice");
    }
}

#[test]
fn verification_without_tls_is_named() {
    let lines =
        "admin_listen = 127.0.0.1:0\nnginx_admin_ssl_verify_client = on\nnginx_admin_ssl_client_certificate = ca\n";
    let expected = "nginx_admin_ssl_verify_client has no effect: no address of admin_listen has the flag 'ssl'";
    assert_eq!(warnings(lines), [expected]);
}
