//! Plugins that have no tests with a subject of their own: what each is for, and whom it refuses.

use blackbox::http::{Response, form, json, request};
use blackbox::tls::Pair;
use blackbox::{Backend, Node, Scripted, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A node with a service `s` at `/`, and that plugin.
fn start(service: SocketAddr, name: &str, config: Value) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{service}")).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    add(&node, name, config);
    node
}

fn add(node: &Node, name: &str, config: Value) {
    json(node.admin(), "POST", "/services/s/plugins", &json!({ "name": name, "config": config })).expect(201);
}

fn ask(node: &Node, lines: &[(&str, &str)]) -> Response {
    request(node.proxy(), "GET", "/a?b=1", lines, b"").unwrap()
}

/// What the service was told under that name.
fn told(answer: &Response, name: &str) -> Option<String> {
    let head = answer.json()["head"].clone();
    let lines = head.as_array().expect("lines").iter().filter_map(Value::as_str);
    let named = |line: &str| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then(|| value.to_owned())
    };
    lines.filter_map(named).next()
}

#[test]
fn bots_are_turned_away() {
    let backend = Backend::start("b");
    let node = start(backend.address, "bot-detection", json!({ "deny": ["^Evil"] }));
    assert_eq!(ask(&node, &[("User-Agent", "Mozilla/5.0")]).status, 200);
    assert_eq!(ask(&node, &[("User-Agent", "EvilBot/1")]).status, 403);
}

#[test]
fn requests_are_sent_elsewhere() {
    let backend = Backend::start("b");
    let config = json!({ "status_code": 302, "location": "https://a.test/x", "keep_incoming_path": true });
    let node = start(backend.address, "redirect", config);
    let answer = ask(&node, &[]).expect(302);
    assert_eq!(answer.header("Location"), Some("https://a.test/a?b=1"));
    let wrong = json!({ "name": "redirect", "config": { "location": "no url" } });
    json(node.admin(), "POST", "/plugins", &wrong).expect(400);
}

#[test]
fn services_are_protected_from_all_together() {
    let backend = Backend::start("b");
    let config = json!({ "limit": [2], "window_size": [86_400], "sync_rate": -1 });
    let node = start(backend.address, "service-protection", config);
    let statuses: Vec<u16> = (0..4).map(|_| ask(&node, &[]).status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn services_say_what_a_response_uses_up() {
    let answer = "HTTP/1.1 200 OK\r\nX-Kong-Limit: video=1\r\nContent-Length: 0\r\n\r\n";
    let service = Scripted::start(answer);
    let node = start(service.address, "response-ratelimiting", json!({ "limits": { "video": { "year": 2 } } }));
    assert_eq!(ask(&node, &[]).header("X-RateLimit-Limit-Video-Year"), Some("2"));
    // A response is counted when it is over.
    eventually("all is used up", || ask(&node, &[]).status == 429);
}

#[test]
fn keys_that_are_kept_encrypted_let_in() {
    let backend = Backend::start("b");
    let node = start(backend.address, "key-auth-enc", json!({}));
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    form(node.admin(), "POST", "/consumers/ada/key-auth-enc", "key=k1").expect(201);
    assert_eq!(told(&ask(&node, &[("apikey", "k1")]), "X-Consumer-Username").as_deref(), Some("ada"));
    assert_eq!(ask(&node, &[("apikey", "k2")]).status, 401);
}

#[test]
fn certificates_in_a_header_let_in() {
    let backend = Backend::start("b");
    let (root, other) = (Pair::authority("root"), Pair::authority("other"));
    let node = Node::start(&[("trusted_ips", "127.0.0.1")]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    let made = json(node.admin(), "POST", "/ca_certificates", &json!({ "cert": root.chain })).expect(201).json();
    let config = json!({
        "ca_certificates": [made["id"]], "certificate_header_name": "X-Cert",
        "certificate_header_format": "url_encoded", "revocation_check_mode": "SKIP"
    });
    add(&node, "header-cert-auth", config);
    let shown = |pair: &Pair| {
        let encoded: String = pair.chain.bytes().map(|octet| format!("%{octet:02X}")).collect();
        ask(&node, &[("X-Cert", &encoded)])
    };
    assert_eq!(told(&shown(&root.issue(&["ada"])), "X-Consumer-Username").as_deref(), Some("ada"));
    assert_eq!(shown(&other.issue(&["ada"])).status, 401);
    assert_eq!(ask(&node, &[]).status, 401);
}

#[test]
fn requests_that_are_not_signed_are_refused() {
    let backend = Backend::start("b");
    let node = start(backend.address, "hmac-auth", json!({}));
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    form(node.admin(), "POST", "/consumers/ada/hmac-auth", "username=ada&secret=s").expect(201);
    assert_eq!(ask(&node, &[]).status, 401);
    let forged = r#"hmac username="ada", algorithm="hmac-sha256", headers="date", signature="AAAA""#;
    assert_eq!(ask(&node, &[("Authorization", forged), ("Date", "Thu, 26 Nov 2026 08:00:00 GMT")]).status, 401);
}

#[test]
fn functions_of_a_configuration_answer() {
    let backend = Backend::start("b");
    let node = start(backend.address, "pre-function", json!({ "access": ["kong.response.exit(418, 'tea')"] }));
    let answer = ask(&node, &[]).expect(418);
    assert_eq!(answer.text(), "tea");
    let node = start(backend.address, "post-function", json!({ "access": ["error('broken')"] }));
    assert_eq!(ask(&node, &[]).status, 500);
}

#[test]
fn functions_of_aws_answer() {
    let function = Scripted::answering("application/json", br#"{"done":true}"#);
    let config = |port: u16| {
        json!({
            "function_name": "f", "aws_key": "AKID", "aws_secret": "planted", "aws_region": "us-east-1",
            "host": "127.0.0.1", "port": port, "disable_https": true
        })
    };
    let backend = Backend::start("b");
    let node = start(backend.address, "aws-lambda", config(function.address.port()));
    assert_eq!(ask(&node, &[]).expect(200).json()["done"], true);
    assert!(function.last().header("Authorization").unwrap().starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
    let node = start(backend.address, "aws-lambda", config(1));
    assert_eq!(ask(&node, &[]).status, 500);
}

#[test]
fn without_the_ldap_server_nobody_is_let_in() {
    let backend = Backend::start("b");
    let config = json!({ "ldap_host": "127.0.0.1", "ldap_port": 1, "base_dn": "dc=a", "attribute": "cn" });
    let node = start(backend.address, "ldap-auth-advanced", config);
    assert_eq!(ask(&node, &[]).status, 401);
    // `ada:secret`
    let answer = ask(&node, &[("Authorization", "ldap YWRhOnNlY3JldA==")]);
    assert!(matches!(answer.status, 401 | 500), "{}", answer.text());
}
