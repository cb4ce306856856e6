//! Servers that plugins ask, and what becomes of requests when these are away, say nothing, or talk nonsense.

use blackbox::http::{form, json, request};
use blackbox::{Backend, Node, Scripted};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;

/// `ada:secret`
const LDAP: (&str, &str) = ("Authorization", "ldap YWRhOnNlY3JldA==");
const BEARER: (&str, &str) = ("Authorization", "Bearer token");

/// Counterparts that are of no use, and the ports that they are at.
struct Useless {
    /// It accepts nothing and says nothing.
    silent: TcpListener,
    garbage: [Scripted; 3],
}

impl Useless {
    fn start() -> Useless {
        let cut = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
        let garbage = [
            Scripted::start("\u{1}no protocol at all\r\n\r\n"),
            Scripted::answering("application/json", b"{\"keys\": [[[\xff"),
            Scripted::start(cut),
        ];
        Useless { silent: TcpListener::bind("127.0.0.1:0").unwrap(), garbage }
    }

    fn ports(&self) -> Vec<u16> {
        let silent = self.silent.local_addr().unwrap().port();
        let garbage = self.garbage.iter().map(|server| server.address.port());
        // Nobody listens at 1.
        [1, silent].into_iter().chain(garbage).collect()
    }

    /// Those of which it is known at once that they are of no use.
    fn quick(&self) -> [u16; 3] {
        [1, self.garbage[0].address.port(), self.garbage[1].address.port()]
    }
}

/// A node with a service `s` at `/`, and the consumer `ada`.
fn start(settings: &[(&str, &str)], backend: &Backend) -> Node {
    let node = Node::start(settings);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    node
}

/// The statuses of answers through that plugin with each useless counterpart. None of them says anything of the
/// counterpart, and the service has seen none of those that are refused.
fn ask_all(node: &Node, backend: &Backend, name: &str, line: (&str, &str), config: impl Fn(u16) -> Value) -> Vec<u16> {
    let useless = Useless::start();
    useless.ports().into_iter().map(|port| ask(node, backend, name, line, port, config(port))).collect()
}

fn ask(node: &Node, backend: &Backend, name: &str, line: (&str, &str), port: u16, config: Value) -> u16 {
    let before = backend.requests();
    let plugin = json!({ "name": name, "config": config });
    let made = json(node.admin(), "POST", "/services/s/plugins", &plugin).expect(201).json();
    let answer = request(node.proxy(), "GET", "/", &[line], b"").unwrap();
    if answer.status != 200 {
        let text = answer.text();
        assert!(!text.contains(&format!(":{port}")), "{text}");
        assert!(!text.contains("protocol"), "{text}");
        assert_eq!(backend.requests(), before, "{name}");
    }
    let path = format!("/plugins/{}", made["id"].as_str().unwrap());
    request(node.admin(), "DELETE", &path, &[], b"").unwrap().expect(204);
    answer.status
}

#[test]
fn functions_elsewhere_that_do_not_answer_are_an_error() {
    let backend = Backend::start("b");
    let mut hosts = tempfile::NamedTempFile::new().unwrap();
    hosts.write_all(b"127.0.0.1 app.azure.test\n").unwrap();
    let node = start(&[("dns_hostsfile", hosts.path().to_str().unwrap())], &backend);
    let statuses = ask_all(&node, &backend, "aws-lambda", ("X-A", "b"), |port| {
        json!({
            "function_name": "f", "aws_key": "a", "aws_secret": "b", "aws_region": "us-east-1", "timeout": 200,
            "host": "127.0.0.1", "port": port, "disable_https": true, "is_proxy_integration": true
        })
    });
    assert!(statuses.iter().all(|status| [500, 502].contains(status)), "{statuses:?}");
    // What the function says is passed on as it is, so that only those that say nothing whole are an error.
    let statuses = ask_all(&node, &backend, "azure-functions", ("X-A", "b"), |port| {
        json!({
            "functionname": "f", "appname": "app", "hostdomain": format!("azure.test:{port}"), "https": false,
            "timeout": 200
        })
    });
    assert_eq!(statuses, [500, 500, 500, 200, 500]);
}

