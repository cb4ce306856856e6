//! What servers must prove to plugins that speak TLS with them, field by field.

use blackbox::http::{form, json, request};
use blackbox::tls::{Pair, server_config};
use blackbox::{Backend, Node, eventually};
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server that only makes TLS handshakes: what is said after them is not its business.
struct Guarded {
    port: u16,
    /// Connections on which something was said.
    used: Arc<AtomicUsize>,
    /// Connections that ended in the handshake.
    refused: Arc<AtomicUsize>,
}

/// A plugin and its configuration for that port, where the server must prove who it is.
struct Case {
    plugin: &'static str,
    config: fn(u16) -> Value,
    /// The way to the field that says so; none: nothing says otherwise.
    field: Option<&'static str>,
}

const CASES: [Case; 17] = [
    Case {
        plugin: "http-log",
        config: |port| json!({ "http_endpoint": url(port), "ssl_verify": true }),
        field: Some("ssl_verify"),
    },
    Case {
        plugin: "tcp-log",
        config: |port| json!({ "host": "127.0.0.1", "port": port, "tls": true, "ssl_verify": true }),
        field: Some("ssl_verify"),
    },
    Case { plugin: "zipkin", config: |port| json!({ "http_endpoint": url(port), "sample_ratio": 1 }), field: None },
    Case { plugin: "opentelemetry", config: |port| json!({ "traces_endpoint": url(port) }), field: None },
    Case {
        plugin: "traffic-mirror",
        config: |port| json!({ "url": url(port), "ssl_verify": true }),
        field: Some("ssl_verify"),
    },
    Case {
        plugin: "aws-lambda",
        config: |port| {
            json!({
                "function_name": "f", "aws_key": "a", "aws_secret": "b", "aws_region": "us-east-1", "timeout": 1000,
                "host": "127.0.0.1", "port": port, "ssl_verify": true
            })
        },
        field: Some("ssl_verify"),
    },
    Case {
        plugin: "azure-functions",
        config: |port| {
            json!({
                "functionname": "f", "appname": "app", "hostdomain": format!("azure.test:{port}"), "timeout": 1000,
                "https_verify": true
            })
        },
        field: Some("https_verify"),
    },
    Case {
        plugin: "opa",
        config: |port| {
            json!({
                "opa_protocol": "https", "opa_host": "127.0.0.1", "opa_port": port, "opa_path": "/v1/data/a",
                "ssl_verify": true
            })
        },
        field: Some("ssl_verify"),
    },
    Case {
        plugin: "oauth2-introspection",
        config: |port| json!({ "introspection_url": url(port), "authorization_value": "x", "timeout": 1000 }),
        field: None,
    },
    Case {
        plugin: "openid-connect",
        config: |port| {
            json!({
                "issuer": url(port), "client_id": ["gateway"], "client_secret": ["x"], "timeout": 1000,
                "auth_methods": ["authorization_code"], "ssl_verify": true
            })
        },
        field: Some("ssl_verify"),
    },
    Case {
        plugin: "jwt-signer",
        config: |port| {
            json!({
                "access_token_introspection_endpoint": url(port), "access_token_introspection_timeout": 1000,
                "channel_token_optional": true
            })
        },
        field: None,
    },
    Case {
        plugin: "ldap-auth",
        config: |port| {
            json!({
                "ldap_host": "127.0.0.1", "ldap_port": port, "ldaps": true, "base_dn": "dc=a", "attribute": "cn",
                "timeout": 1000, "header_type": "bearer", "verify_ldap_host": true
            })
        },
        field: Some("verify_ldap_host"),
    },
    Case {
        plugin: "rate-limiting",
        config: |port| json!({ "minute": 5, "policy": "redis", "redis": redis(port) }),
        field: Some("redis/ssl_verify"),
    },
    Case {
        plugin: "response-ratelimiting",
        config: |port| json!({ "limits": { "a": { "minute": 5 } }, "policy": "redis", "redis": redis(port) }),
        field: Some("redis/ssl_verify"),
    },
    Case {
        plugin: "rate-limiting-advanced",
        config: |port| {
            json!({
                "limit": [5], "window_size": [60], "sync_rate": 0, "strategy": "redis", "redis": redis(port)
            })
        },
        field: Some("redis/ssl_verify"),
    },
    Case {
        plugin: "proxy-cache-advanced",
        config: |port| json!({ "strategy": "redis", "redis": redis(port) }),
        field: Some("redis/ssl_verify"),
    },
    Case {
        plugin: "acme",
        config: |port| {
            json!({
                "account_email": "a@b.test", "tos_accepted": true, "api_uri": "https://127.0.0.1:1/",
                "allow_any_domain": true, "storage": "vault", "storage_config": { "vault": {
                    "host": "127.0.0.1", "port": port, "https": true, "token": "x", "tls_verify": true
                } }
            })
        },
        field: Some("storage_config/vault/tls_verify"),
    },
];

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}/a")
}

