//! What log plugins send to other servers, and that nobody waits for these.

use blackbox::http::{form, json, request};
use blackbox::tls::{Clients, Pair, SecureBackend};
use blackbox::{Backend, Node, Scripted, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

/// Longer than a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node with a service `s` at `/`, and that plugin.
fn start(backend: &Backend, name: &str, config: Value) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    json(node.admin(), "POST", "/plugins", &json!({ "name": name, "config": config })).expect(201);
    node
}

fn ask(node: &Node) {
    request(node.proxy(), "GET", "/a?b=1", &[], b"").unwrap().expect(200);
}

/// An entry as all log plugins write it.
fn check_entry(entry: &Value) {
    assert_eq!(entry["request"]["uri"], "/a?b=1", "{entry}");
    assert_eq!(entry["response"]["status"], 200, "{entry}");
    assert_eq!(entry["service"]["name"], "s", "{entry}");
}

fn udp() -> (UdpSocket, Value) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, json!({ "host": "127.0.0.1", "port": port }))
}

/// What comes, up to a datagram with that text in it.
fn received(socket: &UdpSocket, text: &str) -> String {
    let (mut all, mut buffer) = (String::new(), [0; 65_536]);
    while !all.contains(text) {
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{error} after {all}"));
        all.push_str(&String::from_utf8_lossy(&buffer[..length]));
        all.push('\n');
    }
    all
}

#[test]
fn tcp_log_writes_lines() {
    let (backend, server) = (Backend::start("b"), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = server.local_addr().unwrap().port();
    let node = start(&backend, "tcp-log", json!({ "host": "127.0.0.1", "port": port }));
    ask(&node);
    let (stream, _) = server.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    check_entry(&serde_json::from_str(&line).unwrap());
}

#[test]
fn udp_log_sends_datagrams() {
    let (backend, (socket, server)) = (Backend::start("b"), udp());
    let node = start(&backend, "udp-log", server);
    ask(&node);
    check_entry(&serde_json::from_str(received(&socket, "request").trim()).unwrap());
}

#[test]
fn http_log_posts_entries() {
    let (backend, server) = (Backend::start("b"), Scripted::answering("text/plain", b""));
    let endpoint = format!("http://{}/in", server.address);
    let node = start(&backend, "http-log", json!({ "http_endpoint": endpoint }));
    ask(&node);
    eventually("an entry is there", || !server.requests().is_empty());
    check_entry(&serde_json::from_slice(&server.last().body).unwrap());
}

#[test]
fn custom_fields_are_in_the_entries_of_later_log_plugins() {
    let (backend, server) = (Backend::start("b"), Scripted::answering("text/plain", b""));
    let fields = json!({ "a.b": "return 1", "route": "return nil" });
    let config = json!({ "http_endpoint": format!("http://{}/in", server.address), "custom_fields_by_lua": fields });
    let node = start(&backend, "http-log", config);
    let file = node.prefix().join("entries");
    let config = json!({ "path": file });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "file-log", "config": config })).expect(201);
    ask(&node);
    let entry = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("an entry is there", || entry().ends_with('\n'));
    let entry: Value = serde_json::from_str(&entry()).unwrap();
    assert_eq!(entry["a"]["b"], 1, "{entry}");
    assert_eq!(entry.get("route"), None, "{entry}");
}

#[test]
fn http_log_shows_a_certificate() {
    let root = Pair::authority("root");
    let server = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Known(&root));
    let backend = Backend::start("b");
    let node = start(&backend, "correlation-id", json!({}));
    let certificate = json(node.admin(), "POST", "/certificates", &root.issue(&["one.test"]).record()).expect(201);
    let certificate = certificate.json()["id"].clone();
    let config = json!({ "http_endpoint": format!("https://{}/in", server.address),
        "client_certificate": { "id": certificate }, "ssl_verify": false, "keepalive": 1 });
    let plugin = json(node.admin(), "POST", "/plugins", &json!({ "name": "http-log", "config": config })).expect(201);
    assert_eq!(plugin.json()["config"]["client_certificate"]["id"], certificate);
    ask(&node);
    eventually("an entry has come", || server.clients() == ["one.test"]);
    // The certificate itself changes.
    let path = format!("/certificates/{}", certificate.as_str().unwrap());
    json(node.admin(), "PATCH", &path, &root.issue(&["two.test"]).record()).expect(200);
    eventually("the other one is shown", || {
        ask(&node);
        server.clients().iter().any(|client| client == "two.test")
    });
}

#[test]
fn jwt_signer_shows_a_certificate_for_keys() {
    let root = Pair::authority("root");
    let server = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Known(&root));
    let backend = Backend::start("b");
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), &root.chain).unwrap();
    let node = Node::start(&[("lua_ssl_trusted_certificate", authority.path().to_str().unwrap())]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    let certificate = json(node.admin(), "POST", "/certificates", &root.issue(&["signer.test"]).record()).expect(201);
    let config = json!({ "access_token_jwks_uri": format!("https://{}/jwks", server.address),
        "access_token_jwks_uri_client_certificate": { "id": certificate.json()["id"] } });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "jwt-signer", "config": config })).expect(201);
    // {"alg":"ES256"}.{}.AAAA
    let line = "Bearer eyJhbGciOiJFUzI1NiJ9.e30.AAAA";
    request(node.proxy(), "GET", "/", &[("Authorization", line)], b"").unwrap().expect(500);
    assert_eq!(server.clients(), ["signer.test"]);
}

#[test]
fn statsd_and_datadog_count() {
    let backend = Backend::start("b");
    let (socket, server) = udp();
    let node = start(&backend, "statsd", server);
    ask(&node);
    assert!(received(&socket, "request.count").contains("kong.service.s.request.count:1|c"));
    let (socket, server) = udp();
    let node = start(&backend, "datadog", server);
    ask(&node);
    assert!(received(&socket, "request.count").contains("kong.request.count:1|c|#name:s"));
}

#[test]
fn loggly_gets_entries_as_syslog() {
    let (backend, (socket, mut server)) = (Backend::start("b"), udp());
    server["key"] = json!("planted");
    let node = start(&backend, "loggly", server);
    ask(&node);
    assert!(received(&socket, "[planted@41058").contains("\"uri\":\"/a?b=1\""));
}

#[test]
fn nobody_waits_for_servers_that_are_away() {
    let backend = Backend::start("b");
    // It accepts nothing and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let node = start(&backend, "http-log", json!({ "http_endpoint": format!("http://127.0.0.1:{port}/") }));
    for (name, config) in [
        ("tcp-log", json!({ "host": "127.0.0.1", "port": 1 })),
        ("udp-log", json!({ "host": "127.0.0.1", "port": 1 })),
        ("statsd", json!({ "host": "nowhere.invalid", "port": 1 })),
        ("datadog", json!({ "host": "127.0.0.1", "port": 1 })),
        ("loggly", json!({ "key": "k", "host": "nowhere.invalid" })),
        ("zipkin", json!({ "http_endpoint": "http://127.0.0.1:1/", "sample_ratio": 1 })),
        ("opentelemetry", json!({ "traces_endpoint": "http://127.0.0.1:1/" })),
        ("syslog", json!({})),
    ] {
        json(node.admin(), "POST", "/plugins", &json!({ "name": name, "config": config })).expect(201);
    }
    (0..20).for_each(|_| ask(&node));
    eventually("it says so", || node.log().contains("tcp-log"));
}
