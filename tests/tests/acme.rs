//! Certificates by ACME where no authority can be reached.

use blackbox::http::{form, get, json, request};
use blackbox::tls::{Client, Offer};
use blackbox::{Backend, Node, eventually};
use serde_json::json;

#[test]
fn clients_are_served_while_the_authority_is_away() {
    let backend = Backend::start("b");
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let config = json!({
        "account_email": "a@b.test", "api_uri": "http://127.0.0.1:1/directory", "domains": ["a.test"],
        "storage": "kong", "cert_type": "ecc",
    });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "acme", "config": config })).expect(201);
    let served = |name: &str| Client::new(&Offer::default()).get(node.proxy_tls(), Some(name), "/").unwrap();
    assert_eq!(served("other.test").response.status, 200);
    let answer = served("a.test");
    assert_eq!(answer.response.status, 200);
    assert_eq!(answer.server, "localhost");
    eventually("a word about it", || node.log().contains("acme: no certificate for a.test: "));
    for _ in 0..5 {
        assert_eq!(served("a.test").response.status, 200);
    }
    let ordered = json(node.admin(), "POST", "/acme", &json!({ "host": "a.test" })).expect(500).json();
    let said = ordered["message"].as_str().unwrap();
    assert!(said.starts_with("failed to update certificate: please try again in "), "{said}");
    assert_eq!(get(node.admin(), "/acme/certificates").expect(200).json(), json!({ "data": [] }));
    let challenge = request(node.proxy(), "GET", "/.well-known/acme-challenge/x", &[("Host", "a.test")], b"").unwrap();
    assert_eq!(challenge.expect(404).text(), "Not found\n");
    assert_eq!(get(node.proxy(), "/.well-known/acme-challenge/x").expect(200).header("X-Backend"), Some("b"));
    node.says("acme: no certificate for a.test");
    assert_eq!(node.log().matches("acme: no certificate for a.test").count(), 1, "clients do not fill the log");
}
