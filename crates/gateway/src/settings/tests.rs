//! What comes out of files, environments and command lines.

use super::*;
use proxy::tls::SuiteOrder;
use serde_json::json;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Settings::load(&Sources {
        file: Some(path.path().to_owned()),
        environment,
        overrides: vec![("prefix", "/tmp/p".to_owned())],
        ..Sources::default()
    })
}

#[test]
fn what_is_no_text_is_no_setting() {
    let errors = Settings::load(&Sources { unreadable: vec!["KONG_PREFIX".to_owned()], ..Sources::default() });
    assert_eq!(errors.unwrap_err(), ["KONG_PREFIX is not valid UTF-8"]);
}

#[test]
fn defaults() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert_eq!(settings.proxy_listen.len(), 2);
    assert!(settings.proxy_listen[1].ssl);
    assert_eq!(settings.text("database"), "sqlite");
    assert_eq!(settings.count("upstream_keepalive_pool_size"), 512);
    assert_eq!(settings.seconds("dns_stale_ttl"), Some(Duration::from_secs(3600)));
    assert!(
        settings.headers.via
            && settings.headers.admin_latency
            && !settings.headers.upstream_status
            && settings.headers.request_id
    );
    assert!(settings.request_id_upstream && settings.daemon && !settings.flag("allow_debug_header"));
    assert_eq!(settings.limits.client_max_body_size, 0);
    assert_eq!(settings.limits.keepalive_requests, 10000);
}

#[test]
fn environment_goes_before_file() {
    let settings = load(
        "log_level = warn\ndns_order = A\n",
        &[("KONG_LOG_LEVEL", "debug"), ("KONG_WASM", "on"), ("LOG_LEVEL", "x")],
    )
    .unwrap();
    assert_eq!(settings.text("log_level"), "debug");
    assert_eq!(settings.list("dns_order"), ["A"]);
    assert!(settings.flag("wasm"));
}

#[test]
fn variables_can_name_files_with_secrets() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n\n").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(load("", &[("KONG_PG_PASSWORD_FILE", path)]).unwrap().text("pg_password"), "s3cret");
    assert_eq!(
        load("", &[("KONG_PG_PASSWORD_FILE", path), ("KONG_PG_PASSWORD", "x")]).unwrap_err(),
        ["both KONG_PG_PASSWORD and KONG_PG_PASSWORD_FILE are set (but are exclusive)"]
    );
    let missing = load("", &[("KONG_PG_PASSWORD_FILE", "/no/such")]).unwrap_err();
    assert!(missing[0].starts_with("KONG_PG_PASSWORD_FILE: cannot read /no/such: "), "{missing:?}");
    // The name of a setting that ends like that is its own.
    let hosts = load("", &[("KONG_RESOLVER_HOSTS_FILE", path)]).unwrap();
    assert_eq!(hosts.text("resolver_hosts_file"), path);
}

#[test]
fn origins_of_the_gui_have_no_path() {
    let urls = "admin_gui_url = https://GUI.test:443/manager, http://localhost:8002\n";
    assert_eq!(load(urls, &[]).unwrap().gui_origins, ["https://gui.test", "http://localhost:8002"]);
    let errors = load("admin_gui_url = gui.test\n", &[]).unwrap_err();
    assert_eq!(errors, ["admin_gui_url must be a comma separated list of URLs with scheme and host, got 'gui.test'"]);
}

#[test]
fn an_empty_variable_unsets() {
    let settings = load("trusted_ips = 10.0.0.1\n", &[("KONG_TRUSTED_IPS", "")]).unwrap();
    assert!(settings.trusted_ips.is_empty());
}

#[test]
fn variables_are_in_upper_case() {
    let settings = load("", &[("KONG_Database", "off"), ("kong_database", "off"), ("KONG_nosuch", "1")]).unwrap();
    assert_eq!(settings.text("database"), "sqlite");
    assert_eq!(
        settings.warnings,
        ["'KONG_Database' in the environment has no effect: the setting 'database' is 'KONG_DATABASE' there"]
    );
}

