//! TLS towards services: who must prove what to whom.

use blackbox::http::{Response, get, json};
use blackbox::tls::{Client, Clients, Offer, Pair, SecureBackend};
use blackbox::{Node, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Makes a service and a route of that name, and `/name` for its path.
fn route(node: &Node, name: &str, service: Value) {
    let mut record = json!({ "name": name, "protocol": "https", "host": "127.0.0.1" });
    record.as_object_mut().unwrap().extend(service.as_object().unwrap().clone());
    json(node.admin(), "POST", "/services", &record).expect(201);
    json(node.admin(), "POST", &format!("/services/{name}/routes"), &json!({ "paths": [format!("/{name}")] }))
        .expect(201);
}

fn create(node: &Node, path: &str, record: &Value) -> Value {
    json(node.admin(), "POST", path, record).expect(201).json()["id"].clone()
}

fn patch(node: &Node, path: &str, record: &Value) -> Response {
    json(node.admin(), "PATCH", path, record).expect(200)
}

fn authority(pair: &Pair) -> Value {
    json!({ "cert": pair.chain })
}

fn port(backend: &SecureBackend) -> u16 {
    backend.address.port()
}

/// What the service says of the client it sees.
fn client(proxy: SocketAddr, path: &str) -> Value {
    get(proxy, path).expect(200).json()["client"].clone()
}

#[test]
fn a_service_that_knows_its_clients() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Known(&root));
    let node = Node::start(&[]);
    route(&node, "s", json!({ "port": port(&backend), "retries": 0 }));
    get(node.proxy(), "/s").expect(502);
    let certificate = create(&node, "/certificates", &root.issue(&["one.test"]).record());
    patch(&node, "/services/s", &json!({ "client_certificate": { "id": certificate } }));
    assert_eq!(client(node.proxy(), "/s"), "one.test");
    // Another certificate in its place is shown by the next request, though a connection is kept.
    let certificate = certificate.as_str().unwrap();
    patch(&node, &format!("/certificates/{certificate}"), &root.issue(&["two.test"]).record());
    assert_eq!(client(node.proxy(), "/s"), "two.test");
    let connections = backend.connections();
    patch(&node, &format!("/certificates/{certificate}"), &json!({ "tags": ["same"] }));
    patch(&node, "/services/s", &json!({ "tags": ["same"] }));
    for _ in 0..8 {
        assert_eq!(client(node.proxy(), "/s"), "two.test");
    }
    // Two workers have a connection each, at most.
    assert!(backend.connections() <= connections + 1, "what stays the same keeps its connections");
    let stranger = Pair::authority("stranger").issue(&["stranger.test"]);
    patch(&node, &format!("/certificates/{certificate}"), &stranger.record());
    get(node.proxy(), "/s").expect(502);
    patch(&node, "/services/s", &json!({ "client_certificate": null }));
    get(node.proxy(), "/s").expect(502);
}

#[test]
fn services_prove_who_they_are() {
    let (root, other) = (Pair::authority("root"), Pair::authority("other"));
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Any);
    let node = Node::start(&[]);
    let (known, unknown) =
        (create(&node, "/ca_certificates", &authority(&root)), create(&node, "/ca_certificates", &authority(&other)));
    route(&node, "s", json!({ "port": port(&backend), "retries": 0 }));
    let verify = |record: Value| patch(&node, "/services/s", &record);
    get(node.proxy(), "/s").expect(200);
    verify(json!({ "tls_verify": true }));
    get(node.proxy(), "/s").expect(502);
    verify(json!({ "ca_certificates": [unknown] }));
    get(node.proxy(), "/s").expect(502);
    verify(json!({ "ca_certificates": [unknown, known] }));
    get(node.proxy(), "/s").expect(200);
    verify(json!({ "host": "localhost" }));
    get(node.proxy(), "/s").expect(502);
    verify(json!({ "host": "127.0.0.1", "ca_certificates": [known] }));
    get(node.proxy(), "/s").expect(200);
    // The authority itself changes: what was proved before does not count any more.
    let path = format!("/ca_certificates/{}", known.as_str().unwrap());
    patch(&node, &path, &authority(&Pair::authority("root")));
    get(node.proxy(), "/s").expect(502);
    patch(&node, &path, &authority(&root));
    get(node.proxy(), "/s").expect(200);
    verify(json!({ "tls_verify": false, "ca_certificates": [unknown] }));
    get(node.proxy(), "/s").expect(200);
}

