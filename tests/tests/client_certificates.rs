//! Certificates that clients show when they connect, and the plugins that look at them.

use blackbox::http::{Response, form, json};
use blackbox::tls::{Client, Offer, Pair};
use blackbox::{Backend, Node};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

/// A node with the routes `r` (for the server name `r.test`) and `open` (for all others) of one service.
fn start(backend: &Backend) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&snis[]=r.test&paths[]=/&protocols[]=https").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=open&paths[]=/").expect(201);
    node
}

fn plugin(node: &Node, path: &str, name: &str, config: Value) -> String {
    let made = json(node.admin(), "POST", &format!("{path}/plugins"), &json!({ "name": name, "config": config }));
    made.expect(201).json()["id"].as_str().unwrap().to_owned()
}

/// What the service was told under that name.
fn line(answer: &Response, name: &str) -> Option<String> {
    let head = answer.json()["head"].clone();
    let lines = head.as_array().expect("lines").iter().filter_map(Value::as_str);
    let mut values =
        lines.filter_map(|line| line.split_once(": ").filter(|(known, _)| known.eq_ignore_ascii_case(name)));
    values.next().map(|(_, value)| value.to_owned())
}

/// What the service was told under that name of a client with that certificate: the same by all versions of TLS, and
/// when a session is resumed.
fn told(node: &Node, certificate: Option<&Pair>, sni: &str, name: &str) -> Option<String> {
    let mut all = Vec::new();
    for version in [&TLS12, &TLS13] {
        let client = Client::new(&Offer { certificate, versions: &[version], ..Offer::default() });
        for _ in 0..2 {
            let answer = client.get(node.proxy_tls(), Some(sni), "/").unwrap().response.expect(200);
            all.push(line(&answer, name));
        }
    }
    all.dedup();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn clients_are_asked_for_certificates_by_server_name() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let pair = Pair::authority("root").issue(&["ada"]);
    plugin(&node, "", "tls-metadata-headers", json!({ "inject_client_cert_details": true }));
    let subject = |sni: &str| told(&node, Some(&pair), sni, "x-client-cert-subject-dn");
    assert_eq!(subject("r.test"), None, "nobody asks");
    let asking = plugin(&node, "/routes/r", "tls-handshake-modifier", json!({}));
    assert_eq!(subject("R.test").as_deref(), Some("CN=ada"));
    assert_eq!(subject("other.test"), None);
    assert_eq!(told(&node, None, "r.test", "x-client-cert-subject-dn"), None);
    plugin(&node, "/routes/open", "tls-handshake-modifier", json!({}));
    assert_eq!(subject("other.test").as_deref(), Some("CN=ada"), "a route without server names may be anybody's");
    json(node.admin(), "DELETE", &format!("/plugins/{asking}"), &json!({})).expect(204);
    assert_eq!(subject("r.test").as_deref(), Some("CN=ada"));
    form(node.admin(), "PATCH", "/routes/open", "snis[]=open.test&protocols[]=https").expect(200);
    assert_eq!(subject("r.test"), None);
}

/// The record of `ca_certificates` for an authority.
fn authority(node: &Node, pair: &Pair) -> String {
    let made = json(node.admin(), "POST", "/ca_certificates", &json!({ "cert": pair.chain })).expect(201);
    made.json()["id"].as_str().unwrap().to_owned()
}

/// What a client with that certificate gets for a server name.
fn ask(node: &Node, certificate: Option<&Pair>, sni: &str) -> Response {
    let client = Client::new(&Offer { certificate, ..Offer::default() });
    client.get(node.proxy_tls(), Some(sni), "/").unwrap().response
}

