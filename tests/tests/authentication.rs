//! Callers, from their records to the service, where the recorded scenarios do not go.

use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// A node with a service at `/`, and the consumers `ada` and `bob`.
fn start(backend: &Backend) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    for consumer in ["ada", "bob"] {
        form(node.admin(), "POST", "/consumers", &format!("username={consumer}")).expect(201);
    }
    node
}

fn admin(node: &Node, method: &str, path: &str, body: Value) -> Response {
    json(node.admin(), method, path, &body)
}

fn ask(node: &Node, lines: &[(&str, &str)]) -> u16 {
    request(node.proxy(), "GET", "/", lines, b"").unwrap().status
}

#[test]
fn a_password_is_hashed_once() {
    let backend = Backend::start("b");
    let mut node = start(&backend);
    admin(&node, "POST", "/plugins", json!({ "name": "basic-auth" })).expect(201);
    let account = json!({ "username": "u", "password": "p" });
    let stored = admin(&node, "POST", "/consumers/ada/basic-auth", account).expect(201).json()["password"].clone();
    let tagged = admin(&node, "PATCH", "/basic-auths/u", json!({ "tags": ["t"] })).expect(200).json();
    assert_eq!(tagged["password"], stored);
    let given_away = json!({ "consumer": { "username": "bob" } });
    let refused = admin(&node, "PATCH", "/basic-auths/u", given_away).expect(400).json();
    let words = "all or none of these fields must be set: 'password', 'consumer.id'";
    assert_eq!(refused["fields"], json!({ "@entity": [words] }));
    node.kill();
    node.revive();
    assert_eq!(ask(&node, &[("Authorization", "Basic dTpw")]), 200);
    admin(&node, "PATCH", "/basic-auths/u", json!({ "password": "q" })).expect(200);
    assert_eq!(ask(&node, &[("Authorization", "Basic dTpw")]), 401);
    assert_eq!(ask(&node, &[("Authorization", "Basic dTpx")]), 200);
}

#[test]
fn who_guesses_passwords_has_to_wait() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let config = json!({ "brute_force_protection": { "strategy": "memory" } });
    let plugin = admin(&node, "POST", "/plugins", json!({ "name": "basic-auth", "config": config })).expect(201);
    assert_eq!(plugin.json()["config"]["brute_force_protection"]["strategy"], "memory");
    for (consumer, name) in [("ada", "u"), ("bob", "v")] {
        let account = json!({ "username": name, "password": "p" });
        admin(&node, "POST", &format!("/consumers/{consumer}/basic-auth"), account).expect(201);
    }
    // u:p, u:q and v:p
    let (right, wrong, other) = ("Basic dTpw", "Basic dTpx", "Basic djpw");
    let ask = |line: &str| request(node.proxy(), "GET", "/", &[("Authorization", line)], b"").unwrap();
    ask(right).expect(200);
    (0..3).for_each(|_| drop(ask(wrong).expect(401)));
    let refused = ask(right).expect(429);
    let wait: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=16).contains(&wait), "{wait}");
    ask(other).expect(200);
    // The configuration may change; who has failed has failed.
    let path = format!("/plugins/{}", plugin.json()["id"].as_str().unwrap());
    let path = path.as_str();
    admin(&node, "PATCH", path, json!({ "config": { "realm": "another" } })).expect(200);
    ask(right).expect(429);
    let off = json!({ "config": { "brute_force_protection": { "strategy": "off" } } });
    admin(&node, "PATCH", path, off).expect(200);
    ask(right).expect(200);
}

