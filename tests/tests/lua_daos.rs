//! Functions of data access of a plugin's own (`dao` in `daos.lua`): the Admin API calls them, as Kong's does.

use blackbox::http::{get, json, request};
use blackbox::{Backend, Node, bascule};
use serde_json::{Value, json};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");
const SETTINGS: [(&str, &str); 2] = [("plugins", "bundled, guarded"), ("lua_package_path", PATH)];
/// The MD5 of `dog`.
const HASHED: &str = "06d80eb0c50b49a509b49f2424e8c805";

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

#[test]
fn records_are_written_by_functions_of_the_plugin() {
    let node = Node::start(&SETTINGS);
    let admin = node.admin();
    let made = json(admin, "POST", "/guarded-things", &json!({ "name": "a", "secret": "dog" })).expect(201).json();
    // It is shown once, and kept hashed.
    assert_eq!(made["secret"], "dog");
    assert_eq!(made["parts"], Value::Null);
    let path = format!("/guarded-things/{}", id(&made));
    assert_eq!(get(admin, &path).expect(200).json()["secret"], HASHED);
    let by_name = json(admin, "PATCH", "/guarded-things/a", &json!({ "secret": "cat" })).expect(200).json();
    assert_ne!(by_name["secret"], "cat");
    let by_id = json(admin, "PATCH", &path, &json!({ "secret": "dog", "parts": [] })).expect(200).json();
    assert_eq!(by_id["secret"], HASHED);
    assert_eq!(by_id["parts"], json!([]));
    let put = json(admin, "PUT", "/guarded-things/b", &json!({ "secret": "dog" })).expect(200).json();
    assert_eq!(put["secret"], HASHED);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let of_form =
        request(admin, "PUT", &path, &form, b"name=a&secret=dog&parts[]=x&ttl=60").unwrap().expect(200).json();
    assert_eq!(of_form["parts"], json!(["x"]));
    assert_eq!(of_form["secret"], HASHED);
    assert!(of_form["ttl"].as_i64().is_some_and(|ttl| ttl > 50), "{of_form}");
    let listed = get(admin, "/guarded-things?size=1").expect(200).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert!(listed["data"][0].get("secret").is_none(), "{listed}");
    assert!(listed["next"].as_str().unwrap().starts_with("/guarded-things?offset="));
    assert_eq!(
        json(admin, "POST", "/guarded/own", &json!({ "name": "own" })).expect(201).json()["thing"]["secret"],
        "own"
    );
    assert_ne!(get(admin, "/guarded-things/own").expect(200).json()["secret"], "own");
    request(admin, "DELETE", "/guarded-things/b", &[], b"").unwrap().expect(204);
    request(admin, "DELETE", "/guarded-things/b", &[], b"").unwrap().expect(204);
    get(admin, "/guarded-things/b").expect(404);
}

#[test]
fn their_errors_are_answers() {
    let node = Node::start(&SETTINGS);
    let admin = node.admin();
    let refused = json(admin, "POST", "/guarded-things", &json!({ "name": "forbidden" })).expect(400).json();
    let expected = json!({ "code": 2, "name": "schema violation", "message": "schema violation (name: not that one)",
        "fields": { "name": "not that one" } });
    assert_eq!(refused, expected);
    get(admin, "/guarded-things/forbidden").expect(404);
    let exit = json(admin, "POST", "/guarded-things", &json!({ "name": "teapot" })).expect(418);
    assert_eq!(exit.header("X-Kind"), Some("tea"));
    assert_eq!(exit.json()["message"], "no coffee");
    for name in ["broken", "unsaid"] {
        let failed = json(admin, "POST", "/guarded-things", &json!({ "name": name })).expect(500).json();
        assert_eq!(failed, json!({ "message": "An unexpected error occurred" }));
        get(admin, &format!("/guarded-things/{name}")).expect(404);
    }
    node.says("it is broken");
    // What the store itself refuses is answered as usual.
    json(admin, "POST", "/guarded-things", &json!({ "name": "kept" })).expect(201);
    let twice = json(admin, "POST", "/guarded-things", &json!({ "name": "kept" })).expect(409).json();
    assert_eq!(twice["name"], "unique constraint violation");
    assert_eq!(json(admin, "POST", "/guarded-things", &json!({ "name": 1 })).expect(400).json()["code"], 2);
    for method in ["PATCH", "PUT"] {
        json(admin, method, "/guarded-things/kept", &json!({ "secret": "weak" })).expect(400);
    }
    let kept = request(admin, "DELETE", "/guarded-things/kept", &[], b"").unwrap().expect(405).json();
    assert_eq!(kept["name"], "operation unsupported");
    let missing = "/guarded-things/00000000-0000-4000-8000-000000000000";
    assert_eq!(json(admin, "PATCH", missing, &json!({ "secret": "x" })).expect(404).json()["code"], 6);
}