fn redis(port: u16) -> Value {
    json!({ "host": "127.0.0.1", "port": port, "ssl": true, "ssl_verify": true })
}

impl Guarded {
    fn start(pair: &Pair) -> Guarded {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (used, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let port = listener.local_addr().unwrap().port();
        let (config, counts) = (server_config(pair), (Arc::clone(&used), Arc::clone(&refused)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, (used, refused)) = (Arc::clone(&config), counts.clone());
                std::thread::spawn(move || {
                    let tls = ServerConnection::new(config).unwrap();
                    let is_used = matches!(StreamOwned::new(tls, stream).read(&mut [0]), Ok(1));
                    if is_used { used } else { refused }.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Guarded { port, used, refused }
    }

    fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

/// A node whose services and plugins find each other, and its service.
fn start(settings: &[(&str, &str)]) -> (Node, Backend, tempfile::NamedTempFile) {
    let (backend, mut hosts) = (Backend::start("b"), tempfile::NamedTempFile::new().unwrap());
    hosts.write_all(b"127.0.0.1 app.azure.test\n").unwrap();
    let file = hosts.path().to_str().unwrap().to_owned();
    let traced = [("tracing_instrumentations", "all"), ("tracing_sampling_rate", "1")];
    let own = [("dns_hostsfile", file.as_str()), ("nginx_worker_processes", "1")];
    let node = Node::start(&[settings, &traced, &own].concat());
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    (node, backend, hosts)
}

/// What follows with that configuration, until `happened`.
fn try_out(node: &Node, case: &Case, config: &Value, what: &str, happened: impl Fn() -> bool) {
    let plugin = json!({ "name": case.plugin, "config": config });
    let path = if case.plugin == "acme" { "/plugins" } else { "/services/s/plugins" };
    let made = json(node.admin(), "POST", path, &plugin).expect(201).json();
    let lines = [("Authorization", "Bearer YWRhOnNlY3JldA=="), ("Host", "a.test")];
    eventually(&format!("{}: {what}", case.plugin), || {
        request(node.proxy(), "GET", "/.well-known/acme-challenge/a", &lines, b"").unwrap();
        happened()
    });
    let path = format!("/plugins/{}", made["id"].as_str().unwrap());
    request(node.admin(), "DELETE", &path, &[], b"").unwrap().expect(204);
}

/// The configuration with that field switched off.
fn unverified(case: &Case, port: u16) -> Option<Value> {
    let mut config = (case.config)(port);
    let field = config.pointer_mut(&format!("/{}", case.field?)).expect("the field is in the configuration");
    *field = json!(false);
    Some(config)
}

#[test]
fn servers_that_cannot_prove_who_they_are_are_told_nothing() {
    let pair = Pair::authority("nobody's").issue(&["127.0.0.1", "app.azure.test"]);
    let (node, _backend, _hosts) = start(&[]);
    for case in &CASES {
        let server = Guarded::start(&pair);
        let before = node.log().len();
        let refused = || server.refused() > 0 && node.log()[before..].contains("UnknownIssuer");
        try_out(&node, case, &(case.config)(server.port), "refuses, and says so", refused);
        assert_eq!(server.used(), 0, "{}", case.plugin);
        if let Some(config) = unverified(case, server.port) {
            try_out(&node, case, &config, "takes any", || server.used() > 0);
        }
    }
}

#[test]
fn servers_that_the_node_trusts_prove_who_they_are() {
    let authority = Pair::authority("ours");
    let pair = authority.issue(&["127.0.0.1", "app.azure.test"]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.chain.as_bytes()).unwrap();
    let (node, _backend, _hosts) = start(&[("lua_ssl_trusted_certificate", file.path().to_str().unwrap())]);
    for case in &CASES {
        let server = Guarded::start(&pair);
        try_out(&node, case, &(case.config)(server.port), "takes it", || server.used() > 0);
    }
}