#[test]
fn groups_are_in_force_when_they_are_answered() {
    let backend = Backend::start("b");
    let mut node = start(&backend);
    admin(&node, "POST", "/plugins", json!({ "name": "key-auth" })).expect(201);
    admin(&node, "POST", "/plugins", json!({ "name": "acl", "config": { "allow": ["staff"] } })).expect(201);
    admin(&node, "POST", "/consumers/ada/key-auth", json!({ "key": "k" })).expect(201);
    let key = [("apikey", "k")];
    assert_eq!(ask(&node, &key), 403);
    let group = admin(&node, "PUT", "/consumers/ada/acls/guests", json!({})).expect(200).json();
    assert_eq!(ask(&node, &key), 403);
    let moved = admin(&node, "PATCH", "/consumers/ada/acls/guests", json!({ "group": "staff" })).expect(200).json();
    assert_eq!(moved["id"], group["id"]);
    assert_eq!(ask(&node, &key), 200);
    node.kill();
    node.revive();
    assert_eq!(ask(&node, &key), 200);
    admin(&node, "PUT", "/consumers/bob/acls/staff", json!({})).expect(200);
    request(node.admin(), "DELETE", "/consumers/ada/acls/staff", &[], b"").unwrap().expect(204);
    assert_eq!(ask(&node, &key), 403);
    request(node.admin(), "DELETE", "/consumers/ada", &[], b"").unwrap().expect(204);
    assert_eq!(ask(&node, &key), 401);
}

#[test]
fn a_key_of_no_use_opens_nothing_and_is_reported() {
    let backend = Backend::start("b");
    let node = start(&backend);
    admin(&node, "POST", "/plugins", json!({ "name": "jwt" })).expect(201);
    // Kong looks at the keys of some algorithms only.
    let secret = json!({ "key": "e", "algorithm": "ES256", "rsa_public_key": "no pem" });
    let id = admin(&node, "POST", "/consumers/ada/jwt", secret).expect(201).json()["id"].clone();
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJlIn0.AAAA";
    assert_eq!(ask(&node, &[("Authorization", &format!("Bearer {token}"))]), 401);
    let status = request(node.status(), "GET", "/status", &[], b"").unwrap().expect(200).json();
    assert_eq!(status["degraded"][0]["ids"], json!([id]));
}

#[test]
fn plugins_and_code_tell_each_other_who_calls() {
    // Of `{"iss":"k"}`, by `secret`.
    const TOKEN: &str =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJrIn0.gOUYCdbe6dJxIsuFYlQubQGCP0vrraIZokJgkDN-urs";
    let backend = Backend::start("b");
    let node = start(&backend);
    let says = "kong.ctx.shared.authenticated_groups = { 'all', kong.request.get_header('X-Group') }";
    admin(&node, "POST", "/routes/r/plugins", json!({ "name": "pre-function", "config": { "access": [says] } }))
        .expect(201);
    admin(&node, "POST", "/routes/r/plugins", json!({ "name": "acl", "config": { "allow": ["staff"] } })).expect(201);
    assert_eq!(ask(&node, &[("X-Group", "guests")]), 403);
    assert_eq!(ask(&node, &[("X-Group", "staff")]), 200);
    // A credential of which nobody knows a group: there is nobody to ask for another one.
    let says = "ngx.ctx.authenticated_credential = { id = '00000000-0000-4000-8000-000000000001' }";
    let plugin = json!({ "name": "pre-function", "config": { "access": [says] } });
    admin(&node, "POST", "/services/s/routes", json!({ "name": "c", "paths": ["/c"] })).expect(201);
    admin(&node, "POST", "/routes/c/plugins", plugin).expect(201);
    admin(&node, "POST", "/routes/c/plugins", json!({ "name": "acl", "config": { "allow": ["staff"] } })).expect(201);
    assert_eq!(request(node.proxy(), "GET", "/c", &[], b"").unwrap().status, 403);
    admin(&node, "POST", "/services/s/routes", json!({ "name": "t", "paths": ["/t"] })).expect(201);
    admin(&node, "POST", "/consumers/ada/jwt", json!({ "key": "k", "secret": "secret" })).expect(201);
    admin(&node, "POST", "/routes/t/plugins", json!({ "name": "jwt" })).expect(201);
    let asks = "kong.response.exit(200, kong.ctx.shared.authenticated_jwt_token)";
    let function = json!({ "name": "post-function", "config": { "access": [asks] } });
    admin(&node, "POST", "/routes/t/plugins", function).expect(201);
    let bearer = format!("Bearer {TOKEN}");
    let answer = request(node.proxy(), "GET", "/t", &[("Authorization", &bearer)], b"").unwrap().expect(200);
    assert_eq!(answer.text(), TOKEN);
}