#[test]
fn without_a_directory_nobody_is_let_in() {
    let backend = Backend::start("b");
    let node = start(&[], &backend);
    for name in ["ldap-auth", "ldap-auth-advanced"] {
        let statuses = ask_all(&node, &backend, name, LDAP, |port| {
            json!({
                "ldap_host": "127.0.0.1", "ldap_port": port, "base_dn": "dc=a", "attribute": "cn", "timeout": 200
            })
        });
        assert!(statuses.iter().all(|status| [401, 500].contains(status)), "{name}: {statuses:?}");
    }
}

#[test]
fn without_the_issuer_of_tokens_nobody_is_let_in() {
    let backend = Backend::start("b");
    let node = start(&[], &backend);
    let statuses = ask_all(&node, &backend, "oauth2-introspection", BEARER, |port| {
        let url = format!("http://127.0.0.1:{port}/introspect");
        json!({ "introspection_url": url, "authorization_value": "x", "timeout": 200 })
    });
    assert!(statuses.iter().all(|status| [401, 500].contains(status)), "{statuses:?}");
    for method in ["bearer", "introspection", "userinfo", "authorization_code"] {
        let statuses = ask_all(&node, &backend, "openid-connect", BEARER, |port| {
            json!({
                "issuer": format!("http://127.0.0.1:{port}"), "client_id": ["gateway"], "client_secret": ["x"],
                "auth_methods": [method], "timeout": 200
            })
        });
        assert!(statuses.iter().all(|status| [401, 500].contains(status)), "{method}: {statuses:?}");
    }
    let statuses = ask_all(&node, &backend, "jwt-signer", BEARER, |port| {
        json!({
            "access_token_introspection_endpoint": format!("http://127.0.0.1:{port}/introspect"),
            "access_token_introspection_timeout": 200, "channel_token_optional": true
        })
    });
    assert!(statuses.iter().all(|status| [401, 500].contains(status)), "{statuses:?}");
}

#[test]
fn where_limits_cannot_be_counted_they_are_an_error_or_forgotten() {
    let backend = Backend::start("b");
    let node = start(&[], &backend);
    let redis = |port: u16| json!({ "host": "127.0.0.1", "port": port, "timeout": 200 });
    for (tolerant, expected) in [(true, 200), (false, 500)] {
        let statuses = ask_all(
            &node,
            &backend,
            "rate-limiting",
            ("X-A", "b"),
            |port| json!({ "year": 5, "policy": "redis", "redis": redis(port), "fault_tolerant": tolerant }),
        );
        assert_eq!(statuses, [expected; 5]);
        let statuses = ask_all(&node, &backend, "response-ratelimiting", ("X-A", "b"), |port| {
            let limits = json!({ "a": { "year": 5 } });
            json!({ "limits": limits, "policy": "redis", "redis": redis(port), "fault_tolerant": tolerant })
        });
        assert_eq!(statuses, [expected; 5]);
    }
}

#[test]
fn where_windows_cannot_be_counted_together_each_node_counts() {
    let backend = Backend::start("b");
    let node = start(&[], &backend);
    for name in ["rate-limiting-advanced", "service-protection"] {
        let statuses = ask_all(&node, &backend, name, ("X-A", "b"), |port| {
            let redis = json!({ "host": "127.0.0.1", "port": port, "connect_timeout": 200, "read_timeout": 200 });
            json!({ "limit": [5], "window_size": [86_400], "strategy": "redis", "sync_rate": 0, "redis": redis })
        });
        assert_eq!(statuses, [200; 5], "{name}");
    }
}

#[test]
fn what_cannot_be_kept_is_asked_of_the_service() {
    let backend = Backend::start("b");
    let node = start(&[], &backend);
    for name in ["proxy-cache", "proxy-cache-advanced"] {
        let statuses = ask_all(&node, &backend, name, ("X-A", "b"), |port| {
            let redis = json!({ "host": "127.0.0.1", "port": port, "connect_timeout": 200, "read_timeout": 200 });
            let mut config = json!({ "strategy": "redis", "redis": redis });
            if name == "proxy-cache-advanced" {
                config["bypass_on_err"] = json!(true);
            }
            config
        });
        assert_eq!(statuses, [200; 5], "{name}");
    }
}

#[test]
fn without_the_agent_that_decides_nobody_is_let_in() {
    let backend = Backend::start("b");
    let node = start(&[], &backend);
    for port in Useless::start().quick() {
        let config = json!({ "opa_host": "127.0.0.1", "opa_port": port, "opa_path": "/v1/data/app/allow" });
        assert_eq!(ask(&node, &backend, "opa", ("X-A", "b"), port, config), 500);
    }
}
