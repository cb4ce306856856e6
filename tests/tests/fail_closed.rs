//! What protects and cannot do its work refuses; it is never left out in silence.

use blackbox::http::{Response, form, get, json, request};
use blackbox::{Backend, Node, eventually};
use serde_json::{Value, json};

/// A node with the routes `/one` and `/two` of one service.
fn node(backend: &Backend) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    for name in ["one", "two"] {
        form(node.admin(), "POST", "/services/s/routes", &format!("name={name}&paths[]=/{name}")).expect(201);
    }
    node
}

/// Changes what is stored while the node is down: to what no Admin API would have let in.
fn edit(node: &Node, sql: &str) {
    let database = rusqlite::Connection::open(node.prefix().join("bascule.db")).unwrap();
    assert_eq!(database.execute(sql, []).unwrap(), 1, "{sql}");
}

/// What cannot be configured: a limit by a header that is not named.
const BROKEN: &str =
    r#"UPDATE plugins SET config = json_set(config, '$.limit_by', 'header') WHERE name = 'rate-limiting'"#;

fn degraded(node: &Node) -> Vec<Value> {
    let status = get(node.status(), "/status").expect(200).json();
    assert_eq!(status["degraded"], get(node.admin(), "/status").expect(200).json()["degraded"]);
    status["degraded"].as_array().cloned().unwrap_or_default()
}

fn is_refused(answer: Response) {
    let answer = answer.expect(500);
    let id = answer.header("X-Kong-Request-Id").unwrap_or_default().to_owned();
    assert_eq!(answer.json(), json!({ "message": "An unexpected error occurred", "request_id": id }));
}

#[test]
fn a_node_does_not_start_without_a_plugin_that_is_in_use() {
    let backend = Backend::start("b");
    let mut node = node(&backend);
    form(node.admin(), "POST", "/routes/one/plugins", "name=key-auth").expect(201);
    node.kill();
    for plugins in ["rate-limiting", "off"] {
        node.set("plugins", plugins);
        let said = node.refusal();
        assert!(said.contains("key-auth plugin is in use but not enabled"), "{plugins}: {said}");
    }
    // As in Kong, whether the record is enabled or not.
    node.set("plugins", "bundled");
    node.revive();
    let id = get(node.admin(), "/routes/one/plugins").expect(200).json()["data"][0]["id"].as_str().unwrap().to_owned();
    form(node.admin(), "PATCH", &format!("/plugins/{id}"), "enabled=false").expect(200);
    node.kill();
    node.set("plugins", "rate-limiting");
    assert!(node.refusal().contains("key-auth plugin is in use but not enabled"));
    node.set("plugins", "key-auth");
    node.revive();
    get(node.proxy(), "/one").expect(200);
}

#[test]
fn what_a_plugin_covers_is_refused_while_it_cannot_be_used() {
    let backend = Backend::start("b");
    let mut node = node(&backend);
    let limit = form(node.admin(), "POST", "/routes/one/plugins", "name=rate-limiting&config.minute=1000");
    let id = limit.expect(201).json()["id"].as_str().unwrap().to_owned();
    get(node.proxy(), "/one").expect(200);
    assert_eq!(degraded(&node), [] as [Value; 0]);
    node.kill();
    edit(&node, BROKEN);
    node.revive();
    let before = backend.requests();
    for _ in 0..3 {
        is_refused(get(node.proxy(), "/one"));
    }
    assert_eq!(backend.requests(), before);
    get(node.proxy(), "/two").expect(200);
    let said = json!([{
        "entity": "plugins", "name": "rate-limiting", "effect": "requests are answered with status 500",
        "reason": "config.header_name: missing", "records": 1, "ids": [id],
    }]);
    assert_eq!(Value::from(degraded(&node)), said);
    eventually("the log tells", || node.log().contains("config.header_name: missing"));
    let lines = node
        .log()
        .lines()
        .filter(|line| line.contains("a record cannot be used"))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    assert_eq!(lines.len(), 1, "once, and not with each request: {lines:?}");
    assert!(lines[0].contains("rate-limiting") && lines[0].contains(&id), "{}", lines[0]);
    let mended = json!({ "config": { "limit_by": "ip" } });
    json(node.admin(), "PATCH", &format!("/plugins/{id}"), &mended).expect(200);
    get(node.proxy(), "/one").expect(200);
    assert_eq!(degraded(&node), [] as [Value; 0]);
}

#[test]
fn a_plugin_of_one_consumer_refuses_nobody_else() {
    let backend = Backend::start("b");
    let mut node = node(&backend);
    form(node.admin(), "POST", "/plugins", "name=key-auth").expect(201);
    for name in ["ada", "bob"] {
        form(node.admin(), "POST", "/consumers", &format!("username={name}")).expect(201);
        form(node.admin(), "POST", &format!("/consumers/{name}/key-auth"), &format!("key=k-{name}")).expect(201);
    }
    form(node.admin(), "POST", "/consumers/ada/plugins", "name=rate-limiting&config.minute=1000").expect(201);
    node.kill();
    edit(&node, BROKEN);
    node.revive();
    let with = |key: &str| request(node.proxy(), "GET", "/one", &[("apikey", key)], b"").unwrap();
    is_refused(with("k-ada"));
    with("k-bob").expect(200);
    with("wrong").expect(401);
}