#[test]
fn chains_have_a_longest_length() {
    let root = Pair::authority("root");
    let first = root.lesser("first");
    let second = first.lesser("second");
    let (near, far) = (first.issue(&["127.0.0.1"]), second.issue(&["127.0.0.1"]));
    let (near, far) = (SecureBackend::start(&near, &Clients::Any), SecureBackend::start(&far, &Clients::Any));
    let node = Node::start(&[]);
    let known = create(&node, "/ca_certificates", &authority(&root));
    for (name, backend) in [("near", &near), ("far", &far)] {
        route(
            &node,
            name,
            json!({ "port": port(backend), "retries": 0, "tls_verify": true, "ca_certificates": [known] }),
        );
    }
    for (depth, expected) in
        [(json!(null), [200, 502]), (json!(0), [502, 502]), (json!(1), [200, 502]), (json!(2), [200, 200])]
    {
        for (name, status) in [("near", expected[0]), ("far", expected[1])] {
            patch(&node, &format!("/services/{name}"), &json!({ "tls_verify_depth": depth }));
            assert_eq!(get(node.proxy(), &format!("/{name}")).status, status, "{name} with {depth}");
        }
    }
}

#[test]
fn a_certificate_may_be_for_other_names() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["one.a.test"]), &Clients::Any);
    let node = Node::start(&[]);
    let known = create(&node, "/ca_certificates", &authority(&root));
    let fields = json!({ "port": port(&backend), "retries": 0, "tls_verify": true, "ca_certificates": [known] });
    route(&node, "s", fields);
    let shown = get(node.admin(), "/services/s").json();
    assert!(shown.get("tls_sans").is_none(), "{shown}");
    for (names, status) in [
        (json!(null), 502),
        (json!({ "dnsnames": ["two.a.test"], "uris": ["https://one.a.test"] }), 502),
        (json!({ "dnsnames": ["two.a.test", "one.a.test"] }), 200),
        (json!(null), 502),
    ] {
        patch(&node, "/services/s", &json!({ "tls_sans": names }));
        assert_eq!(get(node.proxy(), "/s").status, status, "{names}");
    }
    let plain = json!({ "tls_sans": { "dnsnames": ["a.test"] }, "host": "h", "protocol": "http" });
    json(node.admin(), "POST", "/services", &plain).expect(400);
}

#[test]
fn connections_are_kept_apart() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Welcome(&root));
    let node = Node::start(&[("nginx_worker_processes", "1")]);
    let (known, other) = (
        create(&node, "/ca_certificates", &authority(&root)),
        create(&node, "/ca_certificates", &authority(&Pair::authority("other"))),
    );
    for name in ["one.test", "two.test"] {
        let certificate = create(&node, "/certificates", &root.issue(&[name]).record());
        let name = name.strip_suffix(".test").unwrap();
        route(&node, name, json!({ "port": port(&backend), "client_certificate": { "id": certificate } }));
    }
    route(&node, "nobody", json!({ "port": port(&backend) }));
    route(&node, "verified", json!({ "port": port(&backend), "tls_verify": true, "ca_certificates": [known] }));
    route(
        &node,
        "refused",
        json!({ "port": port(&backend), "retries": 0, "tls_verify": true, "ca_certificates": [other] }),
    );
    for round in 0..5 {
        assert_eq!(client(node.proxy(), "/one"), "one.test");
        assert_eq!(client(node.proxy(), "/two"), "two.test");
        assert_eq!(client(node.proxy(), "/nobody"), Value::Null);
        assert_eq!(client(node.proxy(), "/verified"), Value::Null);
        get(node.proxy(), "/refused").expect(502);
        assert_eq!(backend.connections(), 5 + round, "four are kept, and each refusal costs another");
    }
}

