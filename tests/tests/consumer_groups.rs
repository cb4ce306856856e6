//! Plugins of consumer groups on one node.

use blackbox::http::{Response, form, get, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// A node where `ada` is in the groups `gold` and `silver`, `bob` is in `silver`, `eve` in none; their keys are their
/// names.
fn start(backend: &Backend) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/plugins", "name=key-auth").expect(201);
    for group in ["silver", "gold"] {
        form(node.admin(), "POST", "/consumer_groups", &format!("name={group}")).expect(201);
    }
    for (name, groups) in [("ada", &["silver", "gold"][..]), ("bob", &["silver"]), ("eve", &[])] {
        form(node.admin(), "POST", "/consumers", &format!("username={name}")).expect(201);
        form(node.admin(), "POST", &format!("/consumers/{name}/key-auth"), &format!("key={name}")).expect(201);
        for group in groups {
            form(node.admin(), "POST", &format!("/consumers/{name}/consumer_groups"), &format!("group={group}"))
                .expect(201);
        }
    }
    node
}

/// Adds a plugin that answers with that status.
fn stop(node: &Node, path: &str, status: u16) -> String {
    let plugin = json!({ "name": "request-termination", "config": { "status_code": status } });
    let added = json(node.admin(), "POST", &format!("{path}/plugins"), &plugin).expect(201);
    added.json()["id"].as_str().unwrap().to_owned()
}

fn ask(node: &Node, key: &str) -> Response {
    request(node.proxy(), "GET", "/", &[("apikey", key)], b"").unwrap()
}

fn delete(node: &Node, path: &str) {
    request(node.admin(), "DELETE", path, &[], b"").unwrap().expect(204);
}

#[test]
fn a_group_has_limits_of_its_own() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let config = json!({ "limit": [1], "window_size": [86_400], "window_type": "fixed", "sync_rate": -1,
        "enforce_consumer_groups": true, "consumer_groups": ["gold", "silver"] });
    let plugin = json!({ "name": "rate-limiting-advanced", "config": config });
    json(node.admin(), "POST", "/plugins", &plugin).expect(201);
    let path = |group: &str| format!("/consumer_groups/{group}/overrides/plugins/rate-limiting-advanced");
    let put = |group: &str, limit: u32| {
        let config = json!({ "limit": [limit], "window_size": [86_400], "window_type": "fixed" });
        json(node.admin(), "PUT", &path(group), &json!({ "config": config })).expect(201);
    };
    put("silver", 20);
    put("gold", 30);
    let limit = |key: &str| ask(&node, key).header("RateLimit-Limit").map(str::to_owned).unwrap();
    assert_eq!(limit("ada"), "30");
    assert_eq!(limit("bob"), "20");
    assert_eq!(limit("eve"), "1");
    assert_eq!(ask(&node, "eve").status, 429);
    put("gold", 2);
    assert_eq!(ask(&node, "ada").expect(200).header("RateLimit-Remaining"), Some("0"), "what was counted stays");
    assert_eq!(ask(&node, "ada").status, 429);
    delete(&node, &path("gold"));
    assert_eq!(limit("ada"), "20");
    json(node.admin(), "PUT", &path("gold"), &json!({ "config": { "limit": [1] } })).expect(400);
    assert_eq!(limit("ada"), "20");
}

#[test]
fn files_give_groups_limits_of_their_own() {
    let backend = Backend::start("b");
    let node = Node::start(&[("database", "off")]);
    let limits = |limit: u32| json!({ "limit": [limit], "window_size": [86_400] });
    let mut config = limits(1);
    config["sync_rate"] = json!(-1);
    config["enforce_consumer_groups"] = json!(true);
    config["consumer_groups"] = json!(["gold"]);
    let document = json!({
        "_format_version": "3.0",
        "services": [{
            "name": "s", "url": format!("http://{}", backend.address), "routes": [{ "name": "r", "paths": ["/"] }]
        }],
        "plugins": [{ "name": "key-auth" }, { "name": "rate-limiting-advanced", "config": config }],
        "consumer_groups": [{ "name": "gold", "overrides": { "rate-limiting-advanced": limits(7) } }],
        "consumers": [
            { "username": "ada", "keyauth_credentials": [{ "key": "ada" }], "groups": [{ "name": "gold" }] },
            { "username": "eve", "keyauth_credentials": [{ "key": "eve" }] }
        ]
    });
    json(node.admin(), "POST", "/config", &document).expect(201);
    assert_eq!(ask(&node, "ada").header("RateLimit-Limit"), Some("7"));
    assert_eq!(ask(&node, "eve").header("RateLimit-Limit"), Some("1"));
}