#[test]
fn records_under_others_are_written_by_them_too() {
    let node = Node::start(&SETTINGS);
    let admin = node.admin();
    let ann = json(admin, "POST", "/consumers", &json!({ "username": "ann" })).expect(201).json();
    json(admin, "POST", "/consumers/eve/guarded-things", &json!({ "name": "a" })).expect(404);
    json(admin, "POST", "/consumers/ann/guarded-things", &json!({ "name": "forbidden" })).expect(400);
    let thing = json!({ "name": "a", "secret": "dog" });
    let made = json(admin, "POST", "/consumers/ann/guarded-things", &thing).expect(201).json();
    assert_eq!(made["consumer"]["id"], ann["id"]);
    let path = format!("/consumers/ann/guarded-things/{}", id(&made));
    assert_eq!(get(admin, &path).expect(200).json()["secret"], HASHED);
    json(admin, "PATCH", &path, &json!({ "secret": "weak" })).expect(400);
    assert_eq!(
        json(admin, "PUT", &path, &json!({ "name": "b", "secret": "dog" })).expect(200).json()["secret"],
        HASHED
    );
    json(admin, "POST", "/consumers", &json!({ "username": "eve" })).expect(201);
    request(admin, "DELETE", &path.replace("ann", "eve"), &[], b"").unwrap().expect(404);
    request(admin, "DELETE", &path, &[], b"").unwrap().expect(204);
    get(admin, &path).expect(404);
}

/// Who may not change a record gets no further where a function of a plugin would change it.
#[test]
fn rules_about_records_hold_for_them() {
    let (on, root) = (("enforce_rbac", "both"), ("password", "root"));
    let node = Node::start(&[on, root, SETTINGS[0], SETTINGS[1]]);
    let ask = |token: &str, method: &str, path: &str, content: Value| {
        let lines = [("Kong-Admin-Token", token), ("Content-Type", "application/json")];
        let content = if content.is_null() { Vec::new() } else { content.to_string().into_bytes() };
        request(node.admin(), method, path, &lines, &content).unwrap()
    };
    ask("root", "POST", "/guarded-things", json!({ "name": "roots" })).expect(201);
    ask("root", "POST", "/rbac/roles", json!({ "name": "all" })).expect(201);
    let rule = json!({ "endpoint": "*", "workspace": "default", "actions": "*" });
    ask("root", "POST", "/rbac/roles/all/endpoints", rule).expect(201);
    ask("root", "POST", "/rbac/users", json!({ "name": "u1", "user_token": "u1" })).expect(201);
    ask("root", "POST", "/rbac/users/u1/roles", json!({ "roles": "all" })).expect(201);
    ask("u1", "POST", "/guarded-things", json!({ "name": "own" })).expect(201);
    ask("u1", "PATCH", "/guarded-things/own", json!({ "secret": "dog" })).expect(200);
    ask("u1", "PATCH", "/guarded-things/roots", json!({ "secret": "dog" })).expect(403);
    ask("u1", "PUT", "/guarded-things/roots", json!({ "secret": "dog" })).expect(403);
    ask("u1", "DELETE", "/guarded-things/roots", Value::Null).expect(403);
    assert_eq!(ask("root", "GET", "/guarded-things/roots", Value::Null).expect(200).json()["secret"], Value::Null);
    let listed = ask("u1", "GET", "/guarded-things", Value::Null).expect(200).json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    ask("u1", "DELETE", "/guarded-things/own", Value::Null).expect(204);
}

/// Workers have them, too, whichever plugin asks.
#[test]
fn code_of_any_plugin_calls_them() {
    let backend = Backend::start("a");
    let node = Node::start(&SETTINGS);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "guarded" })).expect(201);
    get(node.proxy(), "/?name=fine").expect(200);
    assert!(get(node.proxy(), "/?name=forbidden").expect(400).body.windows(12).any(|w| w == b"not that one"));
    get(admin, "/guarded-things/fine").expect(200);
    // Handlers of bundled plugins are there by what they are, and do nothing silently.
    let root = get(admin, "/").expect(200).json();
    assert_eq!(root["plugins"]["available_on_server"]["guarded"]["priority"], 900);
    get(node.proxy(), "/?name=copied").expect(500);
    node.says("what the bundled plugin 'key-auth' does is not in Lua");
    let listed = get(node.proxy(), "/?name=listed").expect(200).json();
    assert_eq!(listed, json!({ "priority": 1250, "acts": false }));
}

/// What they check is not passed by where they cannot be called.
#[test]
fn an_import_into_a_database_refuses_what_they_write() {
    let prefix = tempfile::TempDir::new().unwrap();
    let file = prefix.path().join("kong.yml");
    std::fs::write(&file, "_format_version: '3.0'\nguarded_things:\n- name: a\n").unwrap();
    let mut command = bascule();
    command.args(["config", "db_import"]).arg(&file).arg("-p").arg(prefix.path());
    command.envs([("KONG_PLUGINS", SETTINGS[0].1), ("KONG_LUA_PACKAGE_PATH", SETTINGS[1].1)]);
    let said = command.output().unwrap();
    assert!(!said.status.success());
    let error = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(error.contains("records of guarded_things are written by functions of their plugin"), "{error}");
}