#[test]
fn sessions_are_resumed_by_those_who_began_them() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Welcome(&root));
    let node = Node::start(&[("nginx_worker_processes", "1"), ("upstream_keepalive_pool_size", "0")]);
    let certificate = create(&node, "/certificates", &root.issue(&["one.test"]).record());
    route(&node, "one", json!({ "port": port(&backend), "client_certificate": { "id": certificate } }));
    route(&node, "nobody", json!({ "port": port(&backend) }));
    let ask = |path: &str| {
        let said = get(node.proxy(), path).expect(200).json();
        (said["client"].clone(), said["resumed"] == true)
    };
    // Tickets come behind the first answer, so that it takes a while until one is at hand.
    eventually("a session is resumed", || ask("/one") == (json!("one.test"), true));
    let (shown, resumed) = ask("/nobody");
    assert_eq!(shown, Value::Null);
    assert!(!resumed, "the session of another identity");
    eventually("a session without identity is resumed", || ask("/nobody") == (Value::Null, true));
    assert_eq!(ask("/one").0, "one.test");
}

#[test]
fn upstreams_have_certificates_too() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["target.test"]), &Clients::Known(&root));
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), &root.chain).unwrap();
    let node = Node::start(&[("lua_ssl_trusted_certificate", ca.path().to_str().unwrap())]);
    let of_upstream = create(&node, "/certificates", &root.issue(&["upstream.test"]).record());
    let of_service = create(&node, "/certificates", &root.issue(&["service.test"]).record());
    let upstream = json!({ "name": "u", "client_certificate": { "id": of_upstream }, "healthchecks": { "active": {
        "type": "https", "https_sni": "target.test", "healthy": { "interval": 0.05, "successes": 1 },
        "unhealthy": { "interval": 0.05, "tcp_failures": 1, "http_failures": 1 } } } });
    json(node.admin(), "POST", "/upstreams", &upstream).expect(201);
    json(node.admin(), "POST", "/upstreams/u/targets", &json!({ "target": backend.address.to_string() })).expect(201);
    route(&node, "s", json!({ "host": "u" }));
    assert_eq!(client(node.proxy(), "/s"), "upstream.test");
    patch(&node, "/services/s", &json!({ "client_certificate": { "id": of_service } }));
    assert_eq!(client(node.proxy(), "/s"), "service.test");
    let health = || get(node.admin(), "/upstreams/u/health").expect(200).json()["data"][0]["health"].clone();
    // Healthy is what a target is before anybody has looked; so one that nobody lets in comes first.
    let path = format!("/certificates/{}", of_upstream.as_str().unwrap());
    patch(&node, &path, &Pair::authority("stranger").issue(&["stranger.test"]).record());
    eventually("the probe is not let in", || health() == "UNHEALTHY");
    patch(&node, &path, &root.issue(&["upstream.test"]).record());
    eventually("the probe shows the certificate", || health() == "HEALTHY");
    let sni =
        |name: Value| patch(&node, "/upstreams/u", &json!({ "healthchecks": { "active": { "https_sni": name } } }));
    sni(json!("other.test"));
    eventually("the target has another name", || health() == "UNHEALTHY");
    patch(&node, "/upstreams/u", &json!({ "healthchecks": { "active": { "https_verify_certificate": false } } }));
    eventually("nobody asks for its name", || health() == "HEALTHY");
}

#[test]
fn the_node_shows_a_certificate_where_nothing_else_is_shown() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Known(&root));
    let own = root.issue(&["node.test"]);
    let settings =
        [("client_ssl", "on"), ("client_ssl_cert", own.chain.as_str()), ("client_ssl_cert_key", own.key.as_str())];
    let node = Node::start(&settings);
    route(&node, "s", json!({ "port": port(&backend) }));
    assert_eq!(client(node.proxy(), "/s"), "node.test");
    let certificate = create(&node, "/certificates", &root.issue(&["service.test"]).record());
    patch(&node, "/services/s", &json!({ "client_certificate": { "id": certificate } }));
    assert_eq!(client(node.proxy(), "/s"), "service.test");
}