#[test]
fn plugins_of_a_group_act_on_its_consumers() {
    let backend = Backend::start("b");
    let mut node = start(&backend);
    let id = stop(&node, "/consumer_groups/silver", 410);
    let shown = get(node.admin(), &format!("/plugins/{id}")).expect(200).json();
    let silver = get(node.admin(), "/consumer_groups/silver").expect(200).json();
    assert_eq!(shown["consumer_group"]["id"], silver["consumer_group"]["id"]);
    assert_eq!(silver["plugins"][0]["id"], id.as_str());
    let gold = stop(&node, "/consumer_groups/gold", 418);
    for revived in [false, true] {
        if revived {
            node.kill();
            node.revive();
        }
        assert_eq!(ask(&node, "ada").status, 418, "the first of the groups by name");
        assert_eq!(ask(&node, "bob").status, 410);
        assert_eq!(ask(&node, "eve").status, 200);
    }
    delete(&node, &format!("/plugins/{gold}"));
    assert_eq!(ask(&node, "ada").status, 410);
    delete(&node, "/consumers/bob/consumer_groups/silver");
    assert_eq!(ask(&node, "bob").status, 200);
    delete(&node, "/consumer_groups/silver");
    assert_eq!(ask(&node, "ada").status, 200);
    get(node.admin(), &format!("/plugins/{id}")).expect(404);
}

#[test]
fn the_more_specific_scope_goes_first() {
    let backend = Backend::start("b");
    let node = start(&backend);
    stop(&node, "", 401);
    stop(&node, "/routes/r", 402);
    assert_eq!(ask(&node, "bob").status, 402);
    stop(&node, "/consumer_groups/silver", 403);
    assert_eq!(ask(&node, "bob").status, 403);
    assert_eq!(ask(&node, "eve").status, 402);
    stop(&node, "/consumers/bob", 404);
    assert_eq!(ask(&node, "bob").status, 404);
    let (route, group) = ("/routes/r", "/consumer_groups/silver");
    let id = |path: &str| {
        let shown = get(node.admin(), path).expect(200).json();
        shown.get("consumer_group").unwrap_or(&shown)["id"].clone()
    };
    let plugin = json!({
        "name": "request-termination", "config": { "status_code": 405 },
        "route": { "id": id(route) }, "consumer_group": { "id": id(group) },
    });
    json(node.admin(), "POST", "/plugins", &plugin).expect(201);
    assert_eq!(ask(&node, "bob").status, 405);
}

#[test]
fn some_plugins_are_not_for_groups() {
    let backend = Backend::start("b");
    let node = start(&backend);
    let refused = form(node.admin(), "POST", "/consumer_groups/gold/plugins", "name=cors").expect(400);
    assert_eq!(refused.json()["fields"], json!({ "consumer_group": "value must be null" }));
    let both = json!({
        "name": "request-termination", "consumer": { "username": "ada" }, "consumer_group": { "name": "gold" },
    });
    let refused = json(node.admin(), "POST", "/plugins", &both).expect(400).json();
    assert_eq!(
        refused["fields"]["@entity"],
        json!(["only one or none of these fields must be set: 'consumer', 'consumer_group'"])
    );
}

#[test]
fn files_have_groups() {
    let backend = Backend::start("b");
    let node = Node::start(&[("database", "off")]);
    let stop = |status: u16| json!([{ "name": "request-termination", "config": { "status_code": status } }]);
    let document = json!({
        "_format_version": "3.0",
        "services": [{ "name": "s", "url": format!("http://{}", backend.address), "routes": [{ "paths": ["/"] }] }],
        "plugins": [{ "name": "key-auth" }],
        "consumers": [
            { "username": "ada", "groups": [{ "name": "gold" }], "keyauth_credentials": [{ "key": "ada" }] },
            { "username": "bob", "keyauth_credentials": [{ "key": "bob" }] },
        ],
        "consumer_groups": [{ "name": "gold", "plugins": stop(418) }, { "name": "silver", "plugins": stop(410) }],
        "consumer_group_consumers": [{ "consumer": "bob", "consumer_group": "silver" }],
    });
    json(node.admin(), "POST", "/config", &document).expect(201);
    assert_eq!(ask(&node, "ada").status, 418);
    assert_eq!(ask(&node, "bob").status, 410);
    let exported: Value = get(node.admin(), "/config").expect(200).json();
    let text = exported["config"].as_str().unwrap();
    for list in ["consumer_groups:", "consumer_group_consumers:", "consumer_group: "] {
        assert!(text.contains(list), "{text}");
    }
}