#[test]
fn services_of_kubernetes_are_no_settings() {
    let variables = [
        ("KONG_PORT", "tcp://10.0.0.1:8000"),
        ("KONG_SERVICE_HOST", "10.0.0.1"),
        ("KONG_ADMIN_SERVICE_PORT_HTTP", "8001"),
        ("KONG_ADMIN_PORT_8001_TCP", "tcp://10.0.0.1:8001"),
        ("KONG_ADMIN_PORT_8001_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(load("", &variables).unwrap().warnings, Vec::<String>::new());
    let errors = load("", &[("KONG_PG_PORT", "tcp://10.0.0.1:5432")]).unwrap_err();
    assert_eq!(errors, ["pg_port is not a number: 'tcp://10.0.0.1:5432'"]);
}

#[test]
fn the_manager_needs_the_admin_api() {
    let settings = load("admin_listen = off\nadmin_gui_listen = 127.0.0.1:8002\n", &[]).unwrap();
    assert_eq!(
        settings.warnings,
        ["the manager won't be functional because the Admin API is not listened on any interface"]
    );
    assert_eq!(load("admin_listen = off\n", &[]).unwrap().warnings, Vec::<String>::new());
}

#[test]
fn unknown_keys_are_named() {
    let settings =
        load("admin_lisen = off\nnginx_http_gzipp = on\nvault_env_prefix = X_\n", &[("KONG_NO_SUCH", "1")]).unwrap();
    assert_eq!(
        settings.warnings,
        [
            "unknown setting 'admin_lisen' in the configuration file",
            "unknown setting 'KONG_NO_SUCH' in the environment",
            "the nginx directive 'nginx_http_gzipp' is not known and has no effect here",
        ]
    );
}

#[test]
fn what_is_missing_is_said() {
    let settings = load("proxy_server = http://a\nadmin_gui_listen = off\nwasm = off\nmem_cache_size = 1m\n", &[]);
    assert_eq!(settings.unwrap().warnings, ["the setting 'proxy_server' has no effect in this version"]);
}

#[test]
#[cfg(feature = "lua")]
fn plugin_servers_are_described() {
    let text = "pluginserver_names = Go-Hello, py\npluginserver_go_hello_query_cmd = /go -dump\n\
        pluginserver_go_hello_start_cmd = /go -kong-prefix /p\npluginserver_go_hello_timeout = 500\n\
        pluginserver_py_query_cmd = /py --dump\npluginserver_py_socket = /run/py.sock\n\
        pluginserver_other_socket = /x\n";
    let settings = load(text, &[]).unwrap();
    let [go, python] = &settings.plugin_servers[..] else { panic!("two servers") };
    assert_eq!(go.name, "go-hello");
    assert_eq!(go.socket, settings.path("go-hello.socket"));
    assert_eq!(go.start_command.as_deref(), Some("/go -kong-prefix /p"));
    assert_eq!(go.timeout.as_millis(), 500);
    assert_eq!(python.socket.to_str(), Some("/run/py.sock"));
    assert_eq!(python.start_command, None);
    assert_eq!(
        settings.warnings,
        [
            "start_command undefined for pluginserver py; assuming external process management",
            "the setting 'pluginserver_other_socket' has no effect: it is about no plugin server"
        ]
    );
    assert_eq!(load("pluginserver_names = x\n", &[]).unwrap_err(), ["query_command undefined for pluginserver x"]);
}

#[test]
fn old_names_are_followed() {
    let settings =
        load("opentelemetry_tracing = off\nnginx_worker_processes = 3\nreal_ip_header = X-Forwarded-For\n", &[])
            .unwrap();
    assert_eq!(settings.list("tracing_instrumentations"), ["off"]);
    assert_eq!(settings.workers, 3);
    assert_eq!(settings.injected.word(nginx::LOCATION, "real_ip_header"), "X-Forwarded-For");
    assert_eq!(
        settings.warnings,
        ["the 'opentelemetry_tracing' configuration property is deprecated, use 'tracing_instrumentations' instead"]
    );
    let settings = load("worker_consistency = strict\n", &[]).unwrap();
    let notice = "the configuration value 'strict' for configuration property 'worker_consistency' is deprecated";
    assert_eq!(settings.warnings, [notice]);
    assert_eq!(load("worker_consistency = eventual\n", &[]).unwrap().warnings, Vec::<String>::new());
    let settings = load("nginx_worker_processes = 3\nnginx_main_worker_processes = 2\n", &[]).unwrap();
    assert_eq!(settings.workers, 2);
}

#[test]
fn what_is_traced_has_known_names() {
    let errors = |text: &str| load(text, &[]).unwrap_err();
    assert_eq!(errors("tracing_instrumentations = router,nope\n"), ["invalid tracing type: nope"]);
    assert_eq!(
        errors("tracing_instrumentations = off,router\n"),
        ["invalid tracing types: off, other types are mutually exclusive"]
    );
    assert_eq!(errors("tracing_sampling_rate = 2\n"), ["tracing_sampling_rate must be between 0 and 1"]);
}

#[test]
fn references_to_the_environment() {
    let settings = load(
        "pg_user = {vault://env/db-user}\nlog_level = {vault://env/all/level}\n",
        &[("DB_USER", "me"), ("ALL", r#"{"level":"info"}"#)],
    )
    .unwrap();
    assert_eq!(settings.text("pg_user"), "me");
    assert_eq!(settings.text("log_level"), "info");
    assert_eq!(settings.describe(&[])["pg_user"], "{vault://env/db-user}");
    let errors = load("pg_user = {vault://env/db-user}\n", &[]).unwrap_err();
    assert_eq!(errors, ["failed to dereference '{vault://env/db-user}': no value found for config option 'pg_user'"]);
}

#[test]
fn settings_of_vaults_come_first_and_are_not_shown() {
    let settings = load(
        "vault_env_prefix = {vault://env/which}\npg_user = {vault://env/user}\nvault_hcv_token = planted\n",
        &[("WHICH", "MY_"), ("MY_USER", "me")],
    );
    let settings = settings.unwrap();
    assert_eq!(settings.text("pg_user"), "me");
    assert_eq!(settings.of_vaults()["vault_env_prefix"], "MY_");
    let shown = settings.describe(&[]);
    assert_eq!(shown["vault_hcv_token"], "******");
    assert_eq!(shown["vault_env_prefix"], "{vault://env/which}");
    assert_eq!(shown["loaded_vaults"]["hcv"], true);
    let errors = load("pg_user = {vault://hcv/a/b?token=planted&port=1}\n", &[]).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("failed to dereference '{vault://hcv/a/b?...}': no value found (no connection: "));
    assert!(!errors[0].contains("planted"), "{errors:?}");
}

#[test]
fn references_inside_lists() {
    let pem = "-----BEGIN CERTIFICATE-----\nC=US, O=x\n-----END CERTIFICATE-----\n";
    let environment = [("ONE", "10.0.0.0/8"), ("TWO", "::1"), ("PEM", pem), ("LEVELS", r#"{"a":"::2"}"#)];
    let settings = load(
        "trusted_ips = {vault://env/one}, 192.0.2.1 ,{vault://env/two},{vault://env/levels/a}\n\
         ssl_cert = {vault://env/pem},{vault://env/pem}\nssl_cert_key = {vault://env/pem}, /x.key\n",
        &environment,
    )
    .unwrap();
    assert_eq!(settings.list("trusted_ips"), ["10.0.0.0/8", "192.0.2.1", "::1", "::2"]);
    assert_eq!(settings.list("ssl_cert").len(), 2);
    assert_eq!(settings.list("ssl_cert_key")[1], "/x.key");
    let authorities = load("lua_ssl_trusted_certificate = {vault://env/pem}, system\n", &environment).unwrap();
    let authorities = authorities.list("lua_ssl_trusted_certificate");
    assert!(!authorities[0].contains("vault") && authorities[1] == "system", "{authorities:?}");
    let shown = settings.describe(&[]);
    let references = ["{vault://env/one}", "192.0.2.1", "{vault://env/two}", "{vault://env/levels/a}"];
    assert_eq!(shown["trusted_ips"], json!(references));
    assert_eq!(shown["ssl_cert_key"], "******");
    let again = load(&settings.to_file(), &[]).unwrap();
    assert_eq!(again.loaded.values, settings.loaded.values);
    let errors = load("trusted_ips = 10.0.0.1, {vault://env/none}\npg_user = {vault://env/none}\n", &[]).unwrap_err();
    assert_eq!(
        errors,
        [
            "failed to dereference '{vault://env/none}': no value found for config option 'pg_user'",
            "failed to dereference '{vault://env/none}': no value found for config option 'trusted_ips[2]'",
        ]
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (line, error) in [
        (
            "database = cassandra",
            "Cassandra as a datastore for Kong is not supported in versions 3.4 and above. Please use Postgres.",
        ),
        ("database = mysql", "database has an invalid value: 'mysql' (sqlite, postgres, cassandra, off)"),
        (
            "role = data_plane",
            "role = data_plane is not available in this version; use role = traditional (the default)",
        ),
        ("headers = Via, X-Nope", "headers: invalid entry 'X-Nope'"),
        ("nginx_http_client_max_body_size = 10q", "nginx_http_client_max_body_size is not a size: '10q'"),
        ("nginx_worker_processes = 0", "nginx_worker_processes must be 'auto' or a number between 1 and 1024, got '0'"),
        ("ssl_cert = /x.crt", "ssl_cert_key must be specified"),
        ("port_maps = 80", "invalid port mapping (`port_maps`): 80"),
        (
            "dns_resolver = localhost",
            "dns_resolver must be a comma separated list in the form of IPv4/6 or IPv4/6:port, got 'localhost'",
        ),
        ("dns_hostsfile = /none", "dns_hostsfile: file does not exist"),
        ("resolver_hosts_file = /none", "resolver_hosts_file: file does not exist"),
        ("node_id = 1", "node_id must be a valid UUID"),
        (
            "ssl_cipher_suite = custom\nssl_protocols = TLSv1",
            "ssl_protocols: TLSv1.2 and TLSv1.3 are spoken here, got 'TLSv1'",
        ),
        (
            "ssl_cipher_suite = custom\nssl_protocols = TLSv1.2\nssl_ciphers = AES128-SHA",
            "ssl_ciphers: none of them is available here: 'AES128-SHA'",
        ),
        ("ssl_session_timeout = soon", "ssl_session_timeout is not a time: 'soon'"),
        ("client_ssl = on\nclient_ssl_cert = /x.crt", "client_ssl_cert_key must be specified"),
        ("lua_max_req_headers = 0", "lua_max_req_headers must be an integer between 1 and 1000"),
        ("pg_pool_size = -1", "pg_pool_size must be greater than 0"),
        ("pg_ro_backlog = 1.5", "pg_ro_backlog must be an integer greater than 0"),
        ("cluster_data_plane_purge_delay = 59", "cluster_data_plane_purge_delay must be 60 or greater"),
        ("cluster_max_payload = 4194303", "cluster_max_payload must be 4194304 (4MB) or greater"),
        ("cluster_dp_labels = a:b", "cluster_dp_labels can only be used when role = \"data_plane\""),
    ] {
        assert_eq!(load(line, &[]).unwrap_err(), [error], "{line}");
    }
    let missing = Sources { file: Some("/nonexistent".into()), ..Sources::default() };
    assert_eq!(Settings::load(&missing).unwrap_err(), ["no file at: /nonexistent"]);
    let directory = Sources { file: Some("/".into()), ..Sources::default() };
    assert!(Settings::load(&directory).unwrap_err()[0].starts_with("could not load config file /: "));
}

#[test]
fn profiles_of_tls() {
    let versions = |s: &Settings| {
        tls::policy(s, nginx::PROXY_SERVER)
            .unwrap()
            .versions
            .iter()
            .map(|v| format!("{:?}", v.version))
            .collect::<Vec<_>>()
    };
    let usual = load("", &[]).unwrap();
    assert_eq!(versions(&usual), ["TLSv1_2", "TLSv1_3"]);
    let policy = tls::policy(&usual, nginx::PROXY_SERVER).unwrap();
    assert_eq!(policy.suites.len(), 9);
    assert_eq!(policy.order, SuiteOrder::Cheapest);
    assert!(policy.tickets);
    assert_eq!(policy.sessions, 40_960);
    assert_eq!(policy.lifetime, Duration::from_secs(86_400));
    let modern = load(
        "ssl_cipher_suite = modern\nssl_session_tickets = off\nssl_session_timeout = 1h\nssl_session_cache_size = 1m\n",
        &[],
    )
    .unwrap();
    assert_eq!(versions(&modern), vec!["TLSv1_3".to_owned()]);
    assert_eq!(modern.warnings.len(), 0);
    let policy = tls::policy(&modern, nginx::PROXY_SERVER).unwrap();
    assert!(!policy.tickets);
    assert_eq!(policy.lifetime.as_secs(), 3600);
    assert_eq!(policy.sessions, 4096);
    let old = load("ssl_cipher_suite = old\n", &[]).unwrap();
    assert!(old.warnings[0].starts_with(
        "ssl_cipher_suite = old: not available here, and left out for proxy_listen 0.0.0.0:8443, admin_listen \
            127.0.0.1:8444: TLSv1, TLSv1.1, DHE-RSA-AES128-GCM-SHA256 (DHE key exchange), "
    ));
    let fips = tls::policy(&load("ssl_cipher_suite = fips\n", &[]).unwrap(), nginx::PROXY_SERVER).unwrap();
    assert_eq!(fips.versions.len(), 1);
    assert_eq!(fips.suites.iter().filter(|s| s.tls13().is_none()).count(), 4);
    assert_eq!(fips.order, SuiteOrder::Server);
}

#[test]
fn tls_as_one_likes() {
    let custom = load(
        "ssl_cipher_suite = custom\nssl_protocols = TLSv1.1 TLSv1.2\nssl_ciphers = \
        ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA\n",
        &[],
    )
    .unwrap();
    assert_eq!(
        custom.warnings,
        ["ssl_cipher_suite = custom: not available here, and left out for proxy_listen 0.0.0.0:8443, admin_listen \
            127.0.0.1:8444: TLSv1.1, AES128-SHA (RSA key exchange, CBC)"]
    );
    let policy = tls::policy(&custom, nginx::PROXY_SERVER).unwrap();
    assert_eq!(policy.versions.len(), 1);
    assert_eq!(policy.suites.len(), 4);
    assert_eq!(policy.order, SuiteOrder::Server);
    let clients = load("nginx_proxy_ssl_prefer_server_ciphers = off\n", &[]).unwrap();
    assert_eq!(tls::policy(&clients, nginx::PROXY_SERVER).unwrap().order, SuiteOrder::Client);
    let inner = load("nginx_proxy_ssl_protocols = TLSv1.3\nnginx_proxy_ssl_session_tickets = off\n", &[]).unwrap();
    assert_eq!(inner.warnings, Vec::<String>::new());
    let proxy = tls::policy(&inner, nginx::PROXY_SERVER).unwrap();
    assert_eq!(proxy.versions.len(), 1);
    assert!(!proxy.tickets);
    let admin = tls::policy(&inner, nginx::ADMIN).unwrap();
    assert_eq!(admin.versions.len(), 2);
    assert!(admin.tickets);
    let unheard = load("ssl_protocols = TLSv1.3\nssl_dhparam = ffdhe2048\n", &[]).unwrap();
    assert_eq!(
        unheard.warnings,
        [
            "ssl_protocols counts only with ssl_cipher_suite = custom",
            "ssl_dhparam has no effect: keys are exchanged by elliptic curves only"
        ]
    );
    let services =
        load("nginx_http_proxy_ssl_verify = on\nnginx_http_proxy_ssl_protocols = TLSv1.2 TLSv1\n", &[]).unwrap();
    assert_eq!(services.injected.flag(nginx::LOCATION, "proxy_ssl_verify"), Some(true));
    assert_eq!(tls::services(&services).unwrap().versions.len(), 1);
    assert_eq!(
        services.warnings,
        ["nginx_proxy_proxy_ssl_*: not available here, and left out for services of https, tls and grpcs: TLSv1"]
    );
}

#[test]
fn what_is_shown() {
    let shown = load("pg_password = hush\ntrusted_ips = 10.0.0.0/8\n", &[]).unwrap().describe(&["key-auth"]);
    assert_eq!(shown["pg_password"], "******");
    assert_eq!(shown["trusted_ips"], json!(["10.0.0.0/8"]));
    assert_eq!(shown["ssl_cert"], json!({}));
    assert_eq!(shown["admin_listeners"][0]["port"], 8001);
    assert_eq!(shown["enabled_headers"]["X-Kong-Upstream-Status"], false);
    assert_eq!(shown["loaded_plugins"], json!({ "key-auth": true }));
    assert_eq!(shown["nginx_proxy_directives"][0], json!({ "name": "real_ip_header", "value": "X-Real-IP" }));
    assert_eq!(shown["upstream_keepalive_pool_size"], 512);
    assert_eq!(shown["nginx_http_ssl_session_tickets"], "on");
    assert_eq!(shown.get("pg_schema"), None);
    assert_eq!(shown["prefix"], "/tmp/p");
}

#[test]
fn a_running_nodes_settings_can_be_read_back() {
    let first = load(
        "pg_password = a\\#b\nproxy_listen = 127.0.0.1:1, 127.0.0.1:2 ssl\nnginx_worker_processes = 2\n",
        &[("KONG_LOG_LEVEL", "info")],
    )
    .unwrap();
    let second = load(&first.to_file(), &[]).unwrap();
    assert_eq!(second.loaded.values, first.loaded.values);
    assert_eq!(second.text("pg_password"), "a#b");
    let pem = |name: &str| format!("-----BEGIN {name}-----\nx\n-----END {name}-----\n");
    let certificates = format!("{},{}", pem("A"), pem("B"));
    let first = load("", &[("KONG_SSL_CERT", &certificates), ("KONG_SSL_CERT_KEY", "/a,/b")]).unwrap();
    let second = load(&first.to_file(), &[]).unwrap();
    assert_eq!(second.list("ssl_cert").len(), 2);
}

#[test]
fn a_reload_renews_what_the_table_says_and_what_that_implies() {
    let (usual, other) =
        (load("", &[]).unwrap(), load("log_level = debug\nlua_ssl_protocols = TLSv1.3\nheaders = off\n", &[]).unwrap());
    assert_eq!(usual.unrenewed(&other), ["headers"]);
    assert_eq!(usual.unrenewed(&usual), Vec::<String>::new());
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = "log_level = foo\ndatabase = mysql\nssl_cipher_suite = x\nproxy_listen = 1.2.3\nadmin_listen = :8000\n\
                pg_port = {vault://env/none}\ntracing_sampling_rate = 2\n";
    let errors = load(text, &[]).unwrap_err();
    let keys = ["log_level", "database", "cipher suite x", "proxy_listen", "admin_listen", "pg_port", "sampling_rate"];
    for key in keys {
        assert_eq!(errors.iter().filter(|error| error.contains(key)).count(), 1, "{key}: {errors:?}");
    }
    assert_eq!(errors.len(), keys.len(), "{errors:?}");
}