#[test]
fn the_node_verifies_where_the_service_does_not_say() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.lesser("between").issue(&["127.0.0.1"]), &Clients::Any);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), &root.chain).unwrap();
    let file = ca.path().to_str().unwrap();
    for (depth, status) in [("0", 502), ("1", 200)] {
        let trusted = ("nginx_proxy_proxy_ssl_trusted_certificate", file);
        let node = Node::start(&[
            ("nginx_proxy_proxy_ssl_verify", "on"),
            ("nginx_proxy_proxy_ssl_verify_depth", depth),
            trusted,
        ]);
        route(&node, "s", json!({ "port": port(&backend), "retries": 0 }));
        get(node.proxy(), "/s").expect(status);
        patch(&node, "/services/s", &json!({ "tls_verify": false }));
        get(node.proxy(), "/s").expect(200);
    }
}

#[test]
fn what_is_missing_fails_its_service_alone() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Any);
    let node = Node::start(&[]);
    let known = create(&node, "/ca_certificates", &authority(&root));
    let verified = json!({ "port": port(&backend), "tls_verify": true, "ca_certificates": [known] });
    route(&node, "whole", json!({ "port": port(&backend) }));
    route(&node, "broken", verified);
    patch(&node, "/services/broken", &json!({ "ca_certificates": ["00000000-0000-4000-8000-00000000dead"] }));
    get(node.proxy(), "/whole").expect(200);
    get(node.proxy(), "/broken").expect(502);
    node.says("00000000-0000-4000-8000-00000000dead");
    patch(&node, "/services/broken", &json!({ "ca_certificates": [known] }));
    get(node.proxy(), "/broken").expect(200);
    // A certificate that only a vault could give.
    let secret = "{vault://nowhere/certificate}";
    let certificate = create(&node, "/certificates", &json!({ "cert": secret, "key": secret }));
    patch(&node, "/services/broken", &json!({ "client_certificate": { "id": certificate } }));
    get(node.proxy(), "/broken").expect(502);
    get(node.proxy(), "/whole").expect(200);
    node.says(certificate.as_str().unwrap());
}

#[test]
fn a_service_that_just_closes() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Any);
    let node = Node::start(&[]);
    route(&node, "s", json!({ "port": port(&backend) }));
    for _ in 0..3 {
        assert!(get(node.proxy(), "/s/cut").expect(200).json()["connection"].is_number());
    }
}

#[test]
fn content_of_every_size_goes_through_both_ends() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Any);
    let node = Node::start(&[("nginx_worker_processes", "1")]);
    route(&node, "s", json!({ "port": port(&backend) }));
    let mut connection = Client::new(&Offer::default()).open(node.proxy_tls(), Some("one.test")).unwrap();
    // Around the sizes of records, of buffers, and of what is held before the service is asked.
    for size in [0, 1, 4095, 16_384, 16_385, 65_536, 65_537, 300_000, 5_000_000] {
        let content: Vec<u8> = (0..size).map(|n: usize| (n % 251) as u8).collect();
        connection.send("POST", "/s/echo", &[], &content).unwrap();
        let answer = connection.receive(false).unwrap().expect(200);
        assert!(answer.body == content, "{size}: {} octets came back", answer.body.len());
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn upgraded_connections_stay_secure() {
    let root = Pair::authority("root");
    let backend = SecureBackend::start(&root.issue(&["127.0.0.1"]), &Clients::Any);
    let node = Node::start(&[]);
    route(&node, "s", json!({ "port": port(&backend) }));
    let mut connection = Client::new(&Offer::default()).open(node.proxy_tls(), Some("one.test")).unwrap();
    let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    connection.send("GET", "/s/upgrade", &headers, b"").unwrap();
    assert_eq!(connection.receive_head().unwrap().status, 101);
    for size in [1, 100, 20_000, 1] {
        let sent = vec![b'x'; size];
        connection.send_raw(&sent).unwrap();
        assert_eq!(connection.take(size).unwrap(), sent);
    }
}
