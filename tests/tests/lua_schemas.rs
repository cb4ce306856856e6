//! Schemas of plugins in Lua whose functions ask the records that there are, and change what is stored.

use blackbox::http::{get, json, request};
use blackbox::tls::Pair;
use blackbox::{Node, bascule};
use serde_json::json;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

#[test]
fn functions_of_schemas_read_records() {
    let node = Node::start(&[("plugins", "bundled, warden"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": "http://127.0.0.1:1" })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "name": "r", "paths": ["/"] })).expect(201);
    let configure = |config| json(admin, "POST", "/plugins", &json!({ "name": "warden", "config": config }));
    let refused = configure(json!({ "consumer": "ann" })).expect(400).json();
    assert_eq!(refused["fields"]["config"]["consumer"], "there is no consumer ann");
    json(admin, "POST", "/consumers", &json!({ "username": "ann" })).expect(201);
    let refused = configure(json!({ "consumer": "ann" })).expect(400).json();
    assert_eq!(refused["fields"]["@entity"], json!(["the consumer has no custom_id"]));
    json(admin, "PATCH", "/consumers/ann", &json!({ "custom_id": "1" })).expect(200);
    let refused = configure(json!({ "consumer": "ann", "wrong": true })).expect(400).json();
    assert_eq!(refused["fields"]["config"]["wrong"], "functions of schemas can only read");

    let made = configure(json!({ "consumer": "ann", "name": "Ann" })).expect(201).json();
    assert_eq!(made["config"]["greeting"], "hello Ann");
    let path = format!("/plugins/{}", made["id"].as_str().unwrap());
    let changed = json(admin, "PATCH", &path, &json!({ "config": { "name": "Bea" } })).expect(200).json();
    assert_eq!(changed["config"]["greeting"], "hello Bea");
    let changed = json(admin, "PATCH", &path, &json!({ "config": { "greeting": "hi" } })).expect(200).json();
    assert_eq!(changed["config"]["greeting"], "hi", "what it follows from was not given");
    let said = get(node.proxy(), "/").expect(200).json();
    let all = json!({ "greeting": "hi", "first": true, "of_key_auth": "record", "unknown": true, "loaded": "table" });
    assert_eq!(said, all);
}

/// What a record is checked against is of its own workspace.
#[test]
fn they_see_the_workspace_of_the_record() {
    let node = Node::start(&[("plugins", "bundled, warden"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    json(admin, "POST", "/workspaces", &json!({ "name": "team" })).expect(201);
    json(admin, "POST", "/team/consumers", &json!({ "username": "ann", "custom_id": "1" })).expect(201);
    let plugin = json!({ "name": "warden", "config": { "consumer": "ann" } });
    json(admin, "POST", "/plugins", &plugin).expect(400);
    json(admin, "POST", "/team/plugins", &plugin).expect(201);
    // Several at once neither wait for each other for ever nor keep the Admin API from answering.
    std::thread::scope(|scope| {
        for n in 0..8 {
            let name = format!("team-{n}");
            scope.spawn(move || {
                let own = json!({ "instance_name": name, "name": "warden", "config": { "consumer": "nobody" } });
                json(admin, "POST", "/schemas/plugins/validate", &own).expect(400);
            });
        }
    });
    request(admin, "GET", "/team/plugins", &[], b"").unwrap().expect(200);
}

/// A file is checked without a database.
#[test]
fn without_a_database_they_are_told_so() {
    let node = Node::start(&[]);
    let file = node.prefix().join("warden.yml");
    let text = "_format_version: '3.0'\nconsumers: [{username: ann, custom_id: '1'}]\n\
        plugins: [{name: warden, config: {consumer: ann}}]\n";
    std::fs::write(&file, text).unwrap();
    let mut parse = bascule();
    parse.args(["config", "parse"]).arg(&file).env("KONG_DATABASE", "off").env("KONG_PLUGINS", "bundled, warden");
    let parsed = parse.env("KONG_LUA_PACKAGE_PATH", PATH).output().unwrap();
    let said = String::from_utf8_lossy(&parsed.stderr);
    assert!(said.contains("in 'consumer': cannot look for consumers"), "{said}");
    assert!(!parsed.status.success());
}

#[test]
fn values_of_type_json_are_what_their_schema_says() {
    let node = Node::start(&[("plugins", "bundled, guarded"), ("lua_package_path", PATH)]);
    let configure = |rules| json(node.admin(), "POST", "/plugins", &json!({ "name": "guarded", "config": rules }));
    let inner = "property a validation failed: wrong type: expected integer, got string";
    for (rules, words) in [
        (json!({ "a": "x" }), inner),
        (json!({}), "property a is required"),
        (json!("str"), "wrong type: expected object, got string"),
        (json!({ "a": 13 }), "not thirteen"),
    ] {
        let refused = configure(json!({ "rules": rules })).expect(400).json();
        assert_eq!(refused["fields"]["config"]["rules"], words);
    }
    let made = configure(json!({ "rules": { "a": 1, "b": [true, null] } })).expect(201).json();
    assert_eq!(made["config"]["rules"], json!({ "a": 1, "b": [true, null] }));
}

/// What typedefs name is checked as in Kong.
#[test]
fn keys_and_code_are_checked() {
    let node = Node::start(&[("plugins", "bundled, locksmith"), ("lua_package_path", PATH)]);
    let configure = |config| {
        let answer =
            json(node.admin(), "POST", "/schemas/plugins/validate", &json!({ "name": "locksmith", "config": config }));
        (answer.status, answer.json()["fields"]["config"].to_string())
    };
    let private = Pair::authority("a.test").key;
    for (config, words) in [
        (json!({ "pem": { "private_key": "x" } }), "could not load private key"),
        (json!({ "pem": { "public_key": private } }), "could not load public key"),
        (json!({ "pem": {} }), "at least one of these fields must be non-empty: 'private_key', 'public_key'"),
        (json!({ "code": { "a": "return x(" } }), "Error parsing function"),
        (json!({ "jwk": { "kid": "1", "kty": "RSA" } }), "could not load JWK, likely not a valid key"),
        (json!({ "jwk": { "kty": "oct", "k": "c2VjcmV0" } }), "required field missing"),
        (json!({ "key": "x" }), "invalid key"),
    ] {
        let (status, fields) = configure(config.clone());
        assert_eq!(status, 400, "{config}");
        assert!(fields.contains(words), "{config}: {fields}");
    }
    for config in [
        json!({ "pem": { "private_key": private }, "key": private, "code": { "a": "return 1" } }),
        json!({ "jwk": { "kid": "1", "kty": "EC", "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" } }),
        json!({}),
    ] {
        assert_eq!(configure(config.clone()), (200, "null".to_owned()), "{config}");
    }
}
