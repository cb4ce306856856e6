//! What plugins keep in the store for requests: tokens and sessions, over the life of nodes.

use blackbox::http::{Response, form, get, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;

const OFF: (&str, &str) = ("database", "off");
const TRUSTED: (&str, &str) = ("trusted_ips", "127.0.0.1");
const CLIENT: &str = "grant_type=client_credentials&client_id=app&client_secret=sec";

fn oauth2() -> Value {
    json!({ "name": "oauth2", "config": {
        "enable_client_credentials": true, "provision_key": "prov", "accept_http_if_already_terminated": true
    } })
}

/// A service at `/`, and the consumer `ada`.
fn configure(node: &Node, backend: &Backend) {
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/consumers", "username=ada").expect(201);
}

fn ask(node: &Node, lines: &[(&str, &str)]) -> Response {
    request(node.proxy(), "GET", "/", lines, b"").unwrap()
}

fn token(node: &Node) -> Response {
    let lines = [("Content-Type", "application/x-www-form-urlencoded"), ("X-Forwarded-Proto", "https")];
    request(node.proxy(), "POST", "/oauth2/token", &lines, CLIENT.as_bytes()).unwrap()
}

#[test]
fn tokens_outlive_the_node() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[TRUSTED]);
    configure(&node, &backend);
    json(node.admin(), "POST", "/services/s/plugins", &oauth2()).expect(201);
    let app = json!({ "name": "app", "client_id": "app", "client_secret": "sec" });
    json(node.admin(), "POST", "/consumers/ada/oauth2", &app).expect(201);
    let granted = token(&node).expect(200).json();
    let line = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    assert_eq!(ask(&node, &[("Authorization", &line)]).status, 200);
    node.kill();
    node.revive();
    assert_eq!(ask(&node, &[("Authorization", &line)]).status, 200);
    let listed = get(node.admin(), "/oauth2_tokens").expect(200).json();
    assert_eq!(listed["data"][0]["access_token"], granted["access_token"]);
    request(node.admin(), "DELETE", "/consumers/ada", &[], b"").unwrap().expect(204);
    assert_eq!(ask(&node, &[("Authorization", &line)]).status, 401);
    assert_eq!(get(node.admin(), "/oauth2_tokens").expect(200).json()["data"], json!([]));
}

#[test]
fn bound_sessions_are_of_no_use_elsewhere() {
    let backend = Backend::start("b");
    let node = Node::start(&[TRUSTED, ("real_ip_header", "X-Real-IP")]);
    configure(&node, &backend);
    let config = json!({ "secret": "s", "storage": "kong", "cookie_secure": false, "bind": ["ip", "user-agent"] });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "session", "config": config })).expect(201);
    form(node.admin(), "POST", "/consumers", "username=guest").expect(201);
    let keys = json!({ "name": "key-auth", "config": { "anonymous": "guest" } });
    json(node.admin(), "POST", "/plugins", &keys).expect(201);
    let closed = json!({ "name": "request-termination", "config": { "status_code": 403 } });
    json(node.admin(), "POST", "/consumers/guest/plugins", &closed).expect(201);
    json(node.admin(), "POST", "/consumers/ada/key-auth", &json!({ "key": "k" })).expect(201);
    let from =
        |ip: &str, agent: &str, line: (&str, &str)| ask(&node, &[("X-Real-IP", ip), ("User-Agent", agent), line]);
    let opened = from("10.0.0.1", "a", ("apikey", "k")).expect(200);
    let cookie = opened.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let line = ("Cookie", cookie.as_str());
    from("10.0.0.1", "a", line).expect(200);
    from("10.0.0.2", "a", line).expect(403);
    from("10.0.0.1", "b", line).expect(403);
    from("10.0.0.1", "a", line).expect(200);
}

#[test]
fn sessions_outlive_the_node() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[]);
    configure(&node, &backend);
    let config = json!({ "secret": "s", "storage": "kong", "cookie_secure": false });
    form(node.admin(), "POST", "/consumers", "username=guest").expect(201);
    json(node.admin(), "POST", "/plugins", &json!({ "name": "session", "config": config })).expect(201);
    let keys = json!({ "name": "key-auth", "config": { "anonymous": "guest" } });
    json(node.admin(), "POST", "/plugins", &keys).expect(201);
    let closed = json!({ "name": "request-termination", "config": { "status_code": 403 } });
    json(node.admin(), "POST", "/consumers/guest/plugins", &closed).expect(201);
    json(node.admin(), "POST", "/consumers/ada/key-auth", &json!({ "key": "k" })).expect(201);
    assert_eq!(ask(&node, &[]).status, 403);
    let opened = ask(&node, &[("apikey", "k")]).expect(200);
    let cookie = opened.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    // It was kept before the client was told of it.
    ask(&node, &[("Cookie", &cookie)]).expect(200);
    node.kill();
    node.revive();
    assert_eq!(ask(&node, &[("Cookie", &cookie)]).status, 200);
    let ended = request(node.proxy(), "POST", "/?session_logout=1", &[("Cookie", &cookie)], b"").unwrap().expect(200);
    assert!(ended.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(ask(&node, &[("Cookie", &cookie)]).status, 403);
}

#[test]
fn a_node_without_a_database_says_that_it_keeps_nothing() {
    let backend = Backend::start("b");
    let node = Node::start(&[OFF, TRUSTED]);
    let service = json!({
        "name": "s", "url": format!("http://{}", backend.address), "routes": [{ "name": "r", "paths": ["/"] }],
        "plugins": [oauth2()]
    });
    let app = json!({ "name": "app", "client_id": "app", "client_secret": "sec" });
    let consumer = json!({ "username": "ada", "oauth2_credentials": [app] });
    let document = json!({ "_format_version": "3.0", "services": [service], "consumers": [consumer] });
    json(node.admin(), "POST", "/config", &document).expect(201);
    let degraded = get(node.status(), "/status").expect(200).json()["degraded"][0].clone();
    assert!(degraded["reason"].as_str().unwrap().starts_with("no token can be issued"), "{degraded}");
    assert_eq!(token(&node).status, 500);
    assert_eq!(ask(&node, &[("Authorization", "Bearer t")]).status, 401);
}

#[test]
fn directories_are_asked_for_passwords() {
    let backend = Backend::start("b");
    let directory = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = directory.local_addr().unwrap().port();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = directory.accept().unwrap();
        let mut space = [0; 512];
        let mut questions = Vec::new();
        for code in [0x31, 0x00] {
            let length = stream.read(&mut space).unwrap();
            questions.push(String::from_utf8_lossy(&space[..length]).into_owned());
            let mut answer = *b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
            answer[9] = code;
            stream.write_all(&answer).unwrap();
        }
        questions
    });
    let node = Node::start(&[]);
    configure(&node, &backend);
    let config = json!({ "ldap_host": "127.0.0.1", "ldap_port": port, "base_dn": "dc=test", "attribute": "uid" });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "ldap-auth", "config": config })).expect(201);
    // ada:wrong, and ada:right twice
    let lines = ["ldap YWRhOndyb25n", "ldap YWRhOnJpZ2h0", "ldap YWRhOnJpZ2h0"];
    let statuses = lines.map(|line| ask(&node, &[("Authorization", line)]).status);
    assert_eq!(statuses, [401, 200, 200]);
    let questions = asked.join().unwrap();
    assert!(questions.iter().all(|question| question.contains("uid=ada,dc=test")), "{questions:?}");
    let log = node.log();
    assert!(!log.contains("right") && !log.contains("wrong"), "{log}");
}