#[test]
fn callers_are_known_by_their_certificates() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let (root, other) = (Pair::authority("root"), Pair::authority("other"));
    let id = authority(&node, &root);
    for name in ["ada", "bob"] {
        form(node.admin(), "POST", "/consumers", &format!("username={name}")).expect(201);
    }
    plugin(&node, "/routes/r", "mtls-auth", json!({ "ca_certificates": [id], "revocation_check_mode": "SKIP" }));
    let named = |pair: &Pair| {
        let answer = ask(&node, Some(pair), "r.test");
        if answer.status == 200 { line(&answer, "X-Consumer-Username") } else { None }
    };
    assert_eq!(named(&root.issue(&["ada"])).as_deref(), Some("ada"));
    let device = root.issue(&["device.test"]);
    assert_eq!(named(&device), None);
    let credential = json!({ "subject_name": "device.test", "ca_certificate": { "id": id } });
    let made = json(node.admin(), "POST", "/consumers/bob/mtls-auth", &credential).expect(201).json();
    assert_eq!(named(&device).as_deref(), Some("bob"));
    assert_eq!(named(&other.issue(&["ada"])), None);
    assert_eq!(ask(&node, None, "r.test").status, 401);
    json(node.admin(), "DELETE", &format!("/mtls-auths/{}", made["id"].as_str().unwrap()), &json!({})).expect(204);
    assert_eq!(named(&device), None);
    // As Kong: an authority that a plugin trusts stays.
    json(node.admin(), "DELETE", &format!("/ca_certificates/{id}"), &json!({})).expect(400);
}

#[test]
fn a_connection_on_which_nobody_asked_is_not_for_routes_that_want_a_certificate() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let root = Pair::authority("root");
    let id = authority(&node, &root);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    form(node.admin(), "PATCH", "/routes/open", "paths[]=/open").expect(200);
    let config = json!({ "ca_certificates": [id], "revocation_check_mode": "SKIP" });
    plugin(&node, "/routes/r", "mtls-auth", config.clone());
    let pair = root.issue(&["ada"]);
    let client = Client::new(&Offer { certificate: Some(&pair), ..Offer::default() });
    let mut connection = client.open(node.proxy_tls(), Some("other.test")).unwrap();
    let mut status = |host: &str, path: &str| {
        connection.send("GET", path, &[("Host", host)], b"").unwrap();
        connection.receive(false).unwrap().status
    };
    assert_eq!(status("other.test", "/open"), 200);
    assert_eq!(status("r.test", "/"), 404, "the server name of the connection is another one");
    plugin(&node, "/routes/open", "mtls-auth", config);
    assert_eq!(status("other.test", "/open"), 421);
    let anew = client.get(node.proxy_tls(), Some("other.test"), "/open").unwrap();
    assert_eq!(anew.response.status, 200);
}

#[test]
fn a_certificate_of_which_nobody_says_that_it_is_good_is_refused_in_strict_mode() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let root = Pair::authority("root");
    let id = authority(&node, &root);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
    let config = |mode: &str| json!({ "ca_certificates": [id], "revocation_check_mode": mode });
    let made = plugin(&node, "/routes/r", "mtls-auth", config("STRICT"));
    let pair = root.issue(&["ada"]);
    assert_eq!(ask(&node, Some(&pair), "r.test").status, 401);
    let path = format!("/plugins/{made}");
    json(node.admin(), "PATCH", &path, &json!({ "config": config("IGNORE_CA_ERROR") })).expect(200);
    assert_eq!(ask(&node, Some(&pair), "r.test").status, 200);
}

/// An authority, a client's certificate of version 1 that `openssl x509 -req` has made by it, and its key.
const OF_VERSION_1: &str = include_str!("client_certificates.pem");

#[test]
fn clients_may_show_what_the_authority_has_issued_itself_of_any_version() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let mut blocks = OF_VERSION_1.split_inclusive("-----END CERTIFICATE-----\n");
    let (mut root, mut old) = (Pair::authority("root.test"), Pair::authority("client"));
    root.chain = blocks.next().unwrap().to_owned();
    (old.chain, old.key) = (blocks.next().unwrap().to_owned(), blocks.next().unwrap().to_owned());
    let other = Pair::authority("other");
    let ids = [authority(&node, &root), authority(&node, &other)];
    let config = json!({ "ca_certificates": ids, "skip_consumer_lookup": true, "revocation_check_mode": "SKIP" });
    plugin(&node, "/routes/r", "mtls-auth", config);
    assert_eq!(ask(&node, Some(&old), "r.test").status, 200);
    assert_eq!(ask(&node, Some(&other.lesser("x")), "r.test").status, 200);
    assert_eq!(ask(&node, Some(&Pair::authority("other").lesser("x")), "r.test").status, 401, "another of that name");
    assert_eq!(ask(&node, Some(&other.lesser("y").lesser("x")), "r.test").status, 401, "somebody stands in between");
}