#[test]
fn an_answer_of_another_plugin_does_not_get_past_one_that_cannot_be_used() {
    let backend = Backend::start("b");
    let mut node = node(&backend);
    // Of the two, `request-termination` acts first.
    form(node.admin(), "POST", "/routes/one/plugins", "name=request-termination&config.status_code=200").expect(201);
    form(node.admin(), "POST", "/plugins", "name=correlation-id").expect(201);
    get(node.proxy(), "/one").expect(200);
    node.kill();
    edit(&node, "UPDATE plugins SET config = json_set(config, '$.header_name', 'x y') WHERE name = 'correlation-id'");
    node.revive();
    is_refused(get(node.proxy(), "/one"));
    is_refused(get(node.proxy(), "/two"));
    get(node.proxy(), "/nowhere").expect(404);
}

#[test]
fn what_a_route_a_service_and_an_upstream_are_for_is_refused_while_they_cannot_be_used() {
    let backend = Backend::start("b");
    let mut node = node(&backend);
    // Its name is also that of a host, where the service is, too.
    form(node.admin(), "POST", "/upstreams", "name=localhost").expect(201);
    form(node.admin(), "POST", "/upstreams/localhost/targets", &format!("target={}", backend.address)).expect(201);
    form(node.admin(), "PATCH", "/services/s", "host=localhost").expect(200);
    form(node.admin(), "POST", "/services", &format!("name=other&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/other/routes", "name=other&paths[]=/other").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=all&paths[]=/").expect(201);
    for path in ["/one", "/two", "/other"] {
        get(node.proxy(), path).expect(200);
    }
    let before = backend.requests();
    node.kill();
    edit(&node, "UPDATE routes SET https_redirect_status_code = -1 WHERE name = 'one'");
    edit(&node, "UPDATE services SET retries = -1 WHERE name = 'other'");
    node.revive();
    is_refused(get(node.proxy(), "/one"));
    is_refused(get(node.proxy(), "/other"));
    assert_eq!(backend.requests(), before);
    get(node.proxy(), "/two").expect(200);
    let said = |node: &Node| -> Vec<String> {
        let one = |one: &Value| format!("{}: {}, {}", one["name"], one["effect"], one["reason"]).replace('"', "");
        degraded(node).iter().map(one).collect()
    };
    let refused = "requests are answered with status 500";
    let expected = [
        format!("one: {refused}, https_redirect_status_code: out of range"),
        format!("other: {refused}, retries: out of range"),
    ];
    assert_eq!(said(&node), expected);
    json(node.admin(), "PATCH", "/routes/one", &json!({ "https_redirect_status_code": 426 })).expect(200);
    json(node.admin(), "PATCH", "/services/other", &json!({ "retries": 1 })).expect(200);
    node.kill();
    edit(&node, "UPDATE upstreams SET slots = -1");
    node.revive();
    let answer = get(node.proxy(), "/two").expect(503).json();
    assert_eq!(answer["message"], "failure to get a peer from the ring-balancer");
    assert_eq!(said(&node), ["localhost: no connection is made, slots: out of range"]);
    let health = get(node.admin(), "/upstreams/localhost/health").expect(200).json();
    assert_eq!(health["data"].as_array().map(Vec::len), Some(1), "{health}");
    json(node.admin(), "PATCH", "/upstreams/localhost", &json!({ "slots": 100 })).expect(200);
    get(node.proxy(), "/two").expect(200);
    assert_eq!(degraded(&node), [] as [Value; 0]);
}

#[test]
fn what_a_plugin_does_not_do_is_told_as_long_as_it_is_in_force() {
    let backend = Backend::start("b");
    let node = node(&backend);
    let mut ids = Vec::new();
    for route in ["one", "two"] {
        let plugin = "name=prometheus&config.wasm_metrics=true";
        let made = form(node.admin(), "POST", &format!("/routes/{route}/plugins"), plugin).expect(201).json();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    get(node.proxy(), "/one").expect(200);
    let told = degraded(&node);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["effect"], "limited");
    assert_eq!(told[0]["reason"], "nothing is counted for wasm_metrics");
    assert_eq!(told[0]["records"], 2);
    for id in ids {
        form(node.admin(), "PATCH", &format!("/plugins/{id}"), "config.wasm_metrics=false").expect(200);
    }
    assert_eq!(degraded(&node), [] as [Value; 0]);
}

#[test]
fn a_node_does_not_start_with_a_plugin_of_which_nobody_knows_what_it_is_for() {
    let backend = Backend::start("b");
    let mut node = node(&backend);
    let made = form(node.admin(), "POST", "/services/s/plugins", "name=key-auth").expect(201).json();
    let id = made["id"].as_str().unwrap();
    get(node.proxy(), "/one").expect(401);
    node.kill();
    let file = node.prefix().join("bascule.db");
    // What was written is folded into the file.
    rusqlite::Connection::open(&file).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let whole = std::fs::read(&file).unwrap();
    for (sql, said) in [
        ("UPDATE plugins SET id = 'zz'", "plugins zz: id: expected a valid UUID".to_owned()),
        ("UPDATE plugins SET service_id = 'zz'", format!("plugins {id}: service.id: expected a valid UUID")),
        ("UPDATE plugins SET route_id = 'zz'", format!("plugins {id}: route.id: expected a valid UUID")),
        ("UPDATE plugins SET consumer_id = id", format!("plugins {id} (key-auth): there is no consumer {id}")),
        ("UPDATE plugins SET service_id = id", format!("plugins {id} (key-auth): there is no service {id}")),
        ("UPDATE plugins SET ws_id = id", format!("plugins {id}: ws_id: there is no such workspace")),
        ("DROP TABLE plugins", "table plugins: it is missing".to_owned()),
        ("ALTER TABLE plugins RENAME COLUMN config TO cfg", "table plugins: column config is missing".to_owned()),
    ] {
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let refusal = node.refusal();
        assert!(refusal.contains(&said), "{sql}: {refusal}");
        std::fs::write(&file, &whole).unwrap();
    }
    node.revive();
    get(node.proxy(), "/one").expect(401);
}
