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
    form(node.admin(), "POST", "/services/s/routes", "name=r&snis[]=r.test&protocols[]=https").expect(201);
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
